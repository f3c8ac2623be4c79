"""The store: every answer that a teacher ever gave us, in one SQLite file that all runs on this machine share.

    answers     key                 max_tokens   finish   model         said, row: JSON, compressed where it is long
                9f2c... (16 bytes)  512          stop     gpt-4o-mini   {"text": "..."}, {"request": {...}, "reply": {...}}
    attempts    one for each request sent: of which run, what it may cost at most, what it did cost
    claims      the samples that are being asked for right now, and by which process
    batches     what was handed over to be answered within a day; batched and batch_keys: what it asks for (`handed_over.py`)

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
import itertools
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from filelock import FileLock, Timeout

from understudy.errors import StoreError
from understudy.procedures import Ask
from understudy.records import Completion, Json, Sampling
from understudy.teachers.checkpointer import Checkpointer
from understudy.teachers.packing import packed, packed_around, unpacked, without_text
from understudy.teachers.quick_json import dumps

T = TypeVar("T")

SCHEMA = 1
"""Of the file and of the keys. A new one must go on finding the answers of the old ones."""
_BUSY_S = 60.0
_MOST_KEYS = 10_000
"""In one statement: SQLite takes 32,766 values."""
_encoded = json.JSONEncoder(sort_keys=True).encode
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, max_tokens INTEGER NOT NULL, finish TEXT NOT NULL, model TEXT NOT NULL,
    endpoint TEXT NOT NULL, asked REAL NOT NULL, said BLOB NOT NULL, row BLOB NOT NULL, UNIQUE (key, max_tokens));
CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, owner TEXT NOT NULL, samples INTEGER NOT NULL, state TEXT NOT NULL,
    tokens INTEGER NOT NULL, picodollars TEXT NOT NULL);
DROP INDEX IF EXISTS attempts_of_run;
CREATE INDEX IF NOT EXISTS runs_attempts ON attempts (run);
CREATE TABLE IF NOT EXISTS claims (key BLOB PRIMARY KEY, owner TEXT NOT NULL, run TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    name TEXT PRIMARY KEY, endpoint TEXT NOT NULL, run TEXT NOT NULL, attempt INTEGER NOT NULL, owner TEXT NOT NULL,
    begun REAL NOT NULL, file TEXT NOT NULL, remote TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS batched (
    batch TEXT NOT NULL, id TEXT NOT NULL, row BLOB NOT NULL, PRIMARY KEY (batch, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batch_keys (key BLOB PRIMARY KEY, batch TEXT NOT NULL) WITHOUT ROWID;
"""


_COLUMNS = ("key", "max_tokens", "finish", "model", "endpoint", "asked", "said", "row")
_CLAIM = "INSERT OR IGNORE INTO claims VALUES (?, ?, ?)"
_ATTEMPT = (
    "INSERT INTO attempts (id, run, owner, samples, state, tokens, picodollars) VALUES (?, ?, ?, ?, 'sent', ?, ?)"
)
_KEEP = (
    f"INSERT INTO answers ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    f"ON CONFLICT (key, max_tokens) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS[2:])} "
    "WHERE answers.finish = 'failed'"
)
"""An answer stays as it came; a failure gives way to whatever comes later."""


class Cost(NamedTuple):
    """What something costs. 10^12 picodollars are a dollar: whole numbers add up exactly."""

    tokens: int = 0
    picodollars: int = 0

    def plus(self, other: Cost) -> Cost:
        return Cost(self.tokens + other.tokens, self.picodollars + other.picodollars)

    def minus(self, other: Cost) -> Cost:
        return Cost(self.tokens - other.tokens, self.picodollars - other.picodollars)


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

    text: str
    key: bytes
    endpoint: str


def exact(request: Json | Exact) -> Exact:
    """A request, written down."""
    if isinstance(request, Exact):
        return request
    return _digested(_encoded(request), str(request["endpoint"]))


def _digested(text: str, endpoint: str) -> Exact:
    return Exact(text, hashlib.sha256(text.encode()).digest()[:16], endpoint)


def exact_of(identity: str, ask: Ask, sample: int) -> Exact:
    """As `exact(request_of(identity, ask, sample))`, in a third of the time."""
    if not ask.prompt.isascii() or "\x7f" in ask.prompt:  # quick JSON escapes less
        return exact(request_of(identity, ask, sample))
    sampling = ask.sampling or Sampling()
    before, after = _around(identity, ask.turns, ask.prefix, ask.stop, sampling)
    prompt, seed = dumps(ask.prompt).decode(), ask.seed if sampling.temperature else None
    varying = f'"prompt": {prompt}, "sample": {sample}, "schema": {SCHEMA}, "seed": {"null" if seed is None else seed}'
    return _digested(f"{before}, {varying}, {after}", identity)


