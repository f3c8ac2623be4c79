"""Published tests without a training split whose questions we can make: what `last-letters` and `coin-flip` share.

    test    read from a file or the hub      {"id": "coin_flip-0", "question": "A coin is heads up. ...", "answer": "yes"}
    train   made here, from a seed           {"id": "train-0", "question": "A coin is heads up. Ada flips ...", ...}

A training question follows from (seed, its number) alone. The names are ours, so questions rarely meet those of the
test; where one does, the filter and the report see it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from random import Random

from pydantic import Field

from understudy import jsonl
from understudy.procedures import derive_seed
from understudy.records import Question
from understudy.rundir import digest
from understudy.tasks.published import Published, Sourced, others, text

VERSION = 1
"""Of the generators: goes up whenever a row comes out differently for the same settings."""

NAMES = (
    "Ada", "Aldo", "Alma", "Amir", "Anouk", "Arne", "Asta", "Bea", "Birk", "Bruno", "Carmen", "Celia", "Cyril", "Dana",
    "Dario", "Dilek", "Edda", "Egon", "Elif", "Emil", "Enzo", "Esra", "Fadil", "Fanni", "Fritz", "Gerda", "Goran", "Greta",
    "Hakim", "Hedda", "Hilde", "Ida", "Igor", "Ilka", "Imre", "Ines", "Ivo", "Jaleh", "Janek", "Joost", "Jutta", "Kaito",
    "Kamal", "Kerem", "Kirsi", "Lars", "Leyla", "Livia", "Ludek", "Maja", "Malik", "Marit", "Milos", "Mirza", "Nadia", "Nils",
    "Noor", "Oda", "Odd", "Olaf", "Oksana", "Otto", "Pavel", "Pia", "Priya", "Quang", "Rafiq", "Ragna", "Rolf", "Runa",
    "Sadiq", "Selma", "Signe", "Soraya", "Sven", "Tariq", "Tilda", "Tobias", "Tove", "Ulf", "Ulla", "Urs", "Vanja", "Vera",
    "Viggo", "Wanda", "Wei", "Wilma", "Xenia", "Yara", "Yusuf", "Yvonne", "Zahra", "Zeno", "Zita",
)  # fmt: skip


class Generated(Published):
    """A published test with a training split that is made here."""

    train: int = Field(2000, ge=1)
    """How many training questions are made."""
    seed: int = 0
    """Another seed makes other training questions."""

    @property
    @abstractmethod
    def stem(self) -> str:
        """The part of the test."""

    @property
    def stems(self) -> Mapping[str, str]:
        return {"test": self.stem}

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "test")

    @abstractmethod
    def make(self, random: Random) -> jsonl.Row:
        """`question` and `answer` of a training row."""

    def rows(self, split: str) -> Iterator[Sourced]:
        if split == "test":
            yield from self.part(self.stem)
            return
        for number in range(self.train):
            random = Random(derive_seed(self.name, self.seed, number))
            yield self.name, number + 1, {"id": f"train-{number}", **self.make(random)}

    def size(self, split: str) -> int:
        return self.train if split == "train" else super().size(split)

    def fingerprint(self) -> str:
        return digest([VERSION, super().fingerprint()])

    def to_question(self, row: jsonl.Row, split: str) -> Question:
        return Question(
            row["id"], text(row, "question"), self.gold(row["answer"]), extra=others(row, "question", "answer")
        )

    def notes(self) -> Sequence[str]:
        return (
            f"{self.name} is published without a training split: the {self.train} training questions of this run were "
            f"made by understudy (seed {self.seed}), in the form of the published ones with names of its own.",
        )
