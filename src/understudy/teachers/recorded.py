"""The teacher `recorded`: completions that somebody has asked for before, in JSON Lines files. It asks no model.

    teacher = { name = "recorded", path = "svamp.jsonl.gz", text = "outputs.text", where = { style = "program" } }

    {"id": "svamp_0", "outputs": [{"style": "text", "text": "..."}, {"style": "program", "text": "def ..."}]}

An ask is answered by its key, the question's id: sample i is the i-th text recorded for it, in the order of the files.
What a model would see of an ask (prompt, sampling, seed) plays no part; a question with too few recordings gets
completions that `failed`, which is data and no error.

A file that `understudy store export` wrote is recognised, and answers by the exact prompt, sampling and sample instead:

    teacher = "recorded:answers.jsonl"
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Self

from pydantic import Field, model_validator

from understudy import jsonl
from understudy.config import UserPath
from understudy.errors import DataError
from understudy.procedures import Ask, Completer
from understudy.records import Completion, Finish
from understudy.tasks.task import Task
from understudy.teachers.account import Account
from understudy.teachers.store import key_of, request_of
from understudy.teachers.teacher import Teacher

_FINISH: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "refused": "refused",
    "failed": "failed",
    "content_filter": "refused",
    "eos": "stop",
    "end_turn": "stop",
    "max_tokens": "length",
}
_IN_MEMORY = 16 * 2**20
_SHOWN = 10


class RecordedTeacher(Teacher):
    """Completions recorded in JSON Lines files, looked up by the question's id."""

    name = "recorded"
    path: UserPath | None = None
    """The file with the completions; `.gz` is read as it is."""
    paths: tuple[UserPath, ...] = ()
    """Several files, instead of `path`; the texts of a question are counted on from one to the next."""
    id: str = Field("id", min_length=1)
    """The column that holds the question's id."""
    text: str = Field("text", min_length=1)
    """The column that holds the text. A dotted path goes into objects, and through a list to each of its elements."""
    model_column: str = "model"
    """The column that says which model wrote the text, beside the text or further out; without it, `model` is taken."""
    finish: str = ""
    """The column that says how the text ended, beside it or further out; empty: all ended by themselves."""
    where: dict[str, str] = Field(default_factory=dict)
    """Which texts to take: those whose column, beside the text or further out, equals the value."""

    @model_validator(mode="before")
    @classmethod
    def _file_after_the_colon(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("model") and not value.get("path") and not value.get("paths"):
            return {**value, "path": value["model"], "model": ""}
        return value

    @model_validator(mode="after")
    def _some_file(self) -> Self:
        if (self.path is None) == (not self.paths):
            raise ValueError("expected either path, the file with the completions, or paths, a list of files")
        return self

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in order."""
        return self.paths if self.path is None else (self.path,)

    @contextmanager
    def open(self, task: Task, concurrency: int = 32, account: Account | None = None) -> Iterator[Completer]:
        """Whoever looks the completions up. The files are read once, from beginning to end.

        The texts that are wanted are copied to a temporary file, for a compressed file cannot be read from the middle;
        in memory there are the ids and one offset a text.

        Raises:
            DataError: a file is missing, a row lacks a column, or `where` fits nothing; says file:line.
        """
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
            yield _Recording(self, spool, self._index(spool))

    def identity(self) -> str:
        """A digest of the files' content and of how they are read."""
        digests = []
        for path in self.files:
            try:
                status = path.stat()
                digests.append(_digest(path, status.st_size, status.st_mtime_ns))
            except OSError:
                raise DataError("cannot be read. Check the path of the recorded teacher", path) from None
        return f"recorded {json.dumps([digests, self.model_dump(exclude={'path', 'paths'})], sort_keys=True)}"

    def _index(self, spool: IO[bytes]) -> dict[str, array[int]]:
        index: dict[str, array[int]] = {}
        others: dict[str, set[str]] = {column: set() for column in self.where}
        for path in self.files:
            for line, row in jsonl.read_numbered(path):
                if _is_stored(row):
                    self._index_stored(row, path, line, spool, index, others)
                    continue
                id = _column([row], self.id, path, line)
                for places, text in self._texts(row, path, line):
                    if self._wanted(places, others, path, line):
                        completion = self._completion(places, text, path, line)
                        index.setdefault(str(id), array("Q")).append(spool.tell())
                        spool.write(jsonl.dumps(completion.to_json()).encode() + b"\n")
        if not index:
            raise DataError(self._nothing(others), ", ".join(map(str, self.files)))
        return index

    def _index_stored(
        self,
        row: jsonl.Row,
        path: Path,
        line: int,
        spool: IO[bytes],
        index: dict[str, array[int]],
        others: dict[str, set[str]],
    ) -> None:
        """A row of an exported store: an answer to one request. A whole one takes the place of a truncated one."""
        if not self._wanted([row], others, path, line) or row.get("finish") == "failed":
            return
        key = _request_key(row["request"])
        if key in index and row.get("finish") == "length":
            return
        names = ("text", "finish", "model", "prompt_tokens", "completion_tokens", "error")
        index[key] = array("Q", [spool.tell()])
        spool.write(jsonl.dumps({name: row[name] for name in names if name in row}).encode() + b"\n")

    def _texts(self, row: jsonl.Row, path: Path, line: int) -> Iterator[tuple[list[Any], str]]:
        """Each text of a row, with the objects it stands in, from the row inwards."""
        found: list[tuple[list[Any], Any]] = [([], row)]
        for name in self.text.split("."):
            inner = []
            for outer, place in found:
                for item in place if isinstance(place, list) else [place]:
                    places = [*outer, item]
                    inner.append((places, _column(places[-1:], name, path, line)))
            found = inner
        for places, value in found:
            for text in value if isinstance(value, list) else [value]:
                if not isinstance(text, str):
                    raise DataError(f"{self.text} is {text!r:.60}, expected a text", path, line)
                yield places, text

    def _wanted(self, places: Sequence[Any], others: Mapping[str, set[str]], path: Path, line: int) -> bool:
        wanted = True
        for column, value in self.where.items():
            found = str(_column(places, column, path, line))
            if found != value:
                wanted = False
                if len(others[column]) < _SHOWN:
                    others[column].add(found)
        return wanted

    def _completion(self, places: Sequence[Any], text: str, path: Path, line: int) -> Completion:
        named = next(
            (place[self.model_column] for place in reversed(places) if place.get(self.model_column)), self.model
        )
        if not self.finish:
            return Completion(text, model=str(named))
        how = _column(places, self.finish, path, line)
        if how not in _FINISH:
            raise DataError(f"{self.finish} is {how!r}, expected one of {', '.join(_FINISH)}", path, line)
        return Completion(
            text, _FINISH[how], str(named), error="" if _FINISH[how] in ("stop", "length") else f"recorded as {how}"
        )

    def _nothing(self, others: Mapping[str, set[str]]) -> str:
        if not any(others.values()):
            return f"no completion in {self.text!r}. Check that there are rows and that `text` names the right column"
        wanted = " and ".join(f"{column} = {value!r}" for column, value in self.where.items())
        there = "; ".join(f"{column} is one of {', '.join(sorted(seen))}" for column, seen in others.items() if seen)
        return f"no completion where {wanted}: {there}. Change `where`"


class _Recording:
    """Answers asks from the spool; may be asked from several threads."""

    def __init__(self, settings: RecordedTeacher, spool: IO[bytes], index: Mapping[str, array[int]]) -> None:
        self._settings = settings
        self._spool = spool
        self._index = index
        self._lock = threading.Lock()

    def complete(self, asks: Sequence[Ask]) -> list[list[Completion]]:
        """`ask.n` completions for each ask, cut as the ask's `prefix` and `stop` say."""
        return [[self._one(ask, ask.first_sample + i) for i in range(ask.n)] for ask in asks]

    def _one(self, ask: Ask, sample: int) -> Completion:
        stored = self._index.get(_request_key(request_of("", ask, sample)))
        if stored is not None:
            return self._read(ask, stored[0])
        offsets = self._index.get(ask.key, ())
        if sample >= len(offsets):
            files = ", ".join(path.name for path in self._settings.files)
            there = f"{files} has {len(offsets)} of them" if offsets else f"{files} has none"
            return Completion("", "failed", error=f"no recording {sample + 1} for the question {ask.key!r}: {there}")
        return self._read(ask, offsets[sample])

    def _read(self, ask: Ask, offset: int) -> Completion:
        with self._lock:
            self._spool.seek(offset)
            row = json.loads(self._spool.readline())
        text = row["text"].removeprefix(ask.prefix)
        ends = [end for stop in ask.stop if (end := text.find(stop)) >= 0]
        return Completion.from_json({**row, "text": text[: min(ends, default=None)]})


def _is_stored(row: jsonl.Row) -> bool:
    return isinstance(row.get("request"), dict) and "schema" in row["request"]


def _request_key(request: Mapping[str, Any]) -> str:
    """What two requests share that ask the same of whomever, with whatever seed."""
    return "request " + key_of({**request, "endpoint": "", "seed": None}).hex()


def _column(places: Sequence[Any], name: str, path: Path, line: int) -> Any:
    """The value of a column in the innermost of `places` that has it.

    Raises:
        DataError: none has it; names the columns there are.
    """
    for place in reversed(places):
        if isinstance(place, dict) and name in place:
            return place[name]
    there = dict.fromkeys(key for place in places if isinstance(place, dict) for key in place)
    found = f"the columns are: {', '.join(there)}" if there else f"found {places[-1]!r:.60}"
    raise DataError(f"no {name!r}; {found}. Say in the teacher's settings which column to read", path, line)


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file's content. `size` and `changed` (ns) make sure that a changed file is read again."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
