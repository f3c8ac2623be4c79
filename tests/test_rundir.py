from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from understudy import jsonl
from understudy.errors import RunError, RunLockedError
from understudy.rundir import Checkpoint, RunDir, read_json


def test_a_step_is_done_after_its_mark_and_not_before(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    jsonl.write(run.completions("a"), [{"x": 1}])
    assert not run.is_done("generate-a", "inputs")
    run.finish("generate-a", "inputs", [run.completions("a")])
    assert run.is_done("generate-a", "inputs")


def test_a_step_with_other_inputs_is_not_done(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    jsonl.write(run.metrics, [])
    run.finish("evaluate", "inputs", [run.metrics])
    assert not run.is_done("evaluate", "others")


def test_a_step_whose_file_is_gone_is_not_done(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    jsonl.write(run.metrics, [])
    run.finish("evaluate", "inputs", [run.metrics])
    run.metrics.unlink()
    assert not run.is_done("evaluate", "inputs")


def test_beginning_a_step_takes_its_mark_away(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    jsonl.write(run.metrics, [])
    run.finish("evaluate", "inputs", [run.metrics])
    run.begin("evaluate")
    assert not run.is_done("evaluate", "inputs")


def test_a_folder_counts_with_all_its_files(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    jsonl.write(run.student("s") / "deep" / "a.json", [])
    run.finish("train-s", "inputs", [run.student("s")])
    assert list(run.left_by("train-s")) == ["students/s/deep/a.json"]


def test_a_broken_mark_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(RunError, match="Delete the file"):
        read_json(tmp_path / "a.json")


def test_a_second_process_is_refused_with_the_number_of_the_first(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    code = (
        "from understudy.rundir import RunDir; from pathlib import Path\n"
        f"with RunDir(Path({str(tmp_path)!r})).locked(): pass"
    )
    with run.locked():
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "is working in this run" in other.stderr
    assert RunLockedError.__name__ in other.stderr
    with run.locked():
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import time; from understudy.rundir import RunDir; from pathlib import Path\n"
        f"with RunDir(Path({str(tmp_path)!r})).locked():\n    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.kill()
    with RunDir(tmp_path).locked():
        pass


def test_a_checkpoint_goes_on_from_its_last_commit(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Checkpoint([path], "inputs") as saved:
        saved.write(0, {"n": 1})
        saved.commit({"done": 1})
        saved.write(0, {"n": 2})  # lost: never committed
    with Checkpoint([path], "inputs") as saved:
        assert saved.state == {"done": 1}
        saved.write(0, {"n": 3})
        saved.finish()
    assert list(jsonl.read(path)) == [{"n": 1}, {"n": 3}]
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_checkpoint_of_other_inputs_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Checkpoint([path], "inputs") as saved:
        saved.write(0, {"n": 1})
        saved.commit({"done": 1})
    with Checkpoint([path], "others") as saved:
        assert saved.state == {}
        saved.finish()
    assert list(jsonl.read(path)) == []


def test_files_of_an_unfinished_checkpoint_are_not_in_place(tmp_path: Path) -> None:
    with Checkpoint([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], "inputs") as saved:
        saved.write(1, {"n": 1})
        saved.commit({})
    assert not (tmp_path / "b.jsonl").exists()
