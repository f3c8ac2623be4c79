"""The store: every answer that a teacher ever gave us, in one SQLite file that all runs on this machine share.

    answers     key                 max_tokens   finish   model         said, row: JSON, compressed where it is long
                9f2c... (16 bytes)  512          stop     gpt-4o-mini   {"text": "..."}, {"request": {...}, "reply": {...}}

Beside them stand `claimed`, what is being asked for right now (`claims.py`), `costs`, what the requests cost (`ledger.py`),
and `batches`, what was handed over to be answered within a day (`handed_over.py`).

The key is a digest of the exact request: who is asked, the prompt, every sampling field, the number of the sample. Only
`max_tokens` stands beside it: a longer limit asks the truncated answers again and no others. What failed is kept with
its reason, but it is no answer and is asked for again.

Several processes may share a store: SQLite orders their writes, and a claim makes the second one wait for an answer
that the first has asked for. A claim dies with its process; a batch outlives it. Nothing here is pickled, and no key of an
endpoint is ever written. The file must be on a disk of this machine, for SQLite's log does not work over a network.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from understudy.errors import StoreError
from understudy.procedures import Ask
from understudy.records import Completion, Json, Sampling
from understudy.teachers import claims, ledger
from understudy.teachers.claims import KEY_BYTES, Claims
from understudy.teachers.database import Database
from understudy.teachers.ledger import Cost, Ledger
from understudy.teachers.packing import packed, packed_around, squeezed, unpacked, without_text
from understudy.teachers.quick_json import dumps

SCHEMA = 1
"""Of the file and of the keys. A new one must go on finding the answers of the old ones."""
CHUNK = 1000
"""Answers that are read or written together by whatever goes through all of them."""
_MOST_KEYS = 10_000
"""In one statement: SQLite takes 32,766 values."""
_ordered = json.JSONEncoder(sort_keys=True).encode
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, max_tokens INTEGER NOT NULL, finish TEXT NOT NULL, model TEXT NOT NULL,
    endpoint TEXT NOT NULL, asked REAL NOT NULL, said BLOB NOT NULL, row BLOB NOT NULL, UNIQUE (key, max_tokens));
CREATE TABLE IF NOT EXISTS batches (
    name TEXT PRIMARY KEY, endpoint TEXT NOT NULL, run TEXT NOT NULL, attempt INTEGER NOT NULL, owner TEXT NOT NULL,
    begun REAL NOT NULL, file TEXT NOT NULL, remote TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS batched (
    batch TEXT NOT NULL, id TEXT NOT NULL, row BLOB NOT NULL, PRIMARY KEY (batch, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batch_keys (key BLOB PRIMARY KEY, batch TEXT NOT NULL) WITHOUT ROWID;
"""


_COLUMNS = ("key", "max_tokens", "finish", "model", "endpoint", "asked", "said", "row")
_KEEP = (
    f"INSERT INTO answers ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    f"ON CONFLICT (key, max_tokens) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS[2:])} "
    "WHERE answers.finish = 'failed'"
)
"""An answer stays as it came; a failure gives way to whatever comes later."""


class Answer(NamedTuple):
    """One sample as it came.

    Attributes:
        completion: what was read from it; a failed one carries its reason.
        reply: the endpoint's raw reply, without the choices of other samples; {} for what has none.
    """

    completion: Completion
    reply: Mapping[str, Any] = {}


def request_of(identity: str, ask: Ask, sample: int) -> Json:
    """All that an answer depends on, but for `max_tokens`. A greedy answer depends on no seed."""
    sampling = ask.sampling or Sampling()
    return {
        "schema": SCHEMA,
        "endpoint": identity,
        "prompt": ask.prompt,
        "turns": [list(turn) for turn in ask.turns],
        "prefix": ask.prefix,
        "stop": list(ask.stop),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": ask.seed if sampling.temperature else None,
        "sample": sample,
    }


class Exact(NamedTuple):
    """A request as it is kept: in JSON that is always written the same, and its key, a digest of that."""

    text: bytes
    key: bytes
    endpoint: str


def exact(request: Json | Exact) -> Exact:
    """A request, written down."""
    if isinstance(request, Exact):
        return request
    return _digested(_ordered(request).encode(), str(request["endpoint"]))


def _digested(text: bytes, endpoint: str) -> Exact:
    return Exact(text, hashlib.sha256(text).digest()[:KEY_BYTES], endpoint)


def exact_of(identity: str, ask: Ask, sample: int) -> Exact:
    """As `exact(request_of(identity, ask, sample))`, in a third of the time."""
    if not ask.prompt.isascii() or "\x7f" in ask.prompt:  # quick JSON escapes less
        return exact(request_of(identity, ask, sample))
    sampling = ask.sampling or Sampling()
    before, after = _around(identity, ask.turns, ask.prefix, ask.stop, sampling)
    seed = b"%d" % ask.seed if sampling.temperature and ask.seed is not None else b"null"
    text = b'%b, "prompt": %b, "sample": %d, "schema": %d, "seed": %b, %b'
    return _digested(text % (before, dumps(ask.prompt), sample, SCHEMA, seed, after), identity)


