"""Which programs may share a worker: those that can be seen to change nothing the next program could notice.

    why_alone(compile("import math\\nans = math.ceil(7 / 2)", "", "exec"))    -> ""
    why_alone(compile("class A: pass", "", "exec"))                          -> "LOAD_BUILD_CLASS"
    why_alone(compile("().__class__", "", "exec"))                           -> "the name __class__"

Whatever is not known to be harmless runs alone, in a process forked for it: that is slower and never a fault. The
screen protects the answers of a worker's other programs; it is not what keeps a program in the jail.

It reads the compiled code, not the source: names are already normalised there (full-width letters), f-strings and
patterns are already taken apart, and it takes microseconds (docs/decisions/0004). Code differs between versions of
Python, so instructions are looked up by name, and `holds` proves by examples that this version reads as expected; if
not, every program runs alone.
"""

from __future__ import annotations

import builtins
import opcode
import sys
from types import CodeType


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BUILTINS = _words(
    "abs all any ascii bin bool bytes callable chr complex dict divmod enumerate filter float format frozenset hash "
    "hex int isinstance issubclass iter len list map max min next oct ord pow print range repr reversed round set "
    "slice sorted str sum tuple zip None True False NotImplemented Ellipsis "
    "ArithmeticError AssertionError AttributeError BaseException EOFError Exception FloatingPointError ImportError "
    "IndexError KeyError KeyboardInterrupt LookupError MemoryError ModuleNotFoundError NameError NotImplementedError "
    "OSError OverflowError RecursionError RuntimeError StopIteration SyntaxError SystemExit TypeError "
    "UnboundLocalError UnicodeError ValueError Warning ZeroDivisionError UserWarning DeprecationWarning"
)
"""Not here: what reads attributes by text (getattr, vars), runs text (eval), makes classes (type) or reaches out."""

_MODULES = {
    "__future__": "annotations division print_function",
    "math": "ceil floor sqrt gcd lcm comb perm factorial pow log log2 log10 log1p exp expm1 sin cos tan asin acos atan "
    "atan2 sinh cosh tanh asinh acosh atanh hypot degrees radians pi e tau inf nan isnan isinf isfinite isclose "
    "trunc modf fabs fmod frexp ldexp copysign prod fsum dist isqrt erf erfc gamma lgamma remainder cbrt exp2 nextafter ulp",
    "cmath": "phase polar rect",
    "itertools": "accumulate chain combinations combinations_with_replacement compress count cycle dropwhile "
    "filterfalse from_iterable groupby islice pairwise permutations product repeat starmap takewhile tee zip_longest",
    "functools": "reduce partial cmp_to_key",
    "collections": "Counter defaultdict deque OrderedDict",
    "datetime": "date datetime timedelta time timezone",
    "decimal": "Decimal ROUND_HALF_UP ROUND_HALF_EVEN ROUND_HALF_DOWN ROUND_UP ROUND_DOWN ROUND_CEILING ROUND_FLOOR",
    "fractions": "Fraction",
    "statistics": "mean fmean geometric_mean harmonic_mean median median_low median_high mode multimode stdev pstdev "
    "variance pvariance quantiles",
    "string": "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits punctuation whitespace octdigits capwords",
    "operator": "itemgetter add sub mul truediv floordiv mod neg lt le eq ne ge gt contains and_ or_ xor pos concat",
    "heapq": "heappush heappop heapify heappushpop heapreplace nlargest nsmallest merge",
    "bisect": "bisect bisect_left bisect_right insort insort_left insort_right",
    "re": "match search fullmatch findall finditer sub subn split escape compile IGNORECASE MULTILINE DOTALL VERBOSE "
    "ASCII I M S X",
    "json": "dumps loads JSONDecodeError",
    "copy": "copy deepcopy",
    "calendar": "isleap leapdays monthrange weekday",
    "typing": "List Dict Tuple Set FrozenSet Optional Union Any Callable Iterable Iterator Sequence Mapping",
}
"""Public functions without a memory. Not here: random, contexts of decimal, caches, whatever keeps what it is given."""

STUBS = ("numpy", "sympy", "scipy", "pandas", "matplotlib")
"""Imported by many programs that never use them: such a program gets an empty module, and runs alone if it looks in."""

