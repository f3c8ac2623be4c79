"""The interface of a format, and what all readers share: cutting run-ons, seeing refusals.

Reading is total: whatever a model wrote, `read` ends in a `Rationale` or a `Fault`, never in an exception. It is a
procedure, because reading a program means running it; the driver batches the programs of many questions.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from understudy.procedures import Ask, Procedure
from understudy.records import Completion, Fault, Question, Rationale
from understudy.tasks.task import Task

Reading: TypeAlias = Procedure[Rationale | Fault]

REFUSAL = re.compile(
    r"\bas an ai\b|\bi(?:'m| am) sorry\b|^[^\S\n]*sorry\b|\bi (?:cannot|can't|can not|am unable to|'m unable to)\b"
    r"|\bcannot (?:be solved|provide)\b",
    re.IGNORECASE | re.MULTILINE,
)


class Format(ABC):
    """One written form of a rationale.

    Attributes:
        name: as in the configuration and in demonstrations.
        instruction: the line that opens a prompt with worked examples; "" if they say enough.
        worked: whether worked examples may stand before the question.
        cue, gap: what follows the question, and what stands between that and the rationale.
        made_up: the text of a rationale for a dry run where a task has no worked example.
    """

    name: ClassVar[str]
    instruction: ClassVar[str] = ""
    worked: ClassVar[bool] = True
    cue: ClassVar[str] = "A:"
    gap: ClassVar[str] = " "
    made_up: ClassVar[str] = "Made up."

    def show(self, task: Task, question: Question, rationale: Rationale | None) -> str:
        """One block of a few-shot prompt: the question and its worked rationale; without one, left open to complete."""
        answered = "" if rationale is None else self.gap + self.write(task, rationale)
        return f"Q: {question.text}\n{self.cue}{answered}"

    @abstractmethod
    def read(self, task: Task, question: Question, completion: Completion) -> Reading:
        """The rationale in a completion, or why there is none."""

    @abstractmethod
    def write(self, task: Task, rationale: Rationale) -> str:
        """The text a model should write for `rationale`, such that `read(write(r)) == r`."""

    def instructions(self, task: Task, question: Question) -> str:
        """All that must be said of the format to a model that sees no worked example."""
        return self.instruction

    def prompt(
        self,
        task: Task,
        question: Question,
        demonstrations: Sequence[tuple[Question, Rationale]],
        opening: str | None = None,
    ) -> str:
        """A few-shot prompt: the worked demonstrations, then the question; without demonstrations the instructions."""
        if opening is None:
            opening = self.instruction if demonstrations else self.instructions(task, question)
        blocks = [self.show(task, shown, rationale) for shown, rationale in demonstrations]
        return "\n\n".join([*([opening] if opening else []), *blocks, self.show(task, question, None)])

    def ask(
        self,
        task: Task,
        role: str,
        prompt: str,
        n: int = 1,
        seed: int | None = None,
        turns: tuple[tuple[str, str], ...] = (),
        first: int = 0,
    ) -> Procedure[list[Completion]]:
        """Ask `role` for `n` completions of `prompt`, sample `first` and on; a format with several turns overrides this."""
        [completions] = yield [Ask(role, prompt, n=n, seed=seed, first_sample=first, turns=turns)]
        return list(completions)


def answer_form(task: Task, question: Question) -> str:
    """What an answer looks like, in words: `a number`, `yes or no`."""
    kind = task.answer_kind.name
    if kind == "label" and question.choices:
        return f"one of: {', '.join(question.choices)}"
    return {
        "number": "a number",
        "expression": "one arithmetic expression in brackets, such as (12 + 5)",
        "choice": "one of the choices",
        "label": "a word",
        "yes_no": "yes or no",
    }.get(kind, "a short text")


def unanswered(completion: Completion) -> Fault | None:
    """The fault of a completion that holds no text to read; None if there is some."""
    if completion.finish == "failed":
        return Fault("failed", completion.error)
    if completion.finish == "refused":
        return Fault("refusal", completion.error)
    if not completion.text.strip():
        return Fault("truncated" if completion.finish == "length" else "empty", completion.error)
    return None


def readable(task: Task, completion: Completion) -> str | Fault:
    """The text to read, up to where the model runs on; the fault of a completion that holds none."""
    return unanswered(completion) or cut_run_on(task, completion.text).strip()


def claimed(after_cue: str) -> str:
    """What is claimed to be the answer after the task's cue: the rest of its line."""
    return after_cue.strip().split("\n", 1)[0].lstrip(":").strip()


def cut_short(completion: Completion, claim: str) -> Fault | None:
    """The fault of a claim that the token limit may have cut within its number, as in `12` of `125`; None if not."""
    at_the_end = completion.finish == "length" and claim[-1:].isdigit() and completion.text.endswith(claim)
    return Fault("truncated", f"cut after {claim[-100:]}") if at_the_end else None


def unreadable(text: str, completion: Completion, otherwise: str) -> Fault:
    """Why no answer stands in `text`: the model refused, was cut, or the fault `otherwise`."""
    shown = " ".join(text.split())[:200]
    if REFUSAL.search(text):
        return Fault("refusal", shown)
    return Fault("truncated" if completion.finish == "length" else otherwise, shown)


def lenient(task: Task, question: Question, text: str) -> dict[str, str]:
    """The evidence `lenient` of a text that the strict reader found no answer in: the last answer anywhere; {} if none."""
    found = task.answer_kind.find(text, question.choices)
    return {} if found is None else {"lenient": found}


def cut_run_on(task: Task, text: str) -> str:
    """`text` up to where the model begins another question of its own making."""
    ends = [at for mark in task.next_question if (at := text.find(mark)) >= 0]
    return text[: min(ends)] if ends else text
