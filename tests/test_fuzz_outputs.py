"""Mutants of published outputs: no reader raises, and what it reads is an answer; long texts are answered in bounds."""

from __future__ import annotations

import os

import pytest

from fuzz_outputs import published, run
from understudy.answers import KINDS, MAX_SIDES


@pytest.mark.slow
def test_two_thousand_mutants_of_outputs_are_read_without_an_exception() -> None:
    seeds = published()
    if not seeds:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("the published data sets are not here")
    found, failures = run(seeds, 2000, seed=1)
    assert failures == []
    assert found["answer"] > 500
    assert {"no answer", "truncated", "no_steps", "no_program", "refusal", "not_an_answer"} <= set(found)


def test_a_failing_reader_is_reported_with_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(KINDS["number"])
    monkeypatch.setattr(kind, "find", lambda *arguments: 1 / 0)
    _, failures = run(["The sea."], 50, seed=1)
    assert failures
    assert all(failure.startswith("ZeroDivisionError: division by zero\n'") for failure in failures)


def test_an_equation_of_many_sides_is_no_expression() -> None:
    expression = KINDS["expression"]
    assert expression.read("=".join(["1 + 1"] * MAX_SIDES)) == "1 + 1"
    assert expression.read("=".join(["1 + 1"] * (MAX_SIDES + 1))) is None
