"""`tasks/wordsums.py` and `tasks/stories.py`: exact solutions, determinism, and splits that keep apart what they promise."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from random import Random

import pytest
from pydantic import ValidationError

from understudy.answers import KINDS
from understudy.errors import DataError
from understudy.records import Question
from understudy.sandbox.expressions import evaluate
from understudy.tasks import wordsums
from understudy.tasks.stories import BOXES, MOVES, PEOPLE, STATEMENTS, THINGS, tell
from understudy.tasks.wordsums import Wordsums, number_pools

SMALL = Wordsums(train=600, test=150)
FORMATS = ("program", "cot", "socratic", "label")


@cache
def rows(split: str) -> tuple[Question, ...]:
    return tuple(SMALL.questions(split))


def every_row() -> list[Question]:
    return [question for split in SMALL.splits for question in rows(split)]


def value_of(program: str) -> object:
    names: dict[str, object] = {}
    exec(program, names)  # our own programs, not a model's
    return names["solution"]()  # type: ignore[operator]


def numbers_in(text: str) -> list[str]:
    return re.findall(r"\d+", text)


def by_position(question: Question, text: str) -> str:
    """`text` with every number of the question replaced by its position in it."""
    order = numbers_in(question.text)
    return re.sub(r"\d+", lambda number: f"#{order.index(number[0])}", text)


@cache
def bag(text: str) -> frozenset[tuple[str, int]]:
    """The words of a text, each numbered, so that a word that stands twice counts twice."""
    return frozenset(
        (word, number) for word, times in Counter(re.findall(r"[A-Za-z]+", text)).items() for number in range(times)
    )


def copied_from_nearest(question: Question) -> str:
    """The value of the most similar training question's program, this question's numbers put in by position."""
    mine = bag(question.text)
    nearest = max(rows("train"), key=lambda other: len(mine & bag(other.text)) / len(mine | bag(other.text)))
    changed = dict(zip(numbers_in(nearest.text), numbers_in(question.text), strict=False))
    program = SMALL.solution(nearest, "program").text
    try:
        value = value_of(re.sub(r"\d+", lambda number: changed.get(number[0], number[0]), program))
    except ZeroDivisionError:
        return ""
    return str(value).removesuffix(".0")


def steps_of(question: Question) -> int:
    return len(re.findall(r" [-+*/] ", SMALL.solution(question, "program").text))


def masked(question: Question) -> str:
    """The question without its numbers, names and things, and its program without its numbers."""
    named = {*PEOPLE, *THINGS, *(word for pair in BOXES for word in pair)}
    template = re.sub(r"\w+", lambda word: "_" if word[0] in named or word[0].isdigit() else word[0], question.text)
    return template + by_position(question, SMALL.solution(question, "program").text)


def test_every_program_computes_the_answer() -> None:
    for question in every_row():
        rationale = SMALL.solution(question, "program")
        assert str(value_of(rationale.text)).removesuffix(".0") == question.answer == rationale.answer


def test_every_chain_of_thought_ends_in_the_answer_and_calculates_rightly() -> None:
    for question in every_row():
        rationale = SMALL.solution(question, "cot")
        assert numbers_in(rationale.text)[-1] == question.answer
        for calculation, value in re.findall(r"(\d+ [-+*/] \d+) = (\d+)", rationale.text):
            assert evaluate(calculation) == int(value)
        assert SMALL.cue not in rationale.text


def test_every_equation_evaluates_to_the_answer_and_uses_only_the_numbers_of_the_question() -> None:
    for question in every_row():
        equation = question.extra["equation"]
        assert evaluate(equation) == int(question.answer or "")
        assert set(numbers_in(equation)) == set(numbers_in(question.text))
        assert KINDS["expression"].read(equation) == equation


def test_socratic_lines_are_one_calculation_each() -> None:
    for question in rows("test"):
        pairs = [line.split(" ** ") for line in SMALL.solution(question, "socratic").text.split("\n")]
        assert all(len(pair) == 2 and pair[0].endswith("?") for pair in pairs)
        assert all(len(re.findall(r"\d+ [-+*/] \d+ = \d+", solution)) == 1 for _, solution in pairs)
        assert len(pairs) == len(re.findall(r" [-+*/] ", SMALL.solution(question, "program").text))


def test_a_label_has_no_reasoning() -> None:
    question = rows("test")[0]
    assert SMALL.solution(question, "label").text == ""
    assert SMALL.solution(question, "label").answer == question.answer


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="no solutions in the format 'poem'"):
        SMALL.solution(rows("test")[0], "poem")


def test_values_are_whole_and_within_the_range() -> None:
    for question in every_row():
        shown = [int(n) for n in numbers_in(SMALL.solution(question, "cot").text)]
        assert min(shown) >= 2
        assert max(shown) <= SMALL.largest


def test_programs_are_short() -> None:
    assert max(SMALL.solution(question, "program").text.count("\n") + 1 for question in rows("train")) <= 10


def test_the_numbers_of_a_question_are_all_different() -> None:
    assert all(len(set(numbers_in(q.text))) == len(numbers_in(q.text)) for q in every_row())


def test_numbers_stand_apart_from_letters() -> None:
    for question in every_row():
        texts = [question.text, *(SMALL.solution(question, format).text for format in FORMATS)]
        assert not any(re.search(r"[A-Za-z_]\d|\d[A-Za-z_]", text) for text in texts)


def test_the_steps_are_as_many_as_asked_for() -> None:
    assert {steps_of(question) for question in (*rows("train"), *rows("test"))} == {2, 3}
    assert {steps_of(question) for question in rows("more-steps")} == {4, 5}


def test_template_and_program_of_a_test_question_never_occur_in_training_and_some_recur_within_it() -> None:
    trained = [masked(question) for question in rows("train")]
    assert not set(trained) & {masked(question) for question in rows("test")}
    assert len(set(trained)) < len(trained)


def test_the_program_of_the_nearest_training_question_is_nearly_always_wrong() -> None:
    right = sum(copied_from_nearest(question) == question.answer for question in rows("test"))
    assert right / len(rows("test")) < 0.15


def test_the_nearest_program_is_right_where_the_question_itself_was_trained_on() -> None:
    assert all(copied_from_nearest(question) == question.answer for question in rows("train")[:20])


def test_unseen_numbers_are_in_no_other_split() -> None:
    seen, unseen = ({int(n) for q in rows(split) for n in numbers_in(q.text)} for split in ("train", "unseen-numbers"))
    assert not seen & unseen
    assert {int(n) for split in ("test", "more-steps") for q in rows(split) for n in numbers_in(q.text)} <= seen


def test_the_number_pools_share_nothing_and_leave_nothing_out() -> None:
    seen, unseen = number_pools((2, 99))
    assert sorted(seen + unseen) == list(range(2, 100))


def test_the_same_settings_give_the_same_rows_in_any_order_of_asking() -> None:
    backwards = [Wordsums(train=600, test=150).question(f"test-{index}") for index in range(149, -1, -1)]
    assert tuple(reversed(backwards)) == rows("test")


def test_the_size_of_a_split_is_how_many_questions_it_has() -> None:
    assert [SMALL.size(split) for split in SMALL.splits] == [600, 150, 150, 150]
    assert [len(rows(split)) for split in SMALL.splits] == [600, 150, 150, 150]


def test_a_row_does_not_depend_on_how_many_there_are() -> None:
    assert tuple(Wordsums(train=50, test=1).questions("train")) == rows("train")[:50]


def test_another_seed_gives_other_rows_with_the_same_held_out() -> None:
    other = list(Wordsums(seed=1, train=600, test=1).questions("train"))
    assert not {question.text for question in other} & {question.text for question in rows("train")}
    assert not {masked(question) for question in other} & {masked(question) for question in rows("test")}


def test_a_row_comes_back_from_json_with_its_solution() -> None:
    question = rows("test")[3]
    again = Question.from_json(json.loads(json.dumps(question.to_json())))
    assert again == question
    assert SMALL.solution(again, "program") == SMALL.solution(question, "program")


def test_questions_are_all_different() -> None:
    texts = [question.text for question in every_row()]
    assert len(set(texts)) == len(texts)


def test_an_unknown_split_or_id_is_refused() -> None:
    with pytest.raises(DataError, match="no split 'valid'; there are train, test"):
        SMALL.questions("valid")
    for id in ("test-150", "valid-0", "test", "test--1", "demonstrations-0"):
        with pytest.raises(KeyError):
            SMALL.question(id)


@pytest.mark.parametrize("format", FORMATS)
def test_demonstrations_are_worked_and_never_questions_of_a_split(format: str) -> None:
    demonstrations = SMALL.demonstrations(format)
    assert len(demonstrations) == 8
    assert not {question.text for question, _ in demonstrations} & {question.text for question in every_row()}
    assert not {masked(question) for question, _ in demonstrations} & {masked(question) for question in rows("test")}
    assert all(rationale == SMALL.solution(question, format) for question, rationale in demonstrations)


def test_in_expression_mode_the_answer_is_the_equation_and_the_number_is_right_too() -> None:
    task = Wordsums(train=20, test=20, answer="expression")
    for question in task.questions("test"):
        assert question.answer == question.extra["equation"]
        assert task.solution(question, "cot").answer == question.answer
        value = task.solution(question, "program").answer or ""
        assert value.isdigit()
        assert task.grade(value, question)
        assert not task.grade(str(int(value) + 1), question)


def test_a_mistake_leads_to_another_whole_answer_and_keeps_the_question() -> None:
    for question in every_row():
        mistaken = SMALL.mistaken(question, Random(question.id))
        assert mistaken.text == question.text
        value = value_of(SMALL.solution(mistaken, "program").text)
        assert value == int(mistaken.answer or "")
        assert not SMALL.grade(str(value), question)


def test_luck_reaches_the_right_answer_with_other_numbers_for_nearly_every_question() -> None:
    found = 0
    for question in every_row():
        lucky = SMALL.lucky(question, Random(question.id))
        if lucky is None:
            continue
        found += 1
        exact, shown = SMALL.solution(question, "program").text, SMALL.solution(lucky, "program").text
        assert lucky.text == question.text
        assert value_of(shown) == value_of(exact)
        numbers = [Counter(re.findall(r"\b\d+\b", text)) for text in (exact, shown)]
        assert sum((numbers[0] - numbers[1]).values()) == 2
    assert found >= 0.95 * len(list(every_row()))


def test_the_fingerprint_follows_the_settings() -> None:
    assert SMALL.fingerprint() == Wordsums(train=600, test=150).fingerprint()
    assert SMALL.fingerprint() != Wordsums(train=600, test=150, seed=1).fingerprint()


@pytest.mark.parametrize("settings", [{"steps": (3, 2)}, {"steps": (0, 2)}, {"numbers": (2, 40)}, {"numbers": (5, 99)}])
def test_ranges_that_give_no_questions_are_refused(settings: dict[str, tuple[int, int]]) -> None:
    with pytest.raises(ValidationError, match="expected"):
        Wordsums.model_validate(settings)


def test_other_ranges_work_too() -> None:
    task = Wordsums(train=40, test=20, steps=(1, 6), numbers=(3, 60), largest=300)
    for split in task.splits:
        for question in task.questions(split):
            assert value_of(task.solution(question, "program").text) == int(question.answer or "")


def test_settings_that_no_question_can_meet_are_refused_with_the_next_step() -> None:
    task = Wordsums(steps=(6, 6), largest=20)
    with pytest.raises(DataError, match="Allow larger values or fewer steps"):
        list(task.questions("unseen-numbers"))


def test_the_words_are_few() -> None:
    texts = [text for q in rows("train") for text in (q.text, SMALL.solution(q, "cot").text)]
    assert len({word for text in texts for word in re.findall(r"[A-Za-z]+", text)}) < 300


def test_every_move_leads_to_something_that_can_be_asked_for_and_is_told_sooner_or_later() -> None:
    assert {move.after for move in MOVES} <= set(STATEMENTS)
    told = " ".join(tell(Random(seed), 4).text for seed in range(2000))
    for move in MOVES:
        for sentence in move.sentences:
            words = re.sub(r"\\{\w+\\}", r"\\S+", re.escape(sentence)).replace(r"\ ", " ")
            assert re.search(words, told)


def test_the_example_in_the_docstring_is_a_row() -> None:
    shown = " ".join((wordsums.__doc__ or "").split())
    question = Wordsums().question("test-9")
    assert question.text in shown
    assert f'"equation": "{question.extra["equation"]}"' in shown
    assert Wordsums().solution(question, "cot").text in shown
    assert all(line in shown for line in Wordsums().solution(question, "socratic").text.split("\n")[1:])
    assert Wordsums().question("test-8").text not in shown
