"""Moves what SQLite's log holds into its file, in a thread, so that nobody who asks a teacher waits for the disk.

    answers.sqlite-wal    every commit is appended here, without waiting for the disk
    answers.sqlite        ... and copied here by a checkpoint, which does wait: a millisecond for some dozen answers

SQLite would do it within a commit. Nothing depends on the thread: the last to close a store empties the log, and
whoever opens the store after a kill reads it. It knows nothing of tables.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from pathlib import Path

EVERY = 32
"""Commits between checkpoints."""
LONGEST = 32 << 20
"""Bytes of a log that is emptied, which stops those who write for a moment; else it may grow as long as they do."""


class Checkpointer:
    """The thread; it begins with the first checkpoint."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._commits = 0
        self._due = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def committed(self) -> None:
        """There was a commit."""
        self._commits += 1
        if self._commits % EVERY == 0:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="checkpointer", daemon=True)
                self._thread.start()
            self._due.set()

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        log = Path(f"{self._path}-wal")
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self._path)) as db:
            while self._due.wait() and not self._closed:
                self._due.clear()
                # A full disk or another process that is faster: the next commit says so, or nobody needs to know.
                with contextlib.suppress(sqlite3.Error, OSError):
                    db.execute("PRAGMA wal_checkpoint(PASSIVE)")
                    if os.stat(log).st_size > LONGEST:
                        db.execute("PRAGMA wal_checkpoint(PASSIVE)")  # what came meanwhile, so that little is left
                        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
