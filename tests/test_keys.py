"""A planted key: an endpoint says it again wherever it can, and nothing that is written or shown has it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

import batches
import endpoint
from batches import Batches
from endpoint import Reply
from understudy.config import Part
from understudy.errors import PrerequisiteError, TeacherError
from understudy.teachers import TEACHERS
from understudy.teachers.keys import Key, from_file

KEY = 'sk-planted"0123/456+789\\x'
LOUD = "import logging; logging.basicConfig(level=logging.DEBUG); from understudy.cli import main; main()"
"""The command, with every log of every library on standard error."""


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


def forms() -> list[str]:
    """The key as it may be said, and the middle of it, in case its ends are cut off."""
    quoted = [quote(whole, safe=safe) for whole in (KEY, KEY[:15]) for safe in ("/", "")]
    plain = [text for whole in (KEY, KEY[:15]) for text in (whole, json.dumps(whole)[1:-1], escaped(whole))]
    coded = [base64.b64encode(b"x" * n + KEY.encode()).decode()[4:-4] for n in range(3)]
    return [*plain, *quoted, *coded]


def loud() -> str:
    """All forms in one text."""
    return " ".join(
        [KEY, quote(KEY, safe=""), *(base64.b64encode(f"{'x' * n} {KEY} y".encode()).decode() for n in range(3))]
    )


class Echo:
    """Says the key in completions, model names, errors, headers and things that are no JSON, by turns."""

    def __init__(self) -> None:
        self.count = 0
        self.delay_s = 0.0

    def __call__(self, body: object) -> Reply:
        self.count += 1
        time.sleep(self.delay_s)
        said = {"message": {"content": f"{loud()} So the answer is 7."}, "finish_reason": KEY}
        reply = json.dumps({"model": KEY, "id": loud(), KEY: KEY, "choices": [said], "usage": {}})
        headers = {"X-Key": "Bearer sk", "Set-Cookie": quote(KEY)}
        match self.count % 6:
            case 1:
                return Reply(body=reply.encode(), headers=headers)
            case 2:
                return Reply(body=reply.replace(json.dumps(KEY)[1:-1], escaped(KEY)).encode())
            case 3:
                return Reply(400, {"error": {"message": f"Incorrect key {loud()}", "code": KEY}})
            case 4:
                return Reply(500, f"<p>{loud()}</p>".encode(), {"Content-Type": "text/html"})
            case 5:
                return Reply(200, KEY.encode(), {"Content-Type": quote(KEY)})
        return Reply(400, {"error": loud()}, headers)


def leaks(folder: Path, key_file: Path | None) -> Iterator[str]:
    """Every place below `folder` where the key stands."""
    for path in folder.rglob("*"):
        if not path.is_file() or path == key_file:
            continue
        content = path.read_bytes()
        if path.suffix == ".sqlite":
            with sqlite3.connect(path) as db:
                for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                    for row in db.execute(f"SELECT * FROM {table}"):
                        for value in row:
                            if isinstance(value, bytes):
                                with contextlib.suppress(zlib.error):  # what is short is not compressed
                                    content += zlib.decompress(value)
                            content += value.encode() if isinstance(value, str) else b""
        yield from (f"{form} in {path}" for form in forms() if form.encode() in content)


def config(url: str, key_file: Path | None, name: str) -> str:
    key = f"api_key_file = {json.dumps(str(key_file))}" if key_file else 'api_key_env = "PLANTED"'
    quick = "poll_s = 0.1\ngather_s = 0.1" if name == "openai-batch" else ""
    return f"""
task = {{ name = "wordsums", train = 12, test = 6 }}
method = "few-shot-cot"
store = "store.sqlite"

