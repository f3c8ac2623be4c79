"""The interface of a teacher: settings that open into whoever completes prompts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, ValidationInfo

from understudy.config import Settings
from understudy.errors import TeacherError
from understudy.formats import Format
from understudy.methods import Method
from understudy.procedures import AsyncCompleter, Completer
from understudy.records import Question, Rationale
from understudy.tasks.task import Task
from understudy.teachers.account import Account
from understudy.teachers.prices import Price


def _find_folder(name: str, info: ValidationInfo) -> str:
    """The first folder of that name: beside the configuration, then where the command is given; else the name itself."""
    folders: Sequence[Path] = (info.context or {}).get("folders", ())
    found = (folder / Path(name).expanduser() for folder in [*folders, Path()])
    return next((str(path) for path in found if name and path.is_dir()), name)


FoundFolder = Annotated[str, AfterValidator(_find_folder)]
"""A name that may be a folder's: a model, a run."""


class Teacher(Settings, ABC):
    """How to reach a teacher. A subclass adds its settings as fields.

    Attributes:
        name: the provider, as in the configuration.
    """

    name: ClassVar[str]
    model: str = ""
    """Which model to ask, as the provider names it: what follows the colon in `provider:model`."""

    @abstractmethod
    def open(
        self, task: Task, concurrency: int = 32, account: Account | None = None
    ) -> AbstractContextManager[Completer | AsyncCompleter]:
        """Whoever answers, ready to be asked up to `concurrency` things at once; closed when the `with` block ends.

        A teacher whose answers cost money or time keeps them in the account's store and finds them there; None: it keeps
        them in memory.

        Raises:
            TeacherError, PrerequisiteError, DataError: it cannot answer at all; says what to do.
        """

    @abstractmethod
    def identity(self) -> str:
        """Who really answers (endpoint and model, a recording's content): part of the key under which an answer is kept."""

    def price(self) -> Price | None:
        """What its tokens cost; None if that is not known, or nothing."""
        return None

    def price_source(self) -> str:
        """Where the price comes from, in words."""
        return ""

    def refuses(self, task: Task, method: Method, out: Path) -> str | None:
        """Why it cannot teach by `method` in the run whose directory is `out`, in a sentence; None if it can."""
        return None

    def prompt(
        self, task: Task, question: Question, format: Format, shown: Sequence[tuple[Question, Rationale]]
    ) -> str:
        """What it is asked to write a rationale of `question` in `format`; `shown` are worked examples."""
        return format.prompt(task, question, shown)

    def note(self) -> str:
        """What every report of a run with this teacher must say; "" if nothing."""
        return ""


class NoTeacher(Teacher):
    """No teacher: for methods that learn from gold answers alone."""

    name = "none"

    def open(
        self, task: Task, concurrency: int = 32, account: Account | None = None
    ) -> AbstractContextManager[Completer | AsyncCompleter]:
        raise TeacherError(
            'this method asks a teacher, and the configuration names none. Set one, e.g. teacher = "openai:gpt-4o-mini"; '
            "`understudy list teachers` shows the kinds"
        )

    def identity(self) -> str:
        return "none"
