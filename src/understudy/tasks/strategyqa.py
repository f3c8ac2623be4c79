"""StrategyQA (Geva et al. 2021): yes/no questions whose steps are not told; 2,061 to train, 229 to test.

    {"id": "2bc9...", "question": "Are more people today related to Genghis Khan than Julius Caesar?", "answer": "yes",
     "facts": ["Julius Caesar had three children.", "Genghis Khan had sixteen children.", ...],
     "decomposition": ["How many kids did Julius Caesar have?", ..., "Is #2 greater than #1?"]}

`#1` stands for the answer of the first sub-question. The published test split has no public answers, so the test is the
authors' development split (`dev.jsonl`); the hub's copy is split in another way and has no decompositions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from understudy import jsonl
from understudy.answers import AnswerKind, kind
from understudy.config import UserPath
from understudy.records import Question, Rationale
from understudy.tasks.published import Hub, Published, others, text


class Strategyqa(Published):
    """StrategyQA: yes/no questions that need several facts, with the facts and a decomposition."""

    name = "strategyqa"
    cue: ClassVar[str] = "So the answer is"
    human_formats: ClassVar[tuple[str, ...]] = ("cot", "socratic")
    folder: UserPath = Path("strategyqa")
    """Folder with `train.jsonl` and `dev.jsonl`."""

    @property
    def answer_kind(self) -> AnswerKind:
        return kind("yes_no")

    @property
    def stems(self) -> Mapping[str, str]:
        return {"train": "train", "valid": "valid", "test": "dev"}

    @property
    def hub(self) -> Hub:
        return Hub("ChilleD/StrategyQA", {"train": [(None, "train")], "dev": [(None, "test")]})

    def to_question(self, row: jsonl.Row, split: str) -> Question:
        return Question(
            row["id"], text(row, "question"), self.gold(row["answer"]), extra=others(row, "question", "answer")
        )

    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> jsonl.Row:
        facts = row["facts"]
        return {
            "id": row["qid"],
            "question": row["question"],
            "answer": "yes" if row["answer"] else "no",
            "facts": [facts] if isinstance(facts, str) else list(facts),
        }

    def human(self, question: Question, format: str) -> Rationale | None:
        """The facts (`cot`), or the decomposition with the facts as its solutions (`socratic`).

        The data set does not say which fact answers which sub-question. They are taken in order where there is one
        fact for each sub-question but the last, whose solution is the answer; elsewhere there is no Socratic rationale.
        """
        facts = [str(fact).strip() for fact in question.extra.get("facts", ()) if str(fact).strip()]
        asked = [str(sub).strip() for sub in question.extra.get("decomposition", ())]
        if format == "cot" and facts:
            sentences = (fact if fact.endswith((".", "!", "?")) else f"{fact}." for fact in facts)
            return Rationale(" ".join(sentences), question.answer)
        if format == "socratic" and len(asked) > 1 and len(facts) == len(asked) - 1:
            solutions = [*facts, f"{(question.answer or '').capitalize()}."]
            pairs = (f"{sub} ** {solution}" for sub, solution in zip(asked, solutions, strict=True))
            return Rationale("\n".join(pairs), question.answer)
        return None

    def notes(self) -> Sequence[str]:
        return (
            "The test split of strategyqa is the authors' development split of 229 questions, or, from the hub, a "
            "split of others; the published test split has no public answers.",
        )
