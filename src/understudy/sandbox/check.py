"""The sandbox for people who want just that: run one file, or say how safe this system is.

understudy check answer.py
answer.py: ok: 42  (cpython 3.11.7, 0.01 s)
    3  pens = 12
    4  result = 42

understudy check --self-test
engine          cpython 3.11.7
system calls    closed: an allow-list (seccomp), and the canary found no way out
files           closed again: Landlock 7
namespaces      own: net, pid, ipc, uts, mnt
user            65534, without capabilities
process         its own: no memory in common with this one but a counter
limits          held, each tried: timeout, memory, output
shared worker   yes
two programs    right
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from understudy.errors import DataError, SandboxError
from understudy.sandbox.jail.host import JailEngine
from understudy.sandbox.outcome import Outcome
from understudy.sandbox.sandbox import EngineChoice, Sandbox, why_no_jail

_BEYOND = {"timeout": "while True: pass", "memory": "ans = len('x' * 10**9)", "output": "ans = 'x' * 10**6"}
"""Programs that go beyond a limit, by how each must end."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One file that was run.

    Attributes:
        lines: what to print, the program's own output first.
        ok: whether it came to its end with an answer.
    """

    outcome: Outcome
    lines: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.outcome.status == "ok"


def check_file(path: Path, timeout_s: float = 2.0, memory_mb: int = 256, engine: EngineChoice = "auto") -> Checked:
    """Run the program in a file.

    Raises:
        DataError: there is no such file, or it is no text.
        SandboxError: there is no sandbox on this system; names what is missing.
    """
    try:
        program = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DataError(f"cannot be read ({reason}). Give the path of a Python program", path) from None
    with Sandbox(timeout_s, memory_mb, engine) as sandbox:
        before = time.monotonic()
        [outcome] = sandbox.run([program], lines=True)
        took = time.monotonic() - before
        printed = outcome.printed.splitlines()
        found = repr(outcome.value) if outcome.status == "ok" else outcome.error
        head = f"{path}: {outcome.status}: {found}  ({sandbox.engine}, {took:.2f} s)"
        steps = [f"{number:>6}  {name} = {value!r}" for number, name, value in outcome.lines]
        note = [sandbox.note] if sandbox.note else []
    return Checked(outcome, (*printed, head, *steps, *note))


def self_test() -> tuple[list[str], bool]:
    """What holds on this system, one layer a line, and whether there is a sandbox at all."""
    why = why_no_jail()
    if why:
        lines = [_row("jail", f"none: {why}")]
        if importlib.util.find_spec("pydantic_monty") is None:
            return [*lines, _row("engine", "none: run on Linux with seccomp, or `pip install pydantic-monty`")], False
        engine = Sandbox(engine="monty")
        try:
            with engine:
                ran = engine.run(["ans = 6 * 7"])[0].value == 42
        except SandboxError as error:
            return [*lines, _row("engine", f"none: {error}")], False
        return [*lines, _row("engine", f"{engine.engine} (no walls of the kernel around it)")], ran
    jail = JailEngine(64)
    jail.open()
    try:
        state = jail.state
        ran = [outcome.value for outcome in jail.run(["ans = 6 * 7", "class A: x = 43\nans = A.x"], 10.0)] == [42, 43]
        ended = [jail.run([program], 0.5)[0].status for program in _BEYOND.values()]
    finally:
        jail.close()
    layers = state["layers"]
    namespaces = ", ".join(layers["namespaces"])
    lines = [
        _row("engine", jail.name),
        _row("system calls", "closed: an allow-list (seccomp), and the canary found no way out"),
        _row("files", f"closed again: Landlock {layers['landlock']}" if layers["landlock"] else "by seccomp alone"),
        _row("namespaces", f"own: {namespaces}" if namespaces else "none"),
        _row("user", f"{layers['uid'] or '0 (root)'}, without capabilities"),
        _row("process", "its own: no memory in common with this one but a counter"),
        _row("limits", _limits(ended)),
        _row("shared worker", "yes" if state["shared"] else "no: this Python's code is unknown; a process a program"),
        *(_row("note", note) for note in layers["notes"]),
        _row("two programs", "right" if ran else "WRONG"),
    ]
    return lines, ran and ended == list(_BEYOND)


def _limits(ended: Sequence[str]) -> str:
    """How the programs in `_BEYOND` ended."""
    found = [
        limit if status == limit else f"{limit} (WRONG: {status})" for limit, status in zip(_BEYOND, ended, strict=True)
    ]
    return f"held, each tried: {', '.join(found)}"


def _row(name: str, text: str) -> str:
    return f"{name:<15} {text}"