@functools.lru_cache(maxsize=64)
def _around(
    identity: str, turns: tuple[tuple[str, str], ...], prefix: str, stop: tuple[str, ...], sampling: Sampling
) -> tuple[bytes, bytes]:
    """What stands before and after the prompt, the sample and the seed in a request's JSON; most requests share it."""
    request = request_of(identity, Ask("", "", turns=turns, prefix=prefix, stop=stop, sampling=sampling), 0)
    before = {name: value for name, value in request.items() if name < "prompt"}
    after = {name: value for name, value in request.items() if name > "seed"}
    return _ordered(before).encode()[:-1], _ordered(after).encode()[1:]


def key_of(request: Json) -> bytes:
    """The digest of a request."""
    return exact(request).key


class Change(NamedTuple):
    """What a request came to, to be written together with others'.

    Attributes:
        requests, answers: what is answered, and how; the claims are let go.
        max_tokens: the limit they were asked with.
        question: its id, for an export to name.
        most: of an attempt that has ended, the most that it may have cost; None: none has.
        cost: what it did cost; None: its outcome is unknown.
        released: claims that are let go without an answer.
    """

    requests: Sequence[Exact] = ()
    answers: Sequence[Answer] = ()
    max_tokens: int = 0
    question: str = ""
    most: Cost | None = None
    cost: Cost | None = None
    released: Sequence[bytes] = ()


