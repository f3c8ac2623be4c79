"""The teacher alone: few-shot chain of thought (Wei et al. 2022) and PAL (Gao et al. 2022), as rows of the same table.

No role is trained: the procedure asks the teacher, the reader and the grader are those of the students, so the
teacher and its understudies are compared by one measure. Every answer costs a call to the teacher.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from understudy.formats import Cot, Format, Program
from understudy.formats.program import ran
from understudy.methods.method import Method, Role, needs_programs, predict
from understudy.procedures import Procedure
from understudy.records import Completion, Prediction, Question
from understudy.tasks.task import Task


class FewShotCot(Method):
    """Few-shot CoT: the teacher answers by itself, reasoning in text after worked examples."""

    name = "few-shot-cot"
    asks_teacher = True
    demonstrations: int = Field(4, ge=0)
    """How many worked examples stand before the question."""
    reader: Literal["last", "published"] = "last"
    """How the chains are read: at their `last` cue, or as the code of Distilling Step-by-Step does (`published`)."""

    def roles(self) -> Sequence[Role]:
        return []

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        format = Cot(self.reader)
        completion = yield from ask_teacher(task, question, format, self.demonstrations)
        return predict((yield from format.read(task, question, completion)), [completion])


class Pal(Method):
    """PAL: the teacher answers by itself, writing a program after worked examples; the interpreter answers."""

    name = "pal"
    asks_teacher = True
    demonstrations: int = Field(4, ge=0)
    """How many worked examples stand before the question."""

    def refuses(self, task: Task) -> str | None:
        return needs_programs(task)

    def roles(self) -> Sequence[Role]:
        return []

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        completion = yield from ask_teacher(task, question, Program(), self.demonstrations)
        found = yield from Program().read(task, question, completion)
        return predict(found, [completion], status=ran(found))


def ask_teacher(task: Task, question: Question, format: Format, demonstrations: int) -> Procedure[Completion]:
    """One completion by the teacher, after that many worked examples."""
    shown = task.demonstrations(format.name)[:demonstrations]
    [completion] = yield from format.ask("teacher", format.prompt(task, question, shown))
    return completion
