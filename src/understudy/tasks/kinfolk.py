"""Family relations: how one person is related to another, from two to four facts. Generated, offline, exact.

    Nadia is Igor's mother. Pia is Igor's sister. How is Nadia related to Pia?
    Answer Choices:
    (a) aunt
    (b) mother
    ...                                                                        answer: mother

    cot        Igor is Pia's brother. Nadia is Igor's mother, and Igor is Pia's brother, so Nadia is Pia's mother.
    socratic   How is Igor related to Pia? ** Pia is Igor's sister, so Igor is Pia's brother.
               How is Nadia related to Pia? ** Nadia is Igor's mother, and Igor is Pia's brother, so Nadia is Pia's mother.

The facts join the two people in a chain; some are told the other way round. The answer follows whoever the others are
(see `kinship.py` for what holds in every family); a fact tells whether the person asked about is a man or a woman, the
names tell it of the others. No marriages, no other facts, and no programs: there is nothing to calculate.

    | split      | facts       | chains of relations |
    |------------|-------------|---------------------|
    | train      | as settings | seen                |
    | test       | as settings | never in training   |
    | more-facts | one more    | any                 |

A row follows from (seed, split, index) alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from random import Random
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import model_validator

from understudy.answers import AnswerKind, kind
from understudy.procedures import derive_seed
from understudy.records import Question, Rationale
from understudy.tasks.bundled import Bundled
from understudy.tasks.choices import with_choices
from understudy.tasks.kinship import WORDS, Relation, compose

WOMEN = ("Nadia", "Pia", "Wilma", "Greta", "Ines", "Selma", "Yara", "Hilde", "Oda", "Livia", "Ragna", "Carmen")
MEN = ("Igor", "Bruno", "Otto", "Malik", "Sven", "Enzo", "Pavel", "Yusuf", "Kamal", "Tobias", "Lars", "Zeno")
"""The names: each is of one sex."""
_CHOICES = 5
_HELD_OUT = 4  # of the chains that lead to one relation, one of so many is kept out of training
_TOLD_BACK = 0.4  # share of the facts that are told the other way round
_COUSIN = Relation(2, 2)


class Fact(NamedTuple):
    """`who` is the `word` of `whose`."""

    who: str
    word: str
    whose: str

    def __str__(self) -> str:
        return f"{self.who} is {self.whose}'s {self.word}"


class Kinfolk(Bundled):
    """Family relations that follow from two to four facts, generated offline with exact rationales; five choices."""

    name: ClassVar[str] = "kinfolk"
    cue: ClassVar[str] = "So the answer is"
    human_formats: ClassVar[tuple[str, ...]] = ("cot", "label", "socratic")
    facts: tuple[int, int] = (2, 3)
    """Fewest and most facts of a question, from 2 to 4; `more-facts` has one more than the most."""

    @model_validator(mode="after")
    def _range(self) -> Self:
        if not 2 <= self.facts[0] <= self.facts[1] <= 4:
            raise ValueError(f"facts = {list(self.facts)}: expected two numbers from 2 to 4, the smaller one first")
        return self

    @property
    def answer_kind(self) -> AnswerKind:
        return kind("choice")

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "test", "more-facts")

    def solution(self, question: Question, format: str) -> Rationale:
        """The exact rationale of `question` in a format.

        Raises:
            ValueError: there is none in this format.
        """
        steps = list(_steps(question.extra))
        answer = steps[-1][0].word
        if format == "cot":
            return Rationale(" ".join(f"{reason}." for _, reason in steps), answer)
        if format == "socratic":
            pairs = [f"How is {found.who} related to {found.whose}? ** {reason}." for found, reason in steps]
            return Rationale("\n".join(pairs), answer)
        if format == "label":
            return Rationale("", answer)
        raise ValueError(f"kinfolk has no solutions in the format {format!r}; there are cot, label, socratic")

    def mistaken(self, question: Question, random: Random) -> Question:
        """`question` with one fact of its chain misread so that it leads to another answer: to imitate a slip.

        Raises:
            ValueError: no fact can be misread so; not for the questions of this task.
        """
        chain = [Relation(*relation) for relation in question.extra["chain"]]
        slips = [(place, other) for place in range(len(chain)) for other in WORDS if other != chain[place]]
        random.shuffle(slips)
        for place, other in slips:
            slipped = [*chain[:place], other, *chain[place + 1 :]]
            if (found := _end(slipped)) is not None and found != _end(chain):
                return Question(
                    question.id,
                    question.text,
                    _word(found, question.extra["people"][0]),
                    question.choices,
                    {**question.extra, "chain": [list(relation) for relation in slipped]},
                )
        raise ValueError(f"no fact of question {question.id!r} can be misread so that another relation follows")

    def lucky(self, question: Question, random: Random) -> Question | None:
        """`question` with facts of its chain misread so that the same answer follows; None if no other chain leads there."""
        chain = tuple(Relation(*relation) for relation in question.extra["chain"])
        others = [other for other in chains(len(chain))[_sure_end(chain)] if other != chain]
        if not others:
            return None
        slipped = [list(relation) for relation in random.choice(others)]
        return replace(question, extra={**question.extra, "chain": slipped})

    def make(self, split: str, index: int) -> Question:
        random = Random(derive_seed(self.name, self.version, self.seed, split, index))
        few, most = self.facts if split != "more-facts" else (self.facts[1] + 1, self.facts[1] + 1)
        chain = random.choice(random.choice(_drawable(random.randint(few, most), split)))  # every end as often
        people = random.sample((*WOMEN, *MEN), len(chain) + 1)
        back = [random.random() < _TOLD_BACK for _ in chain]
        back[0] = chain[0] == _COUSIN  # its word tells no sex, but then neither does the answer's
        told = [
            _fact(relation.inverse, b, a) if turned else _fact(relation, a, b)
            for relation, a, b, turned in zip(chain, people, people[1:], back, strict=False)
        ]
        random.shuffle(told)
        answer = _word(_sure_end(chain), people[0])
        choices = _choices(answer, people[0], random)
        asked = f"{' '.join(f'{fact}.' for fact in told)} How is {people[0]} related to {people[-1]}?"
        extra = {"people": people, "chain": [list(relation) for relation in chain], "back": back}
        return Question(f"{split}-{index}", with_choices(asked, choices), answer, choices, extra)


@lru_cache
def chains(facts: int) -> Mapping[Relation, tuple[tuple[Relation, ...], ...]]:
    """Every chain of so many relations from which one must follow, by the one that follows."""
    if facts == 1:
        return {relation: ((relation,),) for relation in WORDS}
    found: dict[Relation, list[tuple[Relation, ...]]] = {}
    for end, shorter in chains(facts - 1).items():
        for first in WORDS:
            if (relation := compose(first, end)) is not None:
                found.setdefault(relation, []).extend((first, *chain) for chain in shorter)
    return {relation: tuple(found[relation]) for relation in WORDS if relation in found}


@lru_cache
def held_out(facts: int) -> frozenset[tuple[Relation, ...]]:
    """The chains of so many relations that are kept out of training: of those with the same end one in four.

    Where an end has two or three chains it is one of them, and none where it has but one.
    """
    kept_out: list[tuple[Relation, ...]] = []
    for same_end in _told(facts).values():
        shuffled = sorted(same_end, key=lambda chain: derive_seed("kinfolk", "chain", [tuple(step) for step in chain]))
        kept_out += shuffled[: max(len(shuffled) // _HELD_OUT, len(shuffled) > 1)]
    return frozenset(kept_out)


@lru_cache
def _told(facts: int) -> Mapping[Relation, tuple[tuple[Relation, ...], ...]]:
    """The chains that can be told so that a fact gives away the sex of the first person, or the answer does not need it."""
    told = {end: tuple(c for c in same if c[0] != _COUSIN or end == _COUSIN) for end, same in chains(facts).items()}
    return {end: same for end, same in told.items() if same}


@lru_cache
def _drawable(facts: int, split: str) -> tuple[tuple[tuple[Relation, ...], ...], ...]:
    """The chains that a split may show, those with one end together."""
    groups: list[tuple[tuple[Relation, ...], ...]] = list(_told(facts).values())
    if split != "more-facts":
        kept_out = held_out(facts)
        groups = [tuple(chain for chain in same if (chain in kept_out) == (split == "test")) for same in groups]
    return tuple(group for group in groups if group)


def _end(chain: Sequence[Relation]) -> Relation | None:
    """The relation of the first person of a chain to the last, found from the end of the chain."""
    found: Relation | None = chain[-1]
    for relation in reversed(chain[:-1]):
        found = None if found is None else compose(relation, found)
    return found


def _sure_end(chain: Sequence[Relation]) -> Relation:
    found = _end(chain)
    if found is None:
        raise ValueError(f"no relation must follow from the chain {list(chain)}")
    return found


def _word(relation: Relation, who: str) -> str:
    return WORDS[relation][who in MEN]


def _fact(relation: Relation, who: str, whose: str) -> Fact:
    return Fact(who, _word(relation, who), whose)


def _steps(extra: Mapping[str, Any]) -> Iterator[tuple[Fact, str]]:
    """What is found step by step from the end of the chain, each with the sentence that says why."""
    chain = [Relation(*relation) for relation in extra["chain"]]
    people, back = extra["people"], extra["back"]
    facts = [_fact(relation, a, b) for relation, a, b in zip(chain, people, people[1:], strict=False)]
    for relation, fact, turned in zip(chain, facts, back, strict=True):
        if turned:
            yield fact, f"{_fact(relation.inverse, fact.whose, fact.who)}, so {fact}"
    found = facts[-1]
    for place in range(len(chain) - 2, -1, -1):
        step = _fact(_sure_end(chain[place:]), people[place], people[-1])
        yield step, f"{facts[place]}, and {found}, so {step}"
        found = step


def _choices(answer: str, who: str, random: Random) -> tuple[str, ...]:
    """The answer and others in random order, all for the same sex: which words there are does not give it away."""
    rest = [word for relation in WORDS if (word := _word(relation, who)) != answer]
    choices = [answer, *random.sample(rest, _CHOICES - 1)]
    random.shuffle(choices)
    return tuple(choices)
