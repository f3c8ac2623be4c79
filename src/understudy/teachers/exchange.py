"""Looking into the store, and carrying answers from one to another.

    understudy store export answers.jsonl        # or answers.parquet
    {"question": "train-7", "text": "def ...", "model": "gpt-4o-mini", "max_tokens": 512, "asked": 1795000000.0,
     "request": {"endpoint": "openai ...", "prompt": "Q: ...", "temperature": 0.7, ...}, "reply": {...}}

An exported file goes into another store (`store import`), or teaches as it is: teacher = "recorded:answers.jsonl".
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from understudy import jsonl
from understudy.errors import DataError, PrerequisiteError, StoreError
from understudy.progress import Progress
from understudy.records import Json
from understudy.tasks.tables import rows as rows_of
from understudy.teachers.salvage import stored_rows
from understudy.teachers.store import CHUNK, Store, default_path

_OBJECTS = ("request", "reply")
"""Columns that Parquet keeps as JSON text."""


def overview(path: Path | None) -> str:
    """A table of the models in the store."""
    path = path or default_path()
    if not path.exists():
        return f"{path}: no store yet; the first answer of a paid teacher makes one"
    with Store(path) as store:
        found = store.summary()
    lines = [f"{path}", f"{'model':<32}{'answers':>10}{'MB':>8}  {'first':<12}{'last':<12}endpoint"]
    for endpoint, model, count, first, last, size in found:
        days = "".join(f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d}  " for t in (first, last))
        lines.append(f"{model:<32}{count:>10,}{size / 1e6:>8.1f}  {days}{endpoint[:60]}")
    return "\n".join(lines)


def export(path: Path | None, file: Path, model: str | None = None) -> int:
    """Write the store's answers to a file, or those of one model. Returns how many.

    Raises:
        StoreError: there is no store, or the file's ending says neither JSON Lines nor Parquet.
    """
    if file.suffix not in (".jsonl", ".parquet"):
        raise StoreError(f"{file}: expected a name that ends in .jsonl or .parquet. Nothing was written")
    write = _write_parquet if file.suffix == ".parquet" else _write_jsonl
    return write(file, stored_rows(_existing(path), model))


def take_over(path: Path | None, file: Path) -> tuple[int, int]:
    """Add the answers of an exported file. Returns how many were new and how many there already.

    Raises:
        DataError: a row is no answer; says file:line. The rows before it are taken over.
    """
    new = known = 0
    numbered = rows_of(file)
    with Store(path or default_path()) as store:
        while chunk := list(itertools.islice(numbered, CHUNK)):
            added = store.transact([partial(_add, store, file, line, row) for line, row in chunk])
            new += sum(added)
            known += len(added) - sum(added)
    return new, known


def prune(path: Path | None, model: str | None, before: datetime | None, failed: bool) -> int:
    """Delete answers. Returns how many."""
    with Store(_existing(path)) as store:
        return store.prune(model, before.replace(tzinfo=UTC).timestamp() if before else None, failed)


def compact(path: Path | None, progress: Progress) -> tuple[int, int]:
    """Compress all answers. Returns the store's bytes before and after."""
    path = _existing(path)
    before = _size(path)
    with Store(path) as store, progress.bar("compact", store.count()) as bar:
        store.compact(bar.advance)
    return before, _size(path)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, path.with_name(path.name + "-wal")) if file.exists())


def forget_batches(path: Path | None) -> int:
    """Give up the batches that are under way at an endpoint. Returns how many."""
    with Store(_existing(path)) as store:
        return store.forget_batches()


def _existing(path: Path | None) -> Path:
    path = path or default_path()
    if not path.is_file():
        raise DataError("no store there. Name another one with --store", path)
    return path


def _add(store: Store, file: Path, line: int, row: Json) -> bool:
    try:
        opened = {name: json.loads(row[name]) if isinstance(row[name], str) else row[name] for name in _OBJECTS}
        present = {name: value for name, value in row.items() if value is not None}
        return store.add({**present, **opened})
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"no answer of a store ({type(error).__name__}: {error}). Expected a file that `store export` wrote",
            file,
            line,
        ) from None


def _write_jsonl(file: Path, answers: Iterator[Json]) -> int:
    with jsonl.AtomicWriter(file) as writer:
        for row in answers:
            writer.write(row)
    return writer.rows


def _write_parquet(file: Path, answers: Iterator[Json]) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise PrerequisiteError("writing Parquet needs a package more: pip install 'understudy[parquet]'") from None
    text, whole = pa.string(), pa.int64()
    kinds = {
        "question": text, "text": text, "finish": text, "model": text, "prompt_tokens": whole, "completion_tokens": whole,
        "error": text, "max_tokens": whole, "asked": pa.float64(), "request": text, "reply": text,
    }  # fmt: skip
    schema, count, beside = pa.schema(kinds), 0, file.with_name(file.name + ".tmp")
    with pq.ParquetWriter(beside, schema) as writer:
        while chunk := list(itertools.islice(answers, CHUNK)):
            rows = [{**row, **{name: jsonl.dumps(row[name]) for name in _OBJECTS}} for row in chunk]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
            count += len(chunk)
    beside.replace(file)
    return count
