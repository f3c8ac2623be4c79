"""The interface of a teacher: settings that open into whoever completes prompts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import ClassVar

from understudy.config import Settings
from understudy.errors import TeacherError
from understudy.procedures import Ask, AsyncCompleter, Completer
from understudy.tasks.task import Task


class Teacher(Settings, ABC):
    """How to reach a teacher. A subclass adds its settings as fields.

    Attributes:
        name: the provider, as in the configuration.
    """

    name: ClassVar[str]
    model: str = ""
    """Which model to ask, as the provider names it: what follows the colon in `provider:model`."""

    @abstractmethod
    def open(self, task: Task, concurrency: int = 32) -> AbstractContextManager[Completer | AsyncCompleter]:
        """Whoever answers, ready to be asked up to `concurrency` things at once; closed when the `with` block ends.

        Raises:
            TeacherError, PrerequisiteError, DataError: it cannot answer at all; says what to do.
        """

    @abstractmethod
    def identity(self) -> str:
        """Who really answers (endpoint and model, a recording's content): part of the key under which an answer is kept."""

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

    def open(self, task: Task, concurrency: int = 32) -> AbstractContextManager[Completer | AsyncCompleter]:
        raise TeacherError(
            'this method asks a teacher, and the configuration names none. Set one, e.g. teacher = "openai:gpt-4o-mini"; '
            "`understudy list teachers` shows the kinds"
        )

    def identity(self) -> str:
        return "none"


def messages(ask: Ask, system: str = "") -> list[tuple[str, str]]:
    """What a chat model is told, as (role, text): one system message at most, the turns or the prompt, the prefix."""
    turns = ask.turns or (("user", ask.prompt),)
    systems = [system, *(text for role, text in turns if role == "system")]
    said = [("system", "\n\n".join(filter(None, systems))), *(turn for turn in turns if turn[0] != "system")]
    return [(role, text) for role, text in (*said, ("assistant", ask.prefix)) if text or role == "user"]
