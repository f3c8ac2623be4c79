"""`kill -9` in every stage, then the same command: the files of an undisturbed run, but for clocks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

CONFIG = """
task = { name = "wordsums", train = 1500, test = 600 }
method = "pad"
student = "scratch:gpt2-tiny"

[teacher]
name = "scripted"
endless_loop = 0.01

[sandbox]
timeout_s = 0.5

[train]
steps = 24
batch_size = 8
eval_every = 4
learning_rate = 1e-3

[evaluate]
batch_size = 20
max_tokens = 12
"""
CLOCKS = {"manifest.json", "report.html", "README.md", "report.json", ".lock", ".holder"}
STAGES = {
    "generate": "completions/program.jsonl.part",
    "filter": "rationales/program.jsonl.state",
    "train": "students/student.checkpoints/*/*",
    "evaluate": "predictions.jsonl.state",
}
"""A file that is there while a stage is at work and has something to lose."""


def start(config: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "understudy", "run", str(config), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with open(out.with_suffix(".log"), "w") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def finish(config: Path, out: Path) -> dict[str, bytes]:
    """Let the run end, and give its files."""
    assert start(config, out).wait() == 0, out.with_suffix(".log").read_text()
    return files(out)


def kill_when(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> bool:
    """Kill the process as soon as `ready`; false if it ended before."""
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        if ready():
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.005)
    return False


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in CLOCKS
    }


def there(folder: Path, pattern: str) -> bool:
    return any(path.stat().st_size for path in folder.glob(pattern) if path.is_file())


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "run.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def undisturbed(config: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return finish(config, tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.mark.thorough
def test_a_run_killed_in_every_stage_ends_with_the_same_files(
    config: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    for stage, pattern in STAGES.items():
        killed = kill_when(start(config, out), lambda pattern=pattern: there(out, pattern))  # type: ignore[misc]
        assert killed, f"{stage} was over before it could be killed"
    found = finish(config, out)
    assert sorted(found) == sorted(undisturbed)
    assert [name for name in found if found[name] != undisturbed[name]] == []
