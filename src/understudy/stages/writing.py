"""Who writes the rationales of a source: the teacher, a human, or a role that was trained before.

| `by`      | who                       | asked with                                            |
|-----------|---------------------------|-------------------------------------------------------|
| `teacher` | the configured teacher    | a few-shot prompt in the source's format              |
| `human`   | the task's own rationales | nothing: they are at hand; a question may have none   |
| a role    | its trained student       | the question as it was trained on, no demonstrations  |
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, closing, nullcontext

from understudy import students
from understudy.methods import Source
from understudy.procedures import AsyncCompleter, Completer, Procedure, derive_seed, together
from understudy.prompts import Prompt
from understudy.records import Completion, Question
from understudy.rundir import digest
from understudy.stages.run import Run
from understudy.teachers.account import Account


class Writer(ABC):
    """Writes the completions of a source.

    Attributes:
        sampling: how the tokens are picked.
    """

    def __init__(self, run: Run, source: Source) -> None:
        self.run, self.source = run, source
        self.sampling = run.writing(source)

    @abstractmethod
    def identity(self) -> str:
        """Who it is: when this changes, nothing written before counts."""

    @abstractmethod
    def open(self, account: Account) -> AbstractContextManager[Completer | AsyncCompleter | None]:
        """Whoever answers the asks of `write`; None if it asks nobody."""

    @property
    def at_once(self) -> int:
        """How many questions it is asked together."""
        return self.run.config.generate.concurrency

    def prompt(self, question: Question) -> str:
        """What is asked."""
        return question.text

    def seed(self, question: Question) -> int:
        """Of the samples of a question."""
        return derive_seed(self.run.config.generate.seed, self.source.name, question.id)

    def write(self, question: Question, n: int) -> Procedure[list[Completion]]:
        """`n` completions."""
        ask = self.source.format.ask
        return (yield from ask(self.run.task, self.source.by, self.prompt(question), n, self.seed(question)))


class TeacherWriter(Writer):
    """The configured teacher, asked with worked examples."""

    def __init__(self, run: Run, source: Source) -> None:
        super().__init__(run, source)
        self._prompter = run.prompter()
        self._examples = run.task.demonstrations(source.format.name)

    def identity(self) -> str:
        return f"{self.run.teacher.identity()} {self._prompter.identity()}"

    def open(self, account: Account) -> AbstractContextManager[Completer | AsyncCompleter]:
        return self.run.teacher.open(self.run.task, self.run.config.generate.concurrency, account)

    @property
    def at_once(self) -> int:
        return max(super().at_once, self.run.teacher.at_once)

    def prompt(self, question: Question) -> str:
        return self._asked(question).text

    def write(self, question: Question, n: int) -> Procedure[list[Completion]]:
        """`n` completions; neighbouring samples with the same prompt are one ask."""
        sets = [self._asked(question, number) for number in range(min(n, self._prompter.sets))]
        asks = []
        for asked, samples in itertools.groupby(range(n), key=lambda sample: sets[sample % len(sets)]):
            first, *more = samples
            told = asked.text, 1 + len(more), self.seed(question), asked.turns, first
            asks.append(self.source.format.ask(self.run.task, self.source.by, *told))
        return list(itertools.chain.from_iterable((yield from together(asks))))

    def _asked(self, question: Question, sample: int = 0) -> Prompt:
        task, format = self.run.task, self.source.format
        own = self.run.teacher.part(question.id).own_prompt(task, question, format)
        if own is not None:
            return Prompt(own)
        count = self.run.config.generate.demonstrations
        return self._prompter.prompt(task, question, format, self._examples, count, sample=sample)


class StudentWriter(Writer):
    """A student trained before."""

    def __init__(self, run: Run, source: Source) -> None:
        super().__init__(run, source)
        self._identity = digest(run.dir.left_by(f"train-{source.by}", run.dir.student(source.by)))

    def identity(self) -> str:
        return self._identity

    def open(self, account: Account) -> AbstractContextManager[Completer | AsyncCompleter]:
        return closing(students.load(self.run.dir.student(self.source.by)))


class HumanWriter(Writer):
    """The rationales that humans wrote for the task."""

    def __init__(self, run: Run, source: Source) -> None:
        super().__init__(run, source)
        self._identity = f"human {run.task.fingerprint()}"

    def identity(self) -> str:
        return self._identity

    def open(self, account: Account) -> AbstractContextManager[None]:
        return nullcontext()

    def write(self, question: Question, n: int) -> Procedure[list[Completion]]:
        yield from ()
        format, task = self.source.format, self.run.task
        rationale = task.human(question, format.name)
        if rationale is None:
            error = f"the task {task.name} has no human rationale for this question in the format {format.name}"
            return [Completion("", "failed", "human", error=error)] * n
        written = Completion(format.write(task, rationale), model="human")
        missing = Completion("", "failed", "human", error="a human wrote one rationale")
        return [written, *[missing] * (n - 1)]


def writer(run: Run, source: Source) -> Writer:
    """Whoever writes `source`."""
    kinds: dict[str, type[Writer]] = {"teacher": TeacherWriter, "human": HumanWriter}
    return kinds.get(source.by, StudentWriter)(run, source)
