from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.errors import DataError
from understudy.evidence.metrics import Tally, loops, summarise, wilson


def row(
    result: str = "correct", split: str = "test", fault: str = "", texts: tuple[str, ...] = ("a b",), **evidence: Any
) -> Any:
    return {
        "split": split,
        "question": "q",
        "result": result,
        "fault": fault,
        "texts": list(texts),
        "evidence": evidence,
    }


def metrics(*rows: Any) -> dict[str, Any]:
    return summarise(rows)["test"]


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(5, 10, 0.2366, 0.7634), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (15, 148, 0.0624, 0.1605)],
)
def test_wilson_gives_the_published_limits(k: int, n: int, low: float, high: float) -> None:
    # 15 of 148 is the worked example of R. G. Newcombe, Statist. Med. 17 (1998), 857-872, method 3
    interval = wilson(k, n)
    assert interval is not None
    assert interval == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))), st.floats(0.5, 0.999))
def test_both_limits_of_wilson_solve_the_score_equation(kn: tuple[int, int], confidence: float) -> None:
    k, n = kn
    interval = wilson(k, n, confidence)
    assert interval is not None
    assert 0 <= interval.low <= k / n <= interval.high <= 1
    z = (k / n - interval.low) / math.sqrt(interval.low * (1 - interval.low) / n)
    assert math.erf(z / math.sqrt(2)) == pytest.approx(confidence, abs=1e-6)


def test_the_lenient_accuracy_counts_right_lenient_answers_where_there_is_no_strict_one() -> None:
    rows = [
        row("correct"),
        row("wrong", lenient_result="correct"),
        row("no_answer", lenient_result="correct"),
        row("no_answer", lenient_result="wrong"),
        row("no_answer"),
        row("error"),
    ]
    found = metrics(*rows)
    assert (found["accuracy"], found["lenient_accuracy"]) == (1 / 5, 2 / 5)
    assert found["lenient_interval"] == list(wilson(2, 5) or ())


def test_without_lenient_answers_both_accuracies_are_the_same() -> None:
    found = metrics(row("correct"), row("wrong"), row("no_answer"))
    assert (found["lenient_accuracy"], found["lenient_interval"]) == (found["accuracy"], found["interval"])


def test_wilson_of_an_empty_set_is_none() -> None:
    assert wilson(0, 0) is None


