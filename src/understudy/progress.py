"""Progress of long work: a moving bar on a terminal, plain lines elsewhere, silence in tests.

    with progress.bar("generate program", total=4000) as bar:
        bar.advance(64, kept="61")

Everything goes to standard error, so that standard output holds results alone.
"""

from __future__ import annotations

import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any


class Bar(ABC):
    """One piece of work under way."""

    @abstractmethod
    def advance(self, steps: int = 1, **info: object) -> None:
        """Count `steps` more as done; `info` is shown beside the bar."""


class Progress(ABC):
    """Where progress is shown."""

    @abstractmethod
    def say(self, line: str) -> None:
        """Show a line that stays."""

    @abstractmethod
    def bar(self, name: str, total: int | None) -> Any:
        """A context manager that gives a `Bar`; `total` None if it is not known."""


class Silent(Progress):
    """Shows nothing."""

    def say(self, line: str) -> None:
        return None

    @contextmanager
    def bar(self, name: str, total: int | None) -> Iterator[Bar]:
        yield _SilentBar()


class _SilentBar(Bar):
    def advance(self, steps: int = 1, **info: object) -> None:
        return None


class Lines(Progress):
    """Plain lines, one every few seconds: for logs and pipes."""

    def __init__(self, out: IO[str] | None = None, every_s: float = 5.0) -> None:
        self._out = out or sys.stderr
        self._every_s = every_s

    def say(self, line: str) -> None:
        print(line, file=self._out, flush=True)

    @contextmanager
    def bar(self, name: str, total: int | None) -> Iterator[Bar]:
        bar = _LineBar(self, name, total, self._every_s)
        bar.show()
        yield bar
        bar.show(end=True)


class _LineBar(Bar):
    def __init__(self, lines: Lines, name: str, total: int | None, every_s: float) -> None:
        self._lines, self._name, self._total, self._every_s = lines, name, total, every_s
        self._done = 0
        self._info: dict[str, object] = {}
        self._shown = self._began = time.monotonic()

    def advance(self, steps: int = 1, **info: object) -> None:
        self._done += steps
        self._info.update(info)
        if time.monotonic() - self._shown >= self._every_s:
            self.show()

    def show(self, end: bool = False) -> None:
        now = time.monotonic()
        self._shown = now
        of = f"/{self._total}" if self._total is not None else ""
        info = "".join(f"  {key} {value}" for key, value in self._info.items())
        seconds = f"  {now - self._began:.1f} s" if end else ""
        self._lines.say(f"{self._name}  {self._done}{of}{info}{seconds}")


class Events(Progress):
    """Progress as JSON lines, for a parent process that shows several runs side by side."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def say(self, line: str) -> None:
        self.emit({"say": line})

    def emit(self, event: dict[str, object]) -> None:
        print(json.dumps(event), file=self._out, flush=True)

    @contextmanager
    def bar(self, name: str, total: int | None) -> Iterator[Bar]:
        self.emit({"bar": name, "total": total})
        yield _EventBar(self)


class _EventBar(Bar):
    def __init__(self, events: Events) -> None:
        self._events = events
        self._waiting, self._sent = 0, time.monotonic()

    def advance(self, steps: int = 1, **info: object) -> None:
        self._waiting += steps
        if time.monotonic() - self._sent >= 0.1:
            self._events.emit({"advance": self._waiting, "info": {k: str(v) for k, v in info.items()}})
            self._waiting, self._sent = 0, time.monotonic()


class Screen(Progress):
    """Moving bars on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        self._console = Console(stderr=True)
        self._columns = (
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("[dim]{task.fields[info]}"),
        )
        self._rich = Rich

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    @contextmanager
    def bar(self, name: str, total: int | None) -> Iterator[Bar]:
        with self._rich(*self._columns, console=self._console) as rich:
            yield _ScreenBar(rich, rich.add_task(name, total=total, info=""))

    @contextmanager
    def board(self, names: list[str]) -> Iterator[dict[str, _ScreenBar]]:
        """Several bars at once, one a name, for runs side by side."""
        with self._rich(*self._columns, console=self._console) as rich:
            yield {
                name: _ScreenBar(rich, rich.add_task(name, total=None, info="waiting", start=False)) for name in names
            }


class _ScreenBar(Bar):
    def __init__(self, rich: Any, task: Any) -> None:
        self._rich, self._task = rich, task

    def advance(self, steps: int = 1, **info: object) -> None:
        shown = {"info": "  ".join(f"{k} {v}" for k, v in info.items())} if info else {}
        self._rich.update(self._task, advance=steps, **shown)

    def restart(self, description: str, total: int | None) -> None:
        """Use this bar for the next piece of work."""
        self._rich.reset(self._task, description=description, total=total, info="")

    def end(self, info: str) -> None:
        """The work of this bar is over."""
        self._rich.update(self._task, total=1, completed=1, info=info)
        self._rich.stop_task(self._task)


def for_terminal() -> Progress:
    """Bars if standard error is a terminal, else lines."""
    return Screen() if sys.stderr.isatty() else Lines()