@functools.lru_cache(maxsize=64)
def _around(
    identity: str, turns: tuple[tuple[str, str], ...], prefix: str, stop: tuple[str, ...], sampling: Sampling
) -> tuple[str, str]:
    """What stands before and after the prompt, the sample and the seed in a request's JSON; most requests share it."""
    request = request_of(identity, Ask("", "", turns=turns, prefix=prefix, stop=stop, sampling=sampling), 0)
    before = {name: value for name, value in request.items() if name < "prompt"}
    after = {name: value for name, value in request.items() if name > "seed"}
    return _encoded(before)[:-1], _encoded(after)[1:]


def key_of(request: Json) -> bytes:
    """The digest of a request."""
    return exact(request).key


class Change(NamedTuple):
    """What a request came to, to be written together with others'.

    Attributes:
        requests, answers: what is answered, and how; the claims are let go.
        max_tokens: the limit they were asked with.
        question: its id, for an export to name.
        attempt: the number of the attempt that has ended; None: none has.
        cost: what it did cost; None: its outcome is unknown, so it counts as the most it may have cost.
        released: claims that are let go without an answer.
    """

    requests: Sequence[Exact] = ()
    answers: Sequence[Answer] = ()
    max_tokens: int = 0
    question: str = ""
    attempt: int | None = None
    cost: Cost | None = None
    released: Sequence[bytes] = ()


