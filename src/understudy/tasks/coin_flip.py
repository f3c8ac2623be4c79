"""Coin flip (Wei et al. 2022; the 500 questions of Kojima et al. 2022): is the coin still heads up?

    {"id": "coin_flip-0", "question": "A coin is heads up. Whitney flips the coin. Erika does not flip the coin. ... Is the
     coin still heads up? Note that \"flip\" here means \"reverse\".", "answer": "yes"}

There is no published training split: ours is made with names of our own. The hub has another test of the same kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from understudy import jsonl
from understudy.answers import AnswerKind, kind
from understudy.config import UserPath
from understudy.tasks.generated import NAMES, Generated
from understudy.tasks.published import Hub

_PEOPLE = 4
_ASKED = 'Is the coin still heads up? Note that "flip" here means "reverse".'


class CoinFlip(Generated):
    """Coin flip: is a coin still heads up after some people flipped it and others did not?"""

    name = "coin-flip"
    folder: UserPath = Path("coin_flip")
    """Folder with `coin_flip.jsonl`, the test."""

    @property
    def answer_kind(self) -> AnswerKind:
        return kind("yes_no")

    @property
    def stem(self) -> str:
        return "coin_flip"

    @property
    def hub(self) -> Hub:
        return Hub("skrishna/coin_flip", {"coin_flip": [(None, "test")]})

    def make(self, random: Random) -> jsonl.Row:
        flips = [(name, random.random() < 0.5) for name in random.sample(NAMES, _PEOPLE)]
        told = [f"{name} {'flips' if flip else 'does not flip'} the coin." for name, flip in flips]
        heads = sum(flip for _, flip in flips) % 2 == 0
        return {"question": " ".join(["A coin is heads up.", *told, _ASKED]), "answer": "yes" if heads else "no"}

    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> jsonl.Row:
        question = row["inputs"].strip().removeprefix("Q:").strip()
        return {"id": f"coin_flip-{number}", "question": question, "answer": row["targets"].strip()}

    def notes(self) -> Sequence[str]:
        if self.folder.is_dir():
            return super().notes()
        return (
            *super().notes(),
            f"The test of {self.name} is the hub's {self.hub.path}, not the 500 questions of Kojima et al.",
        )
