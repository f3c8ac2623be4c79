from __future__ import annotations

import gzip
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles import Told, right, run_of
from understudy.errors import DataError, PrerequisiteError
from understudy.methods.finetune import LabelDistillation
from understudy.pipeline import walk
from understudy.records import Example, Question
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


def test_rows_without_ids_are_split_by_their_text(tmp_path: Path) -> None:
    rows = [{"question": row["question"], "answer": row["answer"]} for row in ROWS]
    task = Local(path=write(tmp_path / "my.jsonl", rows))
    train, test = ({question.text for question in task.questions(split)} for split in ("train", "test"))
    assert (len(train | test), train & test) == (200, set())
    moved = Local(path=write(tmp_path / "more.jsonl", [{"question": "New?", "answer": "1"}, *rows]))
    assert test <= {question.text for question in moved.questions("test")}
    assert not set(ids(task, "train")) & set(ids(task, "test"))


def test_unlabelled_rows_of_one_file_are_for_training(tmp_path: Path) -> None:
    task = Local(path=write(tmp_path / "my.jsonl", [{**row, "answer": None} for row in ROWS[:100]] + ROWS[100:]))
    assert {question.answer is None for question in task.questions("test")} == {False}
    assert sum(question.answer is None for question in task.questions("train")) == 100


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
    path = write(tmp_path / "my.jsonl", [{"id": "a", "sentence": "hello"}])
    assert "no 'question': expected text, found None among the columns 'id', 'sentence'" in refused(Local(train=path))


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
    task = guessed(tmp_path, ROWS[:3], demonstrations_path=write(tmp_path / "d.jsonl", shown))
    assert [rationale.text for _, rationale in task.demonstrations("cot")] == ["1 + 1 = 2."]
    assert len(task.demonstrations("label")) == 2
    assert task.demonstrations("program") == []


def test_demonstrations_may_have_the_columns_of_the_file(tmp_path: Path) -> None:
    shown = [{"prompt": "1 + 1?", "answer": "2", "cot": "1 + 1 = 2."}]
    task = guessed(tmp_path, [{"prompt": "q", "answer": 1}], demonstrations_path=write(tmp_path / "d.jsonl", shown))
    assert [question.text for question, _ in task.demonstrations("cot")] == ["1 + 1?"]


