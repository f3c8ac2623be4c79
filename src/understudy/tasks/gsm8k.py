"""GSM8K (Cobbe et al. 2021, arXiv 2110.14168): grade school word problems of 2 to 11 steps; 7,473 to train, 1,319 to test.

    {"id": "gsm8k-train-0", "question": "Natalia sold clips to 48 of her friends ...", "answer": "72",
     "solution": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n...\n#### 72",
     "steps": [{"subquestion": "How many clips did Natalia sell in May?", "solution": "Natalia sold 48/2 = ..."}, ...]}

`steps` comes from a second part, `socratic_train` and `socratic_test`, if there is one. Its solutions are human; its
sub-questions were written by a fine-tuned model that saw the step it asks for, so they partly give it away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from understudy import jsonl
from understudy.answers import AnswerKind, kind
from understudy.config import UserPath
from understudy.errors import DataError
from understudy.records import Question, Rationale
from understudy.tasks.published import Hub, Published, Sourced, others, text

_ANNOTATION = re.compile(r"<<[^<>]*>>")
_LAST_LINE = re.compile(r"\n?^####.*", re.MULTILINE | re.DOTALL)


class Gsm8k(Published):
    """GSM8K: grade school word problems with human solutions and Socratic steps."""

    name = "gsm8k"
    human_formats: ClassVar[tuple[str, ...]] = ("cot", "socratic")
    folder: UserPath = Path("gsm8k")
    """Folder with `train.jsonl` and `test.jsonl`, and `socratic_train.jsonl` and `socratic_test.jsonl` if there are."""
    annotations: Literal["strip", "keep"] = "strip"
    """Whether human solutions keep their calculator annotations, `<<48/2=24>>`."""

    @property
    def answer_kind(self) -> AnswerKind:
        return kind("number")

    @property
    def hub(self) -> Hub:
        configs = {"": "main", "socratic_": "socratic"}
        parts = {f"{stem}{split}": [(config, split)] for stem, config in configs.items() for split in ("train", "test")}
        return Hub("openai/gsm8k", parts)

    def rows(self, split: str) -> Iterator[Sourced]:
        rows, socratic = super().rows(split), f"socratic_{self.stems[split]}"
        if not self.has(socratic):
            yield from rows
            return
        with_steps = self.part(socratic)
        for place, line, row in rows:
            other_place, other_line, other = next(with_steps, (self.folder / socratic, None, {}))
            if other.get("id") != row.get("id"):
                raise DataError(
                    f"id {other.get('id')!r} where {place}:{line} has {row.get('id')!r}. The Socratic steps must follow "
                    "the questions row by row; without that file there are none",
                    other_place,
                    other_line,
                )
            yield place, line, {**row, "steps": other.get("steps", [])}

    def to_question(self, row: jsonl.Row, split: str) -> Question:
        return Question(
            row["id"], text(row, "question"), self.gold(row["answer"]), extra=others(row, "question", "answer")
        )

    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> jsonl.Row:
        written = str(row["answer"])
        answer = written.rpartition("####")[2].strip().replace(",", "")
        normal = {
            "id": f"gsm8k-{part.removeprefix('socratic_')}-{number}",
            "question": row["question"],
            "answer": answer,
        }
        if not part.startswith("socratic_"):
            return {**normal, "solution": written}
        lines = _LAST_LINE.sub("", written).split("\n")
        pairs = [line.partition(" ** ")[::2] for line in lines]
        return {**normal, "steps": [{"subquestion": asked, "solution": solution} for asked, solution in pairs]}

    def human(self, question: Question, format: str) -> Rationale | None:
        """The published solution (`cot`), or its steps with their sub-questions (`socratic`)."""
        if format == "cot" and "solution" in question.extra:
            return Rationale(self._annotated(_LAST_LINE.sub("", question.extra["solution"])), question.answer)
        if format == "socratic" and question.extra.get("steps"):
            steps = [step for step in question.extra["steps"] if step["solution"].strip()]
            lines = [f"{step['subquestion']} ** {self._annotated(step['solution'])}" for step in steps]
            return Rationale("\n".join(lines), question.answer)
        return None

    def _annotated(self, solution: str) -> str:
        return (solution if self.annotations == "keep" else _ANNOTATION.sub("", solution)).strip()
