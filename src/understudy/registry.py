"""Parts by name: from a table of names to objects, without importing what is not used.

TASKS = Registry("task", {"wordsums": "understudy.tasks.wordsums:Wordsums"})
TASKS.make(Part(name="wordsums"))       # -> (Wordsums(...), [])
TASKS.make(Part(name="wordsum"))        # -> (None, ["unknown task 'wordsum'; did you mean 'wordsums'?"])
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Generic, TypeVar, cast

from understudy.config import Part, Settings, parse, unknown

T = TypeVar("T", bound=Settings)


class Registry(Generic[T]):
    """The parts of one kind. `where` maps a name to `module:Class`; the class is imported when it is asked for."""

    def __init__(self, what: str, where: Mapping[str, str]) -> None:
        self.what = what
        self._where = dict(where)

    @property
    def names(self) -> list[str]:
        return sorted(self._where)

    def find(self, name: str) -> type[T]:
        """The class of that name; KeyError if there is none."""
        module, _, attribute = self._where[name].partition(":")
        return cast("type[T]", getattr(import_module(module), attribute))

    def line(self, name: str) -> str:
        """The first sentence of the class's docstring."""
        text = inspect.getdoc(self.find(name)) or ""
        return " ".join(text.split("\n\n")[0].split())

    def make(self, part: Part, folders: Sequence[Path] = ()) -> tuple[T | None, list[str]]:
        """The object that `part` describes, or None with a sentence for every mistake in it."""
        if part.name not in self._where:
            return None, [unknown(self.what, part.name, part.name, self.names)]
        kind = self.find(part.name)
        table = dict(part.options)
        if part.model:
            if "model" not in kind.model_fields:
                return None, [f"{self.what} {part.name!r} takes nothing after the colon, found {part.model!r}"]
            table["model"] = part.model
        return parse(kind, table, folders, self.what)
