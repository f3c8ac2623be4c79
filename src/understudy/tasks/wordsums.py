"""The task `wordsums`: arithmetic word problems that this file writes itself: offline, seeded, with exact solutions.

    id      test-9
    text    Tom has 46 balls. Tom gives 11 balls to Grace. Tom fills jars with 7 balls each. Tom sells the jars for 4
            dollars each. How many dollars does Tom have?
    answer  20                       or, with answer = "expression": ( ( 46 - 11 ) / 7 ) * 4
    extra   {"equation": "( ( 46 - 11 ) / 7 ) * 4", "steps": [{"variable": "tom", "calculation": "46", ...}, ...]}
    program   def solution():
                  tom = 46
                  tom = tom - 11
                  jars = tom / 7
                  dollars = jars * 4
                  result = dollars
                  return result
    cot       Tom has 46 balls. Tom has 46 - 11 = 35 balls. There are 35 / 7 = 5 jars. Tom has 5 * 4 = 20 dollars.
    socratic  How many balls does Tom have now? ** Tom has 46 - 11 = 35 balls.
              How many jars are there? ** There are 35 / 7 = 5 jars.
              How many dollars does Tom have? ** Tom has 5 * 4 = 20 dollars.

Every sentence states one fact or one step, and the program follows them. A row follows from (seed, split, index) alone;
nothing is kept between rows. No distractors, no fractions, no general language: it is a small closed world in which
methods can be tried and compared within minutes, not evidence about other word problems.

Copying does not help: a fifth of the sequences of moves is kept out of training, whatever the wording, and `test` has
only those. The program of the most similar training question, with the numbers changed, is therefore nearly always wrong.

    | split          | numbers           | sequence of moves |
    |----------------|-------------------|-------------------|
    | train          | seen              | seen              |
    | test           | seen              | never in training |
    | unseen-numbers | never in training | never in training |
    | more-steps     | seen              | one or two more   |
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from random import Random
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from understudy.answers import AnswerKind, kind
from understudy.errors import DataError
from understudy.procedures import derive_seed
from understudy.records import Question, Rationale
from understudy.tasks.bundled import Bundled
from understudy.tasks.stories import Story, tell

_HELD_OUT = 5  # one of so many sequences of moves is kept out of training
_UNSEEN = 5  # one of so many numbers too
_TRIES = 40  # draws of numbers for one story before another is told
_STORIES = 2000
_NUMBER = re.compile(r"\b\d+\b")
_KEPT_OUT = {"train": False, "demonstrations": False, "test": True, "unseen-numbers": True}


class Wordsums(Bundled):
    """Arithmetic word problems of several steps, generated offline with exact programs and chains of thought."""

    name: ClassVar[str] = "wordsums"
    human_formats: ClassVar[tuple[str, ...]] = ("cot", "label", "program", "socratic")
    steps: tuple[int, int] = (2, 3)
    """Fewest and most calculations of a question; `more-steps` has one or two more than the most."""
    numbers: tuple[int, int] = (2, 50)
    """Smallest and largest number in a question; multipliers and divisors go up to 9."""
    largest: int = Field(999, ge=20)
    """Largest value on the way and largest answer; all are whole and at least 2."""
    answer: Literal["number", "expression"] = "number"
    """What an answer is: the number, or the whole calculation as one expression over the question's numbers."""

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if not 1 <= self.steps[0] <= self.steps[1] <= 6:
            raise ValueError(f"steps = {list(self.steps)}: expected two numbers from 1 to 6, the smaller one first")
        if not 2 <= self.numbers[0] <= 3 or self.numbers[1] < 50:
            raise ValueError(f"numbers = {list(self.numbers)}: expected to start at 2 or 3 and to end at 50 or more")
        return self

    @property
    def answer_kind(self) -> AnswerKind:
        return kind(self.answer)

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "test", "unseen-numbers", "more-steps")

    def notes(self) -> Sequence[str]:
        return (
            "The questions of wordsums are generated from a small grammar; results on them say nothing about others.",
        )

    def solution(self, question: Question, format: str) -> Rationale:
        """The exact rationale of `question` in a format.

        A program's answer is its value, every other rationale's the answer in the task's notation.

        Raises:
            ValueError: there is no such format.
        """
        steps: list[Mapping[str, str]] = question.extra["steps"]
        calculations, value = _calculated(steps)
        answer = question.extra["equation"] if self.answer == "expression" else str(value)
        told = [step["phrase"].replace("{}", sum_) for step, sum_ in zip(steps, calculations, strict=True)]
        if format == "program":
            lines = [f"{step['variable']} = {step['calculation']}" for step in steps]
            body = [*lines, f"result = {steps[-1]['variable']}", "return result"]
            return Rationale("\n    ".join(["def solution():", *body]), str(value))
        if format == "cot":
            return Rationale(" ".join(told), answer)
        if format == "socratic":
            pairs = [f"{step['ask']} ** {line}" for step, line in zip(steps, told, strict=True) if "=" in line]
            return Rationale("\n".join(pairs), answer)
        if format == "label":
            return Rationale("", answer)
        raise ValueError(f"wordsums has no solutions in the format {format!r}; there are cot, label, program, socratic")

    def mistaken(self, question: Question, random: Random) -> Question:
        """`question` with one number of its steps changed so that they lead to another whole value: to imitate a slip.

        Raises:
            ValueError: no number can be changed so; not for the questions of this task.
        """
        steps = question.extra["steps"]
        _, right = _calculated(steps)
        slips = [(place, number, str(other)) for place, number in _numbers(steps) for other in _others(number)]
        random.shuffle(slips)
        for place, number, other in slips:
            slipped = _changed(steps, place, number, other)
            *_, value = values = list(_values(slipped))
            if value != right and all(isinstance(v, int) and v > 0 for v in values):
                return self._row(question.id, question.text, slipped)
        raise ValueError(f"no number of question {question.id!r} can be changed to reach another whole value")

    def lucky(self, question: Question, random: Random) -> Question | None:
        """`question` with two numbers of its steps changed so that they lead to the same value, wrong but right by luck.

        None where no two numbers can be changed so; a mere change of places, 5 * 12 for 12 * 5, is none.
        """
        steps = question.extra["steps"]
        *_, right = _values(steps)
        firsts = [(a, b, str(other)) for a, b in combinations(_numbers(steps), 2) for other in _others(a[1])]
        random.shuffle(firsts)
        for a, b, other in firsts:
            once = _changed(steps, *a, other)
            for another in map(str, _others(b[1])):
                if {other, another} & {a[1], b[1]}:
                    continue
                slipped = _changed(once, *b, another)
                *_, value = values = list(_values(slipped))
                if value == right and all(isinstance(v, int) and v > 0 for v in values):
                    return self._row(question.id, question.text, slipped)
        return None

    def make(self, split: str, index: int) -> Question:
        random = Random(derive_seed(self.name, self.version, self.seed, split, index))
        seen, unseen = number_pools(self.numbers)
        pool = unseen if split == "unseen-numbers" else seen
        low, high = self.steps if split != "more-steps" else (self.steps[1] + 1, self.steps[1] + 2)
        operations = random.randint(low, high)
        for _ in range(_STORIES):
            story = tell(random, operations)
            if split in _KEPT_OUT and held_out(story) != _KEPT_OUT[split]:
                continue
            for _ in range(_TRIES):
                numbers = _drawn(story, pool, random)
                steps = _filled(story, numbers)
                if self._fits(steps):
                    return self._row(f"{split}-{index}", story.text.format(*numbers), steps)
        raise DataError(
            f"wordsums: no question of {operations} steps found whose values stay within largest = {self.largest}. "
            "Allow larger values or fewer steps"
        )

    def _fits(self, steps: Sequence[Mapping[str, str]]) -> bool:
        return all(isinstance(value, int) and 2 <= value <= self.largest for value in _values(steps))

    def _row(self, id: str, text: str, steps: Sequence[Mapping[str, str]]) -> Question:
        equation = _equation(steps)
        answer = equation if self.answer == "expression" else str(_calculated(steps)[1])
        return Question(id, text, answer, extra={"equation": equation, "steps": [dict(step) for step in steps]})


