"""Small real parts for tests: a task of sums in memory, a teacher that follows a script, methods of other shapes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from understudy.answers import KINDS, AnswerKind, kind
from understudy.config import Config, Part
from understudy.formats import Cot, Label
from understudy.methods import Method, Role, Source, predict
from understudy.procedures import Ask, AsyncCompleter, Completer, Procedure
from understudy.records import Completion, Example, Prediction, Question, Rationale
from understudy.rundir import RunDir
from understudy.sandbox import Outcome
from understudy.stages.run import Run
from understudy.tasks.task import Task
from understudy.teachers.account import Account
from understudy.teachers.kept import Attempts, KeptBatches, Reply, keeping
from understudy.teachers.ledger import Cost
from understudy.teachers.store import Answer
from understudy.teachers.teacher import Teacher


class Sums(Task):
    """Question i of a split is "i + 1"."""

    name = "sums"
    train: int = 12
    test: int = 5
    labelled: bool = True

    @property
    def answer_kind(self) -> AnswerKind:
        return kind("number")

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "test")

    def questions(self, split: str) -> Iterator[Question]:
        begin = 0 if split == "train" else 1000
        for number in range(begin, begin + (self.train if split == "train" else self.test)):
            gold = str(number + 1) if self.labelled or split == "test" else None
            yield Question(f"{split}-{number}", f"{number} + 1", gold)

    def human(self, question: Question, format: str) -> Rationale | None:
        number = int(question.id.rsplit("-", 1)[1])
        return Rationale("One more.", str(number + 1)) if format == "cot" and number % 2 else None

    def fingerprint(self) -> str:
        return f"{self.train} {self.test} {self.labelled}"


class OfKind(Sums):
    """Answers of any kind."""

    kind: str = "number"

    @property
    def answer_kind(self) -> AnswerKind:
        return KINDS[self.kind]


class Told(Teacher):
    """Answers an ask by a function of the ask and the sample number; counts what it was asked, and keeps the answers."""

    name = "told"
    version: int = 0
    _reply: Callable[[Ask, int], str] = PrivateAttr()
    _asked: list[Ask] = PrivateAttr(default_factory=list)

    @classmethod
    def by(cls, reply: Callable[[Ask, int], str], version: int = 0) -> Told:
        teacher = cls(version=version)
        teacher._reply = reply
        return teacher

    @property
    def asked(self) -> list[Ask]:
        return self._asked

    @contextmanager
    def open(self, task: Task, concurrency: int = 32, account: Account | None = None) -> Iterator[Completer]:
        yield self if account is None else KeptBatches(self, self.identity(), account)

    def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
        self._asked.extend(asks)
        return [
            [Completion(self._reply(ask, sample)) for sample in range(ask.first_sample, ask.first_sample + ask.n)]
            for ask in asks
        ]

    def identity(self) -> str:
        return f"told {self.version}"


class Streaming(Teacher):
    """Answers asks one at a time, the later ones first."""

    name = "streaming"

    @contextmanager
    def open(self, task: Task, concurrency: int = 32, account: Account | None = None) -> Iterator[AsyncCompleter]:
        with ExitStack() as stack:
            booked = stack.enter_context(Account()) if account is None else account
            yield stack.enter_context(keeping(self, self.identity(), booked))

    def most(self, ask: Ask, n: int) -> Cost:
        return Cost()

    async def request(self, ask: Ask, n: int, first: int, attempts: Attempts) -> Reply:
        await attempts.begin()
        await asyncio.sleep(0.01 / (1 + int(ask.key.rsplit("-", 1)[1])))
        return Reply([Answer(Completion(f"So. The answer is {right(ask, first + i)}.")) for i in range(n)])

    def identity(self) -> str:
        return "streaming"


class Asks(Method):
    """A method with no role: the teacher answers."""

    name = "asks"
    asks_teacher = True

    def roles(self) -> Sequence[Role]:
        return []

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        [[completion]] = yield [Ask("teacher", question.text)]
        return predict((yield from Label().read(task, question, completion)), [completion])


class TwoRoles(Method):
    """A two-role loop: the first says what to do until it says stop, the second does it."""

    name = "two-roles"
    max_steps: int = 4

    def roles(self) -> Sequence[Role]:
        return [Role("asker", (Source("steps", Label()),)), Role("solver", (Source("steps", Label()),))]

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        for rationale in found["steps"]:
            yield Example(question.id, f"{role.name}: {question.text}", rationale.answer or "")

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        texts: list[str] = []
        for _ in range(self.max_steps):
            [[said]] = yield [Ask("asker", f"{question.text} {' '.join(texts)}")]
            if said.text == "stop":
                break
            [[done]] = yield [Ask("solver", said.text)]
            texts += [said.text, done.text]
        return Prediction(texts[-1] if texts else None, tuple(texts))


class ByHumans(Asks):
    """Learns what humans wrote."""

    name = "by-humans"
    asks_teacher = False

    def roles(self) -> Sequence[Role]:
        return [Role("student", (Source("human", Cot(), by="human"),))]

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        for rationale in found["human"]:
            yield Example(question.id, question.text, rationale.text)


class SelfTaught(Method):
    """A second role whose source is written by the first, and that starts from its weights."""

    name = "self-taught"

    def roles(self) -> Sequence[Role]:
        first = Role("writer", (Source("answers", Label()),))
        return [first, Role("pupil", (Source("own", Label(), by="writer", keep="parsed"),), start="writer")]

    def examples(
        self, task: Task, role: Role, question: Question, found: Mapping[str, Sequence[Rationale]]
    ) -> Iterable[Example]:
        for rationale in next(iter(found.values())):
            yield Example(question.id, question.text, rationale.answer or "")

    def answer(self, task: Task, question: Question) -> Procedure[Prediction]:
        [[completion]] = yield [Ask("pupil", question.text)]
        return predict((yield from Label().read(task, question, completion)), [completion])


def right(ask: Ask, sample: int) -> str:
    """What a teacher says that knows the sums."""
    return str(int(ask.key.rsplit("-", 1)[1]) + 1)


def run_of(
    folder: Path, method: Method, teacher: Teacher | None = None, task: Task | None = None, **settings: Any
) -> Run:
    """A run of doubles in `folder`; its student is the one that copies its nearest example."""
    settings = {"student": "nearest", **settings}
    config = Config(task=Part(name="sums"), method=Part(name=method.name), **settings)
    return Run(config, task or Sums(), method, teacher or Told.by(right), RunDir(folder))


class Programs:
    """An executor that takes a program for its own outcome: "6" is 6, "!x" is the error x."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, programs: Sequence[str]) -> list[Outcome]:
        self.batches.append(list(programs))
        return [Outcome("error", error=p[1:]) if p.startswith("!") else Outcome("ok", int(p)) for p in programs]
