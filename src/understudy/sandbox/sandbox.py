"""The sandbox: programs in, outcomes out, whichever engine runs them.

    with Sandbox(timeout_s=2.0, memory_mb=256) as sandbox:
        sandbox.run(["ans = 6 * 7", "while True: pass"])
    [Outcome("ok", value=42), Outcome("timeout", error="ran longer than 2 s")]
    sandbox.engine == "cpython 3.11.7"

What holds for every engine is here: which one it is, the limit on the source, what counts as the answer of a program,
and the two passes. How a program is confined is the engine's business: `jail/` is CPython behind walls of the Linux
kernel, `monty.py` is another interpreter, for the systems without these walls. The host never parses, compiles or
unpickles a program.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Protocol, Self

from understudy.errors import SandboxError
from understudy.sandbox.jail.host import JailEngine
from understudy.sandbox.monty import MontyEngine
from understudy.sandbox.outcome import Outcome

SOURCE_LIMIT = 65_536
"""Longest program, in bytes of UTF-8. Reading a program of some megabytes costs an engine gigabytes."""

QUICK_S = 0.25
"""Time limit of the first pass, in seconds: a hundred times what the slowest of a thousand honest programs takes."""

UNSAFE = "programs ran UNSAFE: outside the sandbox, with the rights of the user (sandbox.engine = unsafe)"

EngineChoice = Literal["auto", "cpython", "monty", "unsafe"]
"""`auto` is `cpython` where the kernel closes it in, else `monty`. `unsafe` is CPython with limits and no walls."""


class Engine(Protocol):
    """One way of confining programs. It may be asked from several threads at once."""

    @property
    def name(self) -> str:
        """The engine and its version, e.g. `cpython 3.11.7`: two engines need not agree to the last digit."""
        ...

    def open(self) -> None:
        """Get ready to run programs.

        Raises:
            SandboxError: this engine cannot run here; says what to do.
        """
        ...

    def run(self, programs: Sequence[str], timeout_s: float, lines: bool = False) -> list[Outcome]:
        """The outcomes of `programs`, in order, each program with `timeout_s` seconds and a state of its own."""
        ...

    def close(self) -> None:
        """End every process that was started."""
        ...


class Sandbox:
    """Runs programs that nobody trusts, as a context manager.

    A program's value is what `solution()` returns, else what `solver()` returns, else the variable `ans`, `result` or
    `answer`. A program with none of these ends with the error `NoAnswer`, as does one whose value is not exact data of
    builtin types. Programs share nothing with each other.

    Args:
        timeout_s: time limit of one program, in seconds (of processor time where the engine is CPython).
        memory_mb: memory limit of one program, in MiB.
        engine: which engine; `unsafe` is never chosen unless it is named here.
    """

    def __init__(self, timeout_s: float = 2.0, memory_mb: int = 256, engine: EngineChoice = "auto") -> None:
        self.timeout_s, self.memory_mb = timeout_s, memory_mb
        self._choice = engine
        self._engine: Engine | None = None

    @property
    def engine(self) -> str:
        """The engine and its version, to be recorded with every result.

        Raises:
            SandboxError: there is no engine for this system.
        """
        return (self._engine or self._chosen()).name

    @property
    def note(self) -> str:
        """What every report must say of results that came from this sandbox; "" if nothing."""
        return UNSAFE if self._choice == "unsafe" else ""

    def __enter__(self) -> Self:
        self._engine = self._opened()
        return self

    def _opened(self) -> Engine:
        if self._choice != "auto":
            engine = self._chosen()
            engine.open()
            return engine
        jail, monty = JailEngine(self.memory_mb), MontyEngine(self.memory_mb)
        try:
            jail.open()
            return jail
        except SandboxError as why:
            jail.close()
            try:
                monty.open()
            except SandboxError as error:
                raise SandboxError(f"no sandbox on this system: {why}; and {error}") from error
            return monty

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._engine is not None:
            self._engine.close()

    def _chosen(self) -> Engine:
        choice = self._choice
        if choice == "auto":
            choice = "monty" if why_no_jail() else "cpython"
        return MontyEngine(self.memory_mb) if choice == "monty" else JailEngine(self.memory_mb, choice != "unsafe")

    def run(self, programs: Sequence[str], lines: bool = False) -> list[Outcome]:
        """The outcomes of `programs`, in order.

        Everything runs with a short limit first, then only what was too slow with the full one: endless loops do not
        hold up the others, and a busy machine does not turn a good program into a timeout.

        With `lines`, the values of the lines are recorded too, in `Outcome.lines`.

        Raises:
            SandboxError: the sandbox itself failed; says what to do.
        """
        if self._engine is None:
            raise SandboxError("the sandbox is not open. Use it as `with Sandbox() as sandbox: ...`")
        outcomes = [_too_long(program) for program in programs]
        for timeout_s in dict.fromkeys((min(QUICK_S, self.timeout_s), self.timeout_s)):
            left = [i for i, outcome in enumerate(outcomes) if outcome is None or outcome.status == "timeout"]
            for i, outcome in zip(left, self._engine.run([programs[i] for i in left], timeout_s, lines), strict=True):
                outcomes[i] = outcome
        return [outcome for outcome in outcomes if outcome is not None]


@functools.cache
def why_no_jail() -> str:
    """Why programs cannot run in the jail on this system, from trying it once; "" if they can."""
    engine = JailEngine(16)
    try:
        engine.open()
    except SandboxError as error:
        return str(error)
    finally:
        engine.close()
    return ""


def _too_long(program: str) -> Outcome | None:
    """The outcome of a program that is too long to be looked at, or None."""
    size = len(program)
    if size <= SOURCE_LIMIT:  # only then is encoding it cheap
        size = len(program.encode("utf-8", "surrogatepass"))
    if size <= SOURCE_LIMIT:
        return None
    return Outcome("too_long", error=f"the program has more than {SOURCE_LIMIT} bytes")
