"""The process that renders a template: a line of JSON in, a line of JSON out. It imports jinja2 and nothing of ours.

    in    {"main": "my.j2", "sources": {"my.j2": "..."}, "memory_mb": 512, "characters": 1000000, "seconds": 5}
    in    {"question": {"text": "..."}, "demonstrations": [...], ...}
    out   {"text": "...", "turns": [["user", "..."]]}     or    {"error": "...", "file": "my.j2", "line": 3}

A template that is to be a chat says so by `turn`:

    {% call turn("system") %}{{ instruction }}{% endcall %}
    {% call turn("user") %}{{ question.text }}{% endcall %}

The turns are collected as they are made, so no text in a question can make one.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from jinja2 import FunctionLoader, StrictUndefined, TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

ROLES = ("system", "user", "assistant")


class Refused(Exception):
    """The template makes what is no prompt."""


class Renderer:
    """Renders one template, question after question."""

    def __init__(self, main: str, sources: dict[str, str], characters: int) -> None:
        self.main, self.sources, self.characters = main, sources, characters
        self.turns: list[tuple[str, str]] = []
        self.environment = ImmutableSandboxedEnvironment(
            loader=FunctionLoader(lambda name: (sources[name], name, None) if name in sources else None),
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.globals["turn"] = self.turn

    def turn(self, role: str, caller: Callable[[], str]) -> str:
        """Add what stands in the `call` block as a turn."""
        if role not in ROLES:
            raise Refused(f"turn({role!r}): expected one of {', '.join(ROLES)}")
        self.turns.append((role, caller().strip()))
        return ""

    def render(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The text and the turns.

        Raises:
            Refused: text stands outside the turns, they are in no sensible order, or all of it is too long.
        """
        self.turns.clear()
        parts, length = [], 0
        for part in self.environment.get_template(self.main).generate(**variables):
            parts.append(part)
            length += len(part)
            if length > self.characters:
                raise Refused(f"the prompt is longer than {self.characters} characters. Look for a loop")
        text = "".join(parts)
        if not self.turns:
            if not text.strip():
                raise Refused("the prompt is empty. Show at least {{ question.text }}")
            return {"text": text, "turns": []}
        if text.strip():
            raise Refused(f"{text.strip()[:60]!r} stands outside the turns. Move it into one")
        if self.turns[-1][0] != "user":
            raise Refused(f"the last turn is the {self.turns[-1][0]}'s, expected the user's, for the model answers it")
        if any(role == "system" for role, _ in self.turns[1:]):
            raise Refused("a system turn stands after others; it must be the first, and the only one")
        if sum(len(said) for _, said in self.turns) > self.characters:
            raise Refused(f"the prompt is longer than {self.characters} characters. Look for a loop")
        return {"text": "", "turns": self.turns}

    def reply(self, variables: dict[str, Any]) -> dict[str, Any]:
        """As `render`, or the error and its place."""
        try:
            return self.render(variables)
        except Exception as error:
            frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in self.sources]
            place = (frames[-1].filename, frames[-1].lineno) if frames else (self.main, None)
            if isinstance(error, TemplateSyntaxError):
                place = (error.name or self.main, error.lineno)
            return {"error": explain(error)[:500], "file": place[0], "line": place[1]}


def explain(error: Exception) -> str:
    """What went wrong and what to do."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, UndefinedError):
        known = "question (text, choices, extra), demonstrations (question, rationale, answer, written)"
        return f"{error.message}. There are: {known}, instruction, format, cue, turn"
    if isinstance(error, SecurityError):
        return f"not allowed in a template: {error.message}. Leave it out"
    if isinstance(error, RecursionError):
        return "it calls itself without end. Give it an end"
    if isinstance(error, MemoryError):
        return "it takes too much memory. Look for a loop or a text that grows"
    if isinstance(error, TemplateNotFound):
        return f"{error.message!r} is not among the files it includes by name"
    what = error.message if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
    return f"{what}. Mend the template"


def limit(memory_mb: int) -> None:
    """Bound what this process may take, where the system can."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; the time is bounded by who started this process
        return
    size = memory_mb * 2**20
    for what, most in ((resource.RLIMIT_AS, size), (resource.RLIMIT_FSIZE, 0)):
        with suppress(ValueError, OSError):  # macOS does not bound the address space
            resource.setrlimit(what, (most, most))


def end_in(seconds: float) -> None:
    """End this process in so many seconds, whatever it is at; 0 takes that back."""
    if hasattr(signal, "setitimer"):
        signal.signal(
            signal.SIGALRM, signal.SIG_DFL
        )  # not handled, it ends the process, even within a long calculation
        signal.setitimer(signal.ITIMER_REAL, seconds)
    elif seconds:
        faulthandler.dump_traceback_later(seconds, exit=True)
    else:
        faulthandler.cancel_dump_traceback_later()


def main() -> None:
    """Answer until nobody asks any more."""
    told = json.loads(sys.stdin.readline())
    limit(told["memory_mb"])
    renderer = Renderer(told["main"], told["sources"], told["characters"])
    for line in sys.stdin:
        end_in(told["seconds"])
        reply = json.dumps(renderer.reply(json.loads(line)))
        end_in(0)
        print(reply, flush=True)


if __name__ == "__main__":
    main()
