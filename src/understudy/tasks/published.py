"""Published data sets: what they share. Not a data set itself; each has a file of its own beside this one.

A data set is read from a folder of JSON Lines files, one a part, or, where there is no such folder, from the Hugging
Face hub; a row of the hub is turned into the same row that a file would have:

    <folder>/train.jsonl, <folder>/test.jsonl.gz    {"id": "gsm8k-train-0", "question": "Natalia sold ...", "answer": "72"}
    openai/gsm8k                                    {"question": "Natalia sold ...", "answer": "... #### 72"}

Rows are streamed. Where no training split is published, the class makes or declares one and says so in `notes`.
"""

from __future__ import annotations

import math
import tomllib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module, resources
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import Field

from understudy import jsonl
from understudy.config import UserPath
from understudy.errors import DataError, PrerequisiteError
from understudy.procedures import derive_seed
from understudy.records import Question, Rationale
from understudy.rundir import digest, file_digest
from understudy.tasks.task import Task

Sourced: TypeAlias = tuple[Path | str, int, jsonl.Row]
"""A row with its place: the file and the line, or the hub's data set and the row's number, both counted from 1."""

_FORMATS = ("cot", "program", "socratic")


@dataclass(frozen=True, slots=True)
class Hub:
    """A data set on the Hugging Face hub.

    Attributes:
        path: its name there, `openai/gsm8k`.
        parts: for every part (the name of a file without its ending) the hub's (configuration, split) pairs, in order.
        revision: the branch to read where it is not the main one.
    """

    path: str
    parts: Mapping[str, Sequence[tuple[str | None, str]]]
    revision: str | None = None


