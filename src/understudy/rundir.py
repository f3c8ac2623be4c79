"""A run's directory: its paths, its marks, its lock and its manifest.

    runs/svamp-pad/
      manifest.json                the resolved configuration, seed, versions, what each step took
      completions/program.jsonl    rationales/program.jsonl   rejected/program.jsonl
      examples/student.jsonl       training/student.jsonl     students/student/
      predictions.jsonl            metrics.json               report.html   README.md
      marks/train-student.json     written last: the step is complete, from these inputs, with these files

A mark holds a digest of everything its step read and of every file it left. A step whose mark agrees with its inputs
is done.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from understudy import jsonl
from understudy.errors import RunError, RunLockedError


@dataclass(frozen=True, slots=True)
class RunDir:
    """The paths in a run's directory."""

    root: Path

    def completions(self, source: str) -> Path:
        return self.root / "completions" / f"{source}.jsonl"

    def rationales(self, source: str) -> Path:
        return self.root / "rationales" / f"{source}.jsonl"

    def funnel(self, source: str) -> Path:
        return self.root / "rationales" / f"{source}.funnel.json"

    def rejected(self, source: str) -> Path:
        return self.root / "rejected" / f"{source}.jsonl"

    def examples(self, role: str) -> Path:
        return self.root / "examples" / f"{role}.jsonl"

    def held_out(self, role: str) -> Path:
        """Examples the role does not train on: its validation set."""
        return self.root / "examples" / f"{role}.valid.jsonl"

    def student(self, role: str) -> Path:
        return self.root / "students" / role

    def summary(self, role: str) -> Path:
        return self.root / "students" / f"{role}.json"

    def training(self, role: str) -> Path:
        return self.root / "training" / f"{role}.jsonl"

    @property
    def predictions(self) -> Path:
        return self.root / "predictions.jsonl"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.json"

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def page(self) -> Path:
        return self.root / "report.html"

    @property
    def card(self) -> Path:
        return self.root / "README.md"

    def mark(self, step: str) -> Path:
        return self.root / "marks" / f"{step}.json"

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def files(self, path: Path) -> list[Path]:
        """`path` itself, or every file below it if it is a folder."""
        return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]

    def begin(self, step: str) -> None:
        """Take `step`'s mark away: from here on its files may change."""
        self.mark(step).unlink(missing_ok=True)

    def finish(self, step: str, inputs: str, outputs: Sequence[Path]) -> None:
        """Mark `step` complete. Call it when its files are on disk."""
        digests = {self.relative(f): file_digest(f) for path in outputs for f in self.files(path)}
        jsonl.write_text(self.mark(step), json.dumps({"inputs": inputs, "files": digests}, indent=1) + "\n")

    def is_done(self, step: str, inputs: str) -> bool:
        """Whether `step` is complete from these inputs and its files are still there."""
        mark = self.read_mark(step)
        return mark is not None and mark["inputs"] == inputs and all((self.root / f).exists() for f in mark["files"])

    def read_mark(self, step: str) -> dict[str, Any] | None:
        return read_json(self.mark(step))

    def left_by(self, step: str, only: Path | None = None) -> Mapping[str, str]:
        """Digest of every file that `step` left (or of `only` and what is below it), for the steps that read them.

        Empty if the step is not complete.
        """
        mark = self.read_mark(step)
        found: dict[str, str] = mark["files"] if mark else {}
        if only is None:
            return found
        name = self.relative(only)
        return {file: digest for file, digest in found.items() if file == name or file.startswith(f"{name}/")}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory: one process works in it at a time. A killed process lets go by itself.

        Raises:
            RunLockedError: another process holds it; says which.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock, holder = FileLock(self.root / ".lock", timeout=0), self.root / ".holder"
        try:
            lock.acquire()
        except Timeout:
            who = holder.read_text().strip() if holder.exists() else "unknown"
            raise RunLockedError(
                f"{self.root}: process {who} is working in this run. Wait for it, stop it, or choose another directory "
                "with --out"
            ) from None
        try:
            holder.write_text(f"{os.getpid()}\n")
            yield
        finally:
            lock.release()


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file of ours; None if there is no such file.

    Raises:
        RunError: the file is there but broken.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunError(f"{path}: not valid JSON ({error}). Delete the file; its step is then done again") from None
    return cast("dict[str, Any]", found)


def digest(value: Any) -> str:
    """A digest of a JSON value, the same on every machine."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:32]


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, streamed."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


class Checkpoint:
    """Appends rows to several files and remembers where a kill may resume.

    `commit(state)` makes the rows so far and the state one: after a kill the files are cut back to the last commit and
    `state` is that commit's. `finish()` puts the files in place under their own names.

        with Checkpoint([rationales, rejected]) as saved:
            for chunk in chunks[saved.state.get("chunks", 0):]:
                saved.write(0, row)
                saved.commit({"chunks": ...})
            saved.finish()
    """

    def __init__(self, paths: Sequence[Path], inputs: str) -> None:
        self._paths = list(paths)
        self._parts = [p.with_name(p.name + ".part") for p in paths]
        self._mark = self._parts[0].with_suffix(".state")
        self._inputs = inputs
        self.state: dict[str, Any] = {}

    def __enter__(self) -> Checkpoint:
        for part in self._parts:
            part.parent.mkdir(parents=True, exist_ok=True)
        saved = read_json(self._mark)
        fresh = saved is None or saved["inputs"] != self._inputs or not all(p.exists() for p in self._parts)
        self._files = []
        for number, part in enumerate(self._parts):
            file = open(part, "wb" if fresh else "rb+")
            if saved is not None and not fresh:
                file.truncate(saved["sizes"][number])
                file.seek(0, os.SEEK_END)
            self._files.append(file)
        if saved is not None and not fresh:
            self.state = saved["state"]
        return self

    def write(self, number: int, row: Mapping[str, Any]) -> None:
        """Append `row` to file `number`."""
        self._files[number].write((jsonl.dumps(row) + "\n").encode())

    def commit(self, state: Mapping[str, Any]) -> None:
        """Make the rows so far and `state` durable together."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        self.state = dict(state)
        row = {"inputs": self._inputs, "sizes": [file.tell() for file in self._files], "state": self.state}
        jsonl.write_text(self._mark, json.dumps(row))

    def finish(self) -> None:
        """Put the files in place."""
        for file, part, path in zip(self._files, self._parts, self._paths, strict=True):
            file.flush()
            os.fsync(file.fileno())
            os.replace(part, path)
        self._mark.unlink(missing_ok=True)

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()
