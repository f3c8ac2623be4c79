from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import jsonl
from understudy.errors import DataError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(rows=st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=5))
def test_what_is_written_is_read(rows: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    assert jsonl.write(path, rows) == len(rows)
    assert list(jsonl.read(path)) == rows


def test_lone_surrogates_of_a_model_do_not_stop_the_writing(tmp_path: Path) -> None:
    jsonl.write(tmp_path / "a.jsonl", [{"text": "half \ud83d a smile"}])
    assert next(jsonl.read(tmp_path / "a.jsonl")) == {"text": "half \ud83d a smile"}


def test_readable_text_stays_readable(tmp_path: Path) -> None:
    jsonl.write(tmp_path / "a.jsonl", [{"text": "5 × 3 = fünfzehn"}])
    assert "5 × 3 = fünfzehn" in (tmp_path / "a.jsonl").read_text(encoding="utf-8")


def test_a_broken_line_is_named_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "my.jsonl"
    path.write_text('{"a": 1}\n' * 40 + '{"a": \n')
    with pytest.raises(DataError, match=r"my\.jsonl:41: not valid JSON .*Mend or delete the line"):
        list(jsonl.read(path))


@pytest.mark.parametrize("line", ["[1]", "3", '"text"', "null"])
def test_a_line_that_is_no_object_is_an_error(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=r":1: expected an object"):
        list(jsonl.read(path))


def test_blank_lines_are_skipped_but_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('\n{"a": 1}\n\n{"a": 2}\n')
    assert [number for number, _ in jsonl.read_numbered(path)] == [2, 4]


def test_gz_is_read_as_it_is(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write('{"a": 1}\n')
    assert list(jsonl.read(tmp_path / "a.jsonl.gz")) == [{"a": 1}]


@pytest.mark.parametrize("content", [b"not gzip at all", gzip.compress(b'{"a": 1}\n', mtime=0)[:-9]])
def test_a_broken_gz_is_an_error_with_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.jsonl\.gz"):
        list(jsonl.read(tmp_path / "a.jsonl.gz"))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        list(jsonl.read(tmp_path / "gone.jsonl"))
    with pytest.raises(DataError, match="is a folder"):
        list(jsonl.read(tmp_path))


def test_text_that_is_not_utf8_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": "\xff\xfe"}\n')
    with pytest.raises(DataError, match="UTF-8"):
        list(jsonl.read(tmp_path / "a.jsonl"))


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    jsonl.write(path, [{"a": 1}])
    with pytest.raises(RuntimeError), jsonl.AtomicWriter(path) as out:
        out.write({"a": 2})
        raise RuntimeError
    assert list(jsonl.read(path)) == [{"a": 1}]
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("cut", ["", '{"a"', '{"a": 2}'])
def test_appending_drops_a_half_written_line(tmp_path: Path, cut: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n' + cut)
    with jsonl.Appender(path) as out:
        out.write({"a": 3})
    assert list(jsonl.read(path)) == [{"a": 1}, {"a": 3}]


def test_a_file_that_is_one_half_written_line_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("x" * 200_000)
    jsonl.drop_partial_line(path)
    assert path.read_text() == ""
