"""Which modules a program finds: they are loaded before the jail closes, for afterwards no file can be read.

    load()                 the standard modules, warmed up
    load_science(paths)    numpy and sympy too, if they are installed

Not the list of what is allowed: inside the jail any module is harmless, and the allow-list of the shared worker stands
in `screen.py`. This one decides only what works.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

STANDARD = (
    "abc", "array", "ast", "base64", "bisect", "calendar", "cmath", "collections", "collections.abc", "colorsys",
    "contextlib", "contextvars", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions",
    "functools", "gc", "graphlib", "hashlib", "heapq", "html", "inspect", "io", "itertools", "json", "keyword",
    "locale", "logging", "math", "numbers", "operator", "os", "pathlib", "pickle", "platform", "pprint", "queue",
    "random", "re", "secrets", "signal", "socket", "statistics", "string", "struct", "sys", "tempfile", "textwrap",
    "stringprep", "threading", "time", "timeit", "tokenize", "traceback", "types", "typing", "unicodedata", "uuid",
    "warnings", "weakref", "zoneinfo",
    "_strptime", "encodings.idna", "encodings.ascii", "encodings.latin_1", "encodings.utf_16",
)  # fmt: skip

SCIENCE = ("numpy", "sympy", "scipy", "pandas", "mpmath", "dateutil", "pytz", "networkx", "matplotlib")
"""Packages that no program needs often: they live in a runner of their own, started when the first one asks."""
_SCIENCE_LOADED = (
    "numpy", "numpy.random", "numpy.linalg", "numpy.polynomial", "mpmath", "sympy", "sympy.sets.setexpr",
    "sympy.combinatorics", "sympy.tensor", "sympy.codegen.ast", "sympy.physics.units", "sympy.abc", "sympy.stats",
    "sympy.solvers.inequalities", "sympy.printing.latex", "sympy.integrals.manualintegrate", "dateutil.relativedelta",
)  # fmt: skip
_SCIENCE_WARMED = """
from sympy import symbols, solve, simplify, integrate, Eq, nsolve, latex, sympify, Rational
x, y = symbols("x y")
solve(x**2 - 3*x + 2, x); solve([Eq(x + y, 3), Eq(x - y, 1)], [x, y]); simplify((x**2 - 1)/(x - 1))
integrate(x**2, (x, 0, 3))
nsolve(x**2 - 2, x, 1); latex(x/y)
sympify("x + 1"); solve(x**3 - x - 1, x); solve(x > 3, x)
"""


class Elsewhere(MetaPathFinder):
    """Sees that a program asks for a package of the other runner; `asked` is its name."""

    asked = ""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name.partition(".")[0] in SCIENCE:
            self.asked = name


def load() -> None:
    """Load the standard modules and let them do what they put off to their first use."""
    for name in STANDARD:
        importlib.import_module(name)
    import datetime
    import fractions
    import statistics
    import unicodedata

    datetime.datetime.strptime("2024-01-01 10:00", "%Y-%m-%d %H:%M").strftime("%A %d %B %Y")
    compile("π = 1", "", "exec")  # an identifier that is not ASCII is normalised by `unicodedata`
    unicodedata.name("a")
    str(fractions.Fraction(statistics.mean([1, 2])))


def load_science(paths: Sequence[str]) -> list[str]:
    """Load what there is of numpy and sympy from `paths` and warm it up. Returns the packages that were found."""
    sys.path.extend(paths)
    for name in _SCIENCE_LOADED:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    if "sympy" in sys.modules:
        exec(compile(_SCIENCE_WARMED, "<warming up>", "exec"), {})
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    return [name for name in SCIENCE if name in sys.modules]
