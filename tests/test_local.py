from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from understudy.errors import DataError
from understudy.tasks.local import Local

ROWS = [{"id": f"r{i}", "question": f"What is {i} + 1?", "answer": str(i + 1), "topic": "sums"} for i in range(200)]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ids(task: Local, split: str) -> list[str]:
    return [question.id for question in task.questions(split)]


def test_one_file_is_split_by_id(tmp_path: Path) -> None:
    task = Local(path=write(tmp_path / "my.jsonl", ROWS), answer="number")
    train, test = ids(task, "train"), ids(task, "test")
    assert sorted(train + test) == sorted(row["id"] for row in ROWS)
    assert 20 <= len(test) <= 60


def test_a_question_stays_in_its_split_when_rows_are_added(tmp_path: Path) -> None:
    before = set(ids(Local(path=write(tmp_path / "a.jsonl", ROWS[:100])), "test"))
    after = set(ids(Local(path=write(tmp_path / "b.jsonl", ROWS)), "test"))
    assert before <= after


def test_files_of_their_own_are_the_splits(tmp_path: Path) -> None:
    task = Local(train=write(tmp_path / "a.jsonl", ROWS[:3]), test=write(tmp_path / "b.jsonl", ROWS[3:5]))
    assert task.splits == ("train", "test")
    assert (ids(task, "train"), ids(task, "test")) == (["r0", "r1", "r2"], ["r3", "r4"])


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz"])
def test_csv_is_read_like_jsonl(tmp_path: Path, ending: str) -> None:
    mark = "\t" if "tsv" in ending else ","
    text = mark.join(["id", "question", "answer"]) + "\n" + mark.join(["a", '"one, two\nlines"', "3"]) + "\n"
    path = tmp_path / f"my.{ending}"
    if ending.endswith("gz"):
        with gzip.open(path, "wt") as file:
            file.write(text)
    else:
        path.write_text(text)
    [question] = Local(train=path, answer="number").questions("train")
    assert (question.text, question.answer) == ("one, two\nlines", "3")


def test_other_columns_survive(tmp_path: Path) -> None:
    [question] = Local(train=write(tmp_path / "a.jsonl", ROWS[:1])).questions("train")
    assert question.extra == {"topic": "sums"}


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    rows = [{"key": 7, "prompt": "2 + 2?", "gold": 4}]
    names: Any = {"id": "key", "question": "prompt", "answer": "gold"}
    [question] = Local(train=write(tmp_path / "a.jsonl", rows), answer="number", columns=names).questions("train")
    assert (question.id, question.text, question.answer) == ("7", "2 + 2?", "4")


def test_rows_without_an_id_are_named_by_their_line(tmp_path: Path) -> None:
    assert ids(Local(train=write(tmp_path / "a.jsonl", [{"question": "a"}, {"question": "b"}])), "train") == [
        "train-1",
        "train-2",
    ]


def test_an_unlabelled_training_row_is_fine(tmp_path: Path) -> None:
    [question] = Local(train=write(tmp_path / "a.jsonl", [{"question": "a?"}])).questions("train")
    assert question.answer is None


def refused(task: Local, split: str = "train") -> str:
    with pytest.raises(DataError) as error:
        list(task.questions(split))
    return str(error.value)


def test_a_test_row_needs_an_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "my.jsonl", [*ROWS[:40], {"id": "x", "question": "a?"}])
    assert refused(Local(train=path, test=path), "test").startswith(
        f"{path}:41: no 'answer'. Rows of the test split need one"
    )


def test_duplicate_ids_are_told_with_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "my.jsonl", [ROWS[0], ROWS[1], ROWS[0]])
    assert refused(Local(train=path)).startswith(f"{path}:3: id 'r0' stands already in line 1")


def test_a_row_without_a_question_shows_the_columns_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "my.jsonl", [{"id": "a", "prompt": "hello"}])
    assert "no 'question': expected text, found None among the columns 'id', 'prompt'" in refused(Local(train=path))


def test_an_answer_of_another_kind_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "my.jsonl", [{"id": "a", "question": "q", "answer": "blue"}])
    assert f"{path}:1: answer 'blue' is no number" in refused(Local(train=path, answer="number"))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert "no such file" in refused(Local(train=tmp_path / "gone.jsonl"))
    assert "no such file" in refused(Local(train=tmp_path / "gone.csv"))


def test_a_short_csv_row_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,question,answer\na,b,c\nd,e\n")
    assert refused(Local(train=tmp_path / "a.csv")).startswith(f"{tmp_path / 'a.csv'}:3: expected 3 columns")


@pytest.mark.parametrize("files", [{}, {"test": "b"}, {"path": "a", "train": "b"}])
def test_the_files_must_make_sense(files: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give"):
        Local(**files)


def test_a_changed_file_changes_the_fingerprint(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROWS[:3])
    before = Local(train=path).fingerprint()
    write(path, ROWS[:4])
    assert Local(train=path).fingerprint() != before


def test_demonstrations_come_from_the_users_file(tmp_path: Path) -> None:
    shown = [{"question": "1 + 1?", "answer": "2", "cot": "1 + 1 = 2."}, {"question": "2 + 1?", "answer": "3"}]
    task = Local(train=tmp_path / "a", answer="number", demonstrations_path=write(tmp_path / "d.jsonl", shown))
    assert [rationale.text for _, rationale in task.demonstrations("cot")] == ["1 + 1 = 2."]
    assert len(task.demonstrations("label")) == 2
    assert task.demonstrations("program") == []
