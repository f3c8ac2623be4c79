"""The recorded teacher: the right text for the right question, and a plain word when there is none."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from doubles import Sums
from understudy.config import Part
from understudy.errors import DataError
from understudy.procedures import Ask, Completer
from understudy.records import Completion
from understudy.teachers import TEACHERS
from understudy.teachers.recorded import RecordedTeacher

DATA = Path(__file__).parents[2] / "shared" / "data"
NESTED = [
    {
        "id": "q1",
        "model": "outer",
        "outputs": [{"text": "a", "style": "x"}, {"text": "b", "style": "y", "model": "inner"}],
    },
    {"id": "q2", "model": "outer", "outputs": [{"text": "c", "style": "x"}]},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@contextmanager
def opened(**settings: Any) -> Iterator[Completer]:
    with RecordedTeacher(**settings).open(Sums()) as live:
        assert isinstance(live, Completer)
        yield live


def texts(live: Completer, key: str, n: int = 1, **ask: Any) -> list[str]:
    [completions] = live.complete([Ask("teacher", "any prompt", n=n, key=key, **ask)])
    return [completion.text for completion in completions]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_an_ask_is_answered_by_its_key(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [{"id": "q1", "text": "one"}, {"id": "q2", "text": "two\nlines \ud800"}])
    with opened(path=path) as live:
        assert texts(live, "q1") == ["one"]
        assert texts(live, "q2") == ["two\nlines \ud800"]


def test_sample_i_is_the_i_th_text_of_the_question(tmp_path: Path) -> None:
    rows = [{"id": "q", "text": "0"}, {"id": "other", "text": "x"}, {"id": "q", "text": "1"}, {"id": "q", "text": "2"}]
    with opened(path=write(tmp_path / "rows.jsonl", rows)) as live:
        assert texts(live, "q", 3) == ["0", "1", "2"]
        assert texts(live, "q", 2, first_sample=1) == ["1", "2"]


def test_too_few_recordings_are_failed_completions_and_no_error(tmp_path: Path) -> None:
    with opened(path=write(tmp_path / "rows.jsonl", [{"id": "q", "text": "0"}])) as live:
        [found, missing], [unknown] = live.complete(
            [Ask("teacher", "", n=2, key="q"), Ask("teacher", "", key="nobody")]
        )
    assert found.finish == "stop"
    assert missing == Completion("", "failed", error="no recording 2 for the question 'q': rows.jsonl has 1 of them")
    assert (unknown.finish, unknown.error) == (
        "failed",
        "no recording 1 for the question 'nobody': rows.jsonl has none",
    )


def test_a_dotted_path_takes_every_element_of_a_list(tmp_path: Path) -> None:
    with opened(path=write(tmp_path / "rows.jsonl", NESTED), text="outputs.text") as live:
        assert texts(live, "q1", 2) == ["a", "b"]


def test_a_column_may_hold_a_list_of_texts(tmp_path: Path) -> None:
    with opened(path=write(tmp_path / "rows.jsonl", [{"id": "q", "samples": ["a", "b"]}]), text="samples") as live:
        assert texts(live, "q", 2) == ["a", "b"]


def test_where_keeps_the_elements_whose_column_equals(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", NESTED)
    with opened(path=path, text="outputs.text", where={"style": "y"}) as live:
        assert texts(live, "q1") == ["b"]
        assert live.complete([Ask("teacher", "", key="q2")])[0][0].finish == "failed"
    with opened(path=path, text="outputs.text", where={"id": "q2", "style": "x"}) as live:
        assert texts(live, "q2") == ["c"]


def test_the_model_is_the_one_named_nearest_to_the_text(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", NESTED)
    with opened(path=path, text="outputs.text") as live:
        assert [c.model for c in live.complete([Ask("teacher", "", n=2, key="q1")])[0]] == ["outer", "inner"]
    with opened(path=path, text="outputs.text", model_column="style") as live:
        assert live.complete([Ask("teacher", "", key="q1")])[0][0].model == "x"
    with opened(path=path, text="outputs.text", model_column="", model="mine") as live:
        assert live.complete([Ask("teacher", "", key="q1")])[0][0].model == "mine"


def test_several_files_count_on(tmp_path: Path) -> None:
    first = write(tmp_path / "1.jsonl", [{"id": "q", "text": "0"}])
    second = write(tmp_path / "2.jsonl.gz", [{"id": "q", "text": "1"}])
    with opened(paths=(first, second)) as live:
        assert texts(live, "q", 2) == ["0", "1"]


def test_a_number_as_id_is_found_by_its_text(tmp_path: Path) -> None:
    with opened(path=write(tmp_path / "rows.jsonl", [{"nr": 7, "text": "seven"}]), id="nr") as live:
        assert texts(live, "7") == ["seven"]


@pytest.mark.parametrize(
    ("how", "finish", "error"),
    [
        ("stop", "stop", ""),
        ("length", "length", ""),
        ("max_tokens", "length", ""),
        ("content_filter", "refused", "recorded as content_filter"),
        ("failed", "failed", "recorded as failed"),
    ],
)
def test_how_a_text_ended_is_read(tmp_path: Path, how: str, finish: str, error: str) -> None:
    with opened(path=write(tmp_path / "rows.jsonl", [{"id": "q", "text": "t", "how": how}]), finish="how") as live:
        [[completion]] = live.complete([Ask("teacher", "", key="q")])
    assert (completion.finish, completion.error) == (finish, error)


def test_prefix_and_stop_cut_the_text_as_an_endpoint_would(tmp_path: Path) -> None:
    with opened(path=write(tmp_path / "rows.jsonl", [{"id": "q", "text": "def f(): 1\n\nQ: next\nA:"}])) as live:
        assert texts(live, "q", prefix="def f():") == [" 1\n\nQ: next\nA:"]
        assert texts(live, "q", stop=("\nA:", "\n\nQ:")) == ["def f(): 1"]
        assert texts(live, "q", stop=("nowhere",)) == ["def f(): 1\n\nQ: next\nA:"]


PROBLEMS: list[tuple[list[dict[str, Any]], dict[str, Any], str]] = [
    ([{"id": "q", "text": "t"}, {"id": "q", "txt": "t"}], {}, r"rows.jsonl:2: no 'text'; the columns are: id, txt"),
    ([{"text": "t"}], {}, r"rows.jsonl:1: no 'id'; the columns are: text"),
    (NESTED, {"text": "outputs.txt"}, r"rows.jsonl:1: no 'txt'; the columns are: text, style"),
    (NESTED, {"text": "outputs.text.more"}, r"rows.jsonl:1: no 'more'; found 'a'"),
    (NESTED, {"text": "outputs.text", "where": {"styl": "x"}}, r"rows.jsonl:1: no 'styl'; the columns are: id, model"),
    (
        NESTED,
        {"text": "outputs.text", "where": {"style": "z"}},
        r"no completion where style = 'z': style is one of x, y",
    ),
    (NESTED, {"text": "outputs.text", "finish": "style"}, r"rows.jsonl:1: style is 'x', expected one of stop, length"),
    (NESTED, {"text": "outputs"}, r"rows.jsonl:1: outputs is \{.*, expected a text"),
    ([{"id": "q", "text": None}], {}, r"rows.jsonl:1: text is None, expected a text"),
    ([], {}, r"no completion in 'text'"),
    ([{"id": "q", "text": []}], {}, r"no completion in 'text'"),
]


@pytest.mark.parametrize(("rows", "settings", "message"), PROBLEMS)
def test_a_file_that_does_not_fit_is_named_with_its_line(
    tmp_path: Path, rows: list[dict[str, Any]], settings: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataError, match=message), opened(path=path, **settings):
        pass


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    teacher = RecordedTeacher(path=tmp_path / "none.jsonl")
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"), teacher.open(Sums()):
        pass
    with pytest.raises(DataError, match=r"none\.jsonl: cannot be read"):
        teacher.identity()


def test_the_identity_follows_the_content_and_the_reading_and_not_the_place(tmp_path: Path) -> None:
    rows = [{"id": "q", "text": "t", "other": "u"}]
    path = write(tmp_path / "a.jsonl", rows)
    identity = RecordedTeacher(path=path).identity()
    assert RecordedTeacher(path=write(tmp_path / "b.jsonl", rows)).identity() == identity
    assert RecordedTeacher(path=path, text="other").identity() != identity
    write(path, [{"id": "q", "text": "t", "other": "changed"}])
    assert RecordedTeacher(path=path).identity() != identity


def test_either_path_or_paths_is_wanted(tmp_path: Path) -> None:
    for table in ({}, {"path": "a", "paths": ["b"]}):
        teacher, problems = TEACHERS.make(Part(name="recorded", **table))
        assert teacher is None
        assert "expected either path" in problems[0]


def test_relative_paths_start_at_the_configuration(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", [{"id": "q", "text": "t"}])
    teacher, problems = TEACHERS.make(Part(name="recorded", path="rows.jsonl"), [tmp_path])
    assert problems == []
    assert isinstance(teacher, RecordedTeacher)
    assert teacher.files == (tmp_path / "rows.jsonl",)


def test_a_published_recording_can_be_read() -> None:
    path = DATA / "svamp_programs" / "train.jsonl.gz"
    if not path.exists() and os.environ.get("CI") != "true":
        pytest.skip(f"{path} is not here")
    with opened(path=path, text="teacher_outputs.text", where={"style": "python_sdp"}) as live:
        [[first], [second]] = live.complete([Ask("teacher", "", key="svamp_0"), Ask("teacher", "", key="svamp_1")])
    assert (first.model, second.model) == ("gpt-3.5-turbo", "gpt-3.5-turbo")
    assert "num_species = 29" in first.text
    assert "num_books_total = 344" in second.text
