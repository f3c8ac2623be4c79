"""`tasks/published.py`: folders, the hub (a double: there is no network), shares, errors that say the place."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from understudy.answers import AnswerKind, kind
from understudy.config import Part, UserPath
from understudy.errors import DataError, PrerequisiteError
from understudy.records import Question
from understudy.tasks import TASKS
from understudy.tasks.choices import with_choices
from understudy.tasks.published import Hub, OneFile, Published, held_out_rows, permuted, text


class Small(Published):
    name = "small"
    folder: UserPath = Path("small")
    answer: str = "number"

    @property
    def answer_kind(self) -> AnswerKind:
        return kind(self.answer)

    @property
    def hub(self) -> Hub:
        return Hub("someone/small", {"train": [("plain", "train"), (None, "more")], "test": [(None, "test")]}, "branch")

    def to_question(self, row: dict[str, Any], split: str) -> Question | None:
        return Question(row["id"], text(row, "question"), self.gold(row["answer"])) if row["id"] != "skip" else None

    def from_hub(self, row: Mapping[str, Any], part: str, number: int) -> dict[str, Any]:
        return {"id": f"{part}-{number}", "question": row["input"], "answer": row["target"]}


class Share(OneFile, Small):
    @property
    def stem(self) -> str:
        return "all"


ROWS = [{"id": f"r{i}", "question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(200)]


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


def ids(task: Published, split: str) -> list[str]:
    return [question.id for question in task.questions(split)]


def refused(task: Published, split: str = "train") -> str:
    with pytest.raises(DataError) as error:
        list(task.questions(split))
    return str(error.value)


class FakeHub:
    """What stands for the package `datasets`; remembers what it was asked for."""

    def __init__(self, rows: Mapping[str, Sequence[Any]] | None = None, error: Exception | None = None) -> None:
        self.rows, self.error = rows or {}, error
        self.asked: list[tuple[str, str | None, str, str | None]] = []

    def load_dataset(self, path: str, config: str | None, *, split: str, revision: str | None) -> Sequence[Any]:
        self.asked.append((path, config, split, revision))
        if self.error:
            raise self.error
        return self.rows[split]


def on_hub(monkeypatch: pytest.MonkeyPatch, rows: Mapping[str, Sequence[Any]] | None = None, **more: Any) -> FakeHub:
    hub = FakeHub(rows, **more)
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=hub.load_dataset))
    return hub


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_a_part_is_read_from_its_file(tmp_path: Path, ending: str) -> None:
    write(tmp_path / f"train{ending}", ROWS[:2])
    write(tmp_path / f"test{ending}", ROWS[2:3])
    task = Small(folder=tmp_path)
    assert (ids(task, "train"), ids(task, "test"), task.size("train")) == (["r0", "r1"], ["r2"], 2)


def test_a_row_may_be_in_no_split(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", [ROWS[0], {"id": "skip"}, ROWS[1]])
    assert ids(Small(folder=tmp_path), "train") == ["r0", "r1"]


def test_there_is_a_validation_split_only_where_there_is_its_file(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS[:2])
    assert Small(folder=tmp_path).splits == ("train", "test")
    write(tmp_path / "valid.jsonl", ROWS[:2])
    assert Small(folder=tmp_path).splits == ("train", "valid", "test")


def test_the_folder_is_looked_for_in_the_data_folder_first(tmp_path: Path) -> None:
    write(tmp_path / "data" / "svamp.txt", [])
    (tmp_path / "data" / "svamp").mkdir()
    task, problems = TASKS.make(Part(name="svamp"), [tmp_path / "data", tmp_path])
    assert not problems
    assert isinstance(task, Published)
    assert task.folder == tmp_path / "data" / "svamp"


def test_a_missing_file_says_its_place_and_both_ways_to_give_a_folder(tmp_path: Path) -> None:
    message = refused(Small(folder=tmp_path))
    assert message.startswith(f"{tmp_path / 'train.jsonl'}: no such file")
    assert "task.folder=FOLDER" in message
    assert f"data=FOLDER holding {tmp_path.name}/" in message


def test_a_missing_column_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [ROWS[0], {"id": "x", "prompt": "a?"}])
    assert refused(Small(folder=tmp_path)) == f"{path}:2: no 'question'; the columns are id, prompt"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"answer": "many"}, "answer 'many' is no number"),
        ({"question": ["a?"]}, "question is ['a?'], expected text"),
        ({"question": "  "}, "question is '  ', expected text"),
    ],
)
def test_a_wrong_value_is_told_with_file_and_line(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    path = write(tmp_path / "train.jsonl", [ROWS[0], {**ROWS[1], **row}])
    assert refused(Small(folder=tmp_path)) == f"{path}:2: {said}"


def test_an_unknown_split_names_those_there_are(tmp_path: Path) -> None:
    assert refused(Small(folder=tmp_path), "dev") == "small has no split 'dev'; there are train, test"


def test_without_a_folder_the_hub_is_asked_for_every_part_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = on_hub(
        monkeypatch, {"train": [{"input": "1 + 1?", "target": 2}], "more": [{"input": "2 + 1?", "target": 3.0}]}
    )
    questions = list(Small(folder=tmp_path / "none").questions("train"))
    assert questions == [Question("train-0", "1 + 1?", "2"), Question("train-1", "2 + 1?", "3")]
    assert hub.asked == [
        ("someone/small", "plain", "train", "branch"),
        ("someone/small", None, "more", "branch"),
    ]


def test_a_folder_is_preferred_to_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = on_hub(monkeypatch)
    write(tmp_path / "train.jsonl", ROWS[:1])
    assert ids(Small(folder=tmp_path), "train") == ["r0"]
    assert not hub.asked


def test_a_revision_of_the_users_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = on_hub(monkeypatch, {"test": []})
    assert ids(Small(folder=tmp_path / "none", revision="abc"), "test") == []
    assert hub.asked[0][-1] == "abc"


def test_a_failure_of_the_hub_says_why_and_how_to_do_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_hub(monkeypatch, error=ConnectionError("no route\nmore"))
    message = refused(Small(folder=tmp_path / "none"))
    assert message.startswith("someone/small: cannot be loaded from the hub (ConnectionError: no route).")
    assert "task.folder=FOLDER" in message
    assert "more" not in message


def test_a_row_of_the_hub_with_other_columns_is_told_with_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_hub(monkeypatch, {"test": [{"input": "1?", "target": 1}, {"text": "2?"}]})
    assert refused(Small(folder=tmp_path / "none"), "test") == "someone/small:2: no 'input'; the columns are text"


def test_a_wrong_value_on_the_hub_is_told_with_its_part_and_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_hub(monkeypatch, {"test": [{"input": "1?", "target": 1}, {"input": "2?", "target": "two"}]})
    assert refused(Small(folder=tmp_path / "none"), "test") == "someone/small (test):2: answer 'two' is no number"


def test_without_a_folder_and_without_the_package_both_ways_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(PrerequisiteError) as error:
        list(Small(folder=tmp_path / "none").questions("train"))
    assert "pip install 'understudy[hub]'" in str(error.value)
    assert "task.folder=FOLDER" in str(error.value)


def test_nothing_is_loaded_to_know_the_splits_and_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    task = Small(folder=tmp_path / "none")
    assert task.splits == ("train", "test")
    assert task.fingerprint()


def test_the_fingerprint_follows_the_content_of_the_files(tmp_path: Path) -> None:
    write(tmp_path / "a" / "train.jsonl", ROWS[:2])
    write(tmp_path / "b" / "train.jsonl", ROWS[:2])
    before = Small(folder=tmp_path / "a").fingerprint()
    assert before == Small(folder=tmp_path / "b").fingerprint()
    write(tmp_path / "b" / "others.jsonl", ROWS)
    assert before == Small(folder=tmp_path / "b").fingerprint()
    write(tmp_path / "b" / "train.jsonl", ROWS[:3])
    assert before != Small(folder=tmp_path / "b").fingerprint()


def test_the_fingerprint_follows_the_settings_and_the_revision(tmp_path: Path) -> None:
    none = tmp_path / "none"
    before = Small(folder=none).fingerprint()
    assert before != Small(folder=none, answer="text").fingerprint()
    assert before != Small(folder=none, revision="abc").fingerprint()
    assert Small(folder=none, revision="branch").fingerprint() == before


def test_a_share_of_the_one_file_trains_and_the_rest_tests(tmp_path: Path) -> None:
    write(tmp_path / "all.jsonl", ROWS)
    task = Share(folder=tmp_path, train_share=0.3)
    train, test = ids(task, "train"), ids(task, "test")
    assert sorted(train + test) == sorted(row["id"] for row in ROWS)
    assert 40 <= len(train) <= 80
    assert "30%" in task.notes()[0]


def test_equal_questions_are_on_one_side_and_the_order_plays_no_part(tmp_path: Path) -> None:
    twice = [{**row, "id": f"again-{row['id']}", "question": row["question"].upper()} for row in reversed(ROWS)]
    write(tmp_path / "all.jsonl", [*twice, *ROWS])
    task = Share(folder=tmp_path)
    train = ids(task, "train")
    assert 0 < len(train) < 2 * len(ROWS)
    assert {id.removeprefix("again-") for id in train if id.startswith("again-")} == {
        id for id in train if not id.startswith("again-")
    }


def test_all_questions_can_be_kept_for_the_test(tmp_path: Path) -> None:
    write(tmp_path / "all.jsonl", ROWS)
    task = Share(folder=tmp_path, train_share=0)
    assert (task.splits, task.size("test"), task.notes()) == (("test",), len(ROWS), ())


def test_choices_are_shown_after_their_letters() -> None:
    assert with_choices("Where?", ["sea", "moon"]) == "Where?\nAnswer Choices:\n(a) sea\n(b) moon"


def test_the_published_split_holds_out_a_tenth_rounded_up() -> None:
    assert [len(held_out_rows(rows)) for rows in (800, 9741)] == [80, 975]
    assert max(held_out_rows(800)) < 800


def test_numpys_two_generators_differ() -> None:
    legacy, default = permuted(20, "legacy"), permuted(20, "default")
    assert sorted(legacy) == sorted(default) == list(range(20))
    assert legacy != default


def test_without_numpy_the_published_split_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(PrerequisiteError, match=r"pip install 'understudy\[train\]'"):
        permuted(20, "default")


def test_further_questions_are_learnt_from_without_their_answers(tmp_path: Path) -> None:
    write(tmp_path / "small" / "train.jsonl", ROWS[:2])
    write(tmp_path / "small" / "test.jsonl", ROWS[2:4])
    more = write(tmp_path / "small" / "more.jsonl.gz", [{"id": "m", "question": "What is 7 + 1?", "answer": "8"}])
    task = Small(folder=tmp_path / "small", unlabelled=more)
    assert [(q.id, q.answer) for q in task.questions("train")] == [("r0", "1"), ("r1", "2"), ("m", None)]
    assert ids(task, "test") == ["r2", "r3"]
    before = task.user_files()
    write(more, [{"id": "n", "question": "What is 8 + 1?"}])
    assert task.user_files() != before
    assert task.fingerprint() == Small(folder=tmp_path / "small").fingerprint()


def test_a_further_question_without_text_says_where(tmp_path: Path) -> None:
    write(tmp_path / "small" / "train.jsonl", ROWS[:2])
    more = write(tmp_path / "small" / "more.jsonl", [{"id": "m", "body": "What is 7 + 1?"}])
    assert "more.jsonl:1: no text in 'question'" in refused(Small(folder=tmp_path / "small", unlabelled=more))
