"""Single-task chain of thought: rationale, then answer, in one target (the "single-task" baseline of Hsieh et al.
2023; the fine-tuning on chains of thought of Magister et al. 2022, Ho et al. 2022).

    example   prompt "Mia has 12 pens ..."   target "Mia has 12 + 5 = 17 pens. The answer is 17."
    loss      mean cross-entropy of the target's tokens

With `teacher = "zero-shot"` the teacher reasons without worked examples, as in Fine-tune-CoT (Ho et al. 2022).

At test time the student writes its reasoning first, so an answer costs as many tokens as a rationale has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal

from understudy.formats import Cot, ZeroShotCot
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
    teacher: Literal["few-shot", "zero-shot"] = "few-shot"
    """How the teacher is asked: after worked examples, or by "Let's think step by step." and then for the answer."""

    def roles(self) -> Sequence[Role]:
        asked = Cot() if self.teacher == "few-shot" else ZeroShotCot()
        return [Role("student", (Source("rationale", asked, keep=self.keep),), objectives={"rationale": 1.0})]

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        for rationale in found["rationale"]:
            yield Example(question.id, question.text, Cot().write(task, rationale), "rationale")

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        [[completion]] = yield [Ask("student", question.text)]
        return predict((yield from Cot().read(task, question, completion)), [completion])
