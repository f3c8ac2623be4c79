"""The engine Monty: a Python interpreter written in Rust, in a worker process that is killed when it misbehaves.

    engine = MontyEngine(memory_mb=256)
    engine.open()
    engine.run(["def solution():\n    return round(2.675, 2)"], timeout_s=2.0)    -> [Outcome("ok", value=2.67)]

A program there has no files, no network, no environment and no Python objects of ours to climb. It is a subset of
Python: no `yield`, no class inheritance, no numpy. What it lacks ends as `unsupported`, so that nobody takes it for a
wrong program. The worker is not confined by the kernel: whoever breaks the interpreter has the rights of the user.

Two divergences from CPython are repaired here: `round(x, n)` is not correctly rounded, and a module that is imported
but never used would be an error.
"""

from __future__ import annotations

import builtins
import contextlib
import datetime
import importlib
import importlib.metadata
import math
import os
import re
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from understudy.errors import SandboxError
from understudy.sandbox.outcome import Outcome
from understudy.sandbox.values import CHARACTERS, DEPTH, NODES, reason

if TYPE_CHECKING:
    import pydantic_monty

PRINTED = 65_536
"""Most bytes a program may print."""
GRACE_S = 0.1
"""How long after its time limit a worker is killed: some operations (big integers) do not look at the clock."""
WORKERS = os.cpu_count() or 1
"""Most worker processes at once; there are more than one only if several threads run programs."""
CUT = 500
"""Longest error message, in characters."""

STUBS = (
    "numpy", "sympy", "scipy", "pandas", "matplotlib", "dateutil",
    "fractions", "statistics", "string", "operator", "heapq", "calendar", "cmath", "enum",
)  # fmt: skip
"""Modules a program may import here, as long as it does not use them."""
PROVIDED = (
    "math", "datetime", "decimal", "itertools", "functools", "random", "re", "json", "bisect", "copy", "collections",
)  # fmt: skip
"""Standard modules that Monty has, not always whole; the host may look into its own copy to see what is missing."""

ROUND = """
def round(number, ndigits=None, _round=round, _type=type, _float=float, _int=int, _format=format):
    if _type(number) is _float and _type(ndigits) is _int and ndigits >= 0:
        return _float(_format(number, f'.{ndigits}f')) if ndigits <= 330 else number
    return _round(number, ndigits)
"""
"""Correct rounding by way of the decimal text. No float has a digit after the 330th place that `round` could change."""

_FUNCTIONS, _VARIABLES = ("solution", "solver"), ("ans", "result", "answer")
_FIND = """
if understudy_found is None:
    try:
        understudy_found = ["{kind}", {name}]
    except NameError:
        pass
"""
_ANSWER = f"""\
understudy_found = None
{{find}}
def understudy_size(value, size, depth):
    text = False
    try:
        value[:0] + ""
        text = True
    except BaseException:
        pass
    try:
        for part in value:
            size = size + 1
            if size > {NODES + CHARACTERS} or depth > {DEPTH}:
                return {NODES + CHARACTERS + 1}
            if not text:
                size = understudy_size(part, size, depth + 1)
        size = understudy_size(value.values(), size, depth)
    except BaseException:
        pass
    return size
if understudy_found is not None and understudy_found[0] == "call":
    understudy_found[1] = understudy_found[1]()
if understudy_found is not None and understudy_size(understudy_found[1], 0, 0) > {NODES + CHARACTERS}:
    understudy_found = ["large", None]
["understudy", understudy_found]
"""
"""Run after the program, in its state: finds the answer and sees that it is not huge before it is sent to the host.
It uses no builtin function, for programs call their variables `len` and `sum`."""

_FUNCTION = re.compile(r"<[a-z]\w* .*(?:at 0x[0-9a-f]+|object \w+)>\Z", re.DOTALL)
_NO_NAME = re.compile(r"name '(\w+)' is not defined")
_NO_ATTRIBUTE = re.compile(r"(?:'(\w+)' object|type object '(\w+)'|module '(\w+)') has no attribute '(\w+)'")
_NO_IMPORT = re.compile(r"cannot import name '(\w+)' from '(\w+)'")


