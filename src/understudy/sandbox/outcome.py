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
    """

    status: Status
    value: Value = None
    error: str = ""
    printed: str = ""