class _Explained:
    """One thread at a time, and an error of SQLite's becomes a StoreError that says what to do."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._turn = threading.RLock()

    def __enter__(self) -> None:
        self._turn.acquire()

    def __exit__(self, _: object, error: BaseException | None, traceback: object) -> None:
        self._turn.release()
        if isinstance(error, (sqlite3.Error, OSError)):
            raise StoreError(f"{self._path}: {explanation(error)}") from error


class Store:
    """An open store. Use it in a `with` block; the methods that write belong into `transact`.

    Args:
        path: the file; made if it is not there. None: in memory, gone at the end.

    Raises:
        StoreError: it cannot be opened, read or written; says why and what to do. What it held stays.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._owner = uuid.uuid4().hex
        self._lock: FileLock | None = None
        self._explained = _Explained(path)
        self._version = self._changes = 0
        self._checkpointer = Checkpointer(path) if path is not None else None
        with self._explained:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                ":memory:" if path is None else path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        """Make the tables, see that they are ours, and show that this process lives."""
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # a kill loses nothing; a power cut the last moments
        self._db.execute("PRAGMA wal_autocheckpoint = 0")  # the checkpointer's work
        self._db.executescript(_TABLES)
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
        [(schema,)] = self._db.execute("SELECT value FROM meta WHERE name = 'schema'")
        if int(schema) > SCHEMA:
            raise StoreError(
                f"{self.path}: written by a newer understudy (schema {schema}, this one knows {SCHEMA}). Update this one"
            )
        if self.path is not None:
            self._lock = FileLock(self._owners / self._owner, timeout=0)
            self._owners.mkdir(exist_ok=True)
            self._lock.acquire()

    @property
    def owner(self) -> str:
        """The name of this process in the store."""
        return self._owner

    @property
    def _owners(self) -> Path:
        assert self.path is not None
        return self.path.with_name(self.path.name + ".owners")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(StoreError):
            self.transact([lambda: self._abandon([self._owner])])
        if self._checkpointer is not None:
            self._checkpointer.close()
        self._db.close()
        if self._lock is not None:
            self._lock.release()
            (self._owners / self._owner).unlink(missing_ok=True)

    def reading(self) -> AbstractContextManager[None]:
        """While the file is read outside of `transact`."""
        return self._explained

    def execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """One statement of SQL, within `transact` or `reading`."""
        return self._db.execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> sqlite3.Cursor:
        """One statement of SQL for each of `rows`, within `transact`."""
        return self._db.executemany(statement, rows)

    def transact(self, actions: Sequence[Callable[[], T]]) -> list[T]:
        """Do all of `actions` and commit them together, or none of them."""
        with self.reading():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                results = [action() for action in actions]
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        if self._checkpointer is not None:
            self._checkpointer.committed()
        return results

    def find(self, keys: Sequence[bytes], max_tokens: int, failed: bool = False) -> list[Completion | None]:
        """The answer to each request, None where there is none that `max_tokens` would have left as it is.

        With `failed`, the reason of a failure stands in where there is no answer.
        """
        rows: list[tuple[bytes, int, str, bytes]] = []
        with self.reading():
            for start in range(0, len(keys), _MOST_KEYS):
                some = keys[start : start + _MOST_KEYS]
                marks = ",".join("?" * len(some))
                rows += self._db.execute(
                    f"SELECT key, max_tokens, finish, said FROM answers WHERE key IN ({marks})", some
                )
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

    def changes(self) -> int:
        """A number that has grown if another process has written anything since it was asked for last."""
        [(version,)] = self._db.execute("PRAGMA data_version")
        if version != self._version:
            self._version = version
            self._changes += 1
        return self._changes

    def knows(self, endpoint: str) -> bool:
        """Whether there is any answer of an endpoint."""
        query = "SELECT 1 FROM answers WHERE endpoint = ? AND finish != 'failed' LIMIT 1"
        with self.reading():
            return self._db.execute(query, (endpoint,)).fetchone() is not None

    def set_out(self, run: str, asks: Sequence[tuple[Sequence[bytes], int, Cost]]) -> list[int | None]:
        """Claim the keys of each (keys, samples, most) and note the attempt. Returns its number; None: `claim` is false."""
        claims = [(key, self._owner, run) for keys, _, _ in asks for key in keys]
        free = self._db.executemany(_CLAIM, claims).rowcount == len(claims)
        claimed = [free or self.claim(keys, run) for keys, _, _ in asks]
        [(last,)] = self._db.execute("SELECT coalesce(max(id), 0) FROM attempts")
        numbers = itertools.count(last + 1)
        found = [next(numbers) if mine else None for mine in claimed]
        self._db.executemany(
            _ATTEMPT,
            [
                (number, run, self._owner, samples, most.tokens, str(most.picodollars))
                for number, (_, samples, most) in zip(found, asks, strict=True)
                if number is not None
            ],
        )
        return found

    def claim(self, keys: Sequence[bytes], run: str) -> bool:
        """Take it on to ask for `keys`; false if another process is asking for any of them right now."""
        claims = [(key, self._owner, run) for key in keys]
        if self._db.executemany(_CLAIM, claims).rowcount == len(keys):
            return True
        marks = ",".join("?" * len(keys))
        others = {
            owner
            for (owner,) in self._db.execute(f"SELECT DISTINCT owner FROM claims WHERE key IN ({marks})", keys)
            if owner != self._owner
        }
        dead = [owner for owner in others if not self.lives(owner)]
        if len(dead) < len(others):
            self.write([Change(released=keys)])
            return False
        self._abandon(dead)
        self._db.executemany("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", claims)
        return True

    def begin(self, run: str, samples: int, most: Cost, batch: str = "") -> int:
        """Note an attempt before it is sent, with what it may cost at most. Returns its number.

        That of a batch belongs to the batch, and not to this process.
        """
        cursor = self._db.execute(
            _ATTEMPT, (None, run, batch or self._owner, samples, most.tokens, str(most.picodollars))
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def settle(self, attempt: int, cost: Cost | None) -> None:
        """Note what an attempt did cost; None: its outcome is unknown, so it counts as the most it may have cost."""
        self.write([Change(attempt=attempt, cost=cost)])

    def keep(
        self, requests: Sequence[Json | Exact], answers: Sequence[Answer], max_tokens: int, question: str = ""
    ) -> None:
        """Keep the answers to `requests`, in order, and let their claims go; the rest as in `Change`."""
        self.write([Change([exact(request) for request in requests], answers, max_tokens, question)])

    def write(self, changes: Iterable[Change]) -> None:
        """Write what requests came to, with one statement for all that is of a kind."""
        rows, settled, unknown, answered, released = [], [], [], [], []
        for change in changes:
            for request, answer in zip(change.requests, change.answers, strict=True):
                rows.append(_row(request, answer, change.max_tokens, change.question, time.time()))
                answered.append((request.key,))
            if change.attempt is not None and change.cost is not None:
                settled.append((change.cost.tokens, str(change.cost.picodollars), change.attempt))
            elif change.attempt is not None:
                unknown.append((change.attempt,))
            released += [(key, self._owner) for key in change.released]
        for statement, values in (
            (_KEEP, rows),
            ("DELETE FROM claims WHERE key = ?", answered),
            ("DELETE FROM claims WHERE key = ? AND owner = ?", released),
            ("UPDATE attempts SET state = 'settled', tokens = ?, picodollars = ? WHERE id = ?", settled),
            ("UPDATE attempts SET state = 'unknown' WHERE id = ?", unknown),
        ):
            if values:
                self._db.executemany(statement, values)

    def forget_batches(self) -> int:
        """Give up every batch that is not done: what it cost is not known, and what it asks may be asked again."""

        def forget() -> int:
            self._db.execute("UPDATE attempts SET state = 'unknown' WHERE id IN (SELECT attempt FROM batches)")
            for table in ("batched", "batch_keys"):
                self._db.execute(f"DELETE FROM {table}")
            return self._db.execute("DELETE FROM batches").rowcount

        return self.transact([forget])[0]

    def cost(self, attempt: int) -> Cost:
        """What an attempt counts as now."""
        [(tokens, money)] = self._db.execute("SELECT tokens, picodollars FROM attempts WHERE id = ?", (attempt,))
        return Cost(tokens, int(money))

    def spent(self, run: str) -> Cost:
        """What the attempts of a run cost, those of unknown outcome at the most they may have cost."""
        with self._explained:
            rows = self._db.execute("SELECT tokens, picodollars FROM attempts WHERE run = ?", (run,)).fetchall()
        return Cost(sum(tokens for tokens, _ in rows), sum(int(money) for _, money in rows))

    def unpriced(self, run: str) -> int:
        """The tokens of a run's attempts that count as no money: the price is not known, or nothing is charged."""
        with self._explained:
            [(tokens,)] = self._db.execute(
                "SELECT coalesce(sum(tokens), 0) FROM attempts WHERE run = ? AND picodollars = '0'", (run,)
            )
        return int(tokens)

    def attempts(self, run: str) -> Mapping[str, int]:
        """How many requests a run sent, by what became of them: `settled`, `unknown`, `sent` (under way)."""
        with self._explained:
            return dict(self._db.execute("SELECT state, count(*) FROM attempts WHERE run = ? GROUP BY state", (run,)))

    def lost(self, run: str) -> int:
        """How many samples a run had asked for when it was killed; from now on their outcome counts as unknown."""

        def count() -> int:
            owners = [owner for (owner,) in self._db.execute("SELECT DISTINCT owner FROM claims")]
            dead = [owner for owner in owners if owner != self._owner and not self.lives(owner)]
            marks = ",".join("?" * len(dead))
            [(found,)] = self._db.execute(
                f"SELECT count(*) FROM claims WHERE run = ? AND owner IN ({marks})", (run, *dead)
            )
            self._abandon(dead)
            return int(found)

        return self.transact([count])[0]

    def _abandon(self, owners: Sequence[str]) -> None:
        for owner in owners:
            self._db.execute("DELETE FROM claims WHERE owner = ?", (owner,))
            self._db.execute("UPDATE attempts SET state = 'unknown' WHERE owner = ? AND state = 'sent'", (owner,))

    def lives(self, owner: str) -> bool:
        """Whether a process is still there."""
        if owner == self._owner:
            return True
        if self.path is None or not (self._owners / owner).exists():
            return False
        lock = FileLock(self._owners / owner, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return True
        lock.release()
        (self._owners / owner).unlink(missing_ok=True)
        return False

    def summary(self) -> list[tuple[str, str, int, float, float, int]]:
        """Endpoint, model, number of answers, first and last time (seconds since 1970) and bytes, of each model."""
        with self._explained:
            return self._db.execute(
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
        return bool(self._db.execute(f"{_KEEP} AND excluded.finish != 'failed'", values).rowcount)

    def prune(self, model: str | None = None, before: float | None = None, failed: bool = False) -> int:
        """Delete the answers of a model, those from before a time (seconds since 1970), or what failed. Returns how many."""

        def delete() -> int:
            return self._db.execute(
                "DELETE FROM answers WHERE (? IS NULL OR model = ?) AND (? IS NULL OR asked < ?) "
                "AND (NOT ? OR finish = 'failed')",
                (model, model, before, before, failed),
            ).rowcount

        [count] = self.transact([delete])
        with self._explained:
            self._db.execute("VACUUM")
        return count


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


def explanation(error: Exception) -> str:
    """What an error of SQLite or of the system means here, and what to do."""
    text = str(error)
    if "full" in text or getattr(error, "errno", None) == 28:
        return "no space left on the disk. Free some, then give the same command again: what was answered is kept"
    if "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        return (
            f"cannot be written ({text}). Name another file: store = PATH in the configuration, or UNDERSTUDY_STORE in "
            "the environment"
        )
    if "malformed" in text or "not a database" in text:
        return (
            f"damaged ({text}). Save what can be read, `understudy store export saved.jsonl`, move the file away, then "
            "`understudy store import saved.jsonl`"
        )
    if "locked" in text or "locking protocol" in text:
        return (
            f"another process has held it for {_BUSY_S:.0f} s, or it is on a network disk ({text}). Wait, or name a file "
            "on a disk of this machine: store = PATH"
        )
    return f"{text}. Check the file and its folder; another one: store = PATH"
