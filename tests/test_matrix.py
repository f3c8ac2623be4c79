"""Every task with every method and both kinds of student: it runs dry, or gives its reason."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from understudy.config import Train
from understudy.methods import METHODS
from understudy.stages.dry_run import dry_run
from understudy.tasks import TASKS

NAMES = [name for name in TASKS.names if name != "local"]
PROGRAMS = ("pad", "pad-refinement", "pal")


@cache
def loaded(spec: str) -> Any:
    from understudy.students import loading

    asked = (question.text for name in NAMES for question, _ in TASKS.find(name)().demonstrations("cot"))
    return loading.load(spec, texts=list(asked))


@pytest.mark.parametrize("method_name", METHODS.names)
@pytest.mark.parametrize("task_name", NAMES)
def test_a_pair_runs_dry_or_gives_its_reason(task_name: str, method_name: str) -> None:
    task, method = TASKS.find(task_name)(), METHODS.find(method_name)()
    question = task.demonstrations("label")[0][0]
    rehearsal = dry_run(task, method, question)
    if rehearsal.reason:
        assert method_name in PROGRAMS
        assert task.answer_kind.name in ("choice", "label")
        return
    assert all(question.text in prompt for prompt in rehearsal.prompts)
    assert bool(rehearsal.examples) == bool(method.roles())
    for spec in ("scratch:gpt2-tiny", "scratch:t5-tiny"):
        encoder = loaded(spec).encoder()
        for example in rehearsal.examples:
            ids = encoder.target(example.target)
            assert encoder.text(ids).strip() == example.target.strip()
            assert len(encoder.prompt(example.prompt)) <= Train().max_prompt_tokens


@pytest.mark.parametrize("name", NAMES)
def test_every_task_shows_worked_examples_for_labels_and_chains(name: str) -> None:
    task = TASKS.find(name)()
    assert len(task.demonstrations("label")) >= 4
    assert len(task.demonstrations("cot")) >= 4


def test_a_program_is_refused_where_answers_are_picked_and_not_where_they_are_worked_out() -> None:
    pad = METHODS.find("pad")()
    assert "picked from a few" in (pad.refuses(TASKS.find("cqa")()) or "")
    assert pad.refuses(TASKS.find("gsm8k")()) is None