def test_a_demonstration_needs_an_answer_and_no_fault(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", [{"question": "q?", "cot": "So."}])
    task = guessed(tmp_path, ROWS[:3], demonstrations_path=path)
    with pytest.raises(DataError, match=r'd\.jsonl:1: no "answer"'):
        task.demonstrations("cot")
    write(path, [{"question": "q?", "answer": "2", "cot": "So.", "fault": "wrong_answer: read 3"}])
    task = guessed(tmp_path, ROWS[:3], demonstrations_path=path)
    with pytest.raises(DataError, match=r"d\.jsonl:1: this draft has the fault 'wrong_answer: read 3'\. Correct it"):
        task.demonstrations("cot")


# Parquet, and choices in files without lists


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    importlib.import_module("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def test_parquet_is_read_like_jsonl(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "question": "Which?", "answer": "b", "choices": ["a", "b"], "score": 0.5},
        {"id": 2, "question": "What?", "answer": None, "choices": None, "score": None},
    ]
    first, second = Local(train=parquet(tmp_path / "a.parquet", rows), answer="choice").questions("train")
    assert (first.id, first.answer, first.choices, first.extra) == ("1", "b", ("a", "b"), {"score": 0.5})
    assert (second.answer, second.choices, second.extra) == (None, (), {"score": None})


def test_not_a_number_in_a_column_of_answers_is_no_answer(tmp_path: Path) -> None:
    rows = [{"question": "1?", "answer": 1.0}, {"question": "2?", "answer": float("nan")}]
    task = Local(train=parquet(tmp_path / "a.parquet", rows))
    assert (task.answer_kind.name, [q.answer for q in task.questions("train")]) == ("number", ["1", None])


def test_a_parquet_row_is_told_by_its_number_beyond_the_first_batch(tmp_path: Path) -> None:
    rows = [{"question": f"{i}?", "answer": "1" if i < 2345 else "blue"} for i in range(2400)]
    path = parquet(tmp_path / "a.parquet", rows)
    assert refused(Local(train=path, answer="number")).startswith(f"{path}:2346: answer 'blue' is no number")


def test_a_file_that_is_no_parquet_is_told(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_text("hello")
    assert "cannot be read as Parquet" in refused(Local(train=tmp_path / "a.parquet", answer="text"))
    assert "no such file" in refused(Local(train=tmp_path / "gone.parquet"))


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PrerequisiteError, match=r"pip install 'understudy\[parquet\]'"):
        list(Local(train=tmp_path / "a.parquet").questions("train"))


def test_demonstrations_may_be_parquet(tmp_path: Path) -> None:
    path = parquet(tmp_path / "d.parquet", [{"question": "1 + 1?", "answer": 2, "cot": "1 + 1 = 2."}])
    [(question, rationale)] = guessed(tmp_path, ROWS[:3], demonstrations_path=path).demonstrations("cot")
    assert (question.answer, rationale.text) == ("2", "1 + 1 = 2.")


@pytest.mark.parametrize("cell", ["red|blue | green", '"[""red"", ""blue"", ""green""]"'])
def test_choices_in_a_csv_are_a_json_list_or_stand_between_bars(tmp_path: Path, cell: str) -> None:
    (tmp_path / "a.csv").write_text(f"question,answer,choices\nWhich?,B,{cell}\n")
    [question] = Local(train=tmp_path / "a.csv").questions("train")
    assert (question.choices, question.answer) == (("red", "blue", "green"), "blue")


@pytest.mark.parametrize(
    ("cell", "said"), [("red", "is one choice"), ("[red|blue]", "is no JSON list"), ('"[""red""]"', "is one choice")]
)
def test_choices_that_are_none_are_told(tmp_path: Path, cell: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(f"question,answer,choices\nWhich?,red,{cell}\n")
    error = refused(Local(train=tmp_path / "a.csv"))
    assert error.startswith(f"{tmp_path / 'a.csv'}:2: 'choices': ")
    assert said in error


def test_choices_that_are_a_table_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"question": "q", "answer": "A", "choices": {"text": ["x"], "label": ["A"]}}])
    assert "'choices': expected a list of texts, found {'text'" in refused(Local(train=path))


# Choices that are named by a number, and shown


def quiz(*answers: object, choices: object = ("red", "blue", "green"), **more: Any) -> list[Any]:
    return [{"question": f"{i}?", "choices": choices, "answer": a, **more} for i, a in enumerate(answers)]


def answers_of(task: Local, split: str = "train") -> list[str | None]:
    return [question.answer for question in task.questions(split)]


@pytest.mark.parametrize(
    ("answers", "first", "read"),
    [
        ([0, 2, 1], 0, ["red", "green", "blue"]),
        (["0", "2", "1"], 0, ["red", "green", "blue"]),
        ([1.0, 3.0, 2.0], 1, ["red", "green", "blue"]),
        (["1", None, "3"], 1, ["red", None, "green"]),
        ([0, "B", "green"], 0, ["red", "blue", "green"]),
        (["B", "red"], None, ["blue", "red"]),
    ],
)
def test_answers_may_be_the_numbers_of_choices(
    tmp_path: Path, answers: list[object], first: int | None, read: list[str]
) -> None:
    task = guessed(tmp_path, quiz(*answers))
    assert (task.reading.first_choice, answers_of(task)) == (first, read)
    shown = f"first_choice = {first}" in " ".join(task.guesses())
    assert shown == (first is not None)
    again = Local(train=task.train, **task.resolved())
    assert (again.fingerprint(), answers_of(again)) == (task.fingerprint(), read)


