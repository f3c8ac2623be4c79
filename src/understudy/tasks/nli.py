"""Natural language inference: does the hypothesis follow from the premise? What `esnli` and `anli` share.

    {"id": "esnli-valid-0", "premise": "Two women are embracing", "hypothesis": "The sisters are ...", "answer": "neutral"}

A question is shown with both parts by name, or joined by `</s>` (`input_form`):

    Premise: Two women are embracing
    Hypothesis: The sisters are ...

    Two women are embracing</s>The sisters are ...
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from understudy import jsonl
from understudy.answers import AnswerKind, kind
from understudy.records import Question, Rationale
from understudy.tasks.published import Published, others, text

LABELS = ("entailment", "neutral", "contradiction")
"""In the order of their numbers on the hub."""


class Nli(Published):
    """A data set of premises and hypotheses with one of three labels."""

    next_question: ClassVar[tuple[str, ...]] = ("\nPremise:", "\nQ:")
    human_formats: ClassVar[tuple[str, ...]] = ("cot",)
    input_form: Literal["named", "joined"] = "named"
    """How a question is shown: both parts by name, or joined by `</s>`, T5's end token, as Distilling Step-by-Step does."""
    train_on: Literal["train", "valid"] | None = None
    """The published split to train on; by default `train`, or `valid` where the folder has no file of `train`."""

    @property
    def answer_kind(self) -> AnswerKind:
        return kind("label")

    @property
    def stems(self) -> Mapping[str, str]:
        valid_instead = not self.has("train") and self.has("valid")
        if self.train_on == "valid" or (self.train_on is None and valid_instead):
            return {"train": "valid", "test": "test"}
        return super().stems

    def to_question(self, row: jsonl.Row, split: str) -> Question:
        premise, hypothesis = text(row, "premise"), text(row, "hypothesis")
        if row["answer"] not in LABELS:
            raise ValueError(f"answer is {row['answer']!r}, expected one of {', '.join(LABELS)}")
        joined = self.input_form == "joined"
        shown = f"{premise}</s>{hypothesis}" if joined else f"Premise: {premise}\nHypothesis: {hypothesis}"
        return Question(row["id"], shown, row["answer"], LABELS, others(row, "answer"))

    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> jsonl.Row:
        if row["label"] not in range(len(LABELS)):
            raise ValueError(f"label is {row['label']!r}, expected 0, 1 or 2")
        return {
            "id": self.hub_id(row, part, number),
            "premise": row["premise"],
            "hypothesis": row["hypothesis"],
            "answer": LABELS[row["label"]],
        }

    @abstractmethod
    def hub_id(self, row: Mapping[str, Any], part: str, number: int) -> str:
        """The id of row `number`, from 0, of a part on the hub."""

    @abstractmethod
    def explanations(self, question: Question) -> Sequence[str]:
        """What humans wrote to explain the label, the first first."""

    def human(self, question: Question, format: str) -> Rationale | None:
        """The first human explanation, as a chain of thought; the others stand in its evidence."""
        written = [explanation.strip() for explanation in self.explanations(question) if explanation.strip()]
        if format != "cot" or not written:
            return None
        return Rationale(written[0], question.answer, {"others": written[1:]} if written[1:] else {})

    def notes(self) -> Sequence[str]:
        if self.stems["train"] != "valid":
            return ()
        why = "as train_on says" if self.train_on else "because the folder has no file of its training split"
        return (f"{self.name} trains on its published validation split, {why}; the test split is the published one.",)
