"""JSON Lines: read with file and line in every error, append, and write whole files atomically.

`.gz` files are read as they are. A file of ours is UTF-8, one object a line, keys in the order they were written; one of
the user's may begin with a byte order mark.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from understudy.errors import DataError

Row = dict[str, Any]
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins as UTF-16 does, so it comes first
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""The encodings that a byte order mark says."""


def read(path: Path | str) -> Iterator[Row]:
    """The rows of a JSON Lines file, streamed; blank lines are skipped.

    Raises:
        DataError: with file:line, if a line is not a JSON object or the file cannot be read.
    """
    for _, row in read_numbered(path):
        yield row


def read_numbered(path: Path | str) -> Iterator[tuple[int, Row]]:
    """As `read`, with each row's line number, counted from 1."""
    path = Path(path)
    with explained(path), open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _parse(line, path, number)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what goes wrong while `path` is read into a `DataError` that says where, and what to do."""
    try:
        yield
    except FileNotFoundError:
        raise DataError("no such file. Check the path; relative paths start at the configuration file", path) from None
    except IsADirectoryError:
        raise DataError("is a folder, expected a file with rows", path) from None
    except PermissionError:
        raise DataError("may not be read. Give yourself the right to, or choose another file", path) from None
    except UnicodeDecodeError as error:
        raise _undecodable(path, error) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"is no whole gzip file ({error}). Fetch or pack it again", path) from None


def open_text(path: Path) -> IO[str]:
    """Open a text file, gz or not: UTF-8, or whatever its first bytes, a byte order mark, say."""
    encoding = encoding_of(path)
    return io.TextIOWrapper(_open(path), encoding=encoding)


def encoding_of(path: Path) -> str:
    """The encoding that the first bytes of a file say; UTF-8 if they say nothing.

    Raises:
        DataError: it is no text.
    """
    with _open(path) as file:
        head = file.read(1024)
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    if b"\0" in head:
        raise DataError(
            "is no text: it holds zero bytes, as a workbook, a Parquet file under another name or UTF-16 without a byte "
            "order mark does. Save it as CSV or JSON Lines in UTF-8",
            path,
        )
    return "utf-8-sig"


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path) if path.suffix == ".gz" else open(path, "rb"))


def _undecodable(path: Path, error: UnicodeDecodeError) -> DataError:
    """Names the first line that is not UTF-8, as it would read in the encoding that is most often meant."""
    encoding = encoding_of(path)
    if encoding != "utf-8-sig":
        return DataError(f"is no {encoding.upper()}, as its first bytes say ({error}). Save it in UTF-8", path)
    with _open(path) as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode()
            except UnicodeDecodeError as found:
                near = line[max(0, found.start - 20) : found.end + 20].decode("cp1252", "replace").strip()
                return DataError(
                    f"not UTF-8 text: the byte 0x{line[found.start]:02x}. If it should read {near!r}, it is Windows-1252, "
                    f"and this converts it:  iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8-{path.name}",
                    path,
                    number,
                )
    return DataError(f"not UTF-8 text ({error}). Save it in UTF-8", path)


def _parse(line: str, path: Path, number: int) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason, _ = fault(error)
        shown = line.strip()[:60]
        raise DataError(f"not valid JSON ({reason}): {shown!r}. Mend or delete the line", path, number) from None
    if not isinstance(row, dict):
        raise DataError(f"expected an object like {{...}}, found {type(row).__name__}", path, number)
    return row


def fault(error: ValueError | RecursionError) -> tuple[str, int]:
    """What is wrong with a JSON text that cannot be read, in a few words, and in which of its lines, from 1."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg, error.lineno
    return ("nested too deep" if isinstance(error, RecursionError) else "a number of thousands of digits"), 1


def dumps(row: Mapping[str, Any]) -> str:
    """One line, without the line end. Text stays readable, unless it holds lone surrogates, which UTF-8 cannot."""
    line = json.dumps(row, ensure_ascii=False)
    return line if line.isascii() or not _SURROGATE.search(line) else json.dumps(row)


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write `rows` to `path` atomically: the file is there whole or not at all. Returns how many there were."""
    with AtomicWriter(path) as out:
        for row in rows:
            out.write(row)
    return out.rows


class AtomicWriter:
    """Writes rows beside `path` and puts the file in place when the `with` block ends without an error."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._beside = path.with_name(path.name + ".tmp")

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._beside, "w", encoding="utf-8")
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        self._file.write(dumps(row) + "\n")
        self.rows += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                sync(self._file)
        finally:
            self._file.close()
            if kind is None:
                os.replace(self._beside, self.path)
            else:
                self._beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    try:
        with open(beside, "w", encoding="utf-8") as out:
            out.write(text)
            sync(out)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def sync(file: IO[str]) -> None:
    """Push what was written all the way to the disk."""
    file.flush()
    os.fsync(file.fileno())


class Appender:
    """Appends rows to a file that a kill may have cut: a half-written last line is removed first.

    `flush` reaches the disk; rows after the last flush may be lost with the machine, none before it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        drop_partial_line(self.path)
        self._file = open(self.path, "a", encoding="utf-8")
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        self._file.write(dumps(row) + "\n")

    def flush(self) -> None:
        sync(self._file)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            sync(self._file)
        finally:
            self._file.close()


def drop_partial_line(path: Path) -> None:
    """Cut the file after its last line end, so that a row a kill left half-written does not spoil the next one."""
    if not path.exists():
        return
    with open(path, "rb+") as file:
        end = file.seek(0, os.SEEK_END)
        position = end
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            found = file.read(position - start).rfind(b"\n")
            if found >= 0:
                position = start + found + 1
                break
            position = start
        if position < end:
            file.truncate(position)
