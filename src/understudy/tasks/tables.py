"""The user's own files: their rows, and the question in a row. Not a data set.

    rows(Path("my.parquet"))      # (1, {"question": "What is 6 * 7?", "answer": 42}), ...

JSON Lines, a JSON array, CSV and TSV (each also as `.gz`) and Parquet are told by the file's ending, an array by its first
character, what stands between the columns of a CSV by its first line. A place is the line in the file, in Parquet and in
an array the number of the row, all from 1. A column of choices holds a list; where a file has no lists, as CSV has none,
it is text: a JSON list, or the choices with `|` between them.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from understudy import jsonl
from understudy.answers import kind
from understudy.errors import DataError, PrerequisiteError
from understudy.records import Question
from understudy.tasks.choices import by_number, with_choices

ROLES = ("id", "question", "answer", "choices")
"""What a column may be to us."""
STANDARD = {role: role for role in ROLES}
"""The names of the columns where nothing else is said."""
LARGEST_ARRAY = 64 * 2**20
"""Largest JSON array that is read, in bytes: it is read whole, while JSON Lines are streamed."""
LARGEST_CELL = 2**24
"""Longest cell of a CSV, in characters; a quote that is never closed reaches it."""
_BATCH = 1000
"""Rows of a Parquet file in memory at once."""
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_USUAL = {".csv": ",", ".tsv": "\t"}


class Reading(NamedTuple):
    """How a file's rows become questions.

    Attributes:
        columns: the column of each role that has one.
        answer, labels: the kind of the answers, and the closed set of labels.
        first_choice: the number of the first choice, where numbers name them.
        show_choices: whether the choices are written below a question.
        guessed: the keys among these that nobody declared.
    """

    columns: Mapping[str, str] = STANDARD
    answer: str = "text"
    labels: tuple[str, ...] = ()
    first_choice: int | None = None
    show_choices: bool = True
    guessed: tuple[str, ...] = ()


def rows(path: Path) -> Iterator[tuple[int, jsonl.Row]]:
    """The rows of a file with their places, streamed.

    Raises:
        DataError: the file is missing or cannot be read; says where.
        PrerequisiteError: it is a Parquet file, and pyarrow is not installed.
    """
    ending = _ending(path)
    if ending == ".parquet":
        return _parquet(path)
    if ending in _USUAL:
        return _csv(path)
    return _array(path) if _is_array(path) else _lines(path)


def filled(path: Path) -> Iterator[tuple[int, jsonl.Row]]:
    """As `rows`, of a file that must have some.

    Raises:
        DataError: it has none.
    """
    empty = True
    for row in rows(path):
        empty = False
        yield row
    if empty:
        found = "no row" if path.stat().st_size else "nothing"
        raise DataError(f"holds {found}, expected at least one row. Was it written to its end?", path)


def form(path: Path) -> str:
    """What is unusual in how a text file is written, in sentences to show; "" if nothing is."""
    if _ending(path) == ".parquet":
        return ""
    with jsonl.explained(path):
        separator = _separator(path) if _ending(path) in _USUAL else ""
        encoding = jsonl.encoding_of(path)
    between = "" if separator == _USUAL.get(_ending(path), "") else f"has {_SEPARATORS[separator]} between its columns"
    written = "" if encoding == "utf-8-sig" else f"is read as {encoding.upper()}"
    return " ".join(f"{path.name} {said}." for said in (between, written) if said)


def _ending(path: Path) -> str:
    return next((suffix.lower() for suffix in reversed(path.suffixes) if suffix != ".gz"), "")


def _separator(path: Path) -> str:
    """What parts the first line into most columns; what the file's ending says if others part it no better."""
    with jsonl.open_text(path) as file:
        head = file.readline(LARGEST_CELL)
    return max(
        dict.fromkeys((_USUAL[_ending(path)], *_SEPARATORS)),
        key=lambda separator: len(next(csv.reader([head], delimiter=separator), [])),
    )


def _csv(path: Path) -> Iterator[tuple[int, jsonl.Row]]:
    csv.field_size_limit(LARGEST_CELL)
    start = 1
    try:
        with jsonl.explained(path), jsonl.open_text(path) as file:
            reader = csv.reader(file, delimiter=_separator(path), strict=True)
            header: list[str] = []
            for cells in reader:
                line, start = reader.line_num, reader.line_num + 1
                if not cells:
                    continue
                if not header:
                    header = _header(cells, path, line)
                elif len(cells) == len(header):
                    yield line, dict(zip(header, cells, strict=True))
                else:
                    raise DataError(
                        f"expected {len(header)} columns as in the header, found {len(cells)}. "
                        "A cell that holds what stands between the columns needs quotes",
                        path,
                        line,
                    )
    except csv.Error as error:
        raise DataError(
            f"the row that begins here cannot be read as CSV ({error}). Is a quote not closed, or not doubled?",
            path,
            start,
        ) from None