_METHODS = (
    # of plain values: all public ones of these types, but not those of `str` that read attributes out of a format
    {name for kind in (str, int, float, complex, list, dict, set, frozenset, tuple, range, bytes) for name in dir(kind)}
    | _words(
        # Counter, defaultdict, deque, OrderedDict
        "most_common elements subtract total default_factory appendleft popleft extendleft rotate maxlen move_to_end "
        # Fraction, Decimal
        "numerator denominator limit_denominator from_float from_decimal quantize to_integral_value as_tuple is_nan "
        "is_infinite is_finite is_signed is_zero sqrt ln exp log10 normalize adjusted compare "
        # date, datetime, timedelta, time
        "year month day hour minute second microsecond days seconds microseconds total_seconds weekday isoweekday "
        "isocalendar isoformat strftime strptime replace fromisoformat toordinal fromordinal combine week ctime "
        "timetuple min max tm_yday tm_mon tm_year tm_mday tm_wday utc "
        # regular expressions, exceptions, functools.partial
        "group groups groupdict start end span string pattern match search findall finditer fullmatch sub subn split "
        "args func keywords msg"
    )
) - {"format", "format_map"}

_ATTRIBUTES = frozenset(
    name for name in _METHODS.union(*(names.split() for names in _MODULES.values())) if not name.startswith("_")
)
_IMPORTS = frozenset([*_MODULES, *STUBS])
_ALONE = frozenset(name for name in dir(builtins) if name not in _BUILTINS) | {"exit", "quit", "help", "copyright"}

_INSTRUCTIONS = _words(
    "CACHE POP_TOP PUSH_NULL NOP UNARY_POSITIVE UNARY_NEGATIVE UNARY_NOT UNARY_INVERT BINARY_SUBSCR GET_LEN "
    "MATCH_MAPPING MATCH_SEQUENCE MATCH_KEYS PUSH_EXC_INFO CHECK_EXC_MATCH STORE_SUBSCR DELETE_SUBSCR GET_ITER "
    "GET_YIELD_FROM_ITER LOAD_ASSERTION_ERROR RETURN_GENERATOR LIST_TO_TUPLE RETURN_VALUE YIELD_VALUE POP_EXCEPT "
    "STORE_NAME DELETE_NAME UNPACK_SEQUENCE FOR_ITER UNPACK_EX STORE_GLOBAL DELETE_GLOBAL SWAP LOAD_CONST LOAD_NAME "
    "BUILD_TUPLE BUILD_LIST BUILD_SET BUILD_MAP LOAD_ATTR COMPARE_OP IMPORT_NAME IMPORT_FROM JUMP_FORWARD "
    "JUMP_IF_FALSE_OR_POP JUMP_IF_TRUE_OR_POP POP_JUMP_FORWARD_IF_FALSE POP_JUMP_FORWARD_IF_TRUE LOAD_GLOBAL IS_OP "
    "CONTAINS_OP RERAISE COPY BINARY_OP SEND LOAD_FAST STORE_FAST DELETE_FAST POP_JUMP_FORWARD_IF_NOT_NONE "
    "POP_JUMP_FORWARD_IF_NONE RAISE_VARARGS MAKE_FUNCTION BUILD_SLICE JUMP_BACKWARD_NO_INTERRUPT MAKE_CELL "
    "LOAD_CLOSURE LOAD_DEREF STORE_DEREF DELETE_DEREF JUMP_BACKWARD CALL_FUNCTION_EX EXTENDED_ARG LIST_APPEND SET_ADD "
    "MAP_ADD COPY_FREE_VARS RESUME FORMAT_VALUE BUILD_CONST_KEY_MAP BUILD_STRING LOAD_METHOD LIST_EXTEND SET_UPDATE "
    "DICT_MERGE DICT_UPDATE PRECALL CALL KW_NAMES POP_JUMP_BACKWARD_IF_NOT_NONE POP_JUMP_BACKWARD_IF_NONE "
    "POP_JUMP_BACKWARD_IF_FALSE POP_JUMP_BACKWARD_IF_TRUE "
    # 3.12
    "BINARY_SLICE STORE_SLICE END_FOR END_SEND LOAD_FAST_CHECK LOAD_FAST_AND_CLEAR RETURN_CONST CALL_INTRINSIC_1 "
    "POP_JUMP_IF_FALSE POP_JUMP_IF_TRUE POP_JUMP_IF_NONE POP_JUMP_IF_NOT_NONE "
    # 3.13
    "CALL_KW CONVERT_VALUE FORMAT_SIMPLE FORMAT_WITH_SPEC TO_BOOL LOAD_FAST_LOAD_FAST STORE_FAST_LOAD_FAST "
    "STORE_FAST_STORE_FAST SET_FUNCTION_ATTRIBUTE"
)
"""Not here: what sets attributes, makes classes, imports all of a module, reads dunders (class patterns), `with`, async."""
_INTRINSICS = frozenset([3, 5, 6])
"""Arguments of CALL_INTRINSIC_1 that are harmless: StopIteration to RuntimeError, unary plus, list to tuple."""

