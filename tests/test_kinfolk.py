"""`tasks/kinfolk.py` and `tasks/kinship.py`: the calculus against families built person by person, and the questions."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from functools import cache
from random import Random

import pytest
from pydantic import ValidationError

from understudy.errors import DataError
from understudy.records import Question
from understudy.tasks.kinfolk import MEN, WOMEN, Kinfolk, chains, held_out
from understudy.tasks.kinship import WORDS, Relation, compose
from understudy.teachers.scripted import SolvedTask

SMALL = Kinfolk(train=800, test=200)
FORMATS = ("label", "cot", "socratic")
SENTENCE = re.compile(r"(\w+) is (\w+)'s ([\w-]+)\.")
QUESTION = re.compile(r"How is (\w+) related to (\w+)\?")


@cache
def rows(split: str) -> tuple[Question, ...]:
    return tuple(SMALL.questions(split))


def every_row() -> list[Question]:
    return [question for split in SMALL.splits for question in rows(split)]


def chain_of(question: Question) -> tuple[Relation, ...]:
    return tuple(Relation(*relation) for relation in question.extra["chain"])


# the calculus, against brute force


def family(random: Random) -> dict[int, tuple[int, ...]]:
    """The parents of everybody in a family of five generations; who marries in brings aunts, cousins and sisters."""
    parents: dict[int, tuple[int, ...]] = {}

    def born(*of: int) -> int:
        parents[len(parents)] = of
        return len(parents) - 1

    def stranger() -> int:
        grandparents = [(born(), born()), (born(), born())]
        mother, father = (born(*couple) for couple in grandparents)
        for couple in (*grandparents, (mother, father)):
            if random.random() < 0.6:
                born(born(*couple), born())
        return born(mother, father)

    couples = [(born(), born()), (born(), born())]
    for _ in range(4):
        children = [born(*couple) for couple in couples for _ in range(random.randint(1, 3))]
        couples = [(child, stranger()) for child in random.sample(children, min(2, len(children)))]
    for couple in couples:
        born(*couple)
    return parents


def relations(parents: dict[int, tuple[int, ...]]) -> dict[int, dict[int, Relation]]:
    """For everybody, how each blood relative is related to them, by the nearest common ancestor."""
    above: dict[int, dict[int, int]] = {}
    for person, of in parents.items():  # parents are born first
        above[person] = {person: 0} | {a: 1 + up for parent in of for a, up in above[parent].items()}
    found: dict[int, dict[int, Relation]] = defaultdict(dict)
    for a, b in itertools.permutations(parents, 2):
        common = above[a].keys() & above[b].keys()
        if common:
            nearest = min(common, key=lambda ancestor: above[a][ancestor] + above[b][ancestor])
            found[b][a] = Relation(above[b][nearest], above[a][nearest])
    return found


@cache
def observed() -> dict[tuple[Relation, Relation], set[Relation | None]]:
    """For two relations one after the other, every relation that the ends are found in."""
    found: dict[tuple[Relation, Relation], set[Relation | None]] = defaultdict(set)
    random = Random(0)
    for _ in range(25):
        related = relations(family(random))
        named = {b: [(a, relation) for a, relation in of.items() if relation in WORDS] for b, of in related.items()}
        for c, of in named.items():
            for b, second in of:
                for a, first in named[b]:
                    if a != c:
                        found[first, second].add(related[c].get(a))
    return found


def test_the_families_show_every_two_relations_one_after_the_other() -> None:
    assert set(observed()) == set(itertools.product(WORDS, repeat=2))


def test_what_is_said_to_follow_is_so_in_every_family() -> None:
    followed = {pair: compose(*pair) for pair in observed()}
    assert sum(relation is not None for relation in followed.values()) == 26
    assert all(observed()[pair] == {relation} for pair, relation in followed.items() if relation is not None)


def test_what_is_not_said_to_follow_differs_between_families_or_has_no_word() -> None:
    for pair, seen in observed().items():
        if compose(*pair) is None:
            assert len(seen) > 1 or not seen <= set(WORDS), (pair, seen)


@pytest.mark.parametrize(
    ("first", "second", "end"),
    [
        ("mother", "brother", "mother"), ("brother", "mother", "uncle"), ("son", "aunt", "cousin"),
        ("sister", "sister", "sister"), ("father", "grandmother", "great-grandfather"), ("son", "daughter", "grandson"),
        ("brother", "uncle", None), ("mother", "cousin", None), ("son", "grandmother", None), ("grandfather", "son", None),
        ("mother", "daughter", None), ("cousin", "cousin", None), ("niece", "sister", None), ("father", "nephew", None),
    ],
)  # fmt: skip
def test_relatives_of_relatives(first: str, second: str, end: str | None) -> None:
    by_word = {word: relation for relation, words in WORDS.items() for word in words}
    found = compose(by_word[first], by_word[second])
    assert (found is None) if end is None else (found is not None and end in WORDS[found])


# the questions


def answered_from_text(question: Question) -> tuple[str | None, int]:
    """The answer that follows from the sentences alone, whichever way they are told, and how many there are."""
    by_word = {word: relation for relation, words in WORDS.items() for word in words}
    asked = QUESTION.search(question.text)
    assert asked is not None
    told = SENTENCE.findall(question.text)
    known = {(a, b): by_word[word] for a, b, word in told}
    known |= {(b, a): relation.inverse for (a, b), relation in known.items()}
    while True:
        new = {
            (a, c): end
            for (a, b), (b2, c) in itertools.product(known, repeat=2)
            if b == b2 and a != c and (a, c) not in known and (end := compose(known[a, b], known[b, c])) is not None
        }
        if not new:
            break
        known |= new
    sexes = {a: word in {words[1] for words in WORDS.values()} for a, _, word in told if word != "cousin"}
    who, whose = asked.groups()
    if (who, whose) not in known:
        return None, len(told)
    words = WORDS[known[who, whose]]
    return words[0] if words[0] == words[1] else words[sexes[who]], len(told)


def test_every_answer_follows_from_the_facts_that_are_told() -> None:
    for question in every_row():
        assert answered_from_text(question)[0] == question.answer, question.text


@pytest.mark.parametrize(("split", "facts"), [("train", {2, 3}), ("test", {2, 3}), ("more-facts", {4})])
def test_a_question_has_as_many_facts_as_its_split_says(split: str, facts: set[int]) -> None:
    assert {answered_from_text(question)[1] for question in rows(split)} == facts


def test_no_fact_can_be_left_out() -> None:
    for question in rows("test"):
        for told in SENTENCE.finditer(question.text):
            shorter = Question("a", question.text.replace(told[0], ""))
            assert answered_from_text(shorter)[0] is None


def test_there_are_five_choices_of_one_sex_with_the_answer_at_any_place() -> None:
    sexes = [set(words) for words in zip(*WORDS.values(), strict=True)]
    places = Counter[int]()
    for question in every_row():
        assert question.answer is not None
        assert len(set(question.choices)) == 5
        assert any(set(question.choices) <= words for words in sexes)
        assert all(
            f"({letter}) {choice}" in question.text for letter, choice in zip("abcde", question.choices, strict=True)
        )
        places[question.choices.index(question.answer)] += 1
    assert min(places.values()) > 0.15 * places.total()


def test_no_answer_is_given_often_enough_to_be_guessed() -> None:
    [(_, most)] = Counter(question.answer for question in rows("train")).most_common(1)
    assert most < 0.2 * len(rows("train"))


def test_a_chain_of_the_test_is_never_in_training() -> None:
    train, test = ({chain_of(question) for question in rows(split)} for split in ("train", "test"))
    assert test <= {*held_out(2), *held_out(3)}
    assert not train & {*held_out(2), *held_out(3)}
    assert len(train) > 2 * len(test) > 20


def test_what_is_held_out_does_not_depend_on_the_seed() -> None:
    other = {chain_of(question) for question in Kinfolk(train=300, seed=5).questions("train")}
    assert not other & {*held_out(2), *held_out(3)}


def test_chains_are_all_those_from_which_one_relation_follows() -> None:
    expected = Counter(
        end
        for a, b, c in itertools.product(WORDS, repeat=3)
        if (middle := compose(b, c)) is not None and (end := compose(a, middle)) is not None
    )
    assert {end: len(same_end) for end, same_end in chains(3).items()} == expected


def test_training_and_test_share_no_question() -> None:
    texts = [question.text for question in every_row()]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("format", FORMATS)
def test_every_solution_leads_to_the_gold_answer(format: str) -> None:
    for question in every_row():
        rationale = SMALL.solution(question, format)
        assert rationale.answer == question.answer
        assert (rationale.text == "") == (format == "label")


def test_every_step_of_a_chain_of_thought_follows_from_what_was_said_before() -> None:
    by_word = {word: relation for relation, words in WORDS.items() for word in words}
    for question in rows("more-facts"):
        known = {(a, b): by_word[word] for a, b, word in SENTENCE.findall(question.text)}
        for sentence in SMALL.solution(question, "cot").text.removesuffix(".").split(". "):
            *reasons, step = re.split(r", and |, so ", sentence)
            facts = [re.fullmatch(r"(\w+) is (\w+)'s ([\w-]+)", part) for part in (*reasons, step)]
            (*given, (a, c, word)) = [fact.groups() for fact in facts if fact is not None]
            assert all(known[x, y] == by_word[w] for x, y, w in given)
            if len(given) == 1:
                assert known[c, a].inverse == by_word[word]
            else:
                assert compose(known[a, given[0][1]], known[given[1][0], c]) == by_word[word]
            known[a, c] = by_word[word]
        assert (a, c) == tuple(question.extra["people"][:: len(question.extra["people"]) - 1])


def test_a_socratic_step_asks_for_what_its_solution_ends_with() -> None:
    for question in rows("test"):
        for line in SMALL.solution(question, "socratic").text.split("\n"):
            asked, _, solution = line.partition(" ** ")
            who, whose = QUESTION.fullmatch(asked).groups()  # type: ignore[union-attr]
            assert f"so {who} is {whose}'s " in solution


def test_there_are_no_programs() -> None:
    assert SMALL.demonstrations("program") == ()
    with pytest.raises(ValueError, match="there are cot, label, socratic"):
        SMALL.solution(rows("test")[0], "program")


def test_a_name_is_a_womans_or_a_mans() -> None:
    assert len({*WOMEN, *MEN}) == len(WOMEN) + len(MEN)


def test_a_question_follows_from_the_seed_and_its_id_alone() -> None:
    assert SMALL.question("test-17") == rows("test")[17]
    assert Kinfolk(train=5, test=18).question("test-17") == rows("test")[17]
    assert Kinfolk(seed=1).question("test-17") != rows("test")[17]
    for missing in ("test-200", "dev-1", "test-x", "17"):
        with pytest.raises(KeyError):
            SMALL.question(missing)


def test_a_slip_leads_to_another_answer_and_keeps_the_question() -> None:
    assert isinstance(SMALL, SolvedTask)
    random = Random(0)
    for question in rows("test"):
        slipped = SMALL.mistaken(question, random)
        assert (slipped.id, slipped.text) == (question.id, question.text)
        assert SMALL.solution(slipped, "cot").answer == slipped.answer
        assert not SMALL.grade(slipped.answer or "", question)


def test_luck_reaches_the_right_answer_over_other_facts() -> None:
    found = 0
    for question in rows("test"):
        lucky = SMALL.lucky(question, Random(0))
        if lucky is not None:
            found += 1
            assert lucky.answer == question.answer == SMALL.solution(lucky, "cot").answer
            assert SMALL.solution(lucky, "cot").text != SMALL.solution(question, "cot").text
    assert found >= 100


def test_the_sizes_and_the_splits_are_those_of_the_settings() -> None:
    assert [SMALL.size(split) for split in SMALL.splits] == [800, 200, 200]
    assert [len(rows(split)) for split in SMALL.splits] == [800, 200, 200]
    with pytest.raises(DataError, match="kinfolk has no split 'dev'; there are train, test, more-facts"):
        SMALL.questions("dev")


def test_the_settings_change_the_fingerprint() -> None:
    assert len({task.fingerprint() for task in (SMALL, Kinfolk(), Kinfolk(seed=1), Kinfolk(facts=(2, 4)))}) == 4


@pytest.mark.parametrize("facts", [(1, 2), (3, 2), (2, 5)])
def test_a_range_of_facts_that_makes_no_sense_is_refused(facts: tuple[int, int]) -> None:
    with pytest.raises(ValidationError, match="expected two numbers from 2 to 4, the smaller one first"):
        Kinfolk(facts=facts)
