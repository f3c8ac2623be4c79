"""The choices of a question: shown below its text, and named by a number.

    with_choices("Where do boats rest?", ("harbour", "moon"))

    Where do boats rest?
    Answer Choices:
    (a) harbour
    (b) moon

Many published files name the right choice by its number, from 0 or from 1. Which of the two a file means is decided from
all of its rows, and only where no choice of them could be meant in two ways.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from understudy.answers import AnswerKind
from understudy.errors import DataError


class Given(NamedTuple):
    """The answer of a row as it stands there, with the choices and the place."""

    gold: object
    choices: Sequence[str]
    file: Path
    line: int


def with_choices(question: str, choices: Sequence[str]) -> str:
    """A question with its choices, as CommonsenseQA is shown: one a line, each after its letter; never twice."""
    letters = string.ascii_lowercase if len(choices) <= len(string.ascii_lowercase) else ""
    signs = [f"({letter})" for letter in letters] or ["-"] * len(choices)
    listed = "".join(f"\n{sign} {choice}" for sign, choice in zip(signs, choices, strict=False))
    return question if question.endswith(listed) else f"{question}\nAnswer Choices:{listed}"


def are_in(text: str, choices: Sequence[str]) -> bool:
    """Whether a question's text holds all of its choices already."""
    folded = text.casefold()
    return all(re.search(rf"(?<!\w){re.escape(choice.casefold())}(?!\w)", folded) for choice in choices)


def whole(value: object) -> int | None:
    """The whole number in a cell, as 2, 2.0 or "2"; None if it holds something else."""
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"\s*[0-9]{1,9}\s*", value, re.ASCII) else None
    return (
        int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1 else None
    )


def by_number(value: object, choices: Sequence[str], first: int | None) -> str | None:
    """The choice that a number names, counted from `first`; None if it names none."""
    number = None if first is None else whole(value)
    return (
        choices[number - first]
        if number is not None and first is not None and 0 <= number - first < len(choices)
        else None
    )


def first_number(rows: Iterable[Given], kind: AnswerKind) -> int | None:
    """The number of the first choice, 0 or 1, in a file whose answers are numbers of choices; None in another.

    A number that is the text of a choice of its row is that text, as long as all of them are.

    Raises:
        DataError: it may be either, or a number may also be the text of another choice.
    """
    seen: dict[int, Given] = {}  # the first row that can only be counted from 0 or 1
    twofold: dict[int, Given] = {}  # the first row whose text is another choice than its number's
    least = most = None
    for row in rows:
        number = whole(row.gold)
        if number is None or not row.choices:
            continue
        named = kind.read(str(number), row.choices)
        if named is not None:
            for first in (0, 1):
                if by_number(number, row.choices, first) != named:
                    twofold.setdefault(first, row)
            continue
        if 0 <= number <= len(row.choices):
            least, most = min(number, number if least is None else least), max(number, most or 0)
        if number in (0, len(row.choices)):
            seen.setdefault(1 if number else 0, row)
    if least is None:
        return None
    declare = "Say from where the numbers count: task.first_choice=0 or task.first_choice=1"
    if len(seen) == 2:
        found = " and ".join(f"{row.gold!r} of {len(row.choices)} choices in line {row.line}" for row in seen.values())
        raise DataError(f"answers are numbers of choices, some from 0, some from 1: {found}. Mend the rows", row.file)
    if not seen:
        raise DataError(
            f"answers are numbers of choices, from {least} to {most}, which may count from 0 or 1. {declare}", row.file
        )
    [first] = seen
    if first in twofold:
        both = twofold[first]
        raise DataError(
            f"answer {both.gold!r} may be that choice or the number of {by_number(both.gold, both.choices, first)!r} among "
            f"{list(both.choices)}: other answers are numbers. If all are: task.first_choice={first}; else give texts",
            both.file,
            both.line,
        )
    return first
