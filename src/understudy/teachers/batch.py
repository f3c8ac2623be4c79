"""The teacher `openai-batch`: OpenAI's Batch API, which answers within a day at half the price.

    teacher = OpenAIBatchTeacher(model="gpt-4o-mini")          # otherwise as the teacher `openai`

Whatever is asked for while nothing new comes for a moment is one batch: a file that is uploaded, a batch that is created,
looked at again and again, and fetched. The store knows of a batch before the endpoint does, so one goes on where a kill
left it, days later, in this run or in another that asks for the same:

| stopped                                   | the next run                                                              |
|-------------------------------------------|---------------------------------------------------------------------------|
| before or while the file was uploaded     | asks anew: nothing was handed over                                        |
| before the batch's id was noted           | looks for our name among the endpoint's batches; asks anew if it is not there |
| while it was answered                     | waits for it                                                              |
| while it was fetched                      | fetches it again, and keeps what is left                                  |

What came is kept, whatever became of the rest; what did not come is asked for in the next batch, `retries` times. The most
that a batch can cost is reserved before it is sent; where the budget has less left, a smaller one goes first.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from pydantic import Field

from understudy.errors import TeacherError
from understudy.procedures import Ask, AsyncCompleter
from understudy.records import Completion, Json, Sampling
from understudy.tasks.task import Task
from understudy.teachers.account import Account
from understudy.teachers.handed_over import HandedOver, Pending
from understudy.teachers.kept import Asked, Kept, Reply
from understudy.teachers.ledger import Cost
from understudy.teachers.openai import Endpoint, OpenAITeacher
from understudy.teachers.prices import Price
from understudy.teachers.quick_json import dumps
from understudy.teachers.requests import Call, Malformed, Refused, Requests, fatal_reason, problem, refused

MOST_BYTES = 190_000_000
"""Of a batch's file; OpenAI takes 200 MB."""
CHUNK = 500
"""Lines of a fetched file that are kept together."""
_TAG = "understudy"
"""Under which the endpoint is told our name of a batch."""
_ENDED = ("completed", "expired", "cancelled")
_A_DAY_S = 86_400


class _Left(NamedTuple):
    """Why a request of a batch has no answer, and whether it cost nothing."""

    reason: str
    free: bool


class _Ended(NamedTuple):
    """A request of a batch, what it came to, and the most that it might have cost."""

    id: str
    asked: Asked
    reply: Reply
    most: Cost


class OpenAIBatchTeacher(OpenAITeacher):
    """OpenAI's Batch API: answers within a day, at half the price."""

    name = "openai-batch"
    batch_size: int = Field(10_000, ge=1, le=50_000)
    """How many requests are one batch at most; as many questions are asked together, whatever `generate.concurrency` is."""
    gather_s: float = Field(2.0, gt=0)
    """A batch is sent when nothing new was asked for during so many seconds."""
    poll_s: float = Field(30.0, gt=0)
    """How often to look whether a batch is done, in seconds."""
    discount: Decimal = Field(Decimal("0.5"), ge=0, le=1)
    """What is taken off a price from the price table, as a share of it; your own prices count as they are."""

    @property
    def at_once(self) -> int:
        return self.batch_size

    @contextmanager
    def open(self, task: Task, concurrency: int = 32, account: Account | None = None) -> Iterator[AsyncCompleter]:
        """As the teacher `openai`. Batches that are under way at the end go on at the endpoint."""
        if account is None:
            with Account() as account, self.open(task, concurrency, account) as live:
                yield live
            return
        requests = self.requests(f"{self.base_url}/batches", concurrency)
        live = _Batched(self, requests, self.checked_price(account), account)
        try:
            yield live
        finally:
            live.leave()

    def price(self) -> Price | None:
        """As the teacher `openai`, less the discount."""
        price = super().price()
        if price is None or self.own_price():
            return price
        return Price(*(each * (1 - self.discount) for each in price))

    def price_source(self) -> str:
        source = super().price_source()
        return source if self.own_price() else f"{source}, less {float(100 * self.discount):g} % for batches"


