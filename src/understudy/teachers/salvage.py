"""Reading a store without opening it: its answers as rows of an export, whatever is damaged in the file.

    stored_rows(Path("answers.sqlite"))
    {"question": "train-7", "text": "def ...", "finish": "stop", "max_tokens": 512, "asked": 1795000000.0, "request": {...},
     "reply": {...}}

It writes nothing and claims nothing; `Store` is for whoever asks.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from understudy.errors import StoreError
from understudy.records import Json
from understudy.teachers.database import explanation
from understudy.teachers.packing import unpacked, with_text


def stored_rows(path: Path, model: str | None = None) -> Iterator[Json]:
    """Every answer of a store as a row of an export, in the order in which they came.

    The file is only read. What is damaged in it is passed over, so that the rest can be saved.

    Raises:
        StoreError: nothing in it can be read.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
            db.execute("PRAGMA writable_schema = ON")  # or SQLite refuses a file that is shorter than it was
            try:
                [(last,)] = db.execute("SELECT coalesce(max(id), 0) FROM answers")
            except sqlite3.DatabaseError:
                last = path.stat().st_size // 50  # the last page is gone; no row takes less than 50 bytes
            for start in range(1, last + 1, 500):
                yield from _some_rows(db, range(start, min(start + 500, last + 1)), model)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {explanation(error)}") from error


def _some_rows(db: sqlite3.Connection, ids: range, model: str | None) -> Iterator[Json]:
    query = "SELECT max_tokens, asked, said, row FROM answers WHERE id BETWEEN ? AND ? AND (? IS NULL OR model = ?)"
    try:
        found = db.execute(query, (ids[0], ids[-1], model, model)).fetchall()
    except sqlite3.DatabaseError:
        if len(ids) > 1:
            half = len(ids) // 2
            yield from _some_rows(db, ids[:half], model)
            yield from _some_rows(db, ids[half:], model)
        return
    for max_tokens, asked, said, packed in found:
        try:
            completion, row = unpacked(said), unpacked(packed)
        except (TypeError, ValueError, zlib.error):
            continue  # half a row
        yield {
            "question": row["question"],
            **completion,
            "max_tokens": max_tokens,
            "asked": asked,
            "request": row["request"],
            "reply": with_text(row["reply"], completion["text"]),
        }
