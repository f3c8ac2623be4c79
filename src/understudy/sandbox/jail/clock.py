"""A clock that stands still, so that a program about "this year" has the same answer every year.

    stop()
    datetime.datetime.now()    -> datetime.datetime(2024, 1, 1, 0, 0)
    time.time()                -> 1704067200.0
    time.sleep(1000)           returns at once

For the runner's own copy of the modules only. It is no layer of the sandbox: whoever wants the real time can find it.
"""

from __future__ import annotations

import datetime
import time
from typing import Any, Self

SECONDS = 1704067200
"""2024-01-01 00:00:00 UTC, as under the other engine."""


class _AsTheReal(type):
    """Every real date is an instance of its stand-in, which says under `real` what it stands for."""

    def __instancecheck__(cls, item: Any) -> bool:
        real = cls.__dict__.get("real")
        return super().__instancecheck__(item) if real is None else isinstance(item, real)

    def __subclasscheck__(cls, kind: type) -> bool:
        real = cls.__dict__.get("real")
        return super().__subclasscheck__(kind) if real is None else issubclass(kind, real)


class StoppedDate(datetime.date, metaclass=_AsTheReal):
    """`date`, but always on the same day."""

    real = datetime.date

    @classmethod
    def today(cls) -> Self:
        return cls(2024, 1, 1)


class StoppedDatetime(datetime.datetime, metaclass=_AsTheReal):
    """`datetime`, but always at the same moment."""

    real = datetime.datetime

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Self:
        return cls.fromtimestamp(SECONDS, tz)

    @classmethod
    def utcnow(cls) -> Self:
        return cls(2024, 1, 1)

    @classmethod
    def today(cls) -> Self:
        return cls(2024, 1, 1)


def stop() -> None:
    """Put the standing clock in the place of the running one, in the modules `datetime` and `time`."""
    for kind, name in ((StoppedDate, "date"), (StoppedDatetime, "datetime")):
        kind.__name__ = f"datetime.{name}"  # what repr shows of a class that is not C's own
        kind.__qualname__, kind.__module__ = name, "datetime"
        setattr(datetime, name, kind)
    replaced: dict[str, Any] = {
        "time": lambda: float(SECONDS),
        "time_ns": lambda: SECONDS * 10**9,
        "sleep": lambda seconds: None,
    }
    for name, function in replaced.items():
        setattr(time, name, function)