class _Batched(Kept):
    """Answers asks from the store, and hands over in batches what it does not have."""

    def __init__(self, settings: OpenAIBatchTeacher, requests: Requests, price: Price | None, account: Account) -> None:
        self._protocol = Endpoint(settings, requests, price)
        super().__init__(self._protocol, settings.identity(), account)
        self._settings = settings
        self._requests = requests
        self._waiting: list[tuple[Asked, asyncio.Future[list[Completion]]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._aside: dict[tuple[str, str], Cost] = {}
        self._tries: Counter[bytes] = Counter()
        self._failed: dict[bytes, Completion] = {}
        self._new: set[str] = set()
        self._known: set[str] = set()
        self._fatal = ""
        self._shown: dict[str, Any] = {}

    async def complete_one(self, ask: Ask) -> list[Completion]:
        """`ask.n` completions, as soon as the batches are done that hold them."""
        asked = Asked.of(self._identity, ask)
        found = self._account.store.find(asked.keys, asked.max_tokens)
        self._account.replayed += sum(completion is not None for completion in found)
        if None not in found:
            return [completion for completion in found if completion is not None]
        ended: asyncio.Future[list[Completion]] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, ended))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await ended

    @property
    def _handed_over(self) -> HandedOver:
        return HandedOver(self._account.store)

    def leave(self) -> None:
        """What is under way counts as the most it can cost, until somebody comes back to it."""
        if not self._aside:
            return
        for most in self._aside.values():
            self._account.settle(most, None)
        under_way = {name for name, _ in self._aside}
        self._aside.clear()
        ids = [batch.remote for batch in self._handed_over.of(self._identity) if batch.name in under_way]
        if any(ids):
            self._account.say(
                f"{' and '.join(filter(None, ids))} will be answered without us, within a day. Give the same command again "
                "to fetch the answers"
            )

    async def _work(self) -> None:
        """Hand over what is asked for and fetch what is done, until nobody waits."""
        try:
            while self._waiting:
                await self._until_quiet()
                while self._hand_over():
                    pass
                batches = self._handed_over.of(self._identity)
                for batch in batches:
                    await self._look_after(batch)
                self._tell()
                if batches == self._handed_over.of(self._identity) and self._waiting:
                    await asyncio.sleep(self._settings.poll_s)
        except Exception as error:
            waiting, self._waiting = self._waiting, []
            for _, ended in waiting:
                if not ended.done():
                    ended.set_exception(error)

    async def _until_quiet(self) -> None:
        seen = -1
        while seen < len(self._waiting) < self._settings.batch_size:
            seen = len(self._waiting)
            await asyncio.sleep(self._settings.gather_s)

    def _found(self, asked: Asked) -> list[Completion | None]:
        found = self._account.store.find(asked.keys, asked.max_tokens)
        return [there or self._failed.get(key) for there, key in zip(found, asked.keys, strict=True)]

    def _tell(self) -> None:
        """Give those who wait what has come."""
        still = []
        for asked, ended in self._waiting:
            found = [] if ended.done() else self._found(asked)
            if None in found:
                still.append((asked, ended))
            elif not ended.done():
                ended.set_result([completion for completion in found if completion is not None])
        self._waiting = still

    def _hand_over(self) -> bool:
        """Note a batch of what is in none yet; false if there is no such thing, or the budget has to wait.

        Raises:
            BudgetError: not even one request fits.
        """
        account, store = self._account, self._account.store
        batch = Pending(uuid.uuid4().hex, account.run, 0, time.time())
        rows: dict[str, tuple[Sequence[bytes], Json]] = {}

        def note() -> None:
            size, total, chosen = 0, Cost(), set[bytes]()
            for part in self._missing():
                id = part.keys[0].hex()
                if not chosen.isdisjoint(part.keys) or self._handed_over.is_asked(part.keys):
                    continue
                most = self._protocol.most(part.ask, part.ask.n)
                size += len(self._line(id, part.ask))
                if len(rows) == self._settings.batch_size or size > MOST_BYTES or not account.set_aside(most):
                    break
                self._aside[batch.name, id] = most
                rows[id] = part.keys, {"ask": asdict(part.ask), "most": most}
                total = total.plus(most)
                chosen.update(part.keys)
            if rows:
                number = store.ledger.hand_over(account.run, batch.name, total)
                self._new.add(batch.name)
                self._known.add(batch.name)
                self._handed_over.note(self._identity, Pending(batch.name, batch.run, number, batch.begun), rows)

        store.transact([note])
        return bool(rows)

    def _missing(self) -> Iterator[Asked]:
        """The samples that somebody waits for, as few requests as they make."""
        for asked, ended in self._waiting:
            found = [] if ended.done() else self._found(asked)
            for is_missing, group in itertools.groupby(range(len(found)), key=lambda i: found[i] is None):
                if is_missing:
                    samples = list(group)
                    yield asked.part(samples[0], len(samples))

    def _line(self, id: str, ask: Ask) -> bytes:
        body = self._protocol.body(ask, ask.n, ask.first_sample)
        line = {"custom_id": id, "method": "POST", "url": f"/v1/{self._settings.kind}", "body": body}
        return dumps(line) + b"\n"

    async def _look_after(self, batch: Pending) -> None:
        """Bring a batch as far as it goes now, unless another process does."""
        store = self._account.store
        [mine] = store.transact([partial(self._handed_over.take, batch.name)])
        if not mine:
            return
        if batch.name not in self._known:
            self._take_up(batch)
        remote = batch.remote or await self._remote(batch)
        if remote is None:
            self._end(batch, self._rows(batch))
            return
        state = await self._requests.call(Call(f"{self._settings.base_url}/batches/{remote}", may_miss=True))
        if isinstance(state, Refused):
            if state.status == 404:
                raise TeacherError(
                    f"{self._settings.base_url} does not know the batch {remote}: another key made it, or it was deleted. "
                    "Set that key, or give up what is under way, `understudy store prune --batches`, and ask again"
                )
            return  # another time
        status = str(state.get("status"))
        self._show(remote, status, state.get("request_counts") or {})
        if status == "failed":
            self._end(batch, self._rows(batch))
            errors = (state.get("errors") or {}).get("data") or [{}]
            said = "; ".join(dict.fromkeys(str(e.get("message") or e.get("code")) for e in errors[:5]))
            raise TeacherError(
                f"{self._settings.base_url} did not take the batch {remote}: {said}. Nothing of it was answered; mend that, "
                "or set a smaller batch_size if it is too much at once"
            )
        if status in _ENDED:
            await self._fetch(batch, self._rows(batch), state)

    def _rows(self, batch: Pending) -> dict[str, Json]:
        return dict(self._handed_over.requests(batch.name))

    def _take_up(self, batch: Pending) -> None:
        """Reserve what a batch may cost that an earlier process of this run sent."""
        self._known.add(batch.name)
        if batch.run == self._account.run:
            for id, row in self._rows(batch).items():
                self._aside[batch.name, id] = Cost(*row["most"])
                self._account.take_up(self._aside[batch.name, id])

    async def _remote(self, batch: Pending) -> str | None:
        """The endpoint's id of a batch that has none yet: created now, or found again; None if it was never created."""
        remote = None
        if batch.name in self._new and not batch.file:
            remote = await self._create(batch, self._rows(batch))
        elif batch.file:  # an earlier process was stopped when it created it, perhaps a moment ago
            remote = await self._find(batch)
            if remote is None:
                await asyncio.sleep(self._settings.poll_s)
                remote = await self._find(batch)
        if remote is not None:
            store = self._account.store
            store.transact([lambda: self._handed_over.locate(batch.name, batch.file, remote)])
        return remote

    async def _create(self, batch: Pending, rows: Mapping[str, Json]) -> str:
        url, store = self._settings.base_url, self._account.store
        content = b"".join(self._line(id, _ask(row)) for id, row in rows.items())
        upload = Call(
            f"{url}/files", file=(f"{_TAG}-{batch.name}.jsonl", content), fields={"purpose": "batch"}, may_miss=True,
            timeout_s=self._settings.total_timeout_s,
        )  # fmt: skip
        try:
            file = await self._done(upload)
        except TeacherError:
            self._end(batch, rows)
            raise
        store.transact([lambda: self._handed_over.locate(batch.name, file["id"])])
        body = {
            "input_file_id": file["id"],
            "endpoint": f"/v1/{self._settings.kind}",
            "completion_window": "24h",
            "metadata": {_TAG: batch.name},
        }
        creation = Call(f"{url}/batches", dumps(body), may_miss=True, once=True)
        for tries in itertools.count():
            reply = await self._requests.call(creation)
            if not isinstance(reply, Refused):
                return str(reply["id"])
            if reply.status:
                self._end(batch, rows)
                raise TeacherError(
                    f"{creation.url}: no batch was created ({reply.reason}). Mend that, or ask the teacher openai"
                )
            await asyncio.sleep(self._settings.backoff_s * 2**tries)
            remote = await self._find(batch)  # the reply was lost; the batch may be there
            if remote is not None:
                return remote
            if tries == self._settings.retries:
                raise TeacherError(
                    f"{creation.url}: no answer after {tries + 1} attempts ({reply.reason}). Give the same command again "
                    "later"
                )
        raise AssertionError("counting has no end")

    async def _done(self, call: Call) -> Any:
        """The reply to a call that must have one."""
        reply = await self._requests.call(call)
        if isinstance(reply, Refused):
            hint = " It may have no Batch API: ask the teacher openai instead" if reply.status == 404 else ""
            raise TeacherError(f"{call.url}: {reply.reason}.{hint or ' Give the same command again later'}")
        return reply

    async def _find(self, batch: Pending) -> str | None:
        """The endpoint's id of the batch that has our name, if there is one."""
        after = ""
        while True:
            page = await self._done(Call(f"{self._settings.base_url}/batches?limit=100{after}"))
            found = page.get("data") or []
            for each in found:
                if (each.get("metadata") or {}).get(_TAG) == batch.name:
                    return str(each["id"])
            if not found or not page.get("has_more") or found[-1].get("created_at", 0) < batch.begun - _A_DAY_S:
                return None
            after = f"&after={found[-1]['id']}"

    def _show(self, remote: str, status: str, counts: Mapping[str, Any]) -> None:
        """Say how far a batch is, whenever a tenth more of it is done."""
        total, done, failed = (int(counts.get(name) or 0) for name in ("total", "completed", "failed"))
        place = status, 10 * (done + failed) // max(total, 1)
        if self._shown.get(remote) != place:
            self._shown[remote] = place
            self._account.say(f"{remote}: {status}, {done:,} of {total:,} answered, {failed:,} failed")

    async def _fetch(self, batch: Pending, rows: dict[str, Json], state: Mapping[str, Any]) -> None:
        """Keep what a batch that has ended brought; what it did not bring is asked for again."""
        status, free = str(state["status"]), state["status"] != "completed"
        left: dict[str, _Left] = {}
        for file in (state.get("output_file_id"), state.get("error_file_id")):
            if not file:
                continue
            url = f"{self._settings.base_url}/files/{file}/content"
            data = await self._requests.call(
                Call(url, is_json=False, may_miss=True, timeout_s=self._settings.total_timeout_s)
            )
            if isinstance(data, Refused) and data.status == 404:
                self._account.say(f"{state['id']}: the endpoint has its file {file} no more")
                free = False
            elif isinstance(data, Refused):
                self._account.say(f"{url}: {data.reason}; trying again")
                return
            else:
                lines = data.splitlines()
                for start in range(0, len(lines), CHUNK):
                    self._keep(batch, rows, lines[start : start + CHUNK], left)
                    await asyncio.sleep(0)
        missing = _Left(f"the batch is {status}, without it", free)
        self._end(batch, rows, {id: left.get(id, missing) for id in rows})
        if self._fatal and not (state.get("request_counts") or {}).get("completed"):
            raise TeacherError(self._fatal)

    def _keep(self, batch: Pending, rows: dict[str, Json], lines: Sequence[bytes], left: dict[str, _Left]) -> None:
        """Keep the answers in some lines. A request that is asked for again stays in `rows`, and `left` says why."""
        ended: list[_Ended] = []
        for line in lines:
            said = self._said(line)
            id = str(said.get("custom_id"))
            if id not in rows:  # it came before, or is not ours
                continue
            asked = Asked.of(self._identity, _ask(rows[id]))
            reply = self._reply(asked.ask, said)
            if isinstance(reply, _Left):
                left[id] = reply
            else:
                ended.append(_Ended(id, asked, reply, Cost(*rows[id]["most"])))
                del rows[id]
                left.pop(id, None)
        self._close(batch, ended)

    def _said(self, line: bytes) -> Json:
        try:
            said = self._requests.loads(line)
        except (ValueError, RecursionError):
            return {}
        return said if isinstance(said, dict) else {}

    def _reply(self, ask: Ask, said: Json) -> Reply | _Left:
        """What a line says of a request."""
        response = said.get("response") or {}
        status, body = int(response.get("status_code") or 0), response.get("body")
        if status == 200:
            try:
                return self._protocol.read(ask, body)
            except Malformed as error:
                return _Left(str(error), free=False)
        code, message = problem(said.get("error") or body)
        reason = " ".join(f"{status or ''} {message or code}".split())[:300]
        fatal = fatal_reason(status, code)
        if fatal:
            self._fatal = f"{self._settings.base_url}: {fatal} ({reason})"
        gone = Refused(reason) if fatal else refused(status, code, reason)
        return Reply(self._protocol.refused(gone, ask.n).answers, Cost()) if gone else _Left(reason, free=True)

    def _close(self, batch: Pending, ended: Sequence[_Ended]) -> None:
        """Keep what requests of a batch came to, and book what they cost."""
        store, costs = self._account.store, dict[str, Cost]()

        def close() -> None:
            for id, asked, reply, most in ended:
                answers = reply.answers[: asked.ask.n]
                cost = costs[id] = most if reply.cost is None else reply.cost
                store.keep(asked.requests[: len(answers)], answers, asked.max_tokens, asked.ask.key)
                self._handed_over.drop(batch, id, asked.keys, most.minus(cost))

        store.transact([close])
        for id, asked, reply, most in ended:
            if self._aside.pop((batch.name, id), None) is not None:
                self._account.settle(most, costs[id])
            for key, answer in zip(asked.keys, reply.answers, strict=False):
                if answer.completion.finish == "failed":
                    self._failed[key] = answer.completion

    def _end(self, batch: Pending, rows: Mapping[str, Json], left: Mapping[str, _Left] | None = None) -> None:
        """A batch is done. What is left of it is asked for again, or has failed if it was asked for too often.

        `left` says of each request why; None: the batch never was one.
        """
        ended = []
        for id, row in rows.items():
            asked = Asked.of(self._identity, _ask(row))
            why = _Left("", free=True) if left is None else left[id]
            answers = []
            if left is not None:
                self._tries[asked.keys[0]] += 1
                tries = self._tries[asked.keys[0]]
                if tries > self._settings.retries:
                    gone = Refused(f"gave up after {tries} batches: {why.reason}")
                    answers = list(self._protocol.refused(gone, asked.ask.n).answers)
            ended.append(_Ended(id, asked, Reply(answers, Cost() if why.free else None), Cost(*row["most"])))
        self._close(batch, ended)
        store = self._account.store
        store.transact([lambda: self._handed_over.end(batch)])


def _ask(row: Json) -> Ask:
    """The ask that was noted with a request."""
    fields = dict(row["ask"])
    sampling = Sampling(**fields.pop("sampling")) if fields["sampling"] else fields.pop("sampling")
    turns = tuple((role, text) for role, text in fields.pop("turns"))
    return Ask(**{**fields, "sampling": sampling, "turns": turns, "stop": tuple(fields["stop"])})