def test_the_whole_file_says_from_where_the_numbers_count(tmp_path: Path) -> None:
    task = guessed(tmp_path, quiz(*[1] * 1500, 3))
    assert set(answers_of(task)) == {"red", "green"}
    test = write(tmp_path / "test.jsonl", quiz(3))
    assert answers_of(guessed(tmp_path, quiz(1, 2), test=test), "test") == ["green"]


def test_labels_may_be_numbered_too(tmp_path: Path) -> None:
    rows = [{"question": f"{i}?", "answer": i % 2} for i in range(4)]
    assert answers_of(guessed(tmp_path, rows, labels=["bad", "good"])) == ["bad", "good"] * 2


def test_a_number_that_is_the_text_of_a_choice_is_that_text(tmp_path: Path) -> None:
    assert answers_of(guessed(tmp_path, quiz(2, 1, choices=[3, 2, 1]))) == ["2", "1"]


def test_numbers_that_may_count_from_0_or_1_need_a_word(tmp_path: Path) -> None:
    task = guessed(tmp_path, quiz(1, 2))
    assert "numbers of choices, from 1 to 2, which may count from 0 or 1" in refused(task)
    assert "task.first_choice=0" in refused(task)
    assert answers_of(guessed(tmp_path, quiz(1, 2), first_choice=0)) == ["blue", "green"]
    assert answers_of(guessed(tmp_path, quiz(1, 2), first_choice=1)) == ["red", "blue"]


def test_numbers_from_0_and_from_1_in_one_file_are_told(tmp_path: Path) -> None:
    said = refused(guessed(tmp_path, quiz(1, 0, 3)))
    assert "some from 0, some from 1: 0 of 3 choices in line 2 and 3 of 3 choices in line 3" in said


def test_a_number_that_may_be_a_text_or_a_number_needs_a_word(tmp_path: Path) -> None:
    """The choices of many questions of mathematics are numbers, and so is the answer's place among them."""
    rows = [*quiz(0, choices=[8, 9, 24]), *quiz(2, choices=[8, 2, 24])]
    said = refused(guessed(tmp_path, rows))
    assert "my.jsonl:2: answer 2 may be that choice or the number of '24'" in said
    assert "task.first_choice=0" in said
    assert answers_of(guessed(tmp_path, rows, first_choice=0)) == ["8", "24"]


@pytest.mark.parametrize("answer", [3, -1, 7, "7"])
def test_a_number_beyond_the_choices_is_told(tmp_path: Path, answer: object) -> None:
    said = refused(guessed(tmp_path, quiz(0, answer, choices=["red", "blue"])))
    assert f"my.jsonl:2: answer {answer!r} is no choice among ['red', 'blue']" in said
    assert "its number from 0" in said


def test_the_choices_are_shown_below_the_question_once(tmp_path: Path) -> None:
    task = guessed(tmp_path, quiz("red"))
    [question] = task.questions("train")
    assert question.text == "0?\nAnswer Choices:\n(a) red\n(b) blue\n(c) green"
    draft = {"question": question.text, "choices": question.choices, "answer": "red", "cot": "So."}
    shown = guessed(tmp_path, quiz("red"), demonstrations_path=write(tmp_path / "d.jsonl", [draft]))
    assert [question.text for question, _ in shown.demonstrations("cot")] == [question.text]


def test_choices_that_stand_in_the_question_are_not_shown_again(tmp_path: Path) -> None:
    rows = [{"question": "A) red B) Blue", "choices": ["red", "blue"], "answer": "A"}]
    task = guessed(tmp_path, rows)
    assert [question.text for question in task.questions("train")] == ["A) red B) Blue"]
    assert "show_choices = false" in task.guesses()[0]
    assert "Answer Choices:" in next(guessed(tmp_path, rows, show_choices=True).questions("train")).text


