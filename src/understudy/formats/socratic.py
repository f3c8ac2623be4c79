"""The format `socratic`: sub-questions with their solutions, one a line (Shridhar, Stolfo and Sachan 2023, arXiv 2212.00193).

    Answer with sub-questions and their solutions, one a line: sub-question ** solution

    Q: Mia has 12 pens and buys 5 more. She gives away 4. How many pens does she have?
    A:
    How many pens does Mia have after buying? ** 12 + 5 = 17.
    How many pens does Mia have at last? ** 17 - 4 = 13.
    The answer is 13.

The separator is that of the Socratic edition of GSM8K (Cobbe et al. 2021). A rationale's text is the steps alone:
what else a model writes around them is dropped, as is a last sub-question without its solution. It says nothing of who
asks and who solves: a method with two students takes the steps apart with `steps`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from understudy.formats.format import (
    Format,
    Reading,
    answer_form,
    claimed,
    cut_short,
    lenient,
    readable,
    unreadable,
)
from understudy.records import Completion, Fault, Question, Rationale
from understudy.tasks.task import Task

INSTRUCTION = "Answer with sub-questions and their solutions, one a line: sub-question ** solution"
SEPARATOR = " ** "
_BETWEEN = re.compile(r"(?<=\S)\s+\*\*\s+(?=\S)")


@dataclass(frozen=True, slots=True)
class Socratic(Format):
    """Sub-questions and their solutions, one a line, then the task's cue and the answer."""

    name = "socratic"
    instruction = INSTRUCTION
    gap = "\n"
    made_up = f"What is made up?{SEPARATOR}This is."

    def instructions(self, task: Task, question: Question) -> str:
        return (
            f'{INSTRUCTION}\nEnd with a line "{task.cue} ..." and put the answer, '
            f"{answer_form(task, question)}, in place of the dots."
        )

    def read(self, task: Task, question: Question, completion: Completion) -> Reading:
        yield from ()
        text = readable(task, completion)
        if isinstance(text, Fault):
            return text
        reasoning, cue, rest = text.rpartition(task.cue)
        lines = [SEPARATOR.join(step) for step in steps(reasoning if cue else text)]
        if not lines:
            return unreadable(text, completion, "no_steps")
        if not cue:
            fault = unreadable(text, completion, "no_answer")
            return (
                fault if fault.slug != "no_answer" else Rationale("\n".join(lines), None, lenient(task, question, text))
            )
        claim = claimed(rest)
        if cut := cut_short(completion, claim):
            return cut
        answer = task.answer_kind.read(claim, question.choices)
        found = {} if answer is not None else lenient(task, question, text)
        return Rationale("\n".join(lines), answer, found)

    def write(self, task: Task, rationale: Rationale) -> str:
        if rationale.answer is None:
            return rationale.text
        answer = f"({rationale.answer})" if task.answer_kind.name == "expression" else rationale.answer
        return f"{rationale.text}\n{task.cue} {answer}."


def steps(text: str) -> list[tuple[str, str]]:
    """The (sub-question, solution) pairs in `text`, in order; a line that lacks either is none."""
    halves = (_BETWEEN.split(line.strip(), maxsplit=1) for line in text.split("\n"))
    return [(pair[0], pair[1]) for pair in halves if len(pair) == 2]
