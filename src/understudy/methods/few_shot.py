"""The teacher alone: few-shot chain of thought (Wei et al. 2022) and PAL (Gao et al. 2022), as rows of the same table.

No role is trained: the procedure asks the teacher, the reader and the grader are those of the students, so the
teacher and its understudies are compared by one measure. Every answer costs a call to the teacher.
"""

from __future__ import annotations

from typing import Literal

from understudy.formats import Cot, Format, Program
from understudy.formats.program import ran
from understudy.methods.method import TeacherAlone, needs_programs, predict
from understudy.procedures import Procedure
from understudy.records import Prediction, Question
from understudy.tasks.task import Task


class FewShotCot(TeacherAlone):
    """Few-shot CoT: the teacher answers by itself, reasoning in text after worked examples."""

    name = "few-shot-cot"
    reader: Literal["last", "published"] = "last"
    """How the chains are read: at their `last` cue, or as the code of Distilling Step-by-Step does (`published`)."""

    @property
    def format(self) -> Format:
        return Cot(self.reader)

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        completion = yield from self.ask(task, question)
        return predict((yield from self.format.read(task, question, completion)), [completion])


class Pal(TeacherAlone):
    """PAL: the teacher answers by itself, writing a program after worked examples; the interpreter answers."""

    name = "pal"

    @property
    def format(self) -> Format:
        return Program()

    def refuses(self, task: Task) -> str | None:
        return needs_programs(task)

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        completion = yield from self.ask(task, question)
        found = yield from self.format.read(task, question, completion)
        return predict(found, [completion], status=ran(found))