def test_a_draft_of_a_numbered_choice_is_its_text(tmp_path: Path) -> None:
    """What `understudy draft` wrote is a text, even where it could be a number as well."""
    draft = {"question": "q?", "choices": ["8", "2", "24"], "answer": "2", "cot": "So."}
    numbered = {**draft, "question": "r?", "answer": 0}
    path = write(tmp_path / "d.jsonl", [draft, numbered])
    task = guessed(tmp_path, quiz(0, choices=[8, 9, 24]), demonstrations_path=path)
    assert [question.answer for question, _ in task.demonstrations("cot")] == ["2", "8"]


def test_more_choices_than_letters_are_shown_without(tmp_path: Path) -> None:
    choices = [f"c{i}" for i in range(30)]
    [question] = guessed(tmp_path, quiz("c29", choices=choices)).questions("train")
    assert question.text.endswith("\n- c28\n- c29")


# Files as people have them


CELLS = [["question", "answer"], ["Who, me? Café", "1"], ["Then; who?", "2"]]


def table(separator: str) -> str:
    return "".join(
        separator.join(f'"{cell}"' if set(cell) & set(",;") else cell for cell in row) + "\n" for row in CELLS
    )


@pytest.mark.parametrize("ending", ["csv", "tsv", "CSV"])
@pytest.mark.parametrize(("separator", "name"), [(",", "commas"), (";", "semicolons"), ("\t", "tabs")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_stands_between_columns_and_a_byte_order_mark_are_seen(
    tmp_path: Path, ending: str, separator: str, name: str, encoding: str
) -> None:
    path = tmp_path / f"my.{ending}"
    path.write_bytes(table(separator).encode(encoding))
    task = Local(train=path)
    assert [(q.text, q.answer) for q in task.questions("train")] == [("Who, me? Café", "1"), ("Then; who?", "2")]
    said = " ".join(task.guesses())
    assert ("between its columns" in said) == (separator != {"csv": ",", "tsv": "\t"}[ending.lower()])
    assert (f"my.{ending} has {name} between its columns." in said) == ("between its columns" in said)
    assert (f"is read as {encoding.upper()}." in said) == (encoding in ("utf-16", "utf-32"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_json_lines_may_begin_with_a_byte_order_mark(tmp_path: Path, encoding: str, ending: str) -> None:
    content = '{"question": "Café?", "answer": 1}\n'.encode(encoding)
    (tmp_path / f"a.{ending}").write_bytes(gzip.compress(content) if "gz" in ending else content)
    assert [question.text for question in Local(train=tmp_path / f"a.{ending}").questions("train")] == ["Café?"]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_another_encoding_is_told_with_its_line_and_how_to_convert(tmp_path: Path, ending: str) -> None:
    rows = "question,answer\nPlain?,1\nCafé?,2\n" if ending == "csv" else '{"question": "x"}\n\n{"question": "Café?"}\n'
    (tmp_path / f"my.{ending}").write_bytes(rows.encode("cp1252"))
    said = refused(Local(train=tmp_path / f"my.{ending}"))
    assert said.startswith(f"{tmp_path}/my.{ending}:3: not UTF-8 text: the byte 0xe9.")
    assert "Café?" in said
    assert f"iconv -f WINDOWS-1252 -t UTF-8 my.{ending} > utf8-my.{ending}" in said


@pytest.mark.parametrize("content", ["question,answer\nq,1\n".encode("utf-16-le"), b"PK\x03\x04\x14\x00\x06\x00"])
def test_what_is_no_text_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "my.csv").write_bytes(content)
    assert "my.csv: is no text: it holds zero bytes, as a workbook" in refused(Local(train=tmp_path / "my.csv"))


def test_half_a_character_of_utf_16_is_told(tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_bytes("question,answer\nq,1".encode("utf-16")[:-1])
    assert "my.csv: is no UTF-16, as its first bytes say" in refused(Local(train=tmp_path / "my.csv"))


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("my.csv", "", "nothing"),
        ("my.jsonl", "", "nothing"),
        ("my.json", "", "nothing"),
        ("my.json", "[]", "no row"),
        ("my.jsonl", "\n\n", "no row"),
        ("my.csv", "question,answer\n", "no row"),
        ("my.csv", "\n", "no row"),
    ],
)
def test_a_file_without_rows_is_told(tmp_path: Path, name: str, content: str, found: str) -> None:
    (tmp_path / name).write_text(content)
    assert f"{name}: holds {found}, expected at least one" in refused(Local(train=tmp_path / name))


@pytest.mark.parametrize("name", ["my.json", "my.jsonl", "my.json.gz"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_array_is_read_by_its_rows(tmp_path: Path, name: str, indent: int | None) -> None:
    text = json.dumps([{"question": "a?", "answer": 1}, {"question": "b?", "answer": 2}], indent=indent)
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert ids(Local(train=tmp_path / name), "train") == ["train-1", "train-2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"question": "a?"},\n {"question": ]', "my.json:2: begins as a JSON array and is none"),
        ('[{"question": "a?"}, 7]', "my.json: row 2 is 7, expected an object like {...}"),
        ("[" * 100_000, "nested too deep"),
        ('{\n "train": [{"question": "a?"}]\n}', "jq -c '.train[]' my.json > my.jsonl"),
        ('{\n "question": "a?"\n}', "jq -c '.NAME[]' my.json > my.jsonl"),
        ('{"question": "a?"}\n{"question": \n', "my.json:2: not valid JSON"),
        ('{"question": \n', "my.json:1: not valid JSON"),
    ],
)
def test_json_that_is_no_array_of_rows_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "my.json").write_text(text)
    assert said in refused(Local(train=tmp_path / "my.json"))


def test_a_json_array_too_large_to_be_read_whole_says_how_to_make_json_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.tasks.tables.LARGEST_ARRAY", 20)
    (tmp_path / "my.json").write_text(json.dumps(ROWS[:2]))
    assert "jq -c '.[]' my.json > my.jsonl" in refused(Local(train=tmp_path / "my.json"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('question,answer\n"a?,1\nb?,2\n', "my.csv:2: the row that begins here cannot be read as CSV"),
        ('question,answer\na?,1\n"b" c?,2\n', "my.csv:3: the row that begins here cannot be read as CSV"),
        ("question,answer,answer\na?,1,2\n", "my.csv:1: two columns have the name 'answer'"),
        ("question;answer\na?;1;2\n", "my.csv:2: expected 2 columns as in the header, found 3"),
    ],
)
def test_a_csv_that_is_none_is_told_where(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "my.csv").write_text(text)
    assert said in refused(Local(train=tmp_path / "my.csv"))


def test_a_long_cell_is_read(tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text(f"question,answer\n{'a' * 200_000}?,1\n")
    assert len(next(Local(train=tmp_path / "my.csv").questions("train")).text) == 200_001


@pytest.mark.parametrize("name", ["my.csv", "my.json", "my.jsonl"])
def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert f"{name}: is a folder" in refused(Local(train=tmp_path / name))


@pytest.mark.parametrize("name", ["my.csv.gz", "my.jsonl.gz"])
def test_half_a_gzip_file_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(json.dumps(ROWS).encode())[:-200])
    assert f"{name}: is no whole gzip file" in refused(Local(train=tmp_path / name))


# Guesses


def guessed(tmp_path: Path, rows: list[Any], **settings: Any) -> Local:
    return Local(train=write(tmp_path / "my.jsonl", rows), **settings)


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (["yes", "No", True, "false"], "yes_no"),
        ([1, 2.5, "1,800", "$4", "25%", "3/4", "-7"], "number"),
        (["( 8.0 - 3.0 )", "12 * 4", "7"], "expression"),
        (["positive", "negative", "neutral", "Positive"] * 5, "label"),
        (["positive", "negative", "neutral"], "text"),
        (["spam"] * 20, "text"),
        (["3 pigs", "4"], "text"),
        (["2020-11-12", "2021-10-11"], "text"),
        (["1.2.3", "1"], "text"),
        (["a b", "c d"], "text"),
        ([None, "", None], "text"),
    ],
)
def test_the_kind_of_answers_is_guessed(tmp_path: Path, answers: list[object], kind: str) -> None:
    rows = [{"question": f"{i}?", "answer": answer} for i, answer in enumerate(answers)]
    task = guessed(tmp_path, rows)
    assert task.answer_kind.name == kind
    assert len(list(task.questions("train"))) == len(rows)


