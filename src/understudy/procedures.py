"""How one question is answered: a procedure, and the driver that runs many of them together.

A procedure is a generator. It yields a round of calls and is sent their replies, in order; what it returns is its
result:

    def answer(self, task, question):
        [[draft]] = yield [Ask("student", question.text)]      # one round with one call: a list of n completions
        [outcome] = yield [Execute(draft.text)]
        return Prediction(answer=str(outcome.value), texts=(draft.text,))

| call      | reply                                              |
|-----------|----------------------------------------------------|
| `Ask`     | list of `n` `Completion`s                          |
| `Score`   | list of floats, one a target                       |
| `Execute` | `Outcome` of the program                           |

Votes, repairs and fallback are procedures made of procedures (`yield from`, or `together` for several at once). A
procedure neither knows nor cares who answers for a role: a student, a teacher or a test double. The driver collects one
round from all live procedures, batches it by role, and sends the replies back, so a batch of questions costs as many
batched calls as the longest has rounds.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import hashlib
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

from understudy.records import Completion, Sampling
from understudy.sandbox import Outcome


@dataclass(frozen=True, slots=True)
class Ask:
    """Complete `prompt` `n` times.

    Attributes:
        role: who answers: `teacher`, or a role of the method (`student`, `decomposer`, ...).
        prompt: the whole input, as text.
        n: how many samples; reply i is sample i.
        prefix: the beginning of the completion, already decided; the reply holds only what follows it.
        stop: texts that end the completion; they are not part of it.
        sampling: how to pick tokens; None leaves it to the driver's `sampling` for the role.
        seed: of the sampling; None lets the driver derive it from the run's seed, the question and the round.
        first_sample: number of the first sample, so that more can be asked for later.
        key: which procedure asks (the question's id); set by the driver, for recordings and test doubles to look up.
        turns: the same input as turns of a chat, (`system`, `user` or `assistant`, text), for whoever takes it so.
        temperature: instead of that of the sampling; None leaves it.
    """

    role: str
    prompt: str
    n: int = 1
    prefix: str = ""
    stop: tuple[str, ...] = ()
    sampling: Sampling | None = None
    seed: int | None = None
    first_sample: int = 0
    key: str = ""
    turns: tuple[tuple[str, str], ...] = ()
    temperature: float | None = None

    def sampled(self, usual: Sampling) -> Sampling:
        """How its tokens are picked, where `usual` is the driver's sampling."""
        sampling = self.sampling or usual
        return sampling if self.temperature is None else replace(sampling, temperature=self.temperature)


@dataclass(frozen=True, slots=True)
class Score:
    """How good each of `targets` is after `prompt`, by `role`: what its value head says of the whole target; of a role
    without one the mean log-likelihood a token.
    """

    role: str
    prompt: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Execute:
    """Run `program` in the sandbox."""

    program: str


AT_ONCE = 16
"""Procedures that begin together: the first have sent what they ask when the last begin, and so are answered earlier."""
GARBAGE = 100_000
"""Objects, while many asks are under way, between two looks for cycles among them: with Python's 700 that takes a tenth."""

Call: TypeAlias = Ask | Score | Execute
Result = TypeVar("Result")
Procedure: TypeAlias = Generator[Sequence[Call], list[Any], Result]
"""Yields rounds of calls, receives their replies, returns a result."""

Executor: TypeAlias = Callable[[Sequence[str]], list[Outcome]]
"""Runs programs, gives outcomes in order: the sandbox's `run`."""


@runtime_checkable
class Completer(Protocol):
    """Whoever answers for a role in batches: a student, a recording, a scripted teacher."""

    def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
        """`ask.n` completions for each ask, in order. Every ask has its `key`, `seed` and `sampling` set."""
        ...


@runtime_checkable
class AsyncCompleter(Protocol):
    """Whoever answers asks one at a time and many at once: an endpoint."""

    async def complete_one(self, ask: Ask) -> list[Completion]:
        """`ask.n` completions. A request that fails for good is a completion with `finish="failed"` and its reason."""
        ...


@runtime_checkable
class Foreseeing(Protocol):
    """An `AsyncCompleter` that does some of its work quicker for many asks together."""

    def foresee(self, asks: Sequence[Ask]) -> None:
        """`complete_one` will be called with each of these very soon. What is not called after all does no harm."""
        ...


@runtime_checkable
class Recalling(Protocol):
    """An endpoint that keeps its answers, and so can give them again in batches."""

    async def complete_one(self, ask: Ask) -> list[Completion]:
        """As `AsyncCompleter`."""
        ...

    def recall(self) -> Completer:
        """Whoever answers from what was kept, without asking."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """Whoever can score targets: a student."""

    def score(self, scores: Sequence[Score]) -> list[list[float]]:
        """The score of every target, in order."""
        ...


def together(procedures: Sequence[Procedure[Result]]) -> Procedure[list[Result]]:
    """Run procedures of one question side by side, as one procedure; gives their results in order.

    Equal calls of a round are one call: asks become one ask for as many samples, shared out in order, and a program runs
    once. So `n` copies of a procedure begin with one ask of `n` samples.
    """
    results: dict[int, Result] = {}
    rounds: dict[int, list[Call]] = {}
    for position, procedure in enumerate(procedures):
        _advance(position, procedure, None, rounds, results)
    while rounds:
        asked, rounds = rounds, {}
        wanted = Counter(call for calls in asked.values() for call in calls)
        replies = yield [replace(c, n=c.n * times) if isinstance(c, Ask) else c for c, times in wanted.items()]
        left = dict(zip(wanted, replies, strict=True))
        for position, calls in asked.items():
            _advance(position, procedures[position], [_share(call, left) for call in calls], rounds, results)
    return [results[position] for position in range(len(procedures))]


def _share(call: Call, left: dict[Call, Any]) -> Any:
    """The next samples of an ask; of any other call the reply itself."""
    if not isinstance(call, Ask):
        return left[call]
    taken, left[call] = left[call][: call.n], left[call][call.n :]
    return taken


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from what identifies a sample (run seed, question id, ...), whatever the worker or batch."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def deal(shares: Sequence[float], *parts: object) -> int:
    """The number of the share that falls to what `parts` identify, whatever else there is.

    A change of the shares moves no more than it must.
    """
    place, end = derive_seed(*parts) / 2**63, 0.0
    for number, share in enumerate(shares):
        end += share
        if place < end:
            return number
    return len(shares) - 1


@dataclass(frozen=True, slots=True)
class Driver:
    """Runs procedures.

    Attributes:
        roles: who answers for each role.
        execute: the sandbox.
        seed: the run's seed; with a procedure's key and the round it seeds every ask that has none.
        sampling: for the asks that do not say how to sample.
    """

    roles: Mapping[str, Completer | AsyncCompleter]
    execute: Executor
    seed: int = 0
    sampling: Sampling = Sampling()

    def run(self, procedures: Iterable[tuple[str, Procedure[Result]]]) -> list[Result]:
        """Run all of `procedures` (key, procedure) together, round by round, and return their results in order.

        The batches depend only on the procedures given, so cutting a data set at fixed positions makes a resumed or a
        distributed evaluation compute the same.
        """
        live = [(key, procedure) for key, procedure in procedures]
        results: dict[int, Result] = {}
        rounds: dict[int, list[Call]] = {}
        for position, (_, procedure) in enumerate(live):
            _advance(position, procedure, None, rounds, results)
        number = 0
        while rounds:
            asked, rounds = rounds, {}
            seeded = {p: self.seeded(live[p][0], number, calls) for p, calls in asked.items()}
            replies = iter(self._reply([call for calls in seeded.values() for call in calls]))
            for position, calls in seeded.items():
                _advance(position, live[position][1], [next(replies) for _ in calls], rounds, results)
            number += 1
        return [results[position] for position in range(len(live))]

    async def each(
        self,
        procedures: Iterable[tuple[str, Procedure[Result]]],
        concurrency: int,
        done: Callable[[str, Result], None],
    ) -> None:
        """Run up to `concurrency` procedures at once, each at its own pace, and give (key, result) to `done` as they end.

        A bounded set of workers takes the procedures one by one, so any number of them is held in constant memory. An
        error stops the taking; what is under way ends first, for it may have been paid.
        """
        begun = self._begun(procedures)
        errors: list[Exception] = []

        async def work() -> None:
            try:
                for key, procedure, step in begun:
                    done(key, await self._rest(key, procedure, step))
                    if errors:
                        break
            except Exception as error:
                errors.append(error)

        with _fewer_collections():
            workers = []
            for number in range(concurrency):
                workers.append(asyncio.create_task(work()))
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
            await asyncio.gather(*workers)
        if errors:
            raise errors[0]

    def _begun(
        self, procedures: Iterable[tuple[str, Procedure[Result]]]
    ) -> Iterator[tuple[str, Procedure[Result], _Step[Result]]]:
        """The procedures with their first step, some of them together, so that whoever answers can prepare."""
        waiting = iter(procedures)
        while some := list(itertools.islice(waiting, AT_ONCE)):
            begun = [(key, procedure, self._step(key, 0, procedure, None)) for key, procedure in some]
            asks = [
                call for *_, step in begun if not isinstance(step, _Ended) for call in step if isinstance(call, Ask)
            ]
            for role in dict.fromkeys(ask.role for ask in asks):
                if isinstance(who := self._who(role), Foreseeing):
                    who.foresee([ask for ask in asks if ask.role == role])
            yield from begun

    def _step(self, key: str, number: int, procedure: Procedure[Result], replies: list[Any] | None) -> _Step[Result]:
        """As the function, with key, sampling and seed set."""
        step = _step(procedure, replies)
        return step if isinstance(step, _Ended) else self.seeded(key, number, step)

    async def _rest(self, key: str, procedure: Procedure[Result], step: _Step[Result]) -> Result:
        number = 0
        while not isinstance(step, _Ended):
            if len(step) == 1:  # the usual case, without a task of its own
                replies = [await self._reply_one(step[0])]
            else:
                replies = list(await asyncio.gather(*map(self._reply_one, step)))
            number += 1
            step = self._step(key, number, procedure, replies)
        return step.result

    def _reply_one(self, call: Call) -> Awaitable[Any]:
        if isinstance(call, Ask):
            who = self._who(call.role)
            if _answers_one(type(who)):
                return cast(AsyncCompleter, who).complete_one(call)
        return self._reply_in_thread(call)

    async def _reply_in_thread(self, call: Call) -> Any:
        return (await asyncio.to_thread(self._reply, [call]))[0]

    def _reply(self, calls: Sequence[Call]) -> list[Any]:
        replies: list[Any] = [None] * len(calls)
        programs = [(i, call.program) for i, call in enumerate(calls) if isinstance(call, Execute)]
        if programs:
            for (i, _), outcome in zip(programs, self.execute([p for _, p in programs]), strict=True):
                replies[i] = outcome
        for role in dict.fromkeys(call.role for call in calls if not isinstance(call, Execute)):
            who = self._who(role)
            asks = [(i, call) for i, call in enumerate(calls) if isinstance(call, Ask) and call.role == role]
            if asks:
                for (i, _), completions in zip(asks, _complete(who, [ask for _, ask in asks]), strict=True):
                    replies[i] = completions
            scores = [(i, call) for i, call in enumerate(calls) if isinstance(call, Score) and call.role == role]
            if scores:
                if not isinstance(who, Scorer):
                    raise TypeError(f"{role!r} is {type(who).__name__}, which cannot score targets; a student can")
                for (i, _), numbers in zip(scores, who.score([score for _, score in scores]), strict=True):
                    replies[i] = numbers
        return replies

    def _who(self, role: str) -> Completer | AsyncCompleter:
        try:
            return self.roles[role]
        except KeyError:
            raise KeyError(f"no one answers for the role {role!r}; there are {sorted(self.roles)}") from None

    def seeded(self, key: str, number: int, calls: Sequence[Call]) -> list[Call]:
        """The calls of a procedure's round with key, sampling and seed set."""
        return [
            Ask(
                call.role,
                call.prompt,
                call.n,
                call.prefix,
                call.stop,
                call.sampled(self.sampling),
                derive_seed(self.seed, key, number, i) if call.seed is None else call.seed,
                call.first_sample,
                key,
                call.turns,
            )
            if isinstance(call, Ask)
            else call
            for i, call in enumerate(calls)
        ]


@dataclass(frozen=True, slots=True)
class _Ended(Generic[Result]):
    """A procedure's result."""

    result: Result


_Step: TypeAlias = list[Call] | _Ended[Result]
"""What a procedure comes to next."""


@contextmanager
def _fewer_collections() -> Iterator[None]:
    """Look for cycles seldom: of the thousands of objects of requests under way, hardly one is in a cycle."""
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], GARBAGE) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@functools.cache
def _answers_one(kind: type) -> bool:
    """Whether it is an `AsyncCompleter`; to look at a protocol takes long."""
    return issubclass(kind, AsyncCompleter)


def _step(procedure: Procedure[Result], replies: list[Any] | None) -> _Step[Result]:
    """The calls of a procedure's next round, or its result. `replies` are None before the first."""
    try:
        return list(next(procedure) if replies is None else procedure.send(replies))
    except StopIteration as stop:
        return _Ended(stop.value)


def _advance(
    position: int,
    procedure: Procedure[Result],
    replies: list[Any] | None,
    rounds: dict[int, list[Call]],
    results: dict[int, Result],
) -> None:
    step = _step(procedure, replies)
    if isinstance(step, _Ended):
        results[position] = step.result
    else:
        rounds[position] = step


def _complete(who: Completer | AsyncCompleter, asks: Sequence[Ask]) -> list[list[Completion]]:
    if isinstance(who, Completer):
        return who.complete(asks)

    async def all_of_them() -> list[list[Completion]]:
        return list(await asyncio.gather(*(who.complete_one(ask) for ask in asks)))

    return asyncio.run(all_of_them())
