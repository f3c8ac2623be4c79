"""What programs mean in an unprotected CPython: run in the throw-away namespace of stage.py, one after the other.

    echo '["ans = 6 * 7", "ans = 1 / 0"]' | python reference.py    -> ["42", "!ZeroDivisionError"]

(with the folder `tests` in PYTHONPATH.) A value is shown as `repr`; `!timeout` is one that took 2 seconds.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
from fractions import Fraction
from typing import Any

from attacks import stage


class LateError(BaseException):
    """Two seconds are over."""


def value(program: str) -> str:
    """What a program's answer is, by the rule of the sandbox."""
    space: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(compile(program, "<program>", "exec", dont_inherit=True), space)
        for name in ("solution", "solver"):
            if name in space:
                return shown(space[name]())
        for name in ("ans", "result", "answer"):
            if name in space:
                return shown(space[name])
    except LateError:
        return "!timeout"
    except BaseException as error:
        return f"!{type(error).__name__}"
    return "!NoAnswer"


def shown(answer: Any) -> str:
    """`repr`, with the numbers of numpy and sympy as Python's own, and a row of them as a list or its one number."""
    kind = type(answer)
    if kind in (list, tuple):
        return repr(kind(Plain(shown(part)) for part in answer))
    if kind.__module__ == "numpy" and hasattr(answer, "item") and answer.ndim < 2:
        return repr(answer.item() if answer.size == 1 else answer.tolist())
    if kind.__module__.startswith("sympy"):
        if answer.is_Integer:
            return repr(int(answer))
        if answer.is_Rational:
            return repr(Fraction(int(answer.p), int(answer.q)))
        if answer.is_Float:
            return repr(float(answer))
    return repr(answer)


class Plain(str):
    """A text that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def late(number: int, frame: object) -> None:
    """The handler of the timer."""
    raise LateError


def main() -> None:
    """Read the programs, run them, print what they mean."""
    programs = json.load(sys.stdin)
    for name in ("numpy", "sympy", "sympy.sets.setexpr", "statistics", "fractions", "datetime", "decimal", "calendar"):
        __import__(name)
    import datetime

    datetime.datetime.strptime("2024", "%Y")
    stage.enter()
    out = sys.stdout
    sys.stdin = io.StringIO()
    signal.signal(signal.SIGPROF, late)
    found = []
    for program in programs:
        with contextlib.redirect_stdout(io.StringIO()):
            signal.setitimer(signal.ITIMER_PROF, 2.0, 0.1)
            text = "!timeout"
            with contextlib.suppress(LateError):
                text = value(program)
            signal.setitimer(signal.ITIMER_PROF, 0)
        found.append(text)
    json.dump(found, out)
    out.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