def test_rows_with_choices_are_multiple_choice(tmp_path: Path) -> None:
    rows = [{"question": "1 or 2?", "options": [1, 2], "answer": 1}]
    assert guessed(tmp_path, rows).answer_kind.name == "choice"


def test_guessed_labels_are_a_closed_set(tmp_path: Path) -> None:
    rows = [{"question": f"{i}?", "answer": ("ham", "spam")[i % 2]} for i in range(1000)]
    task = guessed(tmp_path, [*rows, {"question": "last?", "answer": "eggs"}])
    assert next(task.questions("train")).choices == ("ham", "spam")
    assert ":1001: answer 'eggs' is no label among ['ham', 'spam']" in refused(task)


def test_columns_are_guessed_by_their_names_and_shown(tmp_path: Path) -> None:
    task = guessed(tmp_path, [{"uid": 7, "Prompt": "2 + 2?", "target": 4, "topic": "sums"}])
    [question] = task.questions("train")
    assert (question.id, question.text, question.answer, question.extra) == ("7", "2 + 2?", "4", {"topic": "sums"})
    assert task.notes() == (
        "Guessed from the first rows of my.jsonl: "
        'columns.id = "uid", columns.question = "Prompt", columns.answer = "target", answer = "number".',
    )


def test_an_exact_name_beats_its_synonyms(tmp_path: Path) -> None:
    [question] = guessed(tmp_path, [{"question": "q?", "text": "t", "prompt": "p", "answer": "a"}]).questions("train")
    assert question.text == "q?"


