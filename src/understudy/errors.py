"""Every error that understudy raises on purpose.

    UnderstudyError
    ├── ConfigError           the configuration; carries every problem found, not only the first
    ├── DataError             a row or a file of the user's; says file:line
    ├── PrerequisiteError     something is not installed or not set; says the line that mends it
    ├── RunError              a run directory cannot be used or a step cannot be done
    │   ├── RunLockedError    another process is working in the directory
    │   └── NothingKeptError  the filter kept no rationale, so there is nothing to train on
    ├── TeacherError          the teacher cannot answer at all (key, model name, no recording)
    │   └── BudgetError       the next request could cost more than the budget has left
    ├── StoreError            the store of answers cannot be read or written
    ├── StudentError          a model folder or a shape that cannot be trained or loaded
    └── SandboxError          no safe way to run programs on this system

A message states the value, the expectation, the place and the next step. Library code raises; only `cli.py` turns an
error into one line and an exit code. What a single teacher or program did wrong is data (a fault), never an exception.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class UnderstudyError(Exception):
    """The root. `exit_code` is what the command ends with when this error reaches it."""

    exit_code = 1


class ConfigError(UnderstudyError, ValueError):
    """The configuration is wrong. `problems` holds one sentence for each mistake."""

    exit_code = 2

    def __init__(self, problems: Sequence[str], place: str = "") -> None:
        self.problems = tuple(problems)
        where = f"{place}: " if place else ""
        if len(self.problems) == 1:
            message = where + self.problems[0]
        else:
            message = f"{where}{len(self.problems)} problems\n" + "\n".join(f"  - {p}" for p in self.problems)
        super().__init__(message)


class DataError(UnderstudyError, ValueError):
    """A file or a row of it is not as expected. The message opens with `file:line` where there is a line."""

    def __init__(self, message: str, path: Path | str | None = None, line: int | None = None) -> None:
        self.path, self.line = path, line
        place = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(place + message)


class PrerequisiteError(UnderstudyError):
    """Something this step needs is not there: a package, a key. The message holds the line that provides it."""


class RunError(UnderstudyError):
    """A run directory cannot be used, or a step of it cannot be done."""


class RunLockedError(RunError):
    """Another process is working in the run directory."""


class NothingKeptError(RunError):
    """No rationale passed the filter, so there is nothing to learn from."""


class TeacherError(UnderstudyError):
    """The teacher cannot answer at all; asking on would be in vain."""


class BudgetError(TeacherError):
    """The next request could cost more than the budget has left. What was answered is kept."""


class StoreError(UnderstudyError):
    """The store of answers cannot be read or written. What it held stays."""


class StudentError(UnderstudyError):
    """A student cannot be made, loaded or trained as asked."""


class SandboxError(UnderstudyError):
    """There is no safe way to run programs on this system."""


@contextmanager
def explain_os_errors(doing: str) -> Iterator[None]:
    """Turn a full disk, a refused permission or a wrong path while `doing` something into a `RunError` that says what to do.

    Other `OSError`s pass through unchanged.
    """
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(
                f"no space left on the disk while {doing}{place}. What was complete is kept: "
                "free some space and give the same command again."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise RunError(
                f"not allowed to write while {doing}{place}. Choose another directory with --out."
            ) from error
        if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOENT):
            reason = (error.strerror or str(error)).lower()
            raise RunError(
                f"{error.filename2 or error.filename}: {reason}, while {doing}. Give another path"
            ) from error
        raise
