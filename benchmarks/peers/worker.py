"""Runs programs with a library that promises to: the part of the benchmark that stands in the libraries' own venv.

    python worker.py smolagents
    -> "ready"
    <- [["def solution():\\n    return 6 * 7", "solution()"], ...]       a line: programs, and how to get at the answer
    -> ["42", null, ...]                                              a line: the answers as text; null where it failed

Each library is used as its documentation says, with a fresh state for each program.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import operator
import sys
from collections.abc import Callable, Sequence

MODULES = ("math", "datetime", "time")
"""What a program may import; `strftime` imports the last."""
SECONDS = 5
Run = Callable[[str, str], object]


def smolagents() -> Run:
    """An executor for each program; its answer is the value of the last line."""
    from smolagents.local_python_executor import LocalPythonExecutor

    def run(program: str, answer: str) -> object:
        executor = LocalPythonExecutor(list(MODULES), timeout_seconds=SECONDS)
        executor.send_tools({})
        return executor(f"{program}\n{answer}").output

    return run


def restricted_python() -> Run:
    """Its guards, and of the builtins those that its documentation leaves to the user to allow; no limit of time."""
    from RestrictedPython import compile_restricted, limited_builtins, safe_builtins, utility_builtins
    from RestrictedPython.Eval import default_guarded_getitem, default_guarded_getiter
    from RestrictedPython.Guards import (
        full_write_guard,
        guarded_iter_unpack_sequence,
        guarded_unpack_sequence,
        safer_getattr,
    )

    signs: dict[str, Callable[[object, object], object]] = {
        "+=": operator.iadd, "-=": operator.isub, "*=": operator.imul, "/=": operator.itruediv,
    }  # fmt: skip

    def import_(name: str, *others: object) -> object:
        if name not in MODULES:
            raise ImportError(name)
        return __import__(name, *others)  # type: ignore[arg-type]

    def in_place(sign: str, left: object, right: object) -> object:
        return signs[sign](left, right)

    allowed = {name: getattr(builtins, name) for name in ("all", "any", "dict", "enumerate", "max", "min", "sum")}
    guards = {
        "_getattr_": safer_getattr,
        "_getitem_": default_guarded_getitem,
        "_getiter_": default_guarded_getiter,
        "_inplacevar_": in_place,
        "_iter_unpack_sequence_": guarded_iter_unpack_sequence,
        "_unpack_sequence_": guarded_unpack_sequence,
        "_write_": full_write_guard,
    }
    available = {**safe_builtins, **limited_builtins, **utility_builtins, **allowed, "__import__": import_}

    def run(program: str, answer: str) -> object:
        space = {"__builtins__": available, "__name__": "__main__", **guards}
        exec(compile_restricted(f"{program}\nthe_answer = {answer}", "<program>", "exec"), space)
        return space["the_answer"]

    return run


def answers(run: Run, programs: Sequence[tuple[str, str]]) -> list[str | None]:
    """The answers as text; None for a program that the library does not run."""
    found: list[str | None] = []
    for program, answer in programs:
        found.append(None)
        with contextlib.suppress(Exception):
            found[-1] = str(run(program, answer))
    return found


def main() -> None:
    run = {"smolagents": smolagents, "RestrictedPython": restricted_python}[sys.argv[1]]()
    out, sys.stdout = sys.stdout, sys.stderr  # a program may print
    print(json.dumps("ready"), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(answers(run, json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
