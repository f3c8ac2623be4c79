"""ANLI (Nie et al. 2020): inference questions that humans wrote to mislead a model, in three rounds.

    {"id": "bf62...", "premise": "Linguistics is the scientific study of language ...", "hypothesis": "Form and meaning ...",
     "answer": "contradiction", "human_rationale": "Linguistics involves an analysis of language form, ..."}

Round 1: 16,946 / 1,000 / 1,000; round 2: 45,460 / 1,000 / 1,000; round 3: 100,459 / 1,200 / 1,200. The reason was
written by whoever wrote the hypothesis, and may speak of the model that was misled. Not for commercial use (CC BY-NC 4.0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from understudy import jsonl
from understudy.config import UserPath
from understudy.records import Question
from understudy.tasks.nli import Nli
from understudy.tasks.published import Hub

_PARTS = {"train": "train", "valid": "dev", "test": "test"}


class Anli(Nli):
    """ANLI: inference questions written to mislead a model, with their authors' reasons."""

    name = "anli"
    cue: ClassVar[str] = "So the answer is"
    round: Literal[1, 2, 3] = 1
    """Which of the three rounds; Distilling Step-by-Step uses the first."""
    folder: UserPath = Path("anli1")
    """Folder with `train.jsonl`, `valid.jsonl` and `test.jsonl`; by default `anli` and the round, `anli1`."""

    @model_validator(mode="before")
    @classmethod
    def _folder_of_the_round(cls, settings: Any) -> Any:
        if isinstance(settings, dict) and "folder" not in settings and "round" in settings:
            return {**settings, "folder": f"anli{settings['round']}"}
        return settings

    @property
    def hub(self) -> Hub:
        return Hub("facebook/anli", {part: [(None, f"{split}_r{self.round}")] for part, split in _PARTS.items()})

    def hub_id(self, row: Mapping[str, Any], part: str, number: int) -> str:
        return f"anli{self.round}-train-{number}" if part == "train" else str(row["uid"])

    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> jsonl.Row:
        return {**super().from_hub(row, part, number), "human_rationale": row["reason"]}

    def as_published(self, text: str) -> tuple[str, str]:
        """As Distilling Step-by-Step: the cue must occur once before the next premise, and the last letter is a dot."""
        before = text.partition("Premise:")[0].rstrip()
        rationale, _, label = before.partition(self.cue)
        return (rationale.rstrip(), label.lstrip()[:-1]) if before.count(self.cue) == 1 else (before, "")

    def explanations(self, question: Question) -> Sequence[str]:
        return (str(question.extra.get("human_rationale", "")),)
