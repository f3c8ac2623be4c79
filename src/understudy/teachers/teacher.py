"""The interface of a teacher: settings that open into whoever completes prompts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import ClassVar

from understudy.config import Settings
from understudy.errors import TeacherError
from understudy.procedures import AsyncCompleter, Completer
from understudy.tasks.task import Task
from understudy.teachers.account import Account
from understudy.teachers.prices import Price


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
