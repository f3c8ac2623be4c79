"""Real faults, put into right programs on purpose: what a student that repairs its own programs learns from.

    def solution():              random = Random(7)
        pens = 12                next(candidates("type_error", program, random))
        pens = pens + 5          def solution():
        return pens                  pens = "12" ...      TypeError: can only concatenate str (not "int") to str

Nothing here knows whether a fault fires: a quoted number may never be calculated with. `inject` runs every candidate
and takes the first that shows the fault it was made for, with the interpreter's message. Only tokens and lines are
looked at; no program is parsed, let alone run, outside the sandbox.
"""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, TypeAlias

from understudy.formats.program import Program
from understudy.procedures import Procedure
from understudy.records import Completion, Fault, Question, Rationale
from understudy.tasks.task import Task

Kind = Literal["syntax_error", "undefined_name", "unbound_local", "type_error", "wrong_operand"]
KINDS: tuple[Kind, ...] = ("syntax_error", "undefined_name", "unbound_local", "type_error", "wrong_operand")

TRIES = 8
"""At how many places of a program a kind of fault is tried, before it is given up for it."""
_MESSAGES = {
    "syntax_error": ("SyntaxError:", "IndentationError:"),
    "undefined_name": ("NameError:",),
    "unbound_local": ("UnboundLocalError:",),
    "type_error": ("TypeError:",),
}
_Token: TypeAlias = tokenize.TokenInfo
_Places: TypeAlias = Callable[[Sequence[_Token]], Iterator[_Token]]
_Put: TypeAlias = Callable[[str, Sequence[_Token], _Token, Random], str]


@dataclass(frozen=True, slots=True)
class Faulty:
    """A program that is known to fail, or to return something wrong.

    Attributes:
        kind: what was done to it; for a model's own program the slug of its fault.
        message: what the interpreter said, or `the program returns 7`.
    """

    program: str
    kind: str
    message: str


def message(found: Rationale | Fault) -> str:
    """What is said of a program, when it is shown to be repaired: the interpreter's message or the value."""
    if isinstance(found, Rationale):
        return f"the program returns {found.answer}"
    return found.evidence or found.slug


def inject(
    task: Task, question: Question, right: Rationale, kinds: Sequence[Kind], count: int, random: Random
) -> Procedure[list[Faulty]]:
    """Up to `count` faulty versions of the program `right`, each of another kind, each seen to fail as it should."""
    made: list[Faulty] = []
    for kind in random.sample(kinds, len(kinds)):
        if len(made) == count:
            break
        for program in candidates(kind, right.text, random):
            found = yield from Program().read(task, question, Completion(program))
            if _fires(task, kind, found, right):
                made.append(Faulty(program, kind, message(found)))
                break
    return made


def candidates(kind: Kind, program: str, random: Random) -> Iterator[str]:
    """Versions of `program` in which that fault was put at one place, at most `TRIES`, in random order.

    There are none if there is no place for it, or if the text cannot be cut into Python tokens.
    """
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(program).readline))
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError):
        return
    places_of, put = _KINDS[kind]
    places = list(places_of(tokens))
    tried = {program}
    for place in random.sample(places, min(TRIES, len(places))):
        version = put(program, tokens, place, random)
        if version not in tried:
            tried.add(version)
            yield version


def _fires(task: Task, kind: Kind, found: Rationale | Fault, right: Rationale) -> bool:
    if kind == "wrong_operand":
        answers = (found.answer, right.answer) if isinstance(found, Rationale) else (None, None)
        return answers[0] is not None and answers[1] is not None and not task.answer_kind.same(answers[0], answers[1])
    return isinstance(found, Fault) and found.evidence.startswith(_MESSAGES[kind])


def _punctuation(tokens: Sequence[_Token]) -> Iterator[_Token]:
    """Brackets, colons, and the last operand of every line that calculates."""
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        ends = after.type == tokenize.NEWLINE and before.type == tokenize.OP
        if token.string in _PUNCTUATION or (ends and token.type in (tokenize.NAME, tokenize.NUMBER)):
            yield token


def _left_out(program: str, tokens: Sequence[_Token], place: _Token, random: Random) -> str:
    """A bracket or a colon that is missing, or a calculation that breaks off after its sign."""
    return _replaced(program, place, "")


def _misspelt(program: str, tokens: Sequence[_Token], place: _Token, random: Random) -> str:
    """A name that was assigned, misspelt where it is used."""
    names = {token.string for token in tokens if token.type == tokenize.NAME}
    others = [f"{place.string}s", place.string[:-1], f"total_{place.string}"]
    others = [name for name in others if name.isidentifier() and name not in names and not keyword.iskeyword(name)]
    return _replaced(program, place, random.choice(others)) if others else program


def _too_late(program: str, tokens: Sequence[_Token], place: _Token, random: Random) -> str:
    """An assignment that comes one line after the first line that uses its name."""
    lines, row = program.split("\n"), place.start[0]
    used = next((use.start[0] for use in _uses(tokens) if use.string == place.string and use.start[0] > row), None)
    if used is None or _indent(lines[used - 1]) != _indent(lines[row - 1]):
        return program
    return "\n".join([*lines[: row - 1], *lines[row:used], lines[row - 1], *lines[used:]])


def _of_another_type(program: str, tokens: Sequence[_Token], place: _Token, random: Random) -> str:
    """A number that was written as a text; None in a program that multiplies, for a text times 3 is three of it."""
    return _replaced(program, place, "None" if "*" in program else f'"{place.string}"')


def _another(program: str, tokens: Sequence[_Token], place: _Token, random: Random) -> str:
    """A number or a name where another of the same program should stand."""
    if place.type == tokenize.NUMBER:
        others = [token.string for token in _numbers(tokens) if token.string != place.string]
    else:
        earlier = (stored for stored in _stores(tokens) if stored.start < place.start)
        others = [stored.string for stored in earlier if stored.string != place.string]
    return _replaced(program, place, random.choice(others)) if others else program


def _numbers(tokens: Sequence[_Token]) -> Iterator[_Token]:
    return (token for token in tokens if token.type == tokenize.NUMBER)


def _operands(tokens: Sequence[_Token]) -> Iterator[_Token]:
    yield from _numbers(tokens)
    yield from _uses(tokens)


def _stores(tokens: Sequence[_Token]) -> Iterator[_Token]:
    """The names that begin a line and are assigned there, as in `pens = 12`."""
    begins = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if before.type in begins and token.type == tokenize.NAME and after.string == "=":
            yield token


def _uses(tokens: Sequence[_Token]) -> Iterator[_Token]:
    """Where the assigned names stand other than to be assigned."""
    assigned = {token.string for token in _stores(tokens)}
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if token.type == tokenize.NAME and token.string in assigned and before.string != "." and after.string != "=":
            yield token


def _replaced(program: str, token: _Token, text: str) -> str:
    lines = program.split("\n")
    (row, column), (_, end) = token.start, token.end
    lines[row - 1] = lines[row - 1][:column] + text + lines[row - 1][end:]
    return "\n".join(lines)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


_PUNCTUATION = ("(", ")", "[", "]", "{", "}", ":")
_KINDS: Mapping[Kind, tuple[_Places, _Put]] = {
    "syntax_error": (_punctuation, _left_out),
    "undefined_name": (_uses, _misspelt),
    "unbound_local": (_stores, _too_late),
    "type_error": (_numbers, _of_another_type),
    "wrong_operand": (_operands, _another),
}
"""For each kind where it may be put, and how it is put there; a version that equals the program is none."""
