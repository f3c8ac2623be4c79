"""What running one program showed: an `Outcome`."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal, TypeAlias

Status = Literal["ok", "error", "timeout", "memory", "output", "violation", "crash", "unsupported", "too_long"]
"""`unsupported` means this engine cannot run it (a module it lacks): counted apart, not a fault of the program."""

Value: TypeAlias = (
    "bool | int | float | Fraction | Decimal | str | list[Value] | tuple[Value, ...] | dict[Value, Value] | None"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one program.

    Attributes:
        status: how it ended; only `ok` has a value.
        value: what `solution()` returned or the answer variable holds, as exact data of builtin types.
        error: `Type: message` for `error`, a sentence for the other statuses.
        printed: what it wrote to standard output, cut at the limit.
        lines: (line number, name, value) of each assignment on the way, if that was asked for: of the outermost level
            and of the function whose value is the answer, in order. Always empty where the engine is Monty.
    """

    status: Status
    value: Value = None
    error: str = ""
    printed: str = ""
    lines: tuple[tuple[int, str, Value], ...] = ()
