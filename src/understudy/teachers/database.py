"""The store's file: one SQLite database that several processes open at once, written in transactions.

    database = Database(Path("answers.sqlite"), "CREATE TABLE IF NOT EXISTS ...")
    database.transact([lambda: database.execute("INSERT INTO ...")])        # all of it is written, or nothing
    database.lives(owner)                                                   # whether that process is still there

    answers.sqlite           what is written; answers.sqlite-wal the latest of it, which `checkpointer.py` moves over
    answers.sqlite.owners/   a file for each process, locked as long as it lives, however it dies

It knows nothing of answers, claims or costs.
"""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from understudy.errors import StoreError
from understudy.teachers.checkpointer import Checkpointer

T = TypeVar("T")

_BUSY_S = 60.0


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


class Database:
    """An open file.

    Args:
        path: the file; made if it is not there. None: in memory, gone at the end.
        tables: SQL that makes what is not there yet.

    Attributes:
        path: as given.
        owner: the name of this process in it.
        undone: called when a transaction could not be committed, for whoever remembers what it has written.

    Raises:
        StoreError: it cannot be opened, read or written; says why and what to do. What it held stays.
    """

    def __init__(self, path: Path | None, tables: str) -> None:
        self.path = path
        self.owner = uuid.uuid4().hex
        self.undone: list[Callable[[], None]] = []
        self._lock: FileLock | None = None
        self._explained = _Explained(path)
        self._version = self._changes = 0
        self._looked = False  # in this transaction
        self._checkpointer = Checkpointer(path) if path is not None else None
        with self._explained:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                ":memory:" if path is None else path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(tables)
            except BaseException:
                self._db.close()
                raise

    def _prepare(self, tables: str) -> None:
        """Make the tables, and show that this process lives."""
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # a kill loses nothing; a power cut the last moments
        self._db.execute("PRAGMA wal_autocheckpoint = 0")  # the checkpointer's work
        self._db.executescript(tables)
        if self.path is not None:
            self._lock = FileLock(self._owners / self.owner, timeout=0)
            self._owners.mkdir(exist_ok=True)
            self._lock.acquire()
        [(self._version,)] = self._db.execute("PRAGMA data_version")

    @property
    def _owners(self) -> Path:
        assert self.path is not None
        return self.path.with_name(self.path.name + ".owners")

    def close(self) -> None:
        """Close the file; this process is no owner any more."""
        if self._checkpointer is not None:
            self._checkpointer.close()
        self._db.close()
        if self._lock is not None:
            self._lock.release()
            (self._owners / self.owner).unlink(missing_ok=True)

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
        with self._explained:
            self._db.execute("BEGIN IMMEDIATE")
            self._looked = False
            try:
                results = [action() for action in actions]
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                for forget in self.undone:
                    forget()
                raise
        if self._checkpointer is not None:
            self._checkpointer.committed()
        return results

    def changes(self) -> int:
        """A number that has grown if another process has written since it was asked for last; fixed within `transact`."""
        if not (self._looked and self._db.in_transaction):
            [(version,)] = self._db.execute("PRAGMA data_version")
            if version != self._version:
                self._version = version
                self._changes += 1
            self._looked = True
        return self._changes

    def lives(self, owner: str) -> bool:
        """Whether a process is still there."""
        if owner == self.owner:
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