class Published(Task):
    """A published data set, from a folder or from the hub. A subclass says how a row becomes a question."""

    folder: UserPath
    """Folder with the files of the data set; without it, the data set is loaded from the hub."""
    unlabelled: UserPath | None = None
    """File of further training questions, whose answers, if it holds any, are not read: ASDiv's for SVAMP, for instance."""
    revision: str | None = None
    """Commit, branch or tag of the data set on the hub; a commit makes a run that loads from there repeatable."""

    @property
    @abstractmethod
    def hub(self) -> Hub:
        """Where the hub has it."""

    @property
    def stems(self) -> Mapping[str, str]:
        """The part that every split is read from; a split besides `train` and `test` may lack its file."""
        return {"train": "train", "valid": "valid", "test": "test"}

    @abstractmethod
    def to_question(self, row: jsonl.Row, split: str) -> Question | None:
        """The question of a row; None if the row is not in this split.

        Raises:
            KeyError: a column is missing.
            ValueError: a value is not as expected; says which.
        """

    @abstractmethod
    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> jsonl.Row:
        """The row of a file for row `number`, from 0, of a part on the hub."""

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split, part in self.stems.items() if split in ("train", "test") or self.has(part))

    def questions(self, split: str) -> Iterator[Question]:
        if split not in self.splits:
            raise DataError(f"{self.name} has no split {split!r}; there are {', '.join(self.splits)}")
        for place, line, row in self.rows(split):
            try:
                question = self.to_question(row, split)
            except KeyError as error:
                raise DataError(f"no {error}; the columns are {', '.join(row)}", place, line) from None
            except ValueError as error:
                raise DataError(str(error), place, line) from None
            if question is not None:
                yield question
        if split == "train" and self.unlabelled is not None:
            yield from _unlabelled(self.unlabelled)

    def rows(self, split: str) -> Iterator[Sourced]:
        """The rows a split is made of."""
        return self.part(self.stems[split])

    def has(self, part: str) -> bool:
        """Whether there is this part: as a file if there is the folder, else on the hub."""
        return self._file(part) is not None if self.folder.is_dir() else part in self.hub.parts

    def part(self, part: str) -> Iterator[Sourced]:
        """The rows of a part, in order.

        Raises:
            DataError: a file is missing or broken, or the hub does not give the rows.
            PrerequisiteError: there is no folder, and `datasets` is not installed.
        """
        path = self._file(part)
        if path is not None:
            yield from ((path, line, row) for line, row in jsonl.read_numbered(path))
        elif self.folder.is_dir():
            raise DataError(
                f"no such file, with or without .gz. The task {self.name} reads it; {self._ways}",
                self.folder / f"{part}.jsonl",
            )
        else:
            yield from self._from_hub(part)

    def fingerprint(self) -> str:
        """A digest of the settings and of the files' content, or of the hub's name and the revision."""
        if self.folder.is_dir():
            parts = sorted({*self.stems.values(), *self.hub.parts})
            source: Any = {part: file_digest(path) for part in parts if (path := self._file(part))}
        else:
            source = [self.hub.path, self.revision or self.hub.revision]
        return digest([self.name, self.own_settings("folder", "revision", "unlabelled"), source])

    def user_files(self) -> dict[str, str]:
        """Those that every task may have, and the further questions."""
        more = {"unlabelled": file_digest(self.unlabelled)} if self.unlabelled and self.unlabelled.is_file() else {}
        return {**super().user_files(), **more}

    def own_demonstrations(self, format: str) -> Sequence[tuple[Question, Rationale]]:
        """Worked examples written by hand for this project, those that there are in this format."""
        shown = []
        for number, written in enumerate(demonstration_rows(self.demonstrated_by)):
            row = {name: value for name, value in written.items() if name not in _FORMATS}
            question = self.to_question({"id": f"demonstration-{number}", **row}, "demonstrations")
            if question is not None and (format == "label" or format in written):
                text = "" if format == "label" else written[format].strip("\n")
                shown.append((question, Rationale(text, self.answer_in(format, question))))
        return shown

    @property
    def demonstrated_by(self) -> str:
        """The file of the demonstrations, without its ending."""
        return self.name.replace("-", "_")

    def answer_in(self, format: str, question: Question) -> str | None:
        """The answer that a right rationale of this format leads to."""
        return question.answer

    def gold(self, value: object, choices: Sequence[str] = ()) -> str:
        """The notation of a gold answer.

        Raises:
            ValueError: it is no answer of the task's kind.
        """
        answer = self.answer_kind.from_value(value, choices)
        if answer is None:
            among = f" among {list(choices)}" if choices else ""
            raise ValueError(f"answer {value!r} is no {self.answer_kind.name}{among}")
        return answer

    def _file(self, part: str) -> Path | None:
        files = (self.folder / f"{part}{ending}" for ending in (".jsonl", ".jsonl.gz"))
        return next((file for file in files if file.is_file()), None)

    @property
    def _ways(self) -> str:
        return f"a folder with the files is given by task.folder=FOLDER, or by data=FOLDER holding {self.folder.name}/"

    def _from_hub(self, part: str) -> Iterator[Sourced]:
        hub, name = self.hub, self.hub.path
        try:
            datasets = import_module("datasets")
        except ImportError:
            raise PrerequisiteError(
                f"{self.folder}: no such folder, and the package `datasets`, which would load {name} from the hub, is "
                f"not installed. Either {self._ways}; or: pip install 'understudy[hub]'"
            ) from None
        if part not in hub.parts:
            raise DataError(f"has no part {part!r}; it has {', '.join(hub.parts)}", name)
        number = 0
        for config, split in hub.parts[part]:
            try:
                found = datasets.load_dataset(name, config, split=split, revision=self.revision or hub.revision)
            except Exception as error:  # the hub's client raises errors of many libraries
                reason = (str(error).splitlines() or [""])[0]
                raise DataError(
                    f"cannot be loaded from the hub ({type(error).__name__}: {reason}). Mend the connection or the "
                    f"revision, or do without the hub: {self._ways}; {self.folder} is no folder",
                    name,
                ) from error
            for row in found:
                try:
                    normal = self.from_hub(row, part, number)
                except KeyError as error:
                    raise DataError(f"no {error}; the columns are {', '.join(row)}", name, number + 1) from None
                except ValueError as error:
                    raise DataError(str(error), name, number + 1) from None
                number += 1
                yield f"{name} ({part})", number, normal