def test_two_columns_that_may_be_the_question_are_an_error(tmp_path: Path) -> None:
    rows = [{"prompt": "q?", "text": "t", "answer": "a"}]
    path = tmp_path / "my.jsonl"
    assert refused(guessed(tmp_path, rows)) == (
        f"{path}: the question may stand in 'prompt', 'text'. Say which: task.columns.question=NAME"
    )
    assert [q.text for q in guessed(tmp_path, rows, columns={"question": "text"}).questions("train")] == ["t"]


def test_what_is_declared_is_not_guessed(tmp_path: Path) -> None:
    task = guessed(tmp_path, [{"text": "1", "prompt": "2", "answer": "3"}], columns={"question": "text"}, answer="text")
    assert (task.answer_kind.name, task.notes()) == ("text", ())


def test_an_unlabelled_training_file_is_guessed_by_the_next(tmp_path: Path) -> None:
    test = write(tmp_path / "test.jsonl", [{"input": "1 + 1?", "gold": "2"}])
    task = guessed(tmp_path, [{"input": "2 + 2?"}], test=test)
    assert (task.answer_kind.name, [q.answer for q in task.questions("test")]) == ("number", ["2"])


def test_a_guess_is_made_once_and_not_before_it_is_needed(tmp_path: Path) -> None:
    task = Local(train=tmp_path / "later.jsonl")
    write(tmp_path / "later.jsonl", [{"question": "q", "answer": "1"}])
    assert task.answer_kind.name == "number"
    write(tmp_path / "later.jsonl", [{"question": "q", "answer": "one"}])
    assert task.answer_kind.name == "number"


def test_what_is_resolved_can_be_declared(tmp_path: Path) -> None:
    task = guessed(tmp_path, [{"prompt": f"{i}?", "gold": ("ham", "spam")[i % 2]} for i in range(20)])
    again = Local(train=task.train, **task.resolved())
    assert (again.fingerprint(), again.notes()) == (task.fingerprint(), task.notes())
    assert again.columns == {"question": "prompt", "answer": "gold"}


