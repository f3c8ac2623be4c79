"""The completions of a source on disk: what was there before, and what is being appended.

    {"question": "train-7", "sample": 0, "request": "9f2c...", "text": "def solution(): ...", "finish": "stop", ...}

`request` is a digest of all that the answer depends on (who is asked, the prompt, how to sample, which sample). Rows are
appended as they come and put into the order of the questions at the end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from understudy import jsonl

COMMIT_S = 0.5
"""A kill loses at most the answers of this many seconds."""


class Completions:
    """The files of one source.

    Three files are looked at: the finished one, the one under way (`.part`), and the one with answers that the present
    configuration does not ask for (`.spare`), so that no change of mind costs an answer twice. Only digests and offsets
    are held in memory. A row that failed is asked for again when the step is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self._spare = path.with_name(path.name + ".spare")
        self._where: dict[str, tuple[Path, int]] = {}

    def __enter__(self) -> Completions:
        self._appender = jsonl.Appender(self._part).__enter__()
        self._committed = time.monotonic()
        self._index()
        return self

    def _index(self) -> None:
        self._where.clear()
        for path in (self._spare, self.path, self._part):
            offset = 0
            if path.exists():
                with open(path, "rb") as lines:
                    for line in lines:
                        row = json.loads(line)
                        if row.get("finish") != "failed" or path == self._part:
                            self._where[row["request"]] = (path, offset)
                        offset += len(line)

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def add(self, row: dict[str, Any]) -> None:
        """Append a completion; it is on disk within `COMMIT_S`."""
        self._appender.write(row)
        if time.monotonic() - self._committed >= COMMIT_S:
            self._appender.flush()
            self._committed = time.monotonic()

    def put_in_order(self, keys: Iterable[str]) -> int:
        """Write the finished file: the rows of `keys` in that order. Returns how many there are."""
        self._appender.flush()
        self._index()
        with ExitStack() as stack:
            files = {p: stack.enter_context(open(p, "rb")) for p in {path for path, _ in self._where.values()}}

            def row(key: str) -> jsonl.Row:
                path, offset = self._where.pop(key)
                files[path].seek(offset)
                return cast("jsonl.Row", json.loads(files[path].readline()))

            finished, spare = jsonl.AtomicWriter(self.path), jsonl.AtomicWriter(self._spare)
            with spare, finished:
                for key in keys:
                    finished.write(row(key))
                for key in list(self._where):
                    spare.write(row(key))
        self._part.unlink()
        if not spare.rows:
            self._spare.unlink()
        return finished.rows

    def __exit__(self, *error: Any) -> None:
        self._appender.__exit__(*error)
        if self._part.exists() and self._part.stat().st_size == 0:
            self._part.unlink()
