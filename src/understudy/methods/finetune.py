"""Fine-tuning on answers alone, and label distillation: the two baselines every system is compared with.

    example   prompt "Mia has 12 pens ..."   target "17"
    loss      mean cross-entropy of the target's tokens

`finetune` takes the gold answers; `label-distillation` takes the teacher's ("standard task distillation" in Hsieh et
al. 2023, section 4), read out of its chains of thought, right or wrong: it needs no gold answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from understudy.formats import Cot, Label
from understudy.methods.method import Keep, Method, Role, Source, predict
from understudy.procedures import Ask, Procedure
from understudy.records import Example, Prediction, Question, Rationale
from understudy.tasks.task import Task


class Finetune(Method):
    """Fine-tuning: the student learns the gold answers; no teacher."""

    name = "finetune"
    writes: ClassVar[Mapping[str, str]] = {"student": "label"}

    def roles(self) -> Sequence[Role]:
        return [Role("student", objectives={"label": 1.0})]

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        if question.answer is not None:
            yield Example(question.id, question.text, question.answer, "label")

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        [[completion]] = yield [Ask("student", question.text)]
        return predict((yield from Label().read(task, question, completion)), [completion])


class LabelDistillation(Finetune):
    """Label distillation: the student learns the teacher's answers, without its reasoning."""

    name = "label-distillation"
    keep: Keep = "parsed"
    """Which of the teacher's answers to learn: `parsed` (all, as published), `right` or `agreed`."""

    def roles(self) -> Sequence[Role]:
        return [Role("student", (Source("rationale", Cot(), keep=self.keep),), objectives={"label": 1.0})]

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        for rationale in found["rationale"]:
            if rationale.answer is not None:
                yield Example(question.id, question.text, rationale.answer, "label")