def test_labels_belong_to_label_answers() -> None:
    with pytest.raises(ValueError, match="labels are given, and answer is 'number'"):
        Local(path="a", labels=("x", "y"), answer="number")


# Unlabelled rows, all the way


def test_unlabelled_rows_are_asked_counted_kept_and_learned(tmp_path: Path) -> None:
    rows = [
        {"id": f"q-{i}", "question": f"{i} + 1?", "answer": i + 1 if i % 2 else None, "topic": "sums"}
        for i in range(20)
    ]
    test = write(
        tmp_path / "test.jsonl", [{"id": f"t-{i}", "question": f"{i} plus 1?", "answer": i + 1} for i in range(3)]
    )
    teacher = Told.by(lambda ask, sample: f"One more. The answer is {right(ask, sample)}.")
    run = run_of(tmp_path / "run", Curious(), teacher, guessed(tmp_path, rows, test=test), train={"validation": 0})
    walk(run)
    funnel = json.loads(run.dir.funnel("rationale").read_text())
    assert {key: funnel[key] for key in ("asked", "graded", "right", "kept")} == {
        "asked": 20,
        "graded": 10,
        "right": 10,
        "kept": 20,
    }
    examples = [json.loads(line) for line in run.dir.examples("student").read_text().splitlines()]
    assert (len(examples), examples[0]["prompt"]) == (20, "0 + 1? about sums")
    assert "10 training questions have no gold answer" in run.dir.page.read_text()


class Curious(LabelDistillation):
    """Shows the student a column that is nothing to us."""

    def examples(self, task: Any, role: Any, question: Question, found: Any) -> Iterator[Example]:
        for rationale in found["rationale"]:
            yield Example(question.id, f"{question.text} about {question.extra['topic']}", rationale.answer, "label")


# Hostile files


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("my.jsonl", '{"question": "a", "answer": ' + "9" * 5000 + "}\n"),
        ("my.json", '[{"question": "a", "answer": ' + "9" * 5000 + "}]"),
    ],
)
def test_a_number_of_thousands_of_digits_is_told(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    said = refused(Local(train=tmp_path / name))
    assert f"{name}:1: " in said
    assert "a number of thousands of digits" in said


def test_choices_of_thousands_of_digits_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f'question,answer,choices\nq,A,"[1, {"9" * 5000}]"\n')
    assert "is no JSON list (a number of thousands of digits)" in refused(Local(train=tmp_path / "a.csv"))


def test_half_a_surrogate_pair_stays_in_its_split(tmp_path: Path) -> None:
    task = Local(path=write(tmp_path / "my.jsonl", [{"question": "\ud800", "answer": "1"}]))
    assert len(ids(task, "train") + ids(task, "test")) == 1


@pytest.mark.parametrize("role", ["answer", "choices", "id", "question"])
def test_a_declared_column_that_is_not_there_is_told(tmp_path: Path, role: Any) -> None:
    said = refused(guessed(tmp_path, ROWS[:3], columns={role: "nope"}))
    assert f"no 'nope' in the first rows, as task.columns.{role} says; the columns are 'id', 'question'" in said


def test_a_declared_column_may_be_in_one_file_only(tmp_path: Path) -> None:
    test = write(tmp_path / "test.jsonl", [{"question": "1?", "gold": 1}])
    task = guessed(tmp_path, [{"question": "2?"}], test=test, columns={"answer": "gold"})
    assert [question.answer for question in task.questions("test")] == ["1"]


def test_a_column_without_a_name_is_neither_choices_nor_answers(tmp_path: Path) -> None:
    """As pandas writes its index."""
    (tmp_path / "my.csv").write_text(",question,answer\n0,a?,7\n1,b?,8\n")
    assert Local(train=tmp_path / "my.csv").answer_kind.name == "number"
    (tmp_path / "my.csv").write_text(",question\n0,a?\n1,b?\n")
    assert [question.answer for question in Local(train=tmp_path / "my.csv").questions("train")] == [None, None]
