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
from understudy.procedures import Ask, AsyncCompleter, Completer
from understudy.records import Question
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

    @property
    def at_once(self) -> int:
        """How many questions to ask it together at least."""
        return 1

    def price(self) -> Price | None:
        """What its tokens cost; None if that is not known, or nothing."""
        return None

    def price_source(self) -> str:
        """Where the price comes from, in words."""
        return ""

    def refuses(self, task: Task, method: Method, out: Path) -> str | None:
        """Why it cannot teach by `method` in the run whose directory is `out`, in a sentence; None if it can."""
        return None

    def own_prompt(self, task: Task, question: Question, format: Format) -> str | None:
        """The prompt that it must be asked by, whatever the configuration says of prompts; None: as that says."""
        return None

    def part(self, key: str) -> Teacher:
        """Who answers the asks of that key: the teacher itself, or one of those it is mixed from."""
        return self

    def told(self, ask: Ask) -> list[tuple[str, str]]:
        """What the model sees of an ask: messages as (role, text), or one text without a role."""
        settings = self.model_dump(include={"dialect", "system"})
        if settings.get("dialect") == "chat":
            return messages(ask, settings["system"])
        return [("", ask.prompt + ask.prefix)]

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


def messages(ask: Ask, system: str = "") -> list[tuple[str, str]]:
    """What a chat model is told, as (role, text): one system message at most, the turns or the prompt, the prefix."""
    if not (ask.turns or system or ask.prefix):
        return [("user", ask.prompt)]
    turns = ask.turns or (("user", ask.prompt),)
    systems = [system, *(text for role, text in turns if role == "system")]
    said = [("system", "\n\n".join(filter(None, systems))), *(turn for turn in turns if turn[0] != "system")]
    return [(role, text) for role, text in (*said, ("assistant", ask.prefix)) if text or role == "user"]
