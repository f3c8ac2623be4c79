"""The format `cot`, chain of thought: text that ends in the task's cue and the answer (Wei et al. 2022).

    Q: Mia has 12 pens and buys 5 more. How many pens does she have?
    A: Mia has 12 + 5 = 17 pens. The answer is 17.

A rationale's text is what stands before the cue, as in Distilling Step-by-Step, where the sentence with the answer is
no part of the rationale. A text without the cue still is a rationale, one without an answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

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

_LETTER = re.compile(r"\([a-z]\)")


@dataclass(frozen=True, slots=True)
class Cot(Format):
    """Reasoning in text, then the task's cue and the answer.

    Attributes:
        reader: `last` reads what follows the last cue; `published` reads as the code of Distilling Step-by-Step does
            (`_parse_llm_output`): the cue must occur exactly once, and an expression is only what stands between the first
            and the last bracket after it, so that of "(16 * 17) * 4" the "* 4" is lost. A choice is the text after its
            letter, taken literally: it must be that of a choice, upper and lower case too, whatever the letter says. A
            label of ANLI is all that follows but for its last character, one of e-SNLI what follows the first cue, dot
            and all (see the tasks' `as_published`); it must be a label letter by letter.

    Where the reader finds no answer, the last one anywhere in the text stands in the evidence as `lenient`.
    """

    name = "cot"
    reader: Literal["last", "published"] = "last"

    def instructions(self, task: Task, question: Question) -> str:
        return (
            f'Reason step by step in plain text. End with "{task.cue} ..." and put the answer, '
            f"{answer_form(task, question)}, in place of the dots."
        )

    def read(self, task: Task, question: Question, completion: Completion) -> Reading:
        yield from ()
        text = readable(task, completion)
        if isinstance(text, Fault):
            return text
        reasoning, cue, rest = text.rpartition(task.cue)
        literal = task.as_published(completion.text) if self.reader == "published" else None
        if literal is not None:
            reasoning, rest = literal
            cue = rest
        if not cue or (self.reader == "published" and task.cue in reasoning):
            fault = unreadable(text, completion, "no_answer")
            return fault if fault.slug != "no_answer" else Rationale(text, None, lenient(task, question, text))
        claim = claimed(rest) if literal is None else rest
        if cut := cut_short(completion, claim):
            return cut
        if self.reader == "published" and task.answer_kind.name == "expression":
            claim = claim[claim.find("(") : claim.rfind(")") + 1] if "(" in claim else ""
        if self.reader == "published" and task.answer_kind.name == "choice":
            claim = _LETTER.split(claim, maxsplit=1)[-1].strip().removesuffix(".")
        if self.reader == "published" and (literal is not None or task.answer_kind.name == "choice"):
            answer = claim if claim in question.choices else None
        else:
            answer = task.answer_kind.read(claim, question.choices)
        return Rationale(reasoning.strip(), answer, {} if answer is not None else lenient(task, question, text))

    def write(self, task: Task, rationale: Rationale) -> str:
        if rationale.answer is None:
            return rationale.text
        answer = f"({rationale.answer})" if task.answer_kind.name == "expression" else rationale.answer
        written = f"{rationale.text} {task.cue} {answer}".lstrip()
        published = task.as_published(written) if self.reader == "published" else None
        return written if published and published[1] == rationale.answer else f"{written}."