class OneFile(Published):
    """A data set that is published in one part: a share of it, chosen by the questions' text, is the training split."""

    train_share: float = Field(0.5, ge=0, lt=1)
    """Share of the questions, chosen by their text, that is the training split; 0 keeps all of them for the test."""

    @property
    @abstractmethod
    def stem(self) -> str:
        """The one part."""

    @property
    def stems(self) -> Mapping[str, str]:
        return {split: self.stem for split in ("train", "test")}

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "test") if self.train_share else ("test",)

    def rows(self, split: str) -> Iterator[Sourced]:
        for place, line, row in self.part(self.stem):
            if self._trains(row) == (split == "train"):
                yield place, line, row

    def notes(self) -> Sequence[str]:
        if not self.train_share:
            return ()
        return (
            f"{self.name} is published without a training split: {self.train_share:.0%} of its questions, chosen by "
            "their text, are the training split of this run, and the test is on the others only.",
        )

    def _trains(self, row: jsonl.Row) -> bool:
        """Equal questions are on one side, whatever their place, so that the order of the rows plays no part."""
        key = " ".join(str(row.get("question")).casefold().split())
        return derive_seed("training share", self.name, key) % 10_000 < self.train_share * 10_000


def _unlabelled(path: Path) -> Iterator[Question]:
    """The questions of a file, without their answers."""
    for line, row in jsonl.read_numbered(path):
        missing = [column for column in ("id", "question") if not isinstance(row.get(column), str)]
        if missing:
            raise DataError(f"no text in {missing[0]!r}; the columns are {', '.join(row)}", path, line)
        yield Question(row["id"], row["question"])


def text(row: Mapping[str, Any], column: str) -> str:
    """The text in a column.

    Raises:
        KeyError: there is no such column.
        ValueError: it holds no text.
    """
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{column} is {value!r:.60}, expected text")
    return value


def others(row: Mapping[str, Any], *used: str) -> dict[str, Any]:
    """The columns of a row but for its id and those named."""
    return {name: value for name, value in row.items() if name not in ("id", *used)}


@lru_cache
def held_out_rows(rows: int) -> frozenset[int]:
    """Which of so many training rows the code of Distilling Step-by-Step holds out for validation: a tenth.

    It calls `train_test_split(test_size=0.1, seed=0)` of the package `datasets`, which permutes with numpy's default
    generator and takes the first tenth, rounded up (run.py of their repository).

    Raises:
        PrerequisiteError: numpy is not installed.
    """
    return frozenset(permuted(rows, "default")[: math.ceil(0.1 * rows)])


def permuted(rows: int, generator: str) -> list[int]:
    """The row numbers below `rows` as numpy permutes them with seed 0, by its `default` or its `legacy` generator.

    Raises:
        PrerequisiteError: numpy is not installed.
    """
    try:
        random = import_module("numpy").random
    except ImportError:
        raise PrerequisiteError(
            "the published split is drawn by numpy, which is not installed: pip install 'understudy[train]'"
        ) from None
    drawn = random.RandomState(0) if generator == "legacy" else random.default_rng(0)
    return [int(row) for row in drawn.permutation(rows)]


@lru_cache
def demonstration_rows(name: str) -> tuple[Mapping[str, Any], ...]:
    """The worked examples in `demonstrations/<name>.toml`: the columns of a row, and a text for each format."""
    file = resources.files("understudy.tasks") / "demonstrations" / f"{name}.toml"
    return tuple(tomllib.loads(file.read_text(encoding="utf-8"))["demonstration"])