_KNOWN = (3, 11) <= sys.version_info[:2] <= (3, 13)
_ALLOWED = frozenset(number for name, number in opcode.opmap.items() if name in _INSTRUCTIONS and number < 256)
_NAMING = tuple(
    opcode.opmap[name]
    for name in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM", "IMPORT_NAME")
    if opcode.opmap.get(name, 256) < 256
)
_IMPORT_NAME = opcode.opmap["IMPORT_NAME"]
_SHIFTED = opcode.opmap["LOAD_ATTR"] if sys.version_info >= (3, 12) else -1
"""From 3.12 on the lowest bit of LOAD_ATTR's argument says whether a method is called."""
_EXTENDED = opcode.opmap["EXTENDED_ARG"]
_HANDLER = opcode.opmap["PUSH_EXC_INFO"]
_INTRINSIC = opcode.opmap.get("CALL_INTRINSIC_1", -1)
_GENERATOR, _COROUTINE = 0x20, 0x80 | 0x200


def why_alone(code: CodeType) -> str:
    """What makes a compiled program run alone; "" if it may share a worker."""
    names = code.co_names
    if not _ALONE.isdisjoint(names):
        return f"the name {min(_ALONE.intersection(names))}"
    for name in names:
        if name[0] == "_" and name not in ("_", "__name__", "__future__"):
            return f"the name {name}"
    operations, arguments = code.co_code[::2], code.co_code[1::2]
    if not _ALLOWED.issuperset(operations):
        return opcode.opname[min(set(operations) - _ALLOWED)]
    if code.co_flags & _COROUTINE:
        return "a coroutine"
    if code.co_flags & _GENERATOR and _HANDLER in operations:
        return "a generator that handles exceptions"  # it may do so when the next program runs
    if _INTRINSIC in operations if _INTRINSIC >= 0 else False:
        at = operations.find(_INTRINSIC)
        while at >= 0:
            if arguments[at] not in _INTRINSICS:
                return f"the intrinsic {arguments[at]}"
            at = operations.find(_INTRINSIC, at + 1)
    for operation in _NAMING:
        at = operations.find(operation)
        while at >= 0:
            if at and operations[at - 1] == _EXTENDED:
                return "more names than one byte counts"
            name = names[arguments[at] >> 1 if operation == _SHIFTED else arguments[at]]
            if name not in (_IMPORTS if operation == _IMPORT_NAME else _ATTRIBUTES):
                return f"the name {name}"
            at = operations.find(operation, at + 1)
    for constant in code.co_consts:
        if type(constant) is CodeType and (reason := why_alone(constant)):
            return reason
    return ""


_MANY = "\n".join(f"v{i} = {i}" for i in range(300))
_SHARED = (
    "import math, numpy as np\nans = math.ceil(7 / 2)",
    "from math import sqrt\nx = [sqrt(i) for i in range(3)]\nx.append(1)\nans = f'{x[0]:.2f} {x!r}'",
    "def f(a=1, *b, c=2, **d):\n    try:\n        return a / 0\n    except ZeroDivisionError as e:\n        return str(e)",
    "ans = sum(x * 2 for x in [1, 2] if x > 1)\nassert ans\na, *b = [1, 2]\nans = {**{'a': 1}}\nans = [*b]",
    "def f():\n    x = 1\n    def g():\n        nonlocal x\n        x += 1\n        return x\n    return g()\nans = f()",
    "match [1, 2]:\n    case [a, b]:\n        ans = a\n    case {'k': v}:\n        ans = v\nwhile ans > 5: ans -= 1",
)
_LONELY = (
    "().__class__", "x = 1\nx.__class__()", "import os", "from os import path", "import math\nmath.x = 1", "class A: pass",
    "from math import *", "del x.y", "match 1:\n    case int(real=r): pass", "''.format(1)", "getattr(1, 'real')",
    "def f():\n    try:\n        yield 1\n    finally:\n        pass", "async def f(): pass", "with x: pass",
    "def f():\n    def g():\n        return (lambda: ''.format)\n    return g", "__builtins__", "x: int = 1",
    f"{_MANY}\nx.gi_frame", "import statistics\nstatistics.sys", "from statistics import sys", "x.ｇi_frame",
    "[y.gi_frame for y in x]", "def f(x):\n    return x.tb_frame", "x.f_back.f_globals", "f'{x.gi_code}'",
    "print(open)", "import random", "eval('1')",
)  # fmt: skip


def holds() -> bool:
    """Whether this version of Python compiles to what the screen expects: every example falls on its own side."""
    return (
        _KNOWN
        and all(not why_alone(compile(text, "<example>", "exec")) for text in _SHARED)
        and all(why_alone(compile(text, "<example>", "exec")) for text in _LONELY)
    )


def shared_builtins() -> dict[str, object]:
    """The builtins of a worker that is shared."""
    return {name: getattr(builtins, name) for name in _BUILTINS}
