"""Running programs inside: the part that is behind all layers.

    run("def solution():\\n    return 6 * 7", namespace)    -> ["ok", 42, "", "", []]

`serve` is a shared worker: it takes requests until the other end is closed, screens each program, and runs those that
pass one after the other, each with a fresh namespace. `alone` runs one program, with everything Python has, in a process
that was forked for it. Neither comes back. All that is said here about a program comes from a process in which it ran,
so the host takes it as a claim about that one program and about nothing else.
"""

from __future__ import annotations

import builtins
import gc
import io
import mmap
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import CodeType, FrameType, ModuleType
from typing import Any

from understudy.sandbox.jail import protocol, screen
from understudy.sandbox.jail.modules import Elsewhere
from understudy.sandbox.values import NODES, reason

PRINTED = 65_536
"""Most bytes a program may print."""
CUT = 500
"""Longest error message, in characters."""
RECORDED = 64
"""Most values of lines that are recorded."""
SERVED = 2000
"""After so many programs a worker is replaced: whatever it may have kept, it does not keep for long."""
ALONE, SCIENCE = "alone", "science"
"""Statuses that only the host sees: run it again in a process of its own, or where numpy and sympy are."""

_FUNCTIONS, _VARIABLES = ("solution", "solver"), ("ans", "result", "answer")
_FLUSH = 32_768
Result = list[Any]


class PrintedTooMuch(BaseException):
    """The program printed more than it may. Not an `Exception`, which programs catch."""


class Printed(io.TextIOBase):
    """Standard output with a bound."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.left = PRINTED

    def write(self, text: str) -> int:
        self.left -= len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if self.left < 0:
            raise PrintedTooMuch
        self.parts.append(text)
        return len(text)

    def take(self) -> tuple[str, bool]:
        """What was printed since the last time, and whether it was too much."""
        if not self.parts and self.left == PRINTED:
            return "", False
        text, over = "".join(self.parts), self.left < 0
        self.parts, self.left = [], PRINTED
        return text.encode("utf-8", "replace").decode(), over


class Stub(ModuleType):
    """Stands for a module that is imported and, usually, never used. `touched` says that this one is."""

    touched = False

    def __getattr__(self, name: str) -> Any:
        if name[:2] != "__":
            Stub.touched = True
        raise AttributeError(f"the module {self.__name__} is not loaded here: {name}")


def serve(connection: socket.socket, progress: mmap.mmap, restrict: Callable[[], None], screened: bool) -> None:
    """Answer requests until there are no more, behind the filter that `restrict` puts on.

    `progress` is shared with the host: its first byte is the number of the program under way.
    """
    printed = sys.stdout = Printed()
    available = screen.shared_builtins()
    stubs = {name: Stub(name) for name in screen.STUBS}
    real_import = builtins.__import__

    def import_(name: str, space: Any = None, local: Any = None, names: Any = (), level: int = 0) -> Any:
        return stubs[name] if name in stubs else real_import(name, space, local, names, level)

    available["__import__"] = import_
    gc.freeze()
    restrict()
    served = 0
    while served < SERVED and (message := protocol.receive(connection)) is not None:
        programs, cpu_s, flags = protocol.read_request(message)
        served += len(programs)
        results: list[Result] = []
        size = 0
        for i, program in enumerate(programs):
            progress[0] = i
            signal.setitimer(signal.ITIMER_PROF, cpu_s)
            result = _run_shared(program, available, printed, flags) if screened else [ALONE, None, "", "", []]
            signal.setitimer(signal.ITIMER_PROF, 0)
            results.append(result)
            size += len(result[3]) + 100
            if result[0] == "memory":
                result[0] = ALONE  # the others' leftovers may have filled it
                served = SERVED
                break
            if size > _FLUSH:
                protocol.send(connection, protocol.dump(results))
                results, size = [], 0
        protocol.send(connection, protocol.dump(results))
    os._exit(0)


def alone(connection: socket.socket, restrict: Callable[[], None], elsewhere: Elsewhere | None) -> None:
    """Run one program and answer; `elsewhere` notes that it needs a package of the other runner (None in that one)."""
    message = protocol.receive(connection)
    if message is None:
        os._exit(0)
    [program], cpu_s, flags = protocol.read_request(message)
    printed = sys.stdout = Printed()
    random.seed(0)  # Python has just seeded it anew, as it does in every forked process
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    restrict()
    code = _compiled(program)
    if isinstance(code, CodeType):
        result = run(code, {"__builtins__": builtins, "__name__": "__main__"}, bool(flags & protocol.LINES))
    else:
        result = code
    result[3], over = printed.take()
    if over:
        result[:3] = ["output", None, f"printed more than {PRINTED} bytes"]
    if elsewhere is not None and elsewhere.asked:
        result = [SCIENCE, None, elsewhere.asked, "", []]
    protocol.send(connection, protocol.dump([result]))
    os._exit(0)


def _run_shared(program: str, available: Mapping[str, object], printed: Printed, flags: int) -> Result:
    code = _compiled(program)
    if not isinstance(code, CodeType):
        return code
    why = screen.why_alone(code)
    if why:
        return [ALONE, None, why, "", []]
    namespace: dict[str, Any] = {"__builtins__": available, "__name__": "__main__"}
    result = run(code, namespace, bool(flags & protocol.LINES))
    namespace.clear()
    result[3], over = printed.take()
    if over:
        result[:3] = ["output", None, f"printed more than {PRINTED} bytes"]
    if Stub.touched:
        Stub.touched = False
        return [ALONE, None, "", "", []]
    return result


def _compiled(program: str) -> CodeType | Result:
    """The program's code, or the result if it has none."""
    try:
        return compile(program, "<program>", "exec", dont_inherit=True)
    except MemoryError:
        return ["memory", None, "reading the program needs more memory than it may have", "", []]
    except SyntaxError as error:
        return _failed(error)
    except (ValueError, RecursionError, OverflowError) as error:  # null bytes, lone surrogates, nesting
        return ["error", None, f"SyntaxError: {error}"[:CUT], "", []]


