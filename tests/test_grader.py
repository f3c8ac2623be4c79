from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from understudy.errors import ConfigError, DataError
from understudy.pipeline import walk
from understudy.records import Question
from understudy.stages.opening import json_schema, make_run
from understudy.stages.run import Run

CLOSE = """
from math import isclose

NUMBER = 3


def close(answer, question):
    return isclose(float(answer), float(question.answer), rel_tol=0.1)


def broken(answer, question):
    return {"a": 1}[answer]


def silent(answer, question):
    pass
"""


def opened(folder: Path, grader: str, **table: Any) -> Run:
    (folder / "grading.py").write_text(CLOSE) if not (folder / "grading.py").exists() else None
    (folder / "my.jsonl").write_text(json.dumps({"id": "r0", "question": "q?", "answer": "100"}) + "\n")
    task = {"path": "my.jsonl", "answer": "number", "grader": grader}
    return make_run({"task": task, "method": "finetune", **table}, folder, folder / "run")


def test_the_users_grader_says_what_is_right(tmp_path: Path) -> None:
    task = opened(tmp_path, "grading:close").task
    question = Question("r0", "q?", "100")
    assert (task.grade("109", question), task.grade("120", question)) == (True, False)


def test_every_task_takes_a_grader(tmp_path: Path) -> None:
    (tmp_path / "grading.py").write_text("def never(answer, question):\n    return False\n")
    run = make_run({"task": {"name": "wordsums", "grader": "grading:never"}, "method": "pad"}, tmp_path, tmp_path)
    question = next(run.task.questions("train"))
    assert not run.task.grade(question.answer or "", question)


def test_an_installed_module_may_hold_the_grader(tmp_path: Path) -> None:
    assert opened(tmp_path, "operator:eq").task.grade("2", Question("a", "b", "c")) is False


def test_two_folders_may_have_modules_of_one_name(tmp_path: Path) -> None:
    for name, value in (("a", True), ("b", False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "grading.py").write_text(f"def f(answer, question):\n    return {value}\n")
    first, second = (opened(tmp_path / name, "grading:f").task for name in "ab")
    question = Question("r0", "q?", "100")
    assert (first.grade("1", question), second.grade("1", question)) == (True, False)


@pytest.mark.parametrize(
    ("grader", "said"),
    [
        ("grading", 'expected "module:function"'),
        ("grading:close()", 'expected "module:function"'),
        ("gradign:close", "gradign.py nor an installed module. Put the file beside the configuration"),
        ("grading:clsoe", "has no function 'clsoe'"),
        ("grading:NUMBER", "'NUMBER' in"),
    ],
)
def test_a_grader_that_is_none_is_told_with_all_other_mistakes(tmp_path: Path, grader: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        opened(tmp_path, grader, seed="x")
    first, second = error.value.problems
    assert first.startswith("seed = ")
    assert second.startswith(f"task.grader = {grader!r}: ")
    assert said in second


@pytest.mark.parametrize(
    ("code", "said"), [("import gone_for_ever", "needs the module 'gone_for_ever'"), ("1 / 0", "ZeroDivisionError")]
)
def test_a_grader_that_cannot_be_imported_is_told(tmp_path: Path, code: str, said: str) -> None:
    (tmp_path / "grading.py").write_text(code)
    with pytest.raises(ConfigError, match=said):
        opened(tmp_path, "grading:close")


def test_a_grader_that_raises_names_its_line_and_the_question(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        opened(tmp_path, "grading:broken").task.grade("7", Question("r0", "q?", "100"))
    assert str(error.value) == (
        f"{tmp_path / 'grading.py'}:12: the grader grading:broken raised KeyError: '7', "
        "on the answer '7' to the question 'r0'. Mend the function"
    )


def test_a_grader_must_say_true_or_false(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="returned None on the answer '7' to the question 'r0', expected True or False"):
        opened(tmp_path, "grading:silent").task.grade("7", Question("r0", "q?", "100"))


def test_a_changed_grader_makes_another_state(tmp_path: Path) -> None:
    before = opened(tmp_path, "grading:close").task_state()
    assert opened(tmp_path, "grading:close").task_state() == before
    (tmp_path / "grading.py").write_text(CLOSE + "\n")
    assert opened(tmp_path, "grading:close").task_state() != before


def test_the_schema_and_the_manifest_hold_its_name(tmp_path: Path) -> None:
    run = opened(tmp_path, "grading:close")
    assert run.resolved()["task"]["grader"] == "grading:close"
    assert "grader" in json.dumps(json_schema())


def test_the_report_says_who_graded(tmp_path: Path) -> None:
    assert opened(tmp_path, "grading:close").task.user_notes() == (
        "Which answers are right was said by the user's own function grading:close.",
    )


def test_the_filter_and_the_evaluation_ask_the_grader(tmp_path: Path) -> None:
    (tmp_path / "grading.py").write_text("def never(answer, question):\n    return False\n")
    task = {"name": "wordsums", "train": 20, "test": 5, "grader": "grading:never"}
    table = {"task": task, "method": "pad", "teacher": "scripted", "student": "nearest", "filter": {"keep": "parsed"}}
    run = make_run({**table, "sandbox": {"timeout_s": 0.5}}, tmp_path, tmp_path / "run")
    walk(run)
    assert json.loads(run.dir.funnel("program").read_text())["right"] == 0
    assert json.loads(run.dir.metrics.read_text())["splits"]["test"]["accuracy"] == 0
