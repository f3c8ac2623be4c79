"""Who writes the rationales of a source: the teacher, a human, or a role that was trained before.

| `by`      | who                       | asked with                                            |
|-----------|---------------------------|-------------------------------------------------------|
| `teacher` | the configured teacher    | a few-shot prompt in the source's format              |
| `human`   | the task's own rationales | nothing: they are at hand; a question may have none   |
| a role    | its trained student       | the question as it was trained on, no demonstrations  |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext

from understudy import students
from understudy.methods import Source
from understudy.procedures import AsyncCompleter, Completer, Procedure, derive_seed
from understudy.prompts import Prompt
from understudy.records import Completion, Question, Sampling
from understudy.rundir import digest
from understudy.stages.run import Run

REMEMBERED = 1000
"""How many prompts are held in memory."""


class Writer(ABC):
    """Writes the completions of a source.

    Attributes:
        sampling: how the tokens are picked.
    """

    def __init__(self, run: Run, source: Source) -> None:
        self.run, self.source = run, source
        settings = run.config.generate
        self.sampling = Sampling(settings.temperature, settings.max_tokens, settings.top_p)

    @abstractmethod
    def identity(self) -> str:
        """Who it is: when this changes, nothing written before counts."""

    @abstractmethod
    def open(self) -> AbstractContextManager[Completer | AsyncCompleter | None]:
        """Whoever answers the asks of `write`; None if it asks nobody."""

    def prompt(self, question: Question) -> str:
        """What is asked."""
        return question.text

    def seed(self, question: Question) -> int:
        return derive_seed(self.run.config.seed, self.source.name, question.id)

    def key(self, question: Question, sample: int) -> str:
        """The digest of one request."""
        asked = [
            self.identity(),
            question.id,
            self.prompt(question),
            self.sampling.to_json(),
            self.seed(question),
            sample,
        ]
        return digest([1, *asked])

    def keys(self) -> Iterator[str]:
        """The digests of all samples, in the order of the file."""
        for question in self.run.asked(self.source):
            for sample in range(self.run.samples(self.source)):
                yield self.key(question, sample)

    def write(self, question: Question, n: int, first: int) -> Procedure[list[Completion]]:
        """`n` completions, from sample number `first` on."""
        ask = self.source.format.ask
        return (yield from ask(self.source.by, self.prompt(question), n, first, self.seed(question)))


class TeacherWriter(Writer):
    """The configured teacher, asked with worked examples."""

    def __init__(self, run: Run, source: Source) -> None:
        super().__init__(run, source)
        self._prompter = run.prompter()
        self._examples = run.task.demonstrations(source.format.name)
        self._identities: dict[int, str] = {}
        self._prompts: dict[str, Prompt] = {}

    def identity(self) -> str:
        return f"{self.run.teacher.identity()} {self._prompter.identity()}"

    def open(self) -> AbstractContextManager[Completer | AsyncCompleter]:
        return self.run.teacher.open(self.run.task, self.run.config.generate.concurrency)

    def prompt(self, question: Question) -> str:
        return self._asked(question).text

    def key(self, question: Question, sample: int) -> str:
        """The digest of one request: another share of the teachers or the variants changes it only where they change."""
        teacher = self.run.teacher.part(question.id)
        if id(teacher) not in self._identities:
            self._identities[id(teacher)] = teacher.identity()
        who, asked = self._identities[id(teacher)], self._asked(question)
        how = [self.sampling.to_json(), self.seed(question), sample]
        return digest([2, who, question.id, asked.text, asked.turns, *how])

    def write(self, question: Question, n: int, first: int) -> Procedure[list[Completion]]:
        asked, ask = self._asked(question), self.source.format.ask
        return (yield from ask(self.source.by, asked.text, n, first, self.seed(question), asked.turns))

    def _asked(self, question: Question) -> Prompt:
        """The prompt of a question. The latest are remembered, for each is looked at several times."""
        if question.id not in self._prompts:
            if len(self._prompts) >= REMEMBERED:
                self._prompts.clear()
            shown = self.run.config.generate.demonstrations
            self._prompts[question.id] = self._prompter.prompt(
                self.run.task, question, self.source.format, self._examples, shown
            )
        return self._prompts[question.id]


class StudentWriter(Writer):
    """A student trained before."""

    def __init__(self, run: Run, source: Source) -> None:
        super().__init__(run, source)
        self._identity = digest(run.dir.left_by(f"train-{source.by}", run.dir.student(source.by)))

    def identity(self) -> str:
        return self._identity

    def open(self) -> AbstractContextManager[Completer | AsyncCompleter]:
        return closing(students.load(self.run.dir.student(self.source.by)))


class HumanWriter(Writer):
    """The rationales that humans wrote for the task."""

    def __init__(self, run: Run, source: Source) -> None:
        super().__init__(run, source)
        self._identity = f"human {run.task.fingerprint()}"

    def identity(self) -> str:
        return self._identity

    def open(self) -> AbstractContextManager[None]:
        return nullcontext()

    def write(self, question: Question, n: int, first: int) -> Procedure[list[Completion]]:
        yield from ()
        format, task = self.source.format, self.run.task
        rationale = task.human(question, format.name)
        if rationale is None:
            error = f"the task {task.name} has no human rationale for this question in the format {format.name}"
            return [Completion("", "failed", "human", error=error)] * n
        written = Completion(format.write(task, rationale), model="human")
        missing = Completion("", "failed", "human", error="a human wrote one rationale")
        return [written if sample == 0 else missing for sample in range(first, first + n)]


def writer(run: Run, source: Source) -> Writer:
    """Whoever writes `source`."""
    kinds: dict[str, type[Writer]] = {"teacher": TeacherWriter, "human": HumanWriter}
    return kinds.get(source.by, StudentWriter)(run, source)