def test_a_higher_confidence_gives_a_wider_interval() -> None:
    narrow, wide = wilson(30, 40, 0.8), wilson(30, 40, 0.99)
    assert narrow is not None
    assert wide is not None
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3)])
def test_wilson_refuses_counts_that_are_no_share(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="expected 0 <= k <= n"):
        wilson(k, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_wilson_refuses_a_confidence_that_is_no_share(confidence: float) -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        wilson(1, 3, confidence)


def test_an_error_counts_to_n_and_not_to_accuracy() -> None:
    found = metrics(row("correct"), row("wrong"), row("error", fault="failed"))
    assert (found["n"], found["error"], found["accuracy"]) == (3, 1, 0.5)


def test_no_answer_counts_against_accuracy_and_parsable_and_wrong_only_against_accuracy() -> None:
    found = metrics(row("correct"), row("wrong"), row("wrong"), row("no_answer"))
    assert (found["accuracy"], found["parsable"]) == (0.25, 0.75)


def test_a_split_of_errors_alone_has_no_accuracy_and_no_interval() -> None:
    found = metrics(row("error"), row("error"))
    assert (found["accuracy"], found["interval"], found["parsable"], found["repeated"]) == (None, None, None, None)


def test_the_object_of_no_rows_is_json_without_nan() -> None:
    assert json.loads(json.dumps(Tally().to_json(), allow_nan=False))["accuracy"] is None


def test_the_interval_is_that_of_the_judged() -> None:
    expected = wilson(2, 3)
    assert expected is not None
    assert metrics(row("correct"), row("correct"), row("wrong"), row("error"))["interval"] == list(expected)


def test_executable_is_the_share_of_programs_that_ran() -> None:
    found = metrics(
        row(status="ok"), row("no_answer", status="name_error"), row("wrong", status="ok"), row("wrong", status="ok")
    )
    assert (found["executable"], found["programs"]) == (0.75, 4)


def test_without_programs_there_is_no_executable_share() -> None:
    assert metrics(row(), row("wrong"))["executable"] is None


def test_a_program_that_the_sandbox_does_not_support_is_no_failed_program() -> None:
    assert metrics(row(status="ok"), row("wrong", status="unsupported"))["executable"] == 1.0


def test_every_program_of_a_vote_counts() -> None:
    assert metrics(row(status=["ok", "ok", "timeout", "ok"]))["executable"] == 0.75


def test_truncated_is_the_share_of_rows_with_a_completion_cut_at_its_limit() -> None:
    assert metrics(row(finish=["stop", "length"]), row(finish=["stop"]))["truncated"] == 0.5


def test_rows_that_do_not_say_how_they_finished_are_not_counted_as_finished() -> None:
    assert metrics(row(finish=["length"]), row())["truncated"] == 1.0
    assert metrics(row())["truncated"] is None


def test_completion_tokens_are_summed_over_a_row_and_averaged_over_rows() -> None:
    assert metrics(row(completion_tokens=[10, 20]), row(completion_tokens=[40]))["completion_tokens"] == 35


def test_rows_with_an_unknown_token_count_are_left_out_of_the_mean() -> None:
    assert metrics(row(completion_tokens=[10, None]), row(completion_tokens=[40]))["completion_tokens"] == 40


def test_faults_are_counted_the_most_frequent_first() -> None:
    found = metrics(row("no_answer", fault="timeout"), *[row("no_answer", fault="name_error")] * 2, row())
    assert list(found["faults"].items()) == [("name_error", 2), ("timeout", 1)]


def test_splits_are_never_mixed() -> None:
    found = summarise([row("correct", "test"), row("wrong", "hard"), row("correct", "hard")])
    assert {split: one["accuracy"] for split, one in found.items()} == {"test": 1.0, "hard": 0.5}


def test_an_unknown_result_is_an_error_that_names_the_four() -> None:
    with pytest.raises(DataError, match="'right'; expected one of correct, wrong, no_answer, error"):
        Tally().add(row("right"))


def test_a_row_without_a_split_is_an_error() -> None:
    with pytest.raises(DataError, match="split None"):
        summarise([{"question": "q", "result": "correct"}])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so so so so", True),
        ("so so so", False),
        ("well then the sum is 4 the sum is 4 the sum is 4 the sum is 4", True),
        ("the sum is 4 the sum is 4 the sum is 4 the sum is 5", False),
        ("the sum is 4 the sum is 4 the sum is 4 the sum is 4 the", True),
        ("banana banana banana banana bana", True),
        ("the sum is 4 the sum is 4 the sum is 4 the sum is 4 done", False),
        ("( ( ( ( a ) ) ) )", False),
        ("x = 1\nx = 1\nx = 1\nx = 1\n", True),
        ("a = 1\nb = 2\nc = a + b\nd = c + 1", False),
        ("", False),
    ],
)
def test_a_loop_is_four_copies_of_a_block_at_the_end(text: str, expected: bool) -> None:
    assert loops(text) is expected


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=20, unique=True), st.integers(4, 9), st.text("xyz ", max_size=40)
)
def test_whatever_stands_before_four_copies_of_a_block_is_a_loop(block: list[int], copies: int, before: str) -> None:
    assert loops(" ".join([before, *(map(str, block * copies))]))


def test_a_block_of_21_words_is_no_loop() -> None:
    block = " ".join(map(str, range(21)))
    assert not loops(" ".join([block] * 4))


def test_repeated_is_the_share_of_rows_with_a_looping_text() -> None:
    assert metrics(row(texts=("fine", "so so so so")), row(texts=("fine",)))["repeated"] == 0.5


def test_answers_that_are_the_gold_one_letter_by_letter_are_told_from_those_of_its_value() -> None:
    answers = [("( 84 / 2 )", "correct"), ("42", "correct"), ("7", "wrong"), (None, "no_answer")]
    rows = [{"split": "test", "result": result, "answer": a, "gold": "( 84 / 2 )"} for a, result in answers]
    found = summarise(rows)["test"]
    assert (found["accuracy"], found["exact"]) == (0.5, 0.25)
