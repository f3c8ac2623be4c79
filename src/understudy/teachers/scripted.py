r"""The teacher `scripted`: it looks up the exact solution of a question that wordsums wrote, and slips now and then.

    teacher = ScriptedTeacher(wrong_operand=0.05)
    with teacher.open(Wordsums()) as live:
        [[completion]] = live.complete([Ask("teacher", prompt, key="train-0", seed=0)])
    completion.text    # 'def solution():\n    mia = 12 + 5\n    result = mia\n    return result'

It is a rehearsal: a whole run without a key, a network or a bill, with the kinds of fault that real teachers show, in
shares that are settings. It is not a language model, and what it costs or gets wrong says nothing about one.

`QueuedTeacher` is for tests: it replies with the texts it was given and keeps what it was asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Literal, Protocol, Self, runtime_checkable

from pydantic import Field, model_validator

from understudy.errors import TeacherError
from understudy.procedures import Ask, Completer, derive_seed
from understudy.records import Completion, Finish, Question, Rationale
from understudy.tasks.task import Task
from understudy.teachers.account import Account
from understudy.teachers.teacher import Teacher

_PROGRAM_END = "# solution in Python:"
_LABEL_LINE = "Answer with the answer alone."
_SOCRATIC_LINE = "Answer with sub-questions and their solutions, one a line: sub-question ** solution"
_EXTRACTING = re.compile(r"(?s)(.*)\nTherefore,[^\n]* is\Z")
_REFUSAL = "I am sorry, but I cannot help with this question."
_PROSE = "Let us count step by step:\n\n```python\n{}\n```\n\nThis function returns the answer."
_RUN_ON = "\n\nQ: Tom has 3 pens. Tom buys 4 more pens. How many pens does Tom have now?"
_FAULTS = {
    "program": (
        "syntax_error", "name_error", "wrong_operand", "endless_loop", "refusal", "prose", "run_on", "truncated", "lucky",
    ),
    "cot": ("wrong_operand", "refusal", "run_on", "truncated", "wrong_label", "lucky"),
    "socratic": ("wrong_operand", "refusal", "run_on", "truncated", "wrong_label", "lucky"),
    "label": ("refusal", "run_on", "wrong_label"),
}  # fmt: skip


@runtime_checkable
class SolvedTask(Protocol):
    """A task that knows the exact solutions of its questions, as wordsums does."""

    def question(self, id: str) -> Question:
        """The question of that id; KeyError if there is none."""
        ...

    def solution(self, question: Question, format: str) -> Rationale:
        """The exact rationale of a question."""
        ...

    def mistaken(self, question: Question, random: Random) -> Question:
        """The question with a slip in the numbers of its solution, so that it leads to another answer."""
        ...

    def lucky(self, question: Question, random: Random) -> Question | None:
        """The question with slips in its solution that lead to the right answer all the same; None if there are none."""
        ...


class ScriptedTeacher(Teacher):
    """Exact solutions from the task itself, with chosen shares of typical faults, for rehearsals free of charge.

    Which fault a completion has follows from the ask's key and seed and the sample; a format has only those it can have.
    """

    name = "scripted"
    format: Literal["program", "cot", "socratic", "label"] | None = None
    """The format to answer in. None: whichever the prompt asks for."""
    syntax_error: float = Field(0.02, ge=0, le=1)
    """Share of programs that do not parse."""
    name_error: float = Field(0.02, ge=0, le=1)
    """Share of programs that use a name which was never assigned."""
    wrong_operand: float = Field(0.02, ge=0, le=1)
    """Share of programs and chains of thought that calculate with a wrong number and end in a wrong answer."""
    endless_loop: float = Field(0.01, ge=0, le=1)
    """Share of programs that never end."""
    refusal: float = Field(0.02, ge=0, le=1)
    """Share of completions that decline to answer."""
    prose: float = Field(0.02, ge=0, le=1)
    """Share of programs in a fence with text around it; the program is right."""
    run_on: float = Field(0.02, ge=0, le=1)
    """Share of completions that go on into a question of their own; the answer is right."""
    truncated: float = Field(0.02, ge=0, le=1)
    """Share of programs and chains of thought that are cut in the middle."""
    wrong_label: float = Field(0.02, ge=0, le=1)
    """Share of chains of thought that state another answer than they reach, and of wrong labels."""
    lucky: float = Field(0.0, ge=0, le=1)
    """Share of rationales that go wrong twice and reach the right answer by luck: no filter by the answer sees them."""

    @model_validator(mode="after")
    def _shares(self) -> Self:
        total = sum(self.shares.values())
        if total > 1 + 1e-9:
            raise ValueError(f"the shares of the faults add up to {total:.2f}, expected at most 1; lower some of them")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """The share of each fault."""
        return {fault: getattr(self, fault) for fault in dict.fromkeys(sum(_FAULTS.values(), ()))}

    @contextmanager
    def open(self, task: Task, concurrency: int = 32, account: Account | None = None) -> Iterator[Completer]:
        """Whoever answers; nothing is opened.

        Raises:
            TeacherError: the task does not know its solutions.
        """
        if not isinstance(task, SolvedTask):
            raise TeacherError(
                f"the scripted teacher needs a task that knows its own solutions, and {task.name!r} does not. "
                'Set task = "wordsums", or another teacher: `understudy list teachers` shows them'
            )
        yield _Script(self, task, task)

    def identity(self) -> str:
        return f"scripted {self.model_dump_json()}"

    def note(self) -> str:
        shares = ", ".join(f"{fault} {share:g}" for fault, share in self.shares.items() if share)
        return f"The teacher was scripted, no language model: exact solutions with these faults: {shares or 'none'}."


@dataclass(frozen=True, slots=True)
class _Script:
    """Answers asks. `task` and `solved` are the same object, seen as a task and as one with solutions."""

    settings: ScriptedTeacher
    task: Task
    solved: SolvedTask

    def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
        """`ask.n` completions for each ask. Tokens are counted as words between blanks.

        Raises:
            TeacherError: an ask's key is no question of the task.
        """
        return [
            [self._completion(ask, question, ask.first_sample + i) for i in range(ask.n)]
            for ask, question in zip(asks, map(self._question, asks), strict=True)
        ]

    def _question(self, ask: Ask) -> Question:
        try:
            return self.solved.question(ask.key)
        except KeyError:
            raise TeacherError(
                f"the scripted teacher was asked about {ask.key!r}, which is no question of {self.task.name!r}. "
                "It can only answer the task's own questions"
            ) from None

    def _completion(self, ask: Ask, question: Question, sample: int) -> Completion:
        random = Random(derive_seed(ask.key, ask.seed, sample))
        format = self.settings.format or asked_format(ask.prompt)
        text, finish = self._second(ask.prompt, question) or self._text(
            question, format, self._fault(format, random), random
        )
        text = text.removeprefix(ask.prefix)
        text = text[: min([len(text), *(at for stop in ask.stop if (at := text.find(stop)) >= 0)])]
        words = len(text.split())
        if ask.sampling is not None and words > ask.sampling.max_tokens:
            text, finish = _first_words(text, ask.sampling.max_tokens), "length"
            words = ask.sampling.max_tokens
        return Completion(text, finish, "scripted", len(ask.prompt.split()), words)

    def _second(self, prompt: str, question: Question) -> tuple[str, Finish] | None:
        """The answer alone, for zero-shot CoT's second ask: what the chain stated; None if this is no such ask."""
        asked = _EXTRACTING.fullmatch(prompt)
        if asked is None:
            return None
        _, cue, stated = asked[1].rpartition(self.task.cue)
        if asked[1].endswith(_REFUSAL):
            return _REFUSAL, "stop"
        return (stated.strip() if cue else f"{self.solved.solution(question, 'label').answer}."), "stop"

    def _fault(self, format: str, random: Random) -> str:
        place = random.random()
        for fault, share in self.settings.shares.items():
            place -= share
            if place < 0:
                return fault if fault in _FAULTS[format] else ""
        return ""

    def _text(self, question: Question, format: str, fault: str, random: Random) -> tuple[str, Finish]:
        if fault == "refusal":
            return _REFUSAL, "stop"
        mistaken = question
        if fault in ("wrong_operand", "wrong_label"):
            mistaken = self.solved.mistaken(question, random)
        elif fault == "lucky":
            mistaken = self.solved.lucky(question, random) or question
        shown = self.solved.solution(question if fault == "wrong_label" else mistaken, format)
        if format == "program":
            text = _faulty_program(shown.text, fault)
        else:
            answer = self.solved.solution(mistaken, format).answer
            text = answer or ""
            if format in ("cot", "socratic"):
                stated = f"( {answer} )" if self.task.answer_kind.name == "expression" else answer
                between = " " if format == "cot" else "\n"
                text = f"{shown.text}{between}{self.task.cue} {stated}."
        if fault == "truncated":
            return _first_words(text, len(text.split()) // 2), "length"
        return text + (_RUN_ON if fault == "run_on" else ""), "stop"


def asked_format(prompt: str) -> Literal["program", "cot", "socratic", "label"]:
    """The format that a prompt asks for, by how it ends or by its instruction."""
    if prompt.rstrip().endswith(_PROGRAM_END):
        return "program"
    lines = prompt.split("\n")
    return "socratic" if _SOCRATIC_LINE in lines else "label" if _LABEL_LINE in lines else "cot"


def _faulty_program(program: str, fault: str) -> str:
    if fault == "syntax_error":
        return program.replace("solution():", "solution(:", 1)
    if fault == "name_error":
        return re.sub(r"result = \w+$", "result = unknown_number", program, count=1, flags=re.MULTILINE)
    if fault == "endless_loop":
        return program.replace("    return result", "    while True:\n        pass\n    return result")
    return _PROSE.format(program) if fault == "prose" else program


def _first_words(text: str, count: int) -> str:
    """The text up to the end of its word number `count`."""
    ends = [word.end() for word in re.finditer(r"\S+", text)][:count]
    return text[: ends[-1]] if ends else ""


@dataclass(slots=True)
class QueuedTeacher:
    """A test double: replies with the given texts and keeps the asks.

        live = QueuedTeacher(["The answer is 18.", "The answer is 3."])        # in this order, whoever asks
        live = QueuedTeacher({"q1": ["The answer is 18."]})                    # by the ask's key
        live.asked[0].prompt

    A reply may be a `Completion` instead of a text, e.g. one that failed.
    """

    replies: Sequence[str | Completion] | Mapping[str, Sequence[str | Completion]]
    asked: list[Ask] = field(default_factory=list)
    _used: dict[str, int] = field(default_factory=dict)

    def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
        """The next `ask.n` replies for each ask.

        Raises:
            TeacherError: no reply is left.
        """
        self.asked += asks
        return [[self._next(ask) for _ in range(ask.n)] for ask in asks]

    def _next(self, ask: Ask) -> Completion:
        key = ask.key if isinstance(self.replies, Mapping) else ""
        queue = self.replies.get(key, ()) if isinstance(self.replies, Mapping) else self.replies
        used = self._used.get(key, 0)
        if used >= len(queue):
            place = f"for the question {key!r} " if isinstance(self.replies, Mapping) else ""
            raise TeacherError(
                f"no reply {place}is left: {len(queue)} were given, and {ask.prompt[-60:]!r} asks for one more. "
                "Give as many replies as will be asked for"
            )
        self._used[key] = used + 1
        reply = queue[used]
        return reply if isinstance(reply, Completion) else Completion(reply, model="queued")
