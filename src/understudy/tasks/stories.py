"""The stories of the task `wordsums`: moves from one situation to the next, and `tell`, which strings some together.

A situation says what is being counted: what somebody owns (`own`), boxes, or money. A `Move` is one or two sentences
with the assignments that they mean:

    Move("own", "own", ("{p} buys {a} more {o}.",), (("{pv}", "{it} + {a}", "own"),))

Not a grammar of English: the words are few and every sentence states one step, so that a very small model can learn
them.

In the tables: p the person the story is about, q a new one; o the things; case, cases what holds them at first, box,
boxes later; a, b numbers (b may be large where a is small); pv, qv, it the program's names for p, q and for what is
being counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

PEOPLE = ("Mia", "Tom", "Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Iris", "Jack")
THINGS = ("pens", "books", "apples", "shells", "cards", "stamps", "coins", "eggs", "beads", "balls", "cups", "toys")
BOXES = (
    ("box", "boxes"),
    ("bag", "bags"),
    ("basket", "baskets"),
    ("jar", "jars"),
    ("tray", "trays"),
    ("crate", "crates"),
)


@dataclass(frozen=True, slots=True)
class Move:
    """One step of a story.

    Attributes:
        before, after: the situations it leads from and to; `before` is "" for an opening.
        sentences: ways to say it.
        lines: (variable, calculation, name of the statement) of every assignment.
        small: whether a (and if so, not b) is a multiplier or divisor.
        new: whether the story goes on with q.
    """

    before: str
    after: str
    sentences: tuple[str, ...]
    lines: tuple[tuple[str, str, str], ...]
    small: bool = False
    new: bool = False

    @property
    def operations(self) -> int:
        """How many calculations it takes; 0 for an opening that only states a number."""
        return sum(" " in calculation for _, calculation, _ in self.lines)


def _own(calculation: str, *sentences: str, before: str = "own", small: bool = False) -> Move:
    return Move(before, "own", sentences, (("{pv}", calculation, "own"),), small=small)


def _new(calculation: str, *sentences: str, before: str = "own", after: str = "own", small: bool = False) -> Move:
    line = ("{qv}" if after == "own" else "dollars", calculation, after)
    return Move(before, after, sentences, (line,), small=small, new=True)


def _stay(situation: str, variable: str, calculation: str, *sentences: str) -> Move:
    return Move(situation, situation, sentences, ((variable, calculation, situation),))


MOVES = (
    _own("{a}", "{p} has {a} {o}.", "{p} starts with {a} {o}.", "At first {p} has {a} {o}.", before=""),
    _own(
        "{a} * {b}",
        "{p} has {a} {cases} with {b} {o} in each.",
        "{p} has {a} {cases}. Each {case} holds {b} {o}.",
        "{p} buys {a} {cases} of {b} {o} each.",
        before="",
        small=True,
    ),
    _own(
        "{a} + {b}",
        "{p} has {a} red {o} and {b} blue {o}.",
        "{p} finds {a} {o} on Monday and {b} {o} on Friday.",
        before="",
    ),
    _own(
        "{a} - {b}",
        "{p} had {a} {o} and lost {b} of them.",
        "There were {a} {o}, but {p} lost {b} of them.",
        before="",
    ),
    _own("{it} + {a}", "{p} buys {a} more {o}.", "{p} finds {a} {o}.", "{q} gives {p} {a} {o}.", "{p} wins {a} {o}."),
    _own(
        "{it} - {a}",
        "{p} loses {a} {o}.",
        "{p} gives {a} {o} to {q}.",
        "{p} sells {a} {o}.",
        "{q} takes {a} {o} from {p}.",
    ),
    _new("{it} * {a}", "{q} has {a} times as many {o} as {p}.", small=True),
    _new("{it} + {a}", "{q} has {a} more {o} than {p}."),
    _new("{it} - {a}", "{q} has {a} fewer {o} than {p}."),
    Move(
        "own",
        "boxes",
        ("{p} packs the {o} in {boxes} of {a}.", "{p} fills {boxes} with {a} {o} each."),
        (("{boxes}", "{it} / {a}", "boxes"),),
        small=True,
    ),
    Move(
        "own",
        "money",
        ("{p} sells the {o} for {a} dollars each.", "{p} gets {a} dollars for each of the {o}."),
        (("dollars", "{it} * {a}", "money"),),
        small=True,
    ),
    _stay("boxes", "{boxes}", "{it} + {a}", "{p} fills {a} more {boxes}.", "{q} brings {a} {boxes} more."),
    _stay("boxes", "{boxes}", "{it} - {a}", "{p} gives {a} {boxes} to {q}.", "{q} takes {a} {boxes} away."),
    Move(
        "boxes",
        "money",
        ("{p} sells the {boxes} for {a} dollars each.", "{p} gets {a} dollars for each {box}."),
        (("dollars", "{it} * {a}", "money"),),
        small=True,
    ),
    _stay("money", "dollars", "{it} + {a}", "{p} earns {a} dollars more.", "{q} gives {p} {a} dollars."),
    _stay("money", "dollars", "{it} - {a}", "{p} spends {a} dollars on food.", "{p} pays {q} {a} dollars."),
    _new("{it} * {a}", "{q} has {a} times as many dollars as {p}.", before="money", after="money", small=True),
    _new("{it} + {a}", "{q} has {a} dollars more than {p}.", before="money", after="money"),
    _new("{it} - {a}", "{q} has {a} dollars less than {p}.", before="money", after="money"),
)

STATEMENTS: Mapping[str, tuple[str, str, str]] = {
    "own": ("{p} has {sum} {o}.", "How many {o} does {p} have now?", "How many {o} does {p} have in the end?"),
    "boxes": ("There are {sum} {boxes}.", "How many {boxes} are there?", "How many {boxes} is that in the end?"),
    "money": ("{p} has {sum} dollars.", "How many dollars does {p} have?", "How much money does {p} have now?"),
}
"""What is counted: the statement of it, and two questions for it, of which the first is the sub-question too."""


@dataclass(frozen=True, slots=True)
class Story:
    """A text and its steps, with `{0}`, `{1}` ... where the numbers go.

    Attributes:
        text: the sentences and the question.
        moves: positions of its moves in `MOVES`.
        steps: for each assignment its `variable`, its `calculation`, the `phrase` that states it ({} is the sum) and
            what to `ask` for it.
        small: for each number whether it is a multiplier or divisor.
    """

    text: str
    moves: tuple[int, ...]
    steps: tuple[Mapping[str, str], ...]
    small: tuple[bool, ...]


def tell(random: Random, operations: int) -> Story:
    """A story with that many calculations."""
    people, things = random.sample(PEOPLE, len(PEOPLE)), random.choice(THINGS)
    (box, boxes), (case, cases) = random.sample(BOXES, 2)
    words = {"o": things, "box": box, "boxes": boxes, "case": case, "cases": cases, "p": people.pop(), "sum": "{}"}
    before, it, left = "", "", operations
    moves: list[int] = []
    sentences: list[str] = []
    steps: list[Mapping[str, str]] = []
    small: list[bool] = []
    while left > 0 or not before:
        move = random.choice([move for move in MOVES if _possible(move, before, left)])
        a, b = f"{{{len(small)}}}", f"{{{len(small) + 1}}}"
        moves.append(MOVES.index(move))
        said = random.choice(move.sentences)
        words |= {"q": people[-1], "a": a, "b": b}
        sentences.append(said.format(**words))
        if "{q}" in said:
            people.pop()
        names = {"pv": words["p"].lower(), "qv": words["q"].lower(), "it": it, "a": a, "b": b}
        if move.new:
            words["p"] = words["q"]
        for variable, calculation, statement in move.lines:
            phrase, ask, _ = (text.format(**words) for text in STATEMENTS[statement])
            variable = variable.format(**{**words, **names})
            calculation = calculation.format(**names)
            steps.append({"variable": variable, "calculation": calculation, "phrase": phrase, "ask": ask})
        small += [move.small, False][: len({"{a}", "{b}"} & set(_placeholders(move)))]
        before, it, left = move.after, steps[-1]["variable"], left - move.operations
    sentences.append(random.choice(STATEMENTS[before][1:]).format(**words))
    return Story(" ".join(sentences), tuple(moves), tuple(steps), tuple(small))


def _possible(move: Move, before: str, left: int) -> bool:
    return move.before == before and move.operations <= left and (bool(before) or left > move.operations or left == 1)


def _placeholders(move: Move) -> list[str]:
    return " ".join(calculation for _, calculation, _ in move.lines).split()
