r"""Answers: reading, normalising and comparing them. No model, no I/O, and no exception whatever the text.

An answer is kept in one notation, so that votes count equal answers together and files can be compared:

    | kind       | a text that claims to be one  | notation         | is the same as | but not as          |
    |------------|-------------------------------|------------------|----------------|---------------------|
    | number     | `$1,800.` `24.0` `6/8` `25%`  | 1800 24 0.75 25% | 25: 25.0, 50/2 | 125, 2.5, -25, 25%  |
    | expression | `(12+5)*3.`                   | ( 12 + 5 ) * 3   | 51             | 12 + 5 * 3          |
    | choice     | `(B)` `(b) the sea` `the sea` | the sea          | The  sea       | another choice      |
    | label      | `Neutral.`                    | neutral          | NEUTRAL        | not neutral         |
    | yes_no     | `Yes.` `True`                 | yes              | YES            | no                  |
    | text       | `"n k".`                      | n k              | N  K           | nk                  |

`read` is strict and takes a text that is nothing but an answer; `find` is lenient and takes the last answer in free
text.
"""

from __future__ import annotations

import re
import string
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import ClassVar

from understudy.config import unknown
from understudy.errors import ConfigError
from understudy.sandbox.expressions import ExpressionError, evaluate

ABSOLUTE_TOLERANCE = Fraction(1, 10**6)
RELATIVE_TOLERANCE = Fraction(1, 10**9)
"""Two numbers are the same within the sum of both tolerances; two whole numbers only if equal.

This is strict on purpose: a gold answer that its data set rounded, 3.333 for 10/3, makes 10/3 wrong. The setting
`grade.tolerance` is a larger absolute tolerance for such data.
"""
MAX_NOTATION = 100
"""Longest number, in characters; a longer one is no answer."""
MAX_SIDES = 20
"""Most sides of an equation, `a = b = c`; one with more is no answer."""

_PLAIN_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,30}+(?![0-9])|[0-9]++)(?:\.[0-9]++)?(?!\.?[0-9])|\.[0-9]++"
_NUMBER = re.compile(
    rf"""(?P<sign>(?<![\w)\]}}%.])[-−–]\(?(?=[\\$€£¥₹.0-9])|(?<![0-9])(?<![0-9]\s)\b(?:minus|negative)\s)?
    \\?[$€£¥₹]?\s?(?<![\w.])(?P<inner_sign>(?<=[$€£¥₹])[-−])?
    (?:
        (?:(?P<whole>[0-9]{{1,9}})\s(?=[0-9]{{1,9}}/[0-9]))?
        (?<!/)(?P<over>[0-9]{{1,30}})\s?/\s?(?P<under>[0-9]{{1,30}})(?![\d.,]*[\d/])
    |
        (?P<plain>{_PLAIN_NUMBER})(?:(?P<power>[eE][-+]?[0-9]{{1,2}})(?![\w.]*[0-9])|(?![eE][-+]?[0-9]))
    )
    (?:\s?(?P<percent>%|percent\b|per\s?cent\b)|\s(?P<scale>hundred|thousand|million|billion)\b)?""",
    re.VERBOSE | re.IGNORECASE,
)
_FRAC = re.compile(r"\\[dt]?frac\{([0-9]{1,30})\}\{([0-9]{1,30})\}")
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9}
_CLAIM = re.compile(r"(?:so\s+)?(?:the\s+)?(?:final\s+|correct\s+)?answer(?:\s+is|\s*:)\s*:?", re.IGNORECASE)
_AROUND = string.whitespace + "\"'`*_“”‘’"
_LEAD = re.compile(rf"(?:[{re.escape(_AROUND)}]|{_CLAIM.pattern})*+", re.IGNORECASE)


