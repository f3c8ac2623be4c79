"""The sandbox: programs in, outcomes out, whichever engine runs them.

    with Sandbox(timeout_s=2.0, memory_mb=256) as sandbox:
        sandbox.run(["ans = 6 * 7", "while True: pass"])
    [Outcome("ok", value=42), Outcome("timeout", error="ran longer than 2 s")]
    sandbox.engine == "monty 1.4.0"

What holds for every engine is here: the limit on the source, what counts as the answer of a program, and the two
passes. How a program is confined is the engine's business (`monty.py`). The host never parses, compiles or unpickles a
program.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from understudy.sandbox.monty import MontyEngine
from understudy.sandbox.outcome import Outcome

SOURCE_LIMIT = 65_536
"""Longest program, in bytes of UTF-8. Reading a program of some megabytes costs an engine gigabytes."""

QUICK_S = 0.25
"""Time limit of the first pass, in seconds: a hundred times what the slowest of a thousand honest programs takes."""


class Engine(Protocol):
    """One way of confining programs. It may be asked from several threads at once."""

    @property
    def name(self) -> str:
        """The engine and its version, e.g. `monty 1.4.0`: two engines need not agree to the last digit."""
        ...

    def open(self) -> None:
        """Get ready to run programs.

        Raises:
            SandboxError: this engine cannot run here; says what to do.
        """
        ...

    def run(self, programs: Sequence[str], timeout_s: float) -> list[Outcome]:
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
        timeout_s: time limit of one program, in seconds.
        memory_mb: memory limit of one program, in MiB.
    """

    def __init__(self, timeout_s: float = 2.0, memory_mb: int = 256) -> None:
        self.timeout_s = timeout_s
        self._engine: Engine = MontyEngine(memory_mb)

    @property
    def engine(self) -> str:
        """The engine and its version, to be recorded with every result.

        Raises:
            SandboxError: the engine is not installed.
        """
        return self._engine.name

    def __enter__(self) -> Self:
        self._engine.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.close()

    def run(self, programs: Sequence[str]) -> list[Outcome]:
        """The outcomes of `programs`, in order.

        Everything runs with a short limit first, then only what was too slow with the full one: endless loops do not
        hold up the others, and a busy machine does not turn a good program into a timeout.

        Raises:
            SandboxError: the sandbox itself failed; says what to do.
        """
        outcomes = [_too_long(program) for program in programs]
        for timeout_s in dict.fromkeys((min(QUICK_S, self.timeout_s), self.timeout_s)):
            left = [i for i, outcome in enumerate(outcomes) if outcome is None or outcome.status == "timeout"]
            for i, outcome in zip(left, self._engine.run([programs[i] for i in left], timeout_s), strict=True):
                outcomes[i] = outcome
        return [outcome for outcome in outcomes if outcome is not None]


def _too_long(program: str) -> Outcome | None:
    """The outcome of a program that is too long to be looked at, or None."""
    size = len(program)
    if size <= SOURCE_LIMIT:  # only then is encoding it cheap
        size = len(program.encode("utf-8", "surrogatepass"))
    if size <= SOURCE_LIMIT:
        return None
    return Outcome("too_long", error=f"the program has more than {SOURCE_LIMIT} bytes")
