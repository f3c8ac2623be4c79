from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import SMALL, understudy
from doubles import Asks, Sums, Told, right, run_of
from understudy import jsonl
from understudy.errors import ConfigError, DataError, RunError
from understudy.formats import FORMATS
from understudy.methods import METHODS
from understudy.procedures import Ask
from understudy.stages.drafting import draft
from understudy.tasks.wordsums import Wordsums

COT = METHODS.find("single-task")()


def reply(ask: Ask, sample: int) -> str:
    number = int(ask.key.rsplit("-", 1)[1])
    return ["One more. The answer is {}.", "Hm.", "Less. The answer is 0."][number % 3].format(right(ask, sample))


def drafted(folder: Path, **settings: Any) -> list[dict[str, Any]]:
    draft(run_of(folder / "run", COT, Told.by(reply), **settings), folder / "drafts.jsonl", count=3)
    return list(jsonl.read(folder / "drafts.jsonl"))


def test_a_draft_says_whether_it_agrees_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    good, unread, wrong = drafted(tmp_path)
    assert good == {"id": "train-0", "question": "0 + 1", "answer": "1", "cot": "One more.", "agrees": True}
    assert (unread["cot"], unread["agrees"], unread["fault"]) == ("Hm.", None, "no_answer")
    assert (wrong["answer"], wrong["agrees"], wrong["fault"]) == ("3", False, "wrong_answer: read 0")


def test_an_unlabelled_question_is_drafted_with_the_teachers_answer(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", COT, Told.by(reply), Sums(labelled=False))
    draft(run, tmp_path / "d.jsonl", count=1)
    [row] = jsonl.read(tmp_path / "d.jsonl")
    assert (row["answer"], row["agrees"], "fault" in row) == ("1", None, False)


def test_a_corrected_file_serves_as_demonstrations_of_any_task(tmp_path: Path) -> None:
    rows = drafted(tmp_path)
    task = Sums(demonstrations_path=tmp_path / "drafts.jsonl")
    with pytest.raises(DataError, match=r"drafts\.jsonl:2: this draft has the fault 'no_answer'"):
        task.demonstrations("cot")
    jsonl.write(tmp_path / "drafts.jsonl", [{**rows[1], "cot": "One more.", "fault": ""}, rows[0]])
    task = Sums(demonstrations_path=tmp_path / "drafts.jsonl")
    assert [(q.text, r.text, r.answer) for q, r in task.demonstrations("cot")] == [
        ("1 + 1", "One more.", "2"),
        ("0 + 1", "One more.", "1"),
    ]
    run = run_of(tmp_path / "again", COT, teacher := Told.by(reply), task)
    draft(run, tmp_path / "again.jsonl", count=1)
    assert "Q: 1 + 1\nA: One more. The answer is 2." in teacher.asked[0].prompt


def test_other_worked_examples_make_another_state(tmp_path: Path) -> None:
    drafted(tmp_path)
    path = tmp_path / "drafts.jsonl"
    run = run_of(tmp_path / "run", COT, task=Sums(demonstrations_path=path))
    before = run.task_state()
    path.write_text(path.read_text() + "\n")
    assert run.task_state() != before


def test_a_question_of_the_test_is_no_worked_example(tmp_path: Path) -> None:
    class Leaky(Sums):
        def questions(self, split: str) -> Any:
            return super().questions("train")

    run = run_of(tmp_path / "run", COT, Told.by(reply), Leaky())
    assert draft(run, tmp_path / "d.jsonl", count=1) == {"overlap": 1}


def test_nothing_is_overwritten_and_nothing_asked_twice(tmp_path: Path) -> None:
    drafted(tmp_path)
    run = run_of(tmp_path / "run", COT, teacher := Told.by(reply))
    with pytest.raises(RunError, match="exists already, perhaps corrected by hand"):
        draft(run, tmp_path / "drafts.jsonl")
    draft(run, tmp_path / "drafts.jsonl", count=4, force=True)
    assert [ask.key for ask in teacher.asked] == ["train-3"]


def test_a_method_without_reasoning_needs_a_format(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", Asks(), Told.by(reply))
    with pytest.raises(ConfigError, match="trains on no reasoning of the teacher"):
        draft(run, tmp_path / "d.jsonl")
    assert draft(run, tmp_path / "d.jsonl", count=1, formats=["cot"]) == {"": 1}


def test_an_empty_training_split_has_nothing_to_draft(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is nothing to draft"):
        draft(run_of(tmp_path / "run", COT, Told.by(reply), Sums(train=0)), tmp_path / "d.jsonl")


def test_the_command_drafts_what_the_next_run_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SMALL)
    result = understudy("draft", "small.toml", "--count", 30, "--format", "program", "--format", "cot", "seed=3")
    assert result.exit_code == 0, result.output
    assert "wrote 60 drafts to small.drafts.jsonl; faults: " in result.stdout
    assert understudy("draft", "small.toml").exit_code == 1
    rows = [row for row in jsonl.read(Path("small.drafts.jsonl")) if "fault" not in row]
    assert 40 < len(rows) < 60
    jsonl.write(Path("mine.jsonl"), rows)
    task = Wordsums(demonstrations_path=Path("mine.jsonl"))
    assert {len(task.demonstrations(format)) for format in ("program", "cot")} == {
        sum(format in row for row in rows) for format in ("program", "cot")
    }
    for format in ("program", "cot"):
        question, rationale = task.demonstrations(format)[0]
        solved = task.solution(task.question(question.id), format)
        assert FORMATS[format]().write(task, rationale) == FORMATS[format]().write(task, solved)
    result = understudy("filter", "small.toml", "task.demonstrations_path=mine.jsonl", "generate.demonstrations=2")
    assert result.exit_code == 0, result.output
    assert json.loads(Path("runs/small/manifest.json").read_text())["config"]["task"]["demonstrations_path"]
