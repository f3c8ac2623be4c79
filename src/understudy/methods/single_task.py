"""Single-task chain of thought: rationale, then answer, in one target (the "single-task" baseline of Hsieh et al.
2023; the fine-tuning on chains of thought of Magister et al. 2022, Ho et al. 2022).

    example   prompt "Mia has 12 pens ..."   target "Mia has 12 + 5 = 17 pens. The answer is 17."
    loss      mean cross-entropy of the target's tokens

At test time the student writes its reasoning first, so an answer costs as many tokens as a rationale has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from understudy.formats import Cot
from understudy.methods.method import Keep, Method, Role, Source, predict
from understudy.procedures import Ask, Procedure
from understudy.records import Example, Prediction, Question, Rationale
from understudy.tasks.task import Task


class SingleTask(Method):
    """Single-task CoT: the student writes the rationale and then the answer, in one text."""

    name = "single-task"
    writes: ClassVar[Mapping[str, str]] = {"student": "cot"}
    keep: Keep = "right"
    """Which of the teacher's rationales to learn from."""

    def roles(self) -> Sequence[Role]:
        return [Role("student", (Source("rationale", Cot(), keep=self.keep),), objectives={"rationale": 1.0})]

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        for rationale in found["rationale"]:
            yield Example(question.id, question.text, Cot().write(task, rationale), "rationale")

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        [[completion]] = yield [Ask("student", question.text)]
        return predict((yield from Cot().read(task, question, completion)), [completion])