def _header(cells: list[str], path: Path, line: int) -> list[str]:
    twice = [name for name, count in Counter(cells).items() if count > 1 and name]
    if twice:
        raise DataError(f"two columns have the name {twice[0]!r}. Rename one of them", path, line)
    return cells


def _is_array(path: Path) -> bool:
    with jsonl.explained(path), jsonl.open_text(path) as file:
        return file.read(1024).lstrip().startswith("[")


def _array(path: Path) -> Iterator[tuple[int, jsonl.Row]]:
    text = _short(path)
    if text is None:
        raise DataError(
            f"is one JSON array of more than {LARGEST_ARRAY >> 20} MiB, which would be read whole. "
            f"Make it JSON Lines:  jq -c '.[]' {path.name} > {path.stem}.jsonl",
            path,
        )
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason, line = jsonl.fault(error)
        raise DataError(f"begins as a JSON array and is none ({reason}). Mend it", path, line) from None
    for number, row in enumerate(found, 1):
        if not isinstance(row, dict):
            raise DataError(f"row {number} is {row!r:.60}, expected an object like {{...}}", path)
        yield number, row


def _short(path: Path) -> str | None:
    """The text of a file, None if it is too long to be read whole."""
    with jsonl.explained(path), jsonl.open_text(path) as file:
        text = file.read(LARGEST_ARRAY + 1)
    return text if len(text) <= LARGEST_ARRAY else None


def _lines(path: Path) -> Iterator[tuple[int, jsonl.Row]]:
    try:
        yield from jsonl.read_numbered(path)
    except DataError as error:
        if error.line == 1 and (lists := _lists(path)) is not None:
            where = f"its list {lists[0]!r}" if lists else "a list"
            raise DataError(
                "is one JSON object over several lines, expected a row a line, or an array of rows. "
                f"Of {where}:  jq -c '.{lists[0] if lists else 'NAME'}[]' {path.name} > {path.stem}.jsonl",
                path,
            ) from None
        raise


def _lists(path: Path) -> list[str] | None:
    """The keys with a list, if the whole file is one JSON object; else None."""
    try:
        found = json.loads(_short(path) or "")
    except (ValueError, RecursionError):
        return None
    return [key for key, value in found.items() if isinstance(value, list)] if isinstance(found, dict) else None


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
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{value!r:.80} is no JSON list ({jsonl.fault(error)[0]})") from None
        if isinstance(value, list) and len(value) < 2:
            raise ValueError(f'{text!r:.80} is one choice; expected a JSON list or "first|second|third"')
    if is_empty(value) or value == []:
        return ()
    if not isinstance(value, list) or not all(isinstance(choice, str | int | float) for choice in value):
        raise ValueError(f"expected a list of texts, found {value!r:.80}")
    return tuple(str(choice).strip() for choice in value)


def to_question(row: Mapping[str, Any], reading: Reading, place: tuple[Path, int], unnamed: str) -> Question:
    """The question of a row.

    Args:
        row: as it was read.
        reading: which column is what, and what the answers are.
        place: file and line, for errors.
        unnamed: the question's id if the row has none.

    Raises:
        DataError: a value is not as expected.
    """
    columns = {**STANDARD, **reading.columns}
    text = row.get(columns["question"])
    if not isinstance(text, str) or not text.strip():
        there = ", ".join(map(repr, row))
        raise DataError(
            f"no {columns['question']!r}: expected text, found {text!r:.80} among the columns {there}. "
            "Another name: task.columns.question=NAME",
            *place,
        )
    try:
        choices = read_choices(row.get(columns["choices"])) or tuple(reading.labels)
    except ValueError as error:
        raise DataError(f"{columns['choices']!r}: {error}", *place) from None
    gold, identity = row.get(columns["answer"]), row.get(columns["id"])
    answer = None if is_empty(gold) else _answer(gold, choices, reading, place)
    shown = with_choices(text, choices) if reading.show_choices and reading.answer == "choice" and choices else text
    extra = {name: value for name, value in row.items() if name not in columns.values()}
    return Question(unnamed if is_empty(identity) else str(identity), shown, answer, choices, extra)


def _answer(gold: object, choices: Sequence[str], reading: Reading, place: tuple[Path, int]) -> str:
    answer = by_number(gold, choices, reading.first_choice) or kind(reading.answer).read(str(gold), choices)
    if answer is not None:
        return answer
    among = f" among {list(choices)}" if choices else ""
    if choices and reading.answer == "choice":
        numbers = "" if reading.first_choice is None else f" or its number from {reading.first_choice}"
        among += f", given by its text or its letter{numbers}"
    raise DataError(
        f"answer {gold!r:.200} is no {reading.answer}{among}. Mend the row, or declare another kind: task.answer=text",
        *place,
    )
