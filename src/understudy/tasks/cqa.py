"""CommonsenseQA with the human explanations of CoS-E v1.11 (Rajani et al. 2019, arXiv 1906.02361).

    {"id": "6b81...", "row": 0, "question": "What is this an example of?", "choices": ["park", ..., "gravity"],
     "answer": "math problem", "human_rationale_abstractive": "webmath is ...", "human_rationale_extractive": "..."}

    text   What is this an example of?
           Answer Choices:
           (a) park
           ...

9,741 questions to train and the 1,221 of CoS-E's validation split, which Distilling Step-by-Step and we use as the test:
the answers of CommonsenseQA's own test split are not public. `row` is the place among the 9,741.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from understudy import jsonl
from understudy.answers import AnswerKind, kind
from understudy.config import UserPath
from understudy.records import Question, Rationale
from understudy.tasks.choices import with_choices
from understudy.tasks.published import Hub, Published, Sourced, held_out_rows, others, text

_TRAIN_ROWS = 9741
_PARTS = {"train": "train", "test": "validation"}


class Cqa(Published):
    """CommonsenseQA: questions of common sense with five choices, and CoS-E's human explanations."""

    name = "cqa"
    cue: ClassVar[str] = "So the answer is"
    human_formats: ClassVar[tuple[str, ...]] = ("cot",)
    folder: UserPath = Path("cqa")
    """Folder with `train.jsonl` and `test.jsonl`."""
    validation: Literal["file", "step-by-step"] = "file"
    """The split `valid`: `valid.jsonl` if there is one, or the tenth that Distilling Step-by-Step holds out (by `row`)."""
    explanation: Literal["abstractive", "extractive"] = "abstractive"
    """Which human explanation to take: in the annotator's words, or the words that were marked in the question."""

    @property
    def answer_kind(self) -> AnswerKind:
        return kind("choice")

    @property
    def hub(self) -> Hub:
        return Hub("Salesforce/cos_e", {part: [("v1.11", split)] for part, split in _PARTS.items()})

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "valid", "test") if self.validation == "step-by-step" else super().splits

    def rows(self, split: str) -> Iterator[Sourced]:
        if self.validation == "file" or split == "test":
            yield from super().rows(split)
            return
        held_out = held_out_rows(_TRAIN_ROWS)
        yield from (
            sourced for sourced in self.part("train") if (sourced[2].get("row") in held_out) == (split == "valid")
        )

    def to_question(self, row: jsonl.Row, split: str) -> Question:
        choices = row["choices"]
        if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
            raise ValueError(f"choices is {choices!r:.60}, expected a list of texts")
        if row["answer"] not in choices:
            raise ValueError(f"answer {row['answer']!r} is none of the choices {choices}")
        shown = with_choices(text(row, "question"), choices)
        return Question(row["id"], shown, row["answer"], tuple(choices), others(row, "question", "answer", "choices"))

    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> jsonl.Row:
        return {
            "id": row["id"],
            "row": number,
            "question": row["question"],
            "choices": list(row["choices"]),
            "answer": row["answer"],
            "human_rationale_abstractive": row["abstractive_explanation"],
            "human_rationale_extractive": row["extractive_explanation"],
        }

    def human(self, question: Question, format: str) -> Rationale | None:
        """CoS-E's explanation, as a chain of thought. Many are careless: CoS-E is known for it."""
        written = str(question.extra.get(f"human_rationale_{self.explanation}") or "").strip()
        return Rationale(written, question.answer) if format == "cot" and written else None

    def notes(self) -> Sequence[str]:
        return ("The test split of cqa is CommonsenseQA's published validation split, as in Distilling Step-by-Step.",)
