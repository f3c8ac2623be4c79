"""e-SNLI (Camburu et al. 2018): SNLI with human explanations; 549,367 / 9,842 / 9,824.

    {"id": "esnli-valid-0", "premise": "Two women are embracing while holding to go packages.", "hypothesis": "...",
     "answer": "neutral", "human_rationales": ["The to go packages may not be from lunch.", ...]}

Training rows have one explanation, the others three. The cue is that of the PaLM outputs of Distilling Step-by-Step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from understudy import jsonl
from understudy.config import UserPath
from understudy.records import Question
from understudy.tasks.nli import Nli
from understudy.tasks.published import Hub

_PARTS = {"train": "train", "valid": "validation", "test": "test"}


class Esnli(Nli):
    """e-SNLI: does a hypothesis follow from the caption of a picture? With human explanations."""

    name = "esnli"
    cue: ClassVar[str] = "Answer:"
    folder: UserPath = Path("esnli")
    """Folder with `train.jsonl`, `valid.jsonl` and `test.jsonl`."""

    @property
    def hub(self) -> Hub:
        return Hub("esnli", {part: [(None, split)] for part, split in _PARTS.items()}, revision="refs/convert/parquet")

    def hub_id(self, row: Mapping[str, Any], part: str, number: int) -> str:
        return f"esnli-{part}-{number}"

    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> jsonl.Row:
        written = [row[f"explanation_{i}"] for i in (1, 2, 3)]
        return {**super().from_hub(row, part, number), "human_rationales": [text for text in written if text]}

    def as_published(self, text: str) -> tuple[str, str]:
        """As Distilling Step-by-Step: from the first cue to the next one or the next premise, a dot and all."""
        _, _, after = text.partition(f"{self.cue} ")
        label = after.partition(f"{self.cue} ")[0].partition("Premise")[0]
        return text.partition(self.cue)[0].rstrip(), label.rstrip()

    def explanations(self, question: Question) -> Sequence[str]:
        return tuple(question.extra.get("human_rationales", ()))
