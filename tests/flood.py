"""A fault-injecting endpoint in a process of its own, for thousands of requests, and a client that can be killed.

    python flood.py serve SEED          # prints its port; counts what it answered and what it charged
    python flood.py ask PORT COUNT DIR  # asks COUNT questions by way of a store in DIR

What goes wrong with a request follows from the seed and how often its prompt was asked, so that every question is answered
in the end, but for the few that never are. Its counts are at /counts.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

FAULTS = (
    "429", "429 later", "500", "503", "reset", "half", "malformed", "not json", "no choices", "hang", "slow", "html",
    "refusal", "twice",
)  # fmt: skip
GOOD = 0.9
"""Share of the attempts that are answered well."""
NEVER = 0.01
"""Share of the questions that never get an answer."""
HANG_S = 30.0


class Flood:
    """The endpoint. `charged` is what a provider would bill: every token of whatever it began to answer."""

    def __init__(self, seed: int, good: float = GOOD, latency_s: float = 0.005) -> None:
        self.seed, self.good, self.latency_s = seed, good, latency_s
        self.asked: Counter[str] = Counter()
        self.whole: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.charged = 0
        self._open: set[asyncio.Task[Any] | None] = set()

    async def serve(self, port: int = 0) -> asyncio.Server:
        return await asyncio.start_server(self._connection, "127.0.0.1", port, backlog=1024)

    async def close(self) -> None:
        """End every connection, those that hang too."""
        while tasks := [task for task in self._open if task is not None]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._open.add(task)
        try:
            while await self._request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        writer.close()
        self._open.discard(task)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; false when the connection is to be closed."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if head.startswith("GET"):
            counts = {"whole": self.whole, "asked": self.asked, "faults": self.faults, "charged": self.charged}
            await self._send(writer, 200, json.dumps(counts).encode())
            return True
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        prompt = body["messages"][-1]["content"]
        self.asked[prompt] += 1
        fault = self._fault(prompt)
        self.faults[fault] += 1
        await asyncio.sleep(self.latency_s)
        return await self._reply(writer, body, prompt, fault)

    def _fault(self, prompt: str) -> str:
        if random.Random(f"{self.seed} {prompt}").random() < NEVER:
            return random.Random(f"{self.seed} {prompt} never").choice(["refusal", "400", "500", "malformed"])
        dice = random.Random(f"{self.seed} {prompt} {self.asked[prompt]}")
        return "" if dice.random() < self.good or self.asked[prompt] > 4 else dice.choice(FAULTS)

    async def _reply(self, writer: asyncio.StreamWriter, body: dict[str, Any], prompt: str, fault: str) -> bool:
        if fault in ("429", "429 later", "503", "400"):
            later = {"Retry-After": "0.02"} if fault == "429 later" else {}
            await self._send(writer, int(fault.split()[0]), b'{"error": {"message": "no"}}', later)
            return True
        usage = {"prompt_tokens": len(prompt) // 4 + 4, "completion_tokens": body["max_tokens"] // 2}
        self.charged += sum(usage.values())
        if fault == "500":
            await self._send(writer, 500, b"oops", kind="text/plain")
            return True
        if fault == "reset":
            writer.transport.abort()
            return False
        if fault == "hang":
            await asyncio.sleep(HANG_S)
            return False
        said: dict[str, Any] = {"role": "assistant", "content": f"So {prompt}. The answer is 7."}
        if fault == "refusal":
            said = {"role": "assistant", "content": None, "refusal": "I cannot."}
        reply = {
            "id": "always-the-same" if fault == "twice" else f"id-{prompt}",
            "model": "flood",
            "choices": [{"message": said, "finish_reason": "stop"}],
            "usage": usage,
        }
        content = json.dumps(reply).encode()
        if fault == "malformed":
            content = content[: len(content) // 2]
        elif fault == "no choices":
            content = json.dumps({**reply, "choices": []}).encode()
        elif fault in ("not json", "html"):
            await self._send(writer, 200, b"<html>hello</html>", kind="text/html")
            return True
        if fault == "half":
            await self._send(writer, 200, content, cut=len(content) // 2)
            return False
        if fault == "slow":
            await self._send(writer, 200, content, pause_s=0.02)
        else:
            await self._send(writer, 200, content)
        if fault in ("", "twice", "slow", "refusal"):
            self.whole[prompt] += 1
        return True

    async def _send(
        self,
        writer: asyncio.StreamWriter,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        kind: str = "application/json",
        cut: int | None = None,
        pause_s: float = 0.0,
    ) -> None:
        lines = [f"HTTP/1.1 {status} -", f"Content-Type: {kind}", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        if pause_s:
            for start in range(0, len(content), 40):
                writer.write(content[start : start + 40])
                await writer.drain()
                await asyncio.sleep(pause_s)
        else:
            writer.write(content[:cut])
        await writer.drain()


async def serve(seed: int) -> None:
    """Serve until standard input ends."""
    server = await Flood(seed).serve()
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


def ask(port: int, count: int, folder: Path) -> None:
    """Ask `count` questions, and print how each ended and what was said."""
    from understudy.procedures import Ask, Driver, Procedure
    from understudy.records import Sampling
    from understudy.tasks.wordsums import Wordsums
    from understudy.teachers.account import Account
    from understudy.teachers.openai import OpenAITeacher

    teacher = OpenAITeacher(
        model="flood", base_url=f"http://127.0.0.1:{port}/v1", timeout_s=0.4, backoff_s=0.01, retries=6
    )
    ends: Counter[str] = Counter()
    said: list[str] = []

    def one(i: int) -> Procedure[None]:
        [[completion]] = yield [Ask("teacher", f"q{i}")]
        assert completion.text or completion.error, completion
        ends[completion.finish] += 1

    with Account(folder / "store.sqlite", run="flood", say=said.append) as account:
        with teacher.open(Wordsums(), 128, account) as live:
            driver = Driver({"teacher": live}, lambda programs: [], sampling=Sampling(max_tokens=20))
            print("begins", flush=True)
            asyncio.run(driver.each(((str(i), one(i)) for i in range(count)), 128, lambda *_: None))
        print(json.dumps({"ends": ends, "said": said, "ledger": account.ledger()}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve(int(sys.argv[2])))
    else:
        ask(int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