class Store(Database):
    """An open store. Use it in a `with` block; the methods that write belong into `transact`.

    Args:
        path: the file; made if it is not there. None: in memory, gone at the end.

    Attributes:
        claims: what is being asked for.
        ledger: what the requests cost.

    Raises:
        StoreError: it cannot be opened, read or written; says why and what to do. What it held stays.
    """

    def __init__(self, path: Path | None) -> None:
        super().__init__(path, _TABLES + claims.TABLES + ledger.TABLES)
        try:
            self._check_schema()
            self.claims = Claims(self)
            self.ledger = Ledger(self)
        except BaseException:
            self.close()
            raise

    def _check_schema(self) -> None:
        with self.reading():
            self.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
            [(schema,)] = self.execute("SELECT value FROM meta WHERE name = 'schema'")
        if int(schema) > SCHEMA:
            raise StoreError(
                f"{self.path}: written by a newer understudy (schema {schema}, this one knows {SCHEMA}). Update this one"
            )

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(StoreError):
            self.transact([lambda: self._abandon(self.owner)])
        self.close()

    def find(self, keys: Sequence[bytes], max_tokens: int, failed: bool = False) -> list[Completion | None]:
        """The answer to each request, None where there is none that `max_tokens` would have left as it is.

        With `failed`, the reason of a failure stands in where there is no answer.
        """
        rows: list[tuple[bytes, int, str, bytes]] = []
        with self.reading():
            for start in range(0, len(keys), _MOST_KEYS):
                some = keys[start : start + _MOST_KEYS]
                marks = ",".join("?" * len(some))
                rows += self.execute(f"SELECT key, max_tokens, finish, said FROM answers WHERE key IN ({marks})", some)
        found: dict[bytes, Completion] = {}
        for key, limit, finish, said in rows:
            there = found.get(key)
            if (finish == "failed" and (there or not failed)) or (there and there.finish != "failed"):
                continue
            completion = Completion(**unpacked(said))
            whole = finish != "length" and (
                limit <= max_tokens or (completion.completion_tokens or limit) <= max_tokens
            )
            if finish == "failed" or limit == max_tokens or whole:
                found[key] = completion
        return [found.get(key) for key in keys]

    def knows(self, endpoint: str) -> bool:
        """Whether there is any answer of an endpoint."""
        query = "SELECT 1 FROM answers WHERE endpoint = ? AND finish != 'failed' LIMIT 1"
        with self.reading():
            return self.execute(query, (endpoint,)).fetchone() is not None

    def set_out(self, run: str, asks: Sequence[tuple[Sequence[bytes], Cost]]) -> list[bool]:
        """Claim the keys of each request of `asks` and note that it is sent, with the most that it can cost.

        False where another process is asking for any of its keys.
        """
        for owner in self.claims.owners_of(key for keys, _ in asks for key in keys):
            if not self.lives(owner):
                self._abandon(owner)
        free = self.claims.take(run, [keys for keys, _ in asks])
        self.ledger.sent(run, [most for (_, most), mine in zip(asks, free, strict=True) if mine])
        return free

    def keep(
        self, requests: Sequence[Json | Exact], answers: Sequence[Answer], max_tokens: int, question: str = ""
    ) -> None:
        """Keep the answers to `requests`, in order, and let their claims go; the rest as in `Change`."""
        self.write([Change([exact(request) for request in requests], answers, max_tokens, question)])

    def write(self, changes: Iterable[Change], run: str = "") -> None:
        """Write what requests of a run came to."""
        rows, ended, released, now = [], [], [], time.time()
        for change in changes:
            for request, answer in zip(change.requests, change.answers, strict=True):
                rows.append(_row(request, answer, change.max_tokens, change.question, now))
                released.append(request.key)
            if change.most is not None:
                ended.append((change.most, change.cost))
            released += change.released
        self.executemany(_KEEP, rows)
        self.claims.release(released)
        self.ledger.ended(run, ended)

    def forget_batches(self) -> int:
        """Give up every batch that is not done: what it cost is not known, and what it asks may be asked again."""

        def forget() -> int:
            for (number,) in self.execute("SELECT attempt FROM batches").fetchall():
                self.ledger.end(number, known=False)
            for table in ("batched", "batch_keys"):
                self.execute(f"DELETE FROM {table}")
            return self.execute("DELETE FROM batches").rowcount

        return self.transact([forget])[0]

    def lost(self, run: str) -> int:
        """How many samples a run had asked for when it was killed; from now on their outcome counts as unknown."""

        def count() -> int:
            dead = [owner for owner in self.claims.owners() if not self.lives(owner)]
            found = sum(self.claims.count(run, owner) for owner in dead)
            for owner in dead:
                self._abandon(owner)
            return found

        return self.transact([count])[0]

    def _abandon(self, owner: str) -> None:
        self.claims.abandon(owner)
        self.ledger.abandon(owner)

    def summary(self) -> list[tuple[str, str, int, float, float, int]]:
        """Endpoint, model, number of answers, first and last time (seconds since 1970) and bytes, of each model."""
        with self.reading():
            return self.execute(
                "SELECT endpoint, model, count(*), min(asked), max(asked), sum(length(row)) FROM answers "
                "WHERE finish != 'failed' GROUP BY endpoint, model ORDER BY endpoint, model"
            ).fetchall()

    def add(self, row: Mapping[str, Any]) -> bool:
        """Take over a row of an export; false if its answer was there before.

        Raises:
            KeyError, TypeError, ValueError: it is no such row.
        """
        said = {"question", "max_tokens", "asked", "request", "reply"}
        completion = Completion.from_json({name: value for name, value in row.items() if name not in said})
        request = dict(row["request"])
        answer = Answer(completion, row["reply"])
        values = _row(exact(request), answer, int(row["max_tokens"]), row["question"], float(row["asked"]))
        return bool(self.execute(f"{_KEEP} AND excluded.finish != 'failed'", values).rowcount)

    def prune(self, model: str | None = None, before: float | None = None, failed: bool = False) -> int:
        """Delete the answers of a model, those from before a time (seconds since 1970), or what failed. Returns how many."""

        def delete() -> int:
            return self.execute(
                "DELETE FROM answers WHERE (? IS NULL OR model = ?) AND (? IS NULL OR asked < ?) "
                "AND (NOT ? OR finish = 'failed')",
                (model, model, before, before, failed),
            ).rowcount

        [count] = self.transact([delete])
        self._give_back_room()
        return count

    def compact(self, done: Callable[[int], object] = lambda rows: None) -> None:
        """Compress the short answers, too, `CHUNK` at a time, and give back the room. `done` is told how many each time.

        Stopped half-way, it goes on with the next call.
        """
        query = f"SELECT id, said, row FROM answers WHERE id > ? ORDER BY id LIMIT {CHUNK}"

        def squeeze() -> list[int]:
            rows = self.execute(query, (last,)).fetchall()
            changed = [(squeezed(said), squeezed(row), id) for id, said, row in rows]
            self.executemany("UPDATE answers SET said = ?, row = ? WHERE id = ?", changed)
            return [id for id, *_ in rows]

        last = 0
        while ids := self.transact([squeeze])[0]:
            done(len(ids))
            last = ids[-1]
        self._give_back_room()

    def _give_back_room(self) -> None:
        with self.reading():
            self.execute("VACUUM")
            self.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # VACUUM writes into the log

    def count(self) -> int:
        """How many answers there are, with what failed."""
        with self.reading():
            [(count,)] = self.execute("SELECT count(*) FROM answers")
        return int(count)


def _row(request: Exact, answer: Answer, max_tokens: int, question: str, asked: float) -> tuple[object, ...]:
    """A row of the table `answers`, without its number."""
    said = answer.completion
    row = packed_around(request.text, reply=without_text(answer.reply, said.text), question=question)
    return (
        request.key, max_tokens, said.finish, said.model, request.endpoint, asked, packed(said.to_json()), row,
    )  # fmt: skip


def default_path() -> Path:
    """Where the store is if the configuration does not say: `UNDERSTUDY_STORE`, else the user's data folder."""
    from platformdirs import user_data_path

    named = os.environ.get("UNDERSTUDY_STORE")
    return Path(named) if named else user_data_path("understudy") / "answers.sqlite"
