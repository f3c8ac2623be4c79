"""The teacher `mixed`: several teachers in one run, each for its share of the questions.

    teacher = [
        { name = "openai", model = "gpt-4o", share = 0.3 },
        { name = "openai", model = "gpt-4o-mini", share = 0.7 },
    ]

Who answers a question follows from its id alone, so it stays when rows are added or moved; all samples of a question
are one teacher's. Which model wrote a completion stands in its row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from understudy.config import Part, check_shares
from understudy.procedures import Ask, AsyncCompleter, Completer, Foreseeing, Recalling, deal
from understudy.records import Completion
from understudy.tasks.task import Task
from understudy.teachers import TEACHERS
from understudy.teachers.account import Account
from understudy.teachers.teacher import Teacher

AT_ONCE = 64
"""How many asks a batched teacher is given together when it is mixed with an endpoint."""


@dataclass(frozen=True, slots=True)
class Share:
    """One of the teachers, and the share of the questions that it answers."""

    share: float
    teacher: Teacher


class MixedTeacher(Teacher):
    """Several teachers, each for its share of the questions; a list of teachers is one."""

    name = "mixed"
    parts: tuple[Share, ...] = Field(json_schema_extra={"items": {"type": "object", "required": ["name", "share"]}})
    """The teachers: tables as any teacher's, each with its `share`; the shares add up to 1."""
    seed: int = 0
    """Another number deals the questions out anew."""

    @field_validator("parts", mode="before")
    @classmethod
    def _from_tables(cls, tables: Any, info: ValidationInfo) -> Any:
        if not isinstance(tables, list | tuple):
            raise ValueError('expected a list of teachers, each like { name = "openai", model = "a", share = 0.5 }')
        return tuple(
            table if isinstance(table, Share) else _share(number, table, (info.context or {}).get("folders", ()))
            for number, table in enumerate(tables)
        )

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.model:
            raise ValueError("takes no model of its own; name one for each of the teachers")
        check_shares([part.share for part in self.parts])
        return self

    def part(self, key: str) -> Teacher:
        return self.parts[self.number(key)].teacher

    def number(self, key: str) -> int:
        """Which of the teachers answers the asks of that key."""
        return deal([part.share for part in self.parts], "teacher", self.seed, key)

    @contextmanager
    def open(
        self, task: Task, concurrency: int = 32, account: Account | None = None
    ) -> Iterator[Completer | AsyncCompleter]:
        """Whoever answers: in batches if all the teachers do, else one ask at a time."""
        with ExitStack() as stack:
            live = [stack.enter_context(part.teacher.open(task, concurrency, account)) for part in self.parts]
            batched = [one for one in live if isinstance(one, Completer)]
            if len(batched) == len(live):
                yield _InBatches(self, batched)
            else:
                yield _OneByOne(
                    self, [_Gathered(one) if isinstance(one, Completer) else _recalling(one) for one in live]
                )

    @property
    def at_once(self) -> int:
        return max(part.teacher.at_once for part in self.parts)

    def identity(self) -> str:
        """All of them, with their shares."""
        return f"mixed {self.seed} {[(part.share, part.teacher.identity()) for part in self.parts]}"

    def note(self) -> str:
        return " ".join(dict.fromkeys(filter(None, (part.teacher.note() for part in self.parts))))


def _recalling(live: AsyncCompleter) -> Recalling:
    if not isinstance(live, Recalling):
        raise TypeError(f"{type(live).__name__} keeps no answers, so it cannot be mixed with others")
    return live


def _share(number: int, table: Any, folders: Any) -> Share:
    if not isinstance(table, Mapping) or not isinstance(table.get("share"), int | float):
        raise ValueError(f"teacher {number + 1} has no share: expected a table with share = a number from 0 to 1")
    share = float(table["share"])
    if not 0 < share <= 1:
        raise ValueError(f"teacher {number + 1} has the share {share:g}, expected more than 0 and at most 1")
    part = Part.model_validate({key: value for key, value in table.items() if key != "share"})
    if part.name == "mixed":
        raise ValueError(f"teacher {number + 1} is mixed itself; list its teachers here instead")
    teacher, problems = TEACHERS.make(part, folders)
    if teacher is None:
        raise ValueError(f"teacher {number + 1}: {'; '.join(problems)}")
    return Share(share, teacher)


@dataclass(frozen=True, slots=True)
class _InBatches:
    """Answers batches, each ask by the teacher it falls to."""

    settings: MixedTeacher
    live: Sequence[Completer]

    def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
        found: list[list[Completion]] = [[] for _ in asks]
        for number, live in enumerate(self.live):
            mine = [position for position, ask in enumerate(asks) if self.settings.number(ask.key) == number]
            if mine:
                for position, completions in zip(mine, live.complete([asks[p] for p in mine]), strict=True):
                    found[position] = completions
        return found


@dataclass(frozen=True, slots=True)
class _OneByOne:
    """Answers asks one at a time, each by the teacher it falls to."""

    settings: MixedTeacher
    live: Sequence[Recalling]

    def foresee(self, asks: Sequence[Ask]) -> None:
        for number, live in enumerate(self.live):
            mine = [ask for ask in asks if self.settings.number(ask.key) == number]
            if mine and isinstance(live, Foreseeing):
                live.foresee(mine)

    async def complete_one(self, ask: Ask) -> list[Completion]:
        return await self.live[self.settings.number(ask.key)].complete_one(ask)

    def recall(self) -> Completer:
        """Whoever answers from what was kept; a teacher that keeps nothing answers again."""
        return _InBatches(self.settings, [one.recall() for one in self.live])


@dataclass(slots=True)
class _Gathered:
    """A batched teacher that is asked one ask at a time: what comes while it is busy is its next batch."""

    live: Completer
    waiting: list[tuple[Ask, asyncio.Future[list[Completion]]]] = field(default_factory=list)
    worker: asyncio.Task[None] | None = None

    async def complete_one(self, ask: Ask) -> list[Completion]:
        answer: asyncio.Future[list[Completion]] = asyncio.get_running_loop().create_future()
        self.waiting.append((ask, answer))
        if self.worker is None or self.worker.done():
            self.worker = asyncio.create_task(self._work())
        return await answer

    def recall(self) -> Completer:
        return self.live

    async def _work(self) -> None:
        await asyncio.sleep(0)  # let the others that are about to ask do so
        while waiting := [(ask, answer) for ask, answer in self.waiting if not answer.done()]:
            batch, self.waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
            try:
                found = await asyncio.to_thread(self.live.complete, [ask for ask, _ in batch])
            except Exception as error:
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, answer), completions in zip(batch, found, strict=True):
                if not answer.done():
                    answer.set_result(completions)