[teacher]
name = "{name}"
model = "m"
base_url = "{url}"
{key}
retries = 1
backoff_s = 0.01
{quick}
"""


def understudy(folder: Path, key_file: Path | None, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} | ({} if key_file else {"PLANTED": KEY})
    command = [sys.executable, "-c", LOUD, *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_key_is_nowhere_in_what_is_written_or_shown(tmp_path: Path, where: str) -> None:
    key_file = tmp_path / "key" if where == "file" else None
    if key_file:
        key_file.write_text(f"{KEY}\n")
        key_file.chmod(0o600)
    echo = Echo()
    with endpoint.serving(echo) as server:
        (tmp_path / "c.toml").write_text(config(server.url, key_file, "openai"))
        learns = ["method=label-distillation", "--out", "runs/learns"]
        commands = (
            ["show-prompt", "c.toml"],
            ["plan", "c.toml"],
            ["estimate", "c.toml"],
            ["run", "c.toml"],
            ["report", "runs/c"],
            ["generate", "c.toml", *learns],
            ["filter", "c.toml", *learns],
            ["draft", "c.toml", "--count", "2", "--format", "cot"],
            ["store", "list", "--store", "store.sqlite"],
            ["store", "export", "answers.jsonl", "--store", "store.sqlite"],
        )
        for number, words in enumerate(commands):
            out, _ = understudy(tmp_path, key_file, *words).communicate(timeout=100)
            (tmp_path / f"{number}.log").write_text(out)
        echo.count, echo.delay_s = 0, 0.3
        one_by_one = ["evaluate.batch_size=1", "teacher.system=Hello", "--out", "runs/killed"]
        killed = understudy(tmp_path, key_file, "run", "c.toml", *one_by_one)
        while echo.count < 4:
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        (tmp_path / "killed.log").write_text(killed.communicate()[0])
    with endpoint.serving([Reply(401, {"error": {"message": loud()}})]) as server:
        (tmp_path / "d.toml").write_text(config(server.url, key_file, "openai"))
        out, _ = understudy(tmp_path, key_file, "run", "d.toml").communicate(timeout=100)
        (tmp_path / "d.log").write_text(out)
    assert killed.returncode == -signal.SIGKILL
    assert "the key is refused" in out
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert "***" in (tmp_path / "answers.jsonl").read_text()
    assert "***" in next((tmp_path / "runs/learns/completions").glob("*.jsonl")).read_text()
    assert (tmp_path / "runs/c/report.html").exists()
    assert list(leaks(tmp_path, key_file)) == []


def test_a_batch_has_no_key_either(tmp_path: Path) -> None:
    def line(id: str, body: object) -> dict[str, object]:
        kind = int(id[:2], 16) % 3
        return [batches.answer(id, loud()), batches.refusal(id, 400, loud()), batches.refusal(id, 500, loud())][kind]

    with batches.serving(Batches(line, ends=["completed", "completed", "failed"])) as server:
        (tmp_path / "c.toml").write_text(config(server.url, None, "openai-batch"))
        for words in (["run", "c.toml"], ["run", "c.toml", "task.test=20"], ["store", "export", "a.jsonl"]):
            store = ["--store", "store.sqlite"] if words[0] == "store" else []
            out, _ = understudy(tmp_path, None, *words, *store).communicate(timeout=100)
            (tmp_path / f"{words[-1]}.log").write_text(out)
    assert "***" in (tmp_path / "a.jsonl").read_text()
    assert list(leaks(tmp_path, None)) == []


def test_what_an_endpoint_says_is_masked_in_every_form() -> None:
    said = {"a": [loud(), {KEY: 1}], "b": json.loads(f'"{escaped(KEY)[:-6]}x"')}
    masked = json.dumps(Key(KEY).taken_out(said))
    assert [form for form in forms() if form in masked] == []
    assert Key("EMPTY").taken_out("an EMPTY box") == "an EMPTY box"
    assert KEY not in repr(Key(KEY))


@pytest.mark.parametrize("key", ["api_key_env", "base_url"])
def test_a_key_in_the_wrong_place_is_not_shown(key: str) -> None:
    value = {"api_key_env": "sk-planted-key", "base_url": "https://me:sk-planted-key@host/v1"}[key]
    made, [problem] = TEACHERS.make(Part(name="openai", model="m", **{key: value}))
    assert made is None
    assert problem.startswith(f"teacher.{key}: expected ")
    assert "planted" not in problem


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has the modes")
def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o640)
    with pytest.raises(PrerequisiteError, match=f"chmod 600 '{re.escape(str(path))}'"):
        from_file(path)
    path.chmod(0o600)
    assert from_file(path) == KEY
    with pytest.raises(PrerequisiteError, match="no key can be read"):
        from_file(tmp_path / "none")


@pytest.mark.parametrize(("beside", "says"), [("manifest.json", "in the run"), (".git", "which git keeps")])
def test_a_key_file_that_would_be_published_is_refused(tmp_path: Path, beside: str, says: str) -> None:
    (tmp_path / beside).mkdir()
    path = tmp_path / "folder" / "key"
    path.parent.mkdir()
    path.write_text(KEY)
    path.chmod(0o600)
    with pytest.raises(TeacherError, match=says) as raised:
        from_file(path)
    assert KEY not in str(raised.value)