def run(code: CodeType, namespace: dict[str, Any], lines: bool) -> Result:
    """Run a compiled program and find its answer."""
    record = Record() if lines else None
    try:
        if record:
            sys.settrace(record.enter)
        exec(code, namespace)
        for name in _FUNCTIONS:
            if name in namespace:
                value = namespace[name]()
                break
        else:
            for name in _VARIABLES:
                if name in namespace:
                    value = namespace[name]
                    break
            else:
                return ["error", None, _NO_ANSWER, "", []]
        sys.settrace(None)
        kind = type(value)
        if kind is not int and kind is not float and kind is not str:
            value = _plain(value)
        refusal = reason(value)
        if refusal:
            return [refusal[0], None, refusal[1], "", []]
        return ["ok", protocol.pack(value), "", "", record.lines if record else []]
    except BaseException as error:
        sys.settrace(None)
        return _failed(error)


_NO_ANSWER = (
    "NoAnswer: the program defines none of "
    + ", ".join(f"{name}()" for name in _FUNCTIONS)
    + ", "
    + ", ".join(_VARIABLES)
)


def _failed(error: BaseException) -> Result:
    kind = type(error)
    try:
        text = str(error)[:CUT]
    except BaseException:
        text = ""
    message = f"{kind.__name__}: {text}"[:CUT]
    if isinstance(error, PrintedTooMuch):
        return ["output", None, f"printed more than {PRINTED} bytes", "", []]
    if isinstance(error, MemoryError):
        return ["memory", None, text or "out of memory", "", []]
    if isinstance(error, PermissionError):
        return ["violation", None, text, "", []]
    return ["unsupported" if isinstance(error, ModuleNotFoundError) else "error", None, message, "", []]


def _plain(value: Any, depth: int = 0) -> Any:
    """`value` with the numbers of numpy and sympy in it as Python's own; anything else as it is.

    An array of one dimension is a list, one of a single number that number.
    """
    kind = type(value)
    if kind in (list, tuple) and depth < 5 and len(value) <= 256:
        return kind(_plain(part, depth + 1) for part in value)
    origin = str(getattr(kind, "__module__", "")).partition(".")[0]
    if origin == "numpy" and "numpy" in sys.modules:
        numpy = sys.modules["numpy"]
        if isinstance(value, numpy.generic):
            return value.item()
        if kind is numpy.ndarray and value.ndim < 2 and value.dtype.kind in "biuf":
            return value.item() if value.size == 1 else value[: NODES + 1].tolist()
    if origin == "sympy" and "sympy" in sys.modules:
        sympy = sys.modules["sympy"]
        if isinstance(value, sympy.Integer):
            return int(value)
        if isinstance(value, sympy.Rational):
            return Fraction(int(value.p), int(value.q))
        if isinstance(value, sympy.Float):
            return float(value)
        if value is sympy.true or value is sympy.false:
            return bool(value)
    return value


class Record:
    """The values of a program's lines, as they are assigned: `lines` holds [line number, name, packed value]."""

    def __init__(self) -> None:
        self.lines: list[list[Any]] = []

    def enter(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        """Follow the program's outermost level and its answering function, nothing that they call."""
        code = frame.f_code
        if code.co_filename != "<program>" or code.co_name not in ("<module>", *_FUNCTIONS):
            return None
        seen: dict[str, Any] = dict(frame.f_locals)
        last = frame.f_lineno

        def step(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal last
            if event in ("line", "return") and len(self.lines) < RECORDED:
                for name, value in frame.f_locals.items():
                    if name not in seen or seen[name] is not value:
                        seen[name] = value
                        plain = _plain(value)
                        if name[0] != "_" and len(self.lines) < RECORDED and reason(plain) is None:
                            self.lines.append([last, name, protocol.pack(plain)])
                last = frame.f_lineno
            return step

        return step
