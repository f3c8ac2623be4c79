"""`understudy check`: a file run, and the level of this system told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from understudy.errors import DataError
from understudy.sandbox import check as module
from understudy.sandbox.check import check_file, self_test


def test_a_file_is_run_and_its_steps_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "answer.py"
    path.write_text("print('hello')\npens = 12\nans = pens + 5\n")
    found = check_file(path)
    assert found.ok
    assert found.lines[0] == "hello"
    assert f"{path}: ok: 17" in found.lines[1]
    if sys.platform.startswith("linux"):
        assert [line.split() for line in found.lines[2:]] == [["2", "pens", "=", "12"], ["3", "ans", "=", "17"]]


def test_a_program_that_fails_is_not_ok_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "answer.py"
    path.write_text("ans = 1 / 0")
    found = check_file(path)
    assert not found.ok
    assert "error: ZeroDivisionError" in found.lines[0]


def test_a_missing_file_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.py: cannot be read"):
        check_file(tmp_path / "nothing.py")


def test_the_unsafe_engine_is_named_in_what_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "answer.py"
    path.write_text("ans = 1")
    assert any("UNSAFE" in line for line in check_file(path, engine="unsafe").lines)
    assert not any("UNSAFE" in line for line in check_file(path).lines)


def test_the_self_test_names_the_engine_and_its_layers() -> None:
    lines, safe = self_test()
    assert safe
    assert any(line.startswith("engine ") for line in lines)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the layers are those of the jail, on Linux")
def test_every_layer_of_the_safety_page_is_named_and_the_limits_are_tried() -> None:
    named = {line[:15].strip(): line[15:].strip() for line in self_test()[0]}
    layers = ["process", "system calls", "files", "namespaces", "user", "limits", "shared worker"]
    assert set(layers) <= set(named)
    assert named["limits"] == "held, each tried: timeout, memory, output"
    assert named["user"].endswith("without capabilities")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limits are those of the jail, on Linux")
def test_a_limit_that_does_not_hold_is_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BEYOND", {"memory": "ans = 1"})
    lines, safe = self_test()
    assert not safe
    assert any("memory (WRONG: ok)" in line for line in lines)


def test_the_self_test_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "why_no_jail", lambda: "the jail needs Linux, this is Plan 9")
    lines, safe = self_test()
    assert safe
    assert "Plan 9" in lines[0]
    assert "monty" in lines[1]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    lines, safe = self_test()
    assert not safe
    assert "pip install pydantic-monty" in lines[1]