class AnswerKind(ABC):
    """One kind of answer. The texts given to `same` are notations, as `read`, `find` and `from_value` give them."""

    name: ClassVar[str]

    @abstractmethod
    def read(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The notation of a text that claims to be just the answer; None if it is none."""

    @abstractmethod
    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The notation of the last answer in free text; None if there is none."""

    def same(self, a: str, b: str, tolerance: Fraction = ABSOLUTE_TOLERANCE) -> bool:
        """Whether two answers are the same, case and blanks aside; numbers may differ by the absolute `tolerance`."""
        return _folded(a) == _folded(b)

    def from_value(self, value: object, choices: Sequence[str] = ()) -> str | None:
        """The notation of what a program returned; None for what is no answer of this kind (a list, infinity)."""
        if isinstance(value, str):
            return self.read(value, choices)
        notation = None if isinstance(value, bool) else _number_notation(value)
        return None if notation is None else self.read(notation, choices)


class Number(AnswerKind):
    """A number: whole, decimal, fraction or percentage, compared by value (25% is 0.25)."""

    name = "number"

    def read(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The only number in the text, or, if there are more, the only one after the last `=`."""
        text = _FRAC.sub(r"\1/\2", text)
        for claim in (text, text.rpartition("=")[2]):
            found = list(_NUMBER.finditer(claim))
            if len(found) == 1:
                return _notation_of(found[0])
        return None

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        found = None
        for found in _NUMBER.finditer(_FRAC.sub(r"\1/\2", text)):  # noqa: B007
            continue
        return None if found is None else _notation_of(found)

    def same(self, a: str, b: str, tolerance: Fraction = ABSOLUTE_TOLERANCE) -> bool:
        """Whether two numbers have the same value, within the tolerances."""
        return _same_value(self._value(a), self._value(b), tolerance) or super().same(a, b)

    def rounds_to(self, answer: str, gold: str) -> bool:
        """Whether `answer`, rounded to a whole number, is `gold`, as the code of PaD grades: 5.4 is 5, nothing is 5.5."""
        value, whole = self._value(answer), self._value(gold)
        return value is not None and whole is not None and round(value) == whole

    def _value(self, text: str) -> Fraction | None:
        notation = self.read(text)
        return None if notation is None else _value(notation)

    def from_value(self, value: object, choices: Sequence[str] = ()) -> str | None:
        return self.read(value, choices) if isinstance(value, str) else _number_notation(value)


class Expression(Number):
    """An arithmetic expression, compared by its value; a number is one too."""

    name = "expression"

    def read(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The expression with its tokens separated by blanks and without brackets around the whole.

        In `x = 12 + 5` and `12 + 5 = 17` it is the longest part, if all parts that can be read have the same value.
        """
        sides = _CLAIM.sub("", text).split("=")
        if len(sides) > MAX_SIDES:
            return None
        parts = [part for part in map(_expression, sides) if part is not None]
        if not parts:
            return None if _OPERATION.search(text) else super().read(text, choices)
        agreed = all(_same_value(_value(parts[0]), _value(part)) for part in parts)
        return max(parts, key=len) if agreed else None

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        for run in reversed(_EXPRESSION_RUN.findall(_CURRENCY.sub("", text))):
            found = _expression(run) or (super().read(run) if run.endswith(("%", "cent")) else None)
            if found is not None:
                return found
        return super().find(text, choices)

    def _value(self, text: str) -> Fraction | None:
        return _value(text) if (found := self.read(text)) is None else _value(found)


class Label(AnswerKind):
    """One word of a closed set, `choices`, such as `entailment`; any one word or phrase if no set is given."""

    name = "label"

    def read(self, text: str, choices: Sequence[str] = ()) -> str | None:
        claim = _folded(_bare(text))
        if not choices:
            return claim or None
        return next((choice for choice in choices if _folded(choice) == claim), None)

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        words = _occurrences(text, choices) if choices else re.findall(r"[\w-]+", text)
        return self.read(words[-1], choices) if words else None


class Choice(AnswerKind):
    """One of `choices`, named by its text or its letter; the notation is the text."""

    name = "choice"
    _LETTERED = re.compile(r"\(?([A-Za-z])\s?[).:]?(?:\s+(.*))?", re.DOTALL)
    _LETTER_IN_TEXT = re.compile(r"\(([A-Za-z])\)|\b(?:answer is|answer:|option|choice)\s+([A-Za-z])(?=[).:,]|\s*$)")

    def read(self, text: str, choices: Sequence[str] = ()) -> str | None:
        claim = _bare(text)
        if not choices:
            return _folded(claim.strip("()")) or None
        named = next((choice for choice in choices if _folded(_bare(choice)) == _folded(claim)), None)
        lettered = self._LETTERED.fullmatch(claim)
        if named is not None or lettered is None:
            return named
        choice = _by_letter(lettered[1], choices)
        rest = lettered[2]
        return choice if choice is not None and (not rest or _folded(_bare(choice)) == _folded(rest)) else None

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        letters = [(m.end(), _by_letter(m[1] or m[2], choices)) for m in self._LETTER_IN_TEXT.finditer(text)]
        ends = [(end, choice) for end, choice in letters if choice is not None]
        ends += [(m.end(), m[0]) for m in _occurrence_pattern(choices).finditer(text)] if choices else []
        return self.read(max(ends)[1], choices) if ends else None


class YesNo(AnswerKind):
    """`yes` or `no`; `True` and `False` are read as such."""

    name = "yes_no"
    _WORDS: ClassVar[Mapping[str, str]] = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}
    _WORD = re.compile(r"\b(?:yes|no|true|false)\b", re.IGNORECASE)

    def read(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The text must begin with the word; what follows may not hold the other one: `No, she is not.`"""
        claim = _bare(text)
        meant = {self._WORDS[word.casefold()] for word in self._WORD.findall(claim)}
        return meant.pop() if len(meant) == 1 and self._WORD.match(claim) else None

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        words = self._WORD.findall(text)
        return self._WORDS[words[-1].casefold()] if words else None

    def from_value(self, value: object, choices: Sequence[str] = ()) -> str | None:
        return self.read(str(value)) if isinstance(value, bool | str) else None


class Text(AnswerKind):
    """Any short text, compared without regard to case, blanks, quotes and a final dot."""

    name = "text"

    def read(self, text: str, choices: Sequence[str] = ()) -> str | None:
        return " ".join(_bare(text).split()) or None

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The last line that is not empty."""
        return next((found for line in reversed(text.splitlines()) if (found := self.read(line))), None)


KINDS: Mapping[str, AnswerKind] = MappingProxyType(
    {kind.name: kind for kind in (Number(), Expression(), Choice(), Label(), YesNo(), Text())}
)
"""Every kind by its name."""


def kind(name: str) -> AnswerKind:
    """The kind of that name.

    Raises:
        ConfigError: there is none; gives the nearest name.
    """
    if name not in KINDS:
        raise ConfigError([unknown("kind of answer", name, name, sorted(KINDS))])
    return KINDS[name]


def _number_notation(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction | Decimal):
        return None
    if isinstance(value, float):
        value = Decimal(repr(value))  # 0.1 is 0.1, not its binary neighbour
    if isinstance(value, Decimal) and (not value.is_finite() or abs(value.adjusted()) > MAX_NOTATION):
        return None
    return _notation(Fraction(value))


def _notation(value: Fraction) -> str | None:
    """Whole numbers and decimals that end are written out, others as `1/3`; None beyond what `_NUMBER` reads."""
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > 4 * MAX_NOTATION:
        return None
    places = 0
    while places <= MAX_NOTATION and 10**places % value.denominator:
        places += 1
    if places == 0:
        notation = str(value)
    elif places > MAX_NOTATION:
        notation = str(value) if max(abs(value.numerator), value.denominator) < 10**30 else ""
    else:
        digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
        notation = f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
    return notation if 0 < len(notation) <= MAX_NOTATION else None


def _notation_of(found: re.Match[str]) -> str | None:
    if len(found[0]) > MAX_NOTATION:
        return None
    if found["plain"]:
        value = Fraction(found["plain"].replace(",", "") + (found["power"] or ""))
    elif int(found["under"]) == 0:
        return None
    else:
        value = int(found["whole"] or 0) + Fraction(int(found["over"]), int(found["under"]))
    value *= _SCALES.get((found["scale"] or "").casefold(), 1)
    notation = _notation(-value if found["sign"] or found["inner_sign"] else value)
    return f"{notation}%" if notation and found["percent"] else notation


def _value(notation: str) -> Fraction | None:
    try:
        if notation.endswith("%"):
            return evaluate(notation[:-1]) / 100
        return evaluate(notation)
    except ExpressionError:
        return None


def _same_value(a: Fraction | None, b: Fraction | None, tolerance: Fraction = ABSOLUTE_TOLERANCE) -> bool:
    if a is None or b is None:
        return False
    if a.denominator == b.denominator == 1:
        return a == b
    return abs(a - b) <= tolerance + RELATIVE_TOLERANCE * max(abs(a), abs(b))


_TOKEN = re.compile(rf"{_PLAIN_NUMBER}|\*\*|//|[-+*/%()]")
_OPERATION = re.compile(r"[+*/×÷()]|\s[-−]\s")
_CURRENCY = re.compile(r"\\?[$€£¥₹]")
_EXPRESSION_RUN = re.compile(rf"(?:(?<![\w.])(?:{_PLAIN_NUMBER})(?!\w)|\*\*|//|[-+*/()×÷−]|\s)++(?:%|per\s?cent\b)?")


def _expression(text: str) -> str | None:
    """The notation of an expression, None if it has no value; a bracket without its partner at an end is dropped."""
    text = _CURRENCY.sub("", text).strip(_AROUND + ".,;:").replace("×", "*").replace("÷", "/").replace("−", "-")
    text = text[text.count(")") < text.count("(") and text.startswith("(") :]
    text = text[: len(text) - (text.count("(") < text.count(")") and text.endswith(")"))]
    if not any(c.isdigit() for c in text) or _value(text) is None or text.endswith("%"):
        return None
    tokens = [_plain(token) for token in _TOKEN.findall(text)]
    while tokens[0] == "(" and _closing(tokens) == len(tokens) - 1:
        tokens = tokens[1:-1]
    if len(tokens) == 2 and tokens[0] == "-":
        return "".join(tokens)
    return " ".join(tokens)


def _plain(token: str) -> str:
    return token if not token[-1].isdigit() else _notation(Fraction(token.replace(",", ""))) or token


def _closing(tokens: Sequence[str]) -> int:
    """Position of the bracket that closes the first one."""
    depth = 0
    for position, token in enumerate(tokens):
        depth += (token == "(") - (token == ")")
        if depth == 0:
            return position
    return len(tokens)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _bare(text: str) -> str:
    """The text without quotes and marks around it, `The answer is` before and full stops after it."""
    return text[_LEAD.match(text).end() :].rstrip(_AROUND + ".")  # type: ignore[union-attr]


def _by_letter(letter: str, choices: Sequence[str]) -> str | None:
    position = string.ascii_lowercase.find(letter.casefold())
    return choices[position] if 0 <= position < len(choices) else None


def _occurrence_pattern(choices: Sequence[str]) -> re.Pattern[str]:
    longest_first = sorted((choice for choice in choices if choice), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first)) or '(?!)'})(?!\w)", re.IGNORECASE)


def _occurrences(text: str, choices: Sequence[str]) -> list[str]:
    return _occurrence_pattern(choices).findall(text)
