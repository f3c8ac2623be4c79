"""PaD, program-aided distillation (Zhu et al. 2023, arXiv 2305.13888): the reasoning is a program.

    source    the teacher writes programs; the interpreter throws out those that do not run or miss the gold answer
    example   prompt "Mia has 12 pens ..."   target "def solution():\\n    pens = 12\\n    return pens + 5"
    loss      mean cross-entropy of the program's tokens
    answer    the student writes a program, the interpreter answers

As in the released data the docstring, which repeats the question, is deleted from the targets. What differs from the
original: programs run in a sandbox; values are compared by value, not rounded to integers, which lets 5.4 pass for
5 (`grade.numbers = "rounded-as-pad"` does so, too); a program that prints is judged by what it returns; equal programs
of one question are kept once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal

from understudy.formats import Program
from understudy.formats.program import ran, strip
from understudy.methods.method import Keep, Method, Role, Source, needs_programs, predict
from understudy.procedures import Ask, Procedure
from understudy.records import Example, Prediction, Question, Rationale
from understudy.tasks.task import Task


class Pad(Method):
    """PaD: the student writes a program, the interpreter answers; faulty teacher programs are thrown out by running them."""

    name = "pad"
    writes: ClassVar[Mapping[str, str]] = {"student": "program"}
    keep: Keep = "right"
    """Which of the teacher's programs to learn from."""
    docstrings: Literal["drop", "keep"] = "drop"
    """Whether the docstring stays in the target; dropped as published."""
    comments: Literal["drop", "keep"] = "keep"
    """Whether comments stay in the target; the published data exist in both forms."""

    def refuses(self, task: Task) -> str | None:
        return needs_programs(task)

    def roles(self) -> Sequence[Role]:
        return [Role("student", (Source("program", Program(), keep=self.keep),), objectives={"program": 1.0})]

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        for rationale in found["program"]:
            yield Example(question.id, question.text, self.stripped(rationale.text), "program")

    def stripped(self, program: str) -> str:
        """`program` as the student sees it."""
        return strip(program, docstring=self.docstrings == "drop", comments=self.comments == "drop")

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        [[completion]] = yield [Ask("student", question.text)]
        found = yield from Program().read(task, question, completion)
        return predict(found, [completion], status=ran(found))
