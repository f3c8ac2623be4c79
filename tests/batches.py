"""A small Batch API on the loopback, and a client in a process of its own that can be killed.

    python batches.py ask URL COUNT FOLDER [KEY=VALUE]...       # asks COUNT questions by way of a store in FOLDER

What happens to a batch and to its requests is as `Batches` is told; a batch is done when it was looked at `looks` times.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loopback import Handler, served

OVER = ("completed", "failed", "expired", "cancelled")


@dataclass
class Batches:
    """What the endpoint was sent, and how it behaves.

    Attributes:
        line: what becomes of a request (custom_id, body): a line of the output, of the error file if it has an error, or
            None for no line.
        ends: how the batches end, in order; the last one goes on.
        hold: called with the name of what was just done (`upload`, `create`, `poll`, `content`), before the reply is sent.
    """

    line: Callable[[str, dict[str, Any]], dict[str, Any] | None]
    ends: list[str] = field(default_factory=lambda: ["completed"])
    looks: int = 1
    hold: Callable[[str], Any] = lambda step: None
    url: str = ""
    files: dict[str, list[bytes]] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: Counter[str] = field(default_factory=Counter)

    @property
    def asked(self) -> Counter[str]:
        """How often each prompt was in a batch."""
        lines = [json.loads(line) for batch in self.batches.values() for line in self.files[batch["input_file_id"]]]
        return Counter(line["body"]["messages"][-1]["content"] for line in lines)

    def upload(self, content: bytes) -> dict[str, Any]:
        id = f"file-{len(self.files)}"
        self.files[id] = re.findall(rb'^\{"custom_id".*$', content, re.MULTILINE)
        return {"id": id}

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        assert set(body) == {"input_file_id", "endpoint", "completion_window", "metadata"}
        number = len(self.batches)
        end = self.ends[min(number, len(self.ends) - 1)]
        batch = {**body, "id": f"batch_{number}", "status": "validating", "created_at": 2**40, "looked": 0, "end": end}
        self.batches[batch["id"]] = batch
        return batch

    def look(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch["looked"] += 1
        if batch["looked"] >= self.looks and batch["status"] not in OVER:
            batch["status"] = batch["end"]
            self._answer(batch)
        elif batch["status"] not in OVER:
            batch["status"] = "in_progress"
        return batch

    def _answer(self, batch: dict[str, Any]) -> None:
        lines = self.files[batch["input_file_id"]]
        if batch["end"] == "failed":
            batch["errors"] = {"data": [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]}
            return
        found = [self.line(said["custom_id"], said["body"]) for said in map(json.loads, lines)]
        good = [each for each in found if each and (each.get("response") or {}).get("status_code") == 200]
        bad = [each for each in found if each and each not in good]
        random.Random(1).shuffle(good)
        batch["request_counts"] = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        for name, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:
                batch[name] = f"file-{len(self.files)}"
                self.files[batch[name]] = [json.dumps(row).encode() for row in rows]


def answer(id: str, text: str, prompt_tokens: int = 10, completion_tokens: int = 20) -> dict[str, Any]:
    """A line of the output file."""
    body = {
        "model": "served",
        "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens},
    }
    return {"id": "x", "custom_id": id, "response": {"status_code": 200, "body": body}, "error": None}


def echo(id: str, body: dict[str, Any]) -> dict[str, Any]:
    return answer(id, f"So {body['messages'][-1]['content']}")


def refusal(id: str, status: int, message: str, code: str = "") -> dict[str, Any]:
    """A line of the error file."""
    error = {"message": message, "code": code}
    response = {"status_code": status, "body": {"error": error}} if status else None
    return {"id": "x", "custom_id": id, "response": response, "error": None if status else error}


@contextmanager
def serving(batches: Batches) -> Iterator[Batches]:
    lock = threading.Lock()

    class Told(Handler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                upload = self.path == "/v1/files"
                reply = batches.upload(content) if upload else batches.create(json.loads(content))
            self._send("upload" if upload else "create", json.dumps(reply).encode())

        def do_GET(self) -> None:
            path = self.path.removeprefix("/v1/")
            with lock:
                if path.startswith("files/"):
                    self._send(
                        "content", b"\n".join(batches.files[path.split("/")[1]]), kind="application/octet-stream"
                    )
                elif path.startswith("batches?"):
                    there = list(reversed(batches.batches.values()))
                    ids = [batch["id"] for batch in there]
                    start = ids.index(path.split("after=")[1]) + 1 if "after=" in path else 0
                    page = {"data": there[start : start + 1], "has_more": start + 1 < len(there)}
                    self._send("list", json.dumps(page).encode())
                elif (batch := batches.batches.get(path.split("/")[1])) is not None:
                    self._send("poll", json.dumps(batches.look(batch)).encode())
                else:
                    self._send("poll", b'{"error": {"message": "no such batch"}}', 404)

        def _send(self, step: str, content: bytes, status: int = 200, kind: str = "application/json") -> None:
            batches.steps[step] += 1
            held = batches.hold(step)
            if held == "cut":
                self.close_connection = True
                return
            if held == "missing":
                status, content = 404, b'{"detail": "Not Found"}'
            self.reply(status, {"Content-Type": kind}, content)

    with served(Told) as batches.url:
        yield batches


def ask(url: str, count: int, folder: Path, **settings: Any) -> dict[str, Any]:
    """Ask `count` questions; how they ended, what was said to the user, and the ledger."""
    from understudy.procedures import Ask, Driver, Procedure
    from understudy.records import Sampling
    from understudy.tasks.wordsums import Wordsums
    from understudy.teachers.account import Account, Budget
    from understudy.teachers.batch import OpenAIBatchTeacher

    quick: dict[str, Any] = {"gather_s": 0.05, "poll_s": 0.05, "backoff_s": 0.01, "retries": 2}
    budget = Budget(tokens=settings.pop("budget", None))
    teacher = OpenAIBatchTeacher(**{"model": "m", "base_url": url, **quick, **settings})
    ends: dict[str, str] = {}
    said: list[str] = []

    def one(i: int) -> Procedure[None]:
        [[completion]] = yield [Ask("teacher", f"q{i}")]
        ends[f"q{i}"] = completion.text or f"{completion.finish}: {completion.error}"

    with Account(folder / "store.sqlite", run=settings.get("run", "r"), budget=budget, say=said.append) as account:
        try:
            with teacher.open(Wordsums(), 8, account) as live:
                driver = Driver({"teacher": live}, lambda programs: [], sampling=Sampling(max_tokens=100))
                asyncio.run(driver.each(((str(i), one(i)) for i in range(count)), teacher.at_once, lambda *_: None))
        finally:
            found = {"ends": ends, "said": said, "ledger": account.ledger()}
            print(json.dumps(found), flush=True)
    return found


if __name__ == "__main__":
    ask(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
