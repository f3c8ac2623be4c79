"""The format `label`: no reasoning, the answer alone.

Answer with the answer alone.

Q: Mia has 12 pens and buys 5 more. How many pens does she have?
A: 17
"""

from __future__ import annotations

from dataclasses import dataclass

from understudy.formats.format import Format, Reading, answer_form, cut_short, lenient, readable, unreadable
from understudy.records import Completion, Fault, Question, Rationale
from understudy.tasks.task import Task

INSTRUCTION = "Answer with the answer alone."


@dataclass(frozen=True, slots=True)
class Label(Format):
    """No reasoning, the answer alone.

    Where the first line is no answer, the last one anywhere in the text stands in the evidence as `lenient`.
    """

    name = "label"
    instruction = INSTRUCTION

    def instructions(self, task: Task, question: Question) -> str:
        return f"{INSTRUCTION}\nThe answer is {answer_form(task, question)}."

    def read(self, task: Task, question: Question, completion: Completion) -> Reading:
        yield from ()
        text = readable(task, completion)
        if isinstance(text, Fault):
            return text
        first = text.split("\n", 1)[0].strip()
        if cut := cut_short(completion, first):
            return cut
        answer = task.answer_kind.read(first, question.choices)
        if answer is not None:
            return Rationale("", answer)
        fault, found = unreadable(text, completion, "no_answer"), lenient(task, question, text)
        return Rationale("", None, found) if found and fault.slug == "no_answer" else fault

    def write(self, task: Task, rationale: Rationale) -> str:
        if rationale.answer is None:
            raise ValueError("a label without an answer cannot be written")
        return rationale.answer
