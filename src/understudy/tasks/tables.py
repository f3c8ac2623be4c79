"""The user's own files: their rows, and the question in a row. Not a data set.

    rows(Path("my.parquet"))      # (1, {"question": "What is 6 * 7?", "answer": 42}), ...

JSON Lines, CSV and TSV (each also as `.gz`) and Parquet are told by the file's ending. A place is the line in the file,
in Parquet the number of the row, both from 1. A column of choices holds a list; where a file has no lists, as CSV has
none, it is text: a JSON list, or the choices with `|` between them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from understudy import jsonl
from understudy.answers import AnswerKind
from understudy.errors import DataError, PrerequisiteError
from understudy.records import Question

ROLES = ("id", "question", "answer", "choices")
"""What a column may be to us."""
STANDARD = {role: role for role in ROLES}
"""The names of the columns where nothing else is said."""
_BATCH = 1000
"""Rows of a Parquet file in memory at once."""


def rows(path: Path) -> Iterator[tuple[int, jsonl.Row]]:
    """The rows of a file with their places, streamed.

    Raises:
        DataError: the file is missing or cannot be read; says where.
        PrerequisiteError: it is a Parquet file, and pyarrow is not installed.
    """
    ending = next((suffix for suffix in reversed(path.suffixes) if suffix != ".gz"), "")
    if ending == ".parquet":
        return _parquet(path)
    return _csv(path, "\t" if ending == ".tsv" else ",") if ending in (".csv", ".tsv") else jsonl.read_numbered(path)


def _csv(path: Path, delimiter: str) -> Iterator[tuple[int, jsonl.Row]]:
    try:
        with jsonl.open_text(path) as file:
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(
                        f"expected {len(reader.fieldnames or ())} columns as in line 1", path, reader.line_num
                    )
                yield reader.line_num, dict(row)
    except FileNotFoundError:
        raise _no_file(path) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as CSV in UTF-8 ({error})", path, None) from None


def _parquet(path: Path) -> Iterator[tuple[int, jsonl.Row]]:
    if not path.exists():
        raise _no_file(path)
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise PrerequisiteError(
            f"{path}: Parquet is read by pyarrow, which is not installed: pip install 'understudy[parquet]'"
        ) from None
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(f"cannot be read as Parquet after this row ({reason})", path, number) from None


def _no_file(path: Path) -> DataError:
    return DataError("no such file. Check the path; relative paths start at the configuration file", path)


def is_empty(value: object) -> bool:
    """Whether a cell holds nothing: null, not-a-number or blank text."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def read_choices(value: object) -> tuple[str, ...]:
    """The choices in a cell; () if it is empty.

    Raises:
        ValueError: it holds something else; says what.
    """
    if isinstance(value, str) and value.strip():
        text = value.strip()
        try:
            value = json.loads(text) if text.startswith("[") else text.split("|")
        except json.JSONDecodeError as error:
            raise ValueError(f"{value!r:.80} is no JSON list ({error.msg})") from None
        if isinstance(value, list) and len(value) < 2:
            raise ValueError(f'{text!r:.80} is one choice; expected a JSON list or "first|second|third"')
    if is_empty(value) or value == []:
        return ()
    if not isinstance(value, list) or not all(isinstance(choice, str | int | float) for choice in value):
        raise ValueError(f"expected a list of texts, found {value!r:.80}")
    return tuple(str(choice).strip() for choice in value)


def to_question(
    row: Mapping[str, Any],
    columns: Mapping[str, str],
    kind: AnswerKind,
    place: tuple[Path, int],
    unnamed: str,
    labels: Sequence[str] = (),
) -> Question:
    """The question of a row.

    Args:
        row: as it was read.
        columns: the column of every role; one that is not there is empty.
        kind: what an answer is.
        place: file and line, for errors.
        unnamed: the question's id if the row has none.
        labels: the choices of a row without any.

    Raises:
        DataError: a value is not as expected.
    """
    text = row.get(columns["question"])
    if not isinstance(text, str) or not text.strip():
        there = ", ".join(map(repr, row))
        raise DataError(
            f"no {columns['question']!r}: expected text, found {text!r} among the columns {there}. "
            "Another name: task.columns.question=NAME",
            *place,
        )
    try:
        choices = read_choices(row.get(columns["choices"])) or tuple(labels)
    except ValueError as error:
        raise DataError(f"{columns['choices']!r}: {error}", *place) from None
    gold, identity = row.get(columns["answer"]), row.get(columns["id"])
    answer = None
    if not is_empty(gold) and (answer := kind.read(str(gold), choices)) is None:
        among = f" among {list(choices)}" if choices else ""
        among += ", given by its text or its letter" if choices and kind.name == "choice" else ""
        raise DataError(
            f"answer {gold!r} is no {kind.name}{among}. Mend the row, or declare another kind: task.answer=text", *place
        )
    extra = {name: value for name, value in row.items() if name not in columns.values()}
    return Question(unnamed if is_empty(identity) else str(identity), text, answer, choices, extra)