class MontyEngine:
    """Runs programs in Monty's worker processes, each in a fresh session. Workers are started as threads need them.

    Args:
        memory_mb: memory limit of one program, in MiB.
    """

    def __init__(self, memory_mb: int) -> None:
        self._memory = memory_mb * 2**20
        self._pool: pydantic_monty.Monty | None = None

    @property
    def name(self) -> str:
        """`monty` and its version."""
        try:
            return f"monty {importlib.metadata.version('pydantic-monty')}"
        except importlib.metadata.PackageNotFoundError:
            raise _not_installed() from None

    def open(self) -> None:
        """Start the first worker.

        Raises:
            SandboxError: Monty is not installed or does not start.
        """
        try:
            import pydantic_monty
        except ImportError as error:
            raise _not_installed() from error
        self._modules = {name: pydantic_monty.ExternalModule({}, stubs="") for name in STUBS}
        try:
            pool = pydantic_monty.Monty(max_processes=WORKERS, feed_duration_limit_grace=GRACE_S)
            pool.__enter__()
        except (RuntimeError, OSError, pydantic_monty.MontyError) as error:
            raise _broken(error) from error
        self._pool = pool

    def close(self) -> None:
        """End the workers."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.__exit__(None, None, None)

    def run(self, programs: Sequence[str], timeout_s: float, lines: bool = False) -> list[Outcome]:
        """The outcomes of `programs`, in order. Monty cannot record the values of lines.

        A crash is tried once more: something else may have killed the worker.

        Raises:
            SandboxError: no worker can be started, or the engine is not open.
        """
        outcomes = []
        for program in programs:
            outcome = self._run(program, timeout_s)
            if outcome.status == "crash":
                outcome = self._run(program, timeout_s)
            outcomes.append(outcome)
        return outcomes

    def _run(self, program: str, timeout_s: float) -> Outcome:
        import pydantic_monty

        if self._pool is None:
            raise SandboxError("the sandbox is not open. Use it as `with Sandbox() as sandbox: ...`")
        printed = pydantic_monty.CollectString(max_bytes=PRINTED)
        with contextlib.ExitStack() as stack:
            session = self._session(self._pool, timeout_s, stack)
            _limit_cpu(session.worker_pid, timeout_s)
            try:
                if "round" in program:
                    session.feed_run(ROUND, print_callback=printed)
                found = session.feed_run(f"{program}\n{_answer(program)}", print_callback=printed)
            except pydantic_monty.MontyCrashedError as error:
                outcome = _late(timeout_s) if error.timed_out else Outcome("crash", error=str(error)[:CUT])
            except pydantic_monty.MontySyntaxError as error:
                outcome = Outcome("error", error=error.display("type-msg")[:CUT])
            except pydantic_monty.MontyRuntimeError as error:
                outcome = _failure(error.display("type-msg"), timeout_s)
            except (pydantic_monty.MontyError, ValueError, OverflowError, RecursionError) as error:
                outcome = Outcome("error", error=f"NoAnswer: the answer cannot leave the sandbox ({error})"[:CUT])
            else:
                outcome = _outcome(found)
        return Outcome(outcome.status, outcome.value, outcome.error, printed.output[:PRINTED])

    def _session(
        self, pool: pydantic_monty.Monty, timeout_s: float, stack: contextlib.ExitStack
    ) -> pydantic_monty.MontySession:
        """A fresh session, given back when `stack` is closed. Only here a worker that died idle shows: take another."""
        import pydantic_monty

        for left in reversed(range(WORKERS + 1)):
            session = pool.checkout(
                limits={
                    "max_feed_duration_secs": timeout_s,
                    "max_memory": self._memory,
                    "max_recursion_depth": 1000,
                    "max_suspensions": 1000,
                    "max_total_sleep_secs": 0.0,
                },
                os_policy={
                    "datetime": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
                    "sleep": "zero",
                    "random_start": {"seed": 0},
                },
                assert_message_annotations=False,
                external_modules=self._modules,
            )
            try:
                return stack.enter_context(session)
            except (RuntimeError, OSError, pydantic_monty.MontyError) as error:
                if not left or not isinstance(error, pydantic_monty.MontyCrashedError):
                    raise _broken(error) from error
        raise AssertionError("the last attempt returns or raises")


def _answer(program: str) -> str:
    """The code that finds the answer. Only names in the program are tried, for looking up an undefined one is slow."""
    finds = [_FIND.format(kind="call", name=name) for name in _FUNCTIONS if name in program]
    finds += [_FIND.format(kind="value", name=name) for name in _VARIABLES if name in program]
    return _ANSWER.format(find="".join(finds))


def _outcome(found: Any) -> Outcome:
    """The outcome of a program that came to its end; `found` is what `_ANSWER` left, if nobody tampered with it."""
    if type(found) is not list or len(found) != 2 or found[0] != "understudy":
        # Monty lets a program return at the top level.
        return Outcome("error", error="SyntaxError: 'return' outside function")
    if found[1] is None:
        names = ", ".join(f"{name}()" for name in _FUNCTIONS) + ", " + ", ".join(_VARIABLES)
        return Outcome("error", error=f"NoAnswer: the program defines none of {names}")
    if type(found[1]) is not list or len(found[1]) != 2:
        return Outcome("error", error="NoAnswer: the program changed how its answer is read")
    kind, value = found[1]
    if kind == "large":
        limits = f"{NODES} elements, {CHARACTERS} characters or {DEPTH} levels"
        return Outcome("output", error=f"the answer has more than {limits}")
    refusal = reason(value)
    if refusal is not None:
        return Outcome(refusal[0], error=refusal[1])
    if isinstance(value, str) and _FUNCTION.match(value):  # Monty sends a function as its text
        return Outcome("error", error=f"NoAnswer: the answer is {value[:100]}, not data")
    return Outcome("ok", value)


def _failure(message: str, timeout_s: float) -> Outcome:
    """The outcome of a program that raised `Type: message`."""
    kind, _, text = message.partition(": ")
    if kind == "MemoryError" and text.endswith(f"> {PRINTED} bytes"):
        return Outcome("output", error=f"printed more than {PRINTED} bytes")
    if kind == "MemoryError":
        return Outcome("memory", error=text[:CUT] or "out of memory")
    if kind == "TimeoutError" and "time limit exceeded" in text:
        return _late(timeout_s)
    if kind == "PermissionError":
        return Outcome("violation", error=text[:CUT])
    return Outcome("unsupported" if _lacking(kind, text) else "error", error=message[:CUT])


def _lacking(kind: str, text: str) -> bool:
    """Whether CPython would not have raised this: Monty lacks the module, the syntax, the builtin or the method."""
    if kind == "ModuleNotFoundError":
        return True
    if kind == "NotImplementedError":
        return "monty" in text or "not supported" in text
    if kind == "RuntimeError":
        return text.startswith("Internal error in monty")
    if kind == "NameError" and (match := _NO_NAME.match(text)):
        return match[1] != "input" and hasattr(builtins, match[1])
    if kind == "ImportError" and (match := _NO_IMPORT.match(text)):
        return _host_has(match[2], match[1])
    if kind == "AttributeError" and (match := _NO_ATTRIBUTE.search(text)):
        owner = match[1] or match[2]
        return hasattr(getattr(builtins, owner, None), match[4]) if owner else _host_has(match[3], match[4])
    return False


def _host_has(module: str, name: str) -> bool:
    """Whether `module` has `name` outside Monty: a stub lacks all of it, and harmless modules are looked up here."""
    return module in STUBS or (module in PROVIDED and hasattr(importlib.import_module(module), name))


def _late(timeout_s: float) -> Outcome:
    return Outcome("timeout", error=f"ran longer than {timeout_s:g} s")


def _limit_cpu(pid: int | None, timeout_s: float) -> None:
    """Let the kernel kill a worker that computes on although we are gone: it would notice only when it is done.

    Linux only; elsewhere a loop still ends with its time limit, but an operation on huge integers may go on for long.
    """
    if pid is None or not sys.platform.startswith("linux"):
        return
    import resource

    # The process may just have died, which its next answer will tell.
    with contextlib.suppress(OSError, ValueError):
        used = time.clock_gettime((~pid << 3) | 2)  # the CPU clock of another process, as clock_getcpuclockid makes it
        _, hard = resource.prlimit(pid, resource.RLIMIT_CPU)
        resource.prlimit(pid, resource.RLIMIT_CPU, (math.ceil(used + timeout_s + GRACE_S) + 1, hard))


def _not_installed() -> SandboxError:
    return SandboxError("programs need a sandbox and there is none. Install one: pip install pydantic-monty")


def _broken(error: Exception) -> SandboxError:
    return SandboxError(
        f"the interpreter of the sandbox Monty, the program `monty`, does not start ({error}). Install it again, "
        "`pip install --force-reinstall pydantic-monty pydantic-monty-runtime`, "
        "and see that MONTY_BIN is not set to something else"
    )