@lru_cache
def number_pools(numbers: tuple[int, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The numbers of the range that train and test use, and those that only `unseen-numbers` uses: about a fifth."""
    random = Random(derive_seed("wordsums", "numbers", *numbers))
    small, others = range(numbers[0], 10), range(10, numbers[1] + 1)
    unseen = {*random.sample(small, 2), *random.sample(others, len(others) // _UNSEEN)}
    return tuple(n for n in (*small, *others) if n not in unseen), tuple(sorted(unseen))


def held_out(story: Story) -> bool:
    """Whether a story's sequence of moves, and thereby every wording of it, is kept out of training."""
    return derive_seed("wordsums", "moves", *story.moves) % _HELD_OUT == 0


def _filled(story: Story, numbers: Sequence[int]) -> list[Mapping[str, str]]:
    return [{**step, "calculation": step["calculation"].format(*numbers)} for step in story.steps]


def _drawn(story: Story, pool: Sequence[int], random: Random) -> list[int]:
    """A number for every place of the story, all different, so that a number in a program has one origin."""
    small = [n for n in pool if n < 10]
    numbers: list[int] = []
    for is_small in story.small:
        source = small if is_small and not set(small) <= set(numbers) else pool
        number = random.choice(source)
        while number in numbers:
            number = random.choice(source)
        numbers.append(number)
    return numbers


def _numbers(steps: Sequence[Mapping[str, str]]) -> list[tuple[int, str]]:
    """Every number of the calculations, with the place of its step."""
    return [(place, number) for place, step in enumerate(steps) for number in _NUMBER.findall(step["calculation"])]


def _others(number: str) -> range:
    """What a slip may make of a number; the number itself is one of them."""
    return range(2, 2 * int(number) + 10)


def _changed(steps: Sequence[Mapping[str, str]], place: int, number: str, other: str) -> list[Mapping[str, str]]:
    """The steps with `other` for `number` in the calculation of one."""
    calculation = re.sub(rf"\b{number}\b", other, steps[place]["calculation"])
    return [{**step, "calculation": calculation} if at == place else step for at, step in enumerate(steps)]


def _values(steps: Sequence[Mapping[str, str]]) -> Iterator[int | Fraction]:
    """The value of every assignment, in order: an int if it is whole."""
    values: dict[str, int | Fraction] = {}
    for step in steps:
        left, *rest = step["calculation"].split()
        value = _number(left, values)
        if rest:
            sign, right = rest
            value = _OPERATIONS[sign](value, _number(right, values))
        values[step["variable"]] = value
        yield value


def _number(token: str, values: Mapping[str, int | Fraction]) -> int | Fraction:
    return values[token] if token in values else int(token)


def _quotient(a: int | Fraction, b: int | Fraction) -> int | Fraction:
    value = Fraction(a) / b
    return value.numerator if value.denominator == 1 else value


_OPERATIONS: Mapping[str, Callable[[int | Fraction, int | Fraction], int | Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _quotient,
}


def _calculated(steps: Sequence[Mapping[str, str]]) -> tuple[list[str], int | Fraction]:
    """Every assignment as `12 + 5 = 17`, a mere number as `12`, and the last value."""
    told = []
    known: dict[str, int | Fraction] = {}
    for step, value in zip(steps, _values(steps), strict=True):
        shown = " ".join(str(known.get(token, token)) for token in step["calculation"].split())
        told.append(f"{shown} = {value}" if " " in shown else shown)
        known[step["variable"]] = value
    return told, value


def _equation(steps: Sequence[Mapping[str, str]]) -> str:
    """The whole calculation as one expression over the question's numbers."""
    known: dict[str, str] = {}
    for step in steps:
        tokens = [known.get(token, token) for token in step["calculation"].split()]
        known[step["variable"]] = " ".join(f"( {token} )" if " " in token else token for token in tokens)
    return known[steps[-1]["variable"]]
