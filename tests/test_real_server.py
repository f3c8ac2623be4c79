"""The teacher `openai` against a server that none of us wrote: `transformers serve`, on the loopback and offline."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from doubles import Sums
from students import chat_folder
from understudy import jsonl
from understudy.cli import cli
from understudy.procedures import Ask, AsyncCompleter
from understudy.records import Completion, Sampling
from understudy.teachers.local import LocalTeacher
from understudy.teachers.openai import OpenAITeacher

MISSING = [name for name in ("fastapi", "uvicorn", "openai") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(
        bool(MISSING) and os.environ.get("CI") != "true",
        reason=f"transformers serve needs {', '.join(MISSING)}: pip install 'understudy[dev]'",
    ),
]

SERVE = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from transformers.cli.transformers import main
main()
"""
"""The command `transformers`, which ends when its standard input does: with whoever started it, however that ended."""
BEGIN_S = 60.0
ASK = Ask("teacher", "Ann has 2 apples and 11 pears. How many?", key="q", seed=1, sampling=Sampling(max_tokens=8))


@contextmanager
def serving(folder: Path, log: Path) -> Iterator[str]:
    """A server of the model in `folder`, at a port of its own choice; nothing of it is left afterwards."""
    command = [
        sys.executable,
        "-c",
        SERVE,
        "serve",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--device",
        "cpu",
    ]
    env = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (
        open(log, "w") as out,
        subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
        ) as server,
    ):
        try:
            yield address(server, log)
            family = psutil.Process(server.pid).children(recursive=True)
            assert server.stdin is not None
            server.stdin.close()
            assert server.wait(timeout=10) == 0
            assert not [process for process in family if process.is_running()]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


def address(server: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + BEGIN_S
    while time.monotonic() < end and server.poll() is None:
        if found := re.search(r"running on (http://127\.0\.0\.1:\d+)", log.read_text()):
            return f"{found[1]}/v1"
        time.sleep(0.05)
    raise AssertionError(f"the server did not begin (it ended with {server.poll()}):\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = chat_folder(tmp_path_factory.mktemp("served") / "chatter")
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(
        json.dumps({**settings, "do_sample": True})
    )  # as chat models have it
    return folder


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    with serving(model, model.with_suffix(".log")) as found:
        yield found


def complete(url: str, model: Path, *asks: Ask, dialect: str = "chat") -> list[list[Completion]]:
    async def all_of_them(live: AsyncCompleter) -> list[list[Completion]]:
        return await asyncio.gather(*(live.complete_one(ask) for ask in asks))

    settings = {"model": str(model), "base_url": url, "dialect": dialect, "retries": 1, "backoff_s": 0.1}
    with OpenAITeacher.model_validate(settings).open(Sums()) as live:
        assert isinstance(live, AsyncCompleter)
        return asyncio.run(all_of_them(live))


def test_it_answers_as_the_same_model_does_in_this_process(url: str, model: Path) -> None:
    asks = [ASK, replace(ASK, prompt="x"), replace(ASK, sampling=Sampling(max_tokens=3))]
    with LocalTeacher(model=str(model), device="cpu").open(Sums()) as live:
        expected = live.complete(asks)
    found = complete(url, model, *asks)
    kept = [[(c.text, c.finish, c.prompt_tokens, c.completion_tokens) for c in of_ask] for of_ask in found]
    assert kept == [[(c.text, c.finish, c.prompt_tokens, c.completion_tokens) for c in of_ask] for of_ask in expected]
    assert found[0][0].model.startswith(str(model))


def test_it_gives_as_many_samples_as_asked_for(url: str, model: Path) -> None:
    [samples] = complete(url, model, replace(ASK, n=3, sampling=Sampling(1.5, 8, 0.9)))  # a server that knows no `n`
    assert len(samples) == 3
    assert len({sample.text for sample in samples}) > 1
    assert {sample.finish for sample in samples} <= {"stop", "length"}


def test_the_dialect_completions_works_too(url: str, model: Path) -> None:
    [[completion]] = complete(url, model, ASK, dialect="completions")
    assert completion.finish in ("stop", "length")
    assert (completion.completion_tokens or 0) > 0


def test_what_the_server_refuses_is_a_completion_with_its_words(url: str) -> None:
    [[completion]] = complete(url, Path("another"), ASK)
    assert (completion.text, completion.finish) == ("", "failed")
    assert "requested 'another'" in completion.error


def test_generate_keeps_every_completion(url: str, model: Path, tmp_path: Path) -> None:
    config = tmp_path / "served.toml"
    config.write_text(f"""
task = {{ name = "wordsums", train = 6, test = 2 }}
method = "single-task"
teacher = {{ name = "openai", model = "{model}", base_url = "{url}" }}
[generate]
samples = 2
max_tokens = 6
demonstrations = 0
concurrency = 4
""")
    done = CliRunner().invoke(cli, ["generate", str(config), "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    rows = list(jsonl.read(tmp_path / "run" / "completions" / "rationale.jsonl"))
    assert len(rows) == 12
    assert all(row.get("finish", "stop") in ("stop", "length") for row in rows)
    assert all(row["completion_tokens"] > 0 for row in rows)
