"""Asking once: whoever answers, with the store before it.

    live = Kept(endpoint, "openai https://... gpt-4o-mini {...}", account)
    completions = await live.complete_one(ask)     # found in the store, or asked for, paid and kept
    live.recall().complete([ask])                  # from the store alone, failures with their reasons

`Kept` stands before an endpoint that is asked many things at once, `KeptBatches` before a model that answers in batches.
What reaches us is committed within some hundredths of a second; before a request is sent, it is on disk that it was.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeVar

from understudy.errors import StoreError
from understudy.procedures import Ask, Completer
from understudy.records import Completion, Sampling
from understudy.teachers.account import Account
from understudy.teachers.ledger import Cost
from understudy.teachers.store import Answer, Change, Exact, exact_of

T = TypeVar("T")

COMMIT_S = 0.02
"""An answer waits so long for others to be committed with; requests are sent first."""
AT_ONCE = 32
"""Answers that are committed together, so that nobody waits long for them."""
MOST_WAITING = 1024
"""Answers and what they cost, not committed yet: with more, those who send wait."""
POLL_S = 0.2
"""How often to look whether another process has got the answer that it asked for."""


class Reply(NamedTuple):
    """What a request came to.

    Attributes:
        answers: one a sample, at least one; fewer than asked for are asked for again.
        cost: as billed; None if the reply does not say.
    """

    answers: Sequence[Answer]
    cost: Cost | None = None


class Attempts(Protocol):
    """Told of every time a request is sent, so that none goes uncounted."""

    async def begin(self) -> None:
        """Before it is sent. Raises BudgetError if it may not be."""
        ...

    def end(self, free: bool) -> None:
        """It brought no answer. `free`: it was turned away before it was worked on; else what it cost is unknown."""
        ...


class Endpoint(Protocol):
    """Whoever is sent requests."""

    def most(self, ask: Ask, n: int) -> Cost:
        """The most that one request for `n` samples can cost."""
        ...

    async def request(self, ask: Ask, n: int, first: int, attempts: Attempts) -> Reply:
        """Samples `first` to `first + n - 1`, or fewer. A request without an answer gives failed completions.

        Raises:
            TeacherError: nothing can be answered.
        """
        ...


class Kept:
    """An endpoint whose answers are kept."""

    def __init__(self, endpoint: Endpoint, identity: str, account: Account) -> None:
        self._endpoint = endpoint
        self._identity = identity
        self._account = account
        self._asked: dict[bytes, list[asyncio.Future[None]]] = {}  # and who waits for the answer
        self._unwritten: dict[tuple[bytes, int], Completion] = {}
        self._pending: list[Change] = []
        self._urgent: list[tuple[_Attempts, asyncio.Future[bool]]] = []
        self._timer: asyncio.AbstractEventLoop | None = None
        self._changes = 0  # by other processes
        self._broken: StoreError | None = None
        self._foreseen: dict[int, Asked] = {}
        self._absent: set[bytes] = set()  # of what is foreseen, and not in the store

    def foresee(self, asks: Sequence[Ask]) -> None:
        """Look up together what will be asked for soon."""
        every = [Asked.of(self._identity, ask) for ask in asks]
        self._foreseen = {id(asked.ask): asked for asked in every}
        self._absent = set()
        if len({asked.max_tokens for asked in every}) == 1:
            keys, max_tokens = [key for asked in every for key in asked.keys], every[0].max_tokens
            found = zip(keys, self._account.store.find(keys, max_tokens), strict=True)
            self._absent = {key for key, one in found if one is None and (key, max_tokens) not in self._unwritten}

    async def complete_one(self, ask: Ask) -> list[Completion]:
        """`ask.n` completions, as many of them from the store as it has."""
        asked = self._foreseen.pop(id(ask), None)
        if asked is not None and asked.ask is ask and self._absent.issuperset(asked.keys):
            return await self._ask(asked)
        asked = Asked.of(self._identity, ask)
        found = self._account.store.find(asked.keys, asked.max_tokens)
        if self._unwritten:
            found = [
                one or self._unwritten.get((key, asked.max_tokens)) for one, key in zip(found, asked.keys, strict=True)
            ]
        self._account.replayed += sum(completion is not None for completion in found)
        for missing, group in itertools.groupby(range(ask.n), key=lambda i: found[i] is None):
            if missing:
                samples = list(group)
                found[samples[0] : samples[-1] + 1] = await self._ask(asked.part(samples[0], len(samples)))
        return [completion for completion in found if completion is not None]

    async def _ask(self, asked: Asked) -> list[Completion]:
        """Ask for samples that are not in the store, unless somebody else is asking for one of them already."""
        if not self._asked.keys().isdisjoint(asked.keys):
            await self._others_end(asked)
            return await self.complete_one(asked.ask)
        waiting: list[asyncio.Future[None]] = []
        for key in asked.keys:
            self._asked[key] = waiting
        claimed = True
        try:
            completions, claimed = await self._send(asked), False  # `keep` lets the claims go
            return completions
        except _Elsewhere:
            claimed = False
        finally:
            for key in asked.keys:
                del self._asked[key]
            if claimed:
                self._later(Change(released=asked.keys))
            for ended in waiting:
                if not ended.done():
                    ended.set_result(None)
        await asyncio.sleep(POLL_S)
        return await self.complete_one(asked.ask)

    async def _others_end(self, asked: Asked) -> None:
        """Wait for those who are asking for any of the samples."""
        ends = []
        for waiting in {id(self._asked[key]): self._asked[key] for key in asked.keys if key in self._asked}.values():
            ends.append(asyncio.get_running_loop().create_future())
            waiting.append(ends[-1])
        await asyncio.wait(ends)

    async def _send(self, asked: Asked) -> list[Completion]:
        found: list[Completion] = []
        while len(found) < asked.ask.n:
            left = asked.part(len(found), asked.ask.n - len(found))
            attempts = _Attempts(self, left, self._endpoint.most(left.ask, left.ask.n))
            try:
                reply = await self._endpoint.request(left.ask, left.ask.n, left.ask.first_sample, attempts)
            except BaseException:
                attempts.abandon()
                raise
            answers = reply.answers[: left.ask.n]
            attempts.answer(reply.cost, answers)
            found += [answer.completion for answer in answers]
        return found

    def recall(self) -> Completer:
        """Whoever answers from the store alone."""
        return _Recall(self)

    def flush(self) -> None:
        """Commit all that is waiting to be; a failure is raised by whatever comes next."""
        self._timer = None
        self._set_out()
        while self._pending:
            self._write()

    def check(self) -> None:
        """Commit what is waiting.

        Raises:
            StoreError: it, or anything before, could not be.
        """
        self.flush()
        if self._broken is not None:
            raise self._broken

    def _later(self, change: Change) -> None:
        """Write `change` into the store soon, when those who wait to send have done so."""
        self._pending.append(change)
        if len(self._pending) >= MOST_WAITING:
            self._write()
        loop = asyncio.get_running_loop()
        if self._timer is not loop:
            self._timer = loop
            loop.call_later(COMMIT_S, self._write_on)

    def _write_on(self) -> None:
        """Write some of what is waiting, and the rest in turn with others' work."""
        self._write()
        if self._pending:
            asyncio.get_running_loop().call_soon(self._write_on)
        else:
            self._timer = None

    def _write(self) -> None:
        some, self._pending = self._pending[:AT_ONCE], self._pending[AT_ONCE:]
        if some and self._broken is None:
            with suppress(StoreError):
                self._do(lambda: self._account.store.write(some, self._account.run))
            for change in some:
                for request in change.requests:
                    self._unwritten.pop((request.key, change.max_tokens), None)

    def _noted(self, attempts: _Attempts) -> asyncio.Future[bool]:
        """Note that a request is about to be sent, together with those of this moment; done when that is on disk.

        False if another process is asking the same.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._urgent.append((attempts, future))
        if len(self._urgent) == 1:
            loop.call_soon(self._set_out)
        elif len(self._urgent) == AT_ONCE:
            self._set_out()
        return future

    def _set_out(self) -> None:
        """Note the requests that wait to be sent."""
        some, self._urgent = [(attempts, future) for attempts, future in self._urgent if not future.done()], []
        try:
            noted = self._do(lambda: self._claim([attempts for attempts, _ in some])) if some else []
        except StoreError as error:
            for _, future in some:
                future.set_exception(error)
            return
        for (_, future), mine in zip(some, noted, strict=True):
            future.set_result(mine)

    def _claim(self, sending: Sequence[_Attempts]) -> list[bool]:
        """Claim the samples of each and note that it is sent; false where another process was faster."""
        store = self._account.store
        if (changes := store.changes()) != self._changes:
            self._changes = changes
            self._absent.clear()
        late = {
            one
            for one in sending
            if one.changes < self._changes and None not in store.find(one.asked.keys, one.asked.max_tokens)
        }
        noted = iter(
            store.set_out(self._account.run, [(one.asked.keys, one.most) for one in sending if one not in late])
        )
        return [one not in late and next(noted) for one in sending]

    def _do(self, action: Callable[[], T]) -> T:
        if self._broken is not None:
            raise self._broken
        try:
            return self._account.store.transact([action])[0]
        except StoreError as error:
            self._broken = error
            raise


class _Elsewhere(Exception):
    """Another process is asking for a sample, or has its answer."""


@contextmanager
def keeping(endpoint: Endpoint, identity: str, account: Account) -> Iterator[Kept]:
    """`Kept`, with everything committed at the end."""
    kept = Kept(endpoint, identity, account)
    try:
        yield kept
    finally:
        kept.flush()
    kept.check()


class _Attempts:
    """Books the attempts of one request."""

    def __init__(self, kept: Kept, asked: Asked, most: Cost) -> None:
        self._kept, self.asked, self.most = kept, asked, most
        self.changes = kept._changes
        self._under_way = self._noted = False

    async def begin(self) -> None:
        account = self._kept._account
        if not account.set_aside(self.most):
            await account.reserve(self.most)
        self._under_way, self._noted = True, False
        self._noted = await self._kept._noted(self)
        if not self._noted:
            raise _Elsewhere

    def end(self, free: bool) -> None:
        self._settle(Cost() if free else None)

    def abandon(self) -> None:
        """It was stopped; what was under way has an unknown outcome."""
        if self._under_way:
            self._settle(None)

    def answer(self, cost: Cost | None, answers: Sequence[Answer]) -> None:
        """It brought these answers: keep them and book what they cost, together."""
        kept, asked = self._kept, self.asked
        most = self._book(cost) if self._under_way else None
        requests, max_tokens = asked.requests[: len(answers)], asked.max_tokens
        for key, answer in zip(asked.keys, answers, strict=False):
            kept._absent.discard(key)
            if answer.completion.finish != "failed":
                kept._unwritten[key, max_tokens] = answer.completion
        kept._later(Change(requests, answers, max_tokens, asked.ask.key, most, cost))

    def _settle(self, cost: Cost | None) -> None:
        most = self._book(cost)
        if most is not None:
            self._kept._later(Change(most=most, cost=cost))

    def _book(self, cost: Cost | None) -> Cost | None:
        """Charge the account. Returns the most that it may have cost; None if it was never noted, and so never sent."""
        self._under_way = False
        self._kept._account.settle(self.most, cost if self._noted else Cost())
        return self.most if self._noted else None


class KeptBatches:
    """A batched model whose answers are kept."""

    def __init__(self, model: Completer, identity: str, account: Account) -> None:
        self._model = model
        self._identity = identity
        self._account = account

    def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
        """`ask.n` completions for each ask, as many of them from the store as it has."""
        store = self._account.store
        every = [Asked.of(self._identity, ask) for ask in asks]
        found = [store.find(asked.keys, asked.max_tokens) for asked in every]
        missing = [
            (place, samples[0], asked.part(samples[0], len(samples)))
            for place, asked in enumerate(every)
            for is_missing, group in itertools.groupby(range(asked.ask.n), key=lambda i: found[place][i] is None)
            if is_missing and (samples := list(group))
        ]
        self._account.replayed += sum(completion is not None for some in found for completion in some)
        if missing:
            new = self._model.complete([asked.ask for _, _, asked in missing])
            store.transact([_keeping(store, asked, said) for (_, _, asked), said in zip(missing, new, strict=True)])
            for (place, first, _), completions in zip(missing, new, strict=True):
                found[place][first : first + len(completions)] = completions
        return [[completion for completion in some if completion is not None] for some in found]


def _keeping(store: Any, asked: Asked, completions: Sequence[Completion]) -> Callable[[], None]:
    return lambda: store.keep(asked.requests, [Answer(c) for c in completions], asked.max_tokens, asked.ask.key)


class _Recall:
    """Answers from the store alone."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
        """`ask.n` completions for each ask; one that is not there is `failed`."""
        self._kept.check()
        nothing = Completion("", "failed", error="no answer in the store")
        store = self._kept._account.store
        said: list[list[Completion]] = []
        every = [Asked.of(self._kept._identity, ask) for ask in asks]
        for max_tokens, some in itertools.groupby(every, key=lambda asked: asked.max_tokens):
            group = list(some)
            found = iter(store.find([key for asked in group for key in asked.keys], max_tokens, failed=True))
            said += [[next(found) or nothing for _ in asked.keys] for asked in group]
        return said


class Asked(NamedTuple):
    """An ask with the requests of its samples and their keys."""

    ask: Ask
    requests: Sequence[Exact]
    keys: Sequence[bytes]

    @classmethod
    def of(cls, identity: str, ask: Ask) -> Asked:
        requests = [exact_of(identity, ask, ask.first_sample + i) for i in range(ask.n)]
        return cls(ask, requests, [request.key for request in requests])

    @property
    def max_tokens(self) -> int:
        return (self.ask.sampling or Sampling()).max_tokens

    def part(self, start: int, n: int) -> Asked:
        """The samples from `start` on, `n` of them."""
        if n == self.ask.n:
            return self
        ask = replace(self.ask, n=n, first_sample=self.ask.first_sample + start)
        return Asked(ask, self.requests[start : start + n], self.keys[start : start + n])
