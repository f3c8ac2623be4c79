"""Asks an endpoint in one of several ways: the part of the benchmark that stands in a process, and mostly a venv, of its own.

    python asker.py WAY CORE PORT FIRST COUNT FOLDER
    -> {"seconds": 2.1, "cpu_s": 1.3, "peak_mib": 74.5}
    python asker.py replay CORE 0 0 COUNT FOLDER
    -> {"ask_again_s": 9.1, "recall_s": 4.9, "begin_mib": 80.1, "end_mib": 80.2, ...}

The first FIRST requests open the connections and let a client find its pace; then COUNT are measured, from the first that
is sent to the last that is answered (and, with a store, on disk). Each library is used as its documentation says.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fast_endpoint import text_of

if TYPE_CHECKING:
    from understudy.procedures import Ask, Driver, Procedure
    from understudy.records import Completion
    from understudy.teachers.kept import Attempts, Reply
    from understudy.teachers.ledger import Cost

IN_FLIGHT = 512
MODEL = "gpt-4o-mini"
SAMPLING = {"temperature": 0.7, "max_tokens": 512}
TEXT = text_of(200_000, seed=7)
Answer = Callable[[Sequence[str]], Sequence[str]]
"""Prompts in, as many texts out, in any order."""


def prompt(number: int) -> str:
    """A prompt of about 300 tokens, like no other."""
    start = number * 97 % 198_000
    return f"Question {number}: {TEXT[start : start + 1200]}"


async def bounded(asked: Sequence[str], one: Callable[[str], Awaitable[str]]) -> list[str]:
    """Answer all by a bounded set of worker tasks, the fastest that a loop in Python can be."""
    waiting, found = iter(asked), list[str]()

    async def work() -> None:
        for asking in waiting:
            found.append(await one(asking))

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return found


def message(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


@contextmanager
def pyreqwest(url: str, folder: Path) -> Iterator[Answer]:
    from pyreqwest.client import ClientBuilder

    async def one(prompt: str) -> str:
        body = json.dumps({"model": MODEL, "messages": message(prompt), **SAMPLING}).encode()
        post = client.post(f"{url}/chat/completions").header("Content-Type", "application/json")
        response = await post.body_bytes(body).build().send()
        text: str = json.loads(bytes(await response.bytes()))["choices"][0]["message"]["content"]
        return text

    client = ClientBuilder().max_connections(IN_FLIGHT).pool_max_idle_per_host(IN_FLIGHT).no_proxy().build()
    with asyncio.Runner() as runner:
        yield lambda asked: runner.run(bounded(asked, one))


@contextmanager
def aiohttp(url: str, folder: Path) -> Iterator[Answer]:
    from aiohttp import ClientSession, TCPConnector

    async def opened() -> ClientSession:
        return ClientSession(connector=TCPConnector(limit=IN_FLIGHT))

    async def one(prompt: str) -> str:
        body = {"model": MODEL, "messages": message(prompt), **SAMPLING}
        async with session.post(f"{url}/chat/completions", json=body) as response:
            text: str = (await response.json())["choices"][0]["message"]["content"]
            return text

    with asyncio.Runner() as runner:
        session = runner.run(opened())
        yield lambda asked: runner.run(bounded(asked, one))
        runner.run(session.close())


@contextmanager
def openai(url: str, folder: Path) -> Iterator[Answer]:
    from openai import AsyncOpenAI

    async def answer(asked: Sequence[str]) -> list[str]:
        free = asyncio.Semaphore(IN_FLIGHT)

        async def one(prompt: str) -> str:
            async with free:
                reply = await client.chat.completions.create(model=MODEL, messages=message(prompt), **SAMPLING)
                return reply.choices[0].message.content or ""

        return await asyncio.gather(*map(one, asked))

    client: Any = AsyncOpenAI(base_url=url, api_key="none")
    with asyncio.Runner() as runner:
        yield lambda asked: runner.run(answer(asked))


@contextmanager
def curator(url: str, folder: Path) -> Iterator[Answer]:
    for name, value in {
        "TELEMETRY_ENABLED": "false",
        "CURATOR_DISABLE_RICH_DISPLAY": "1",
        "HF_HUB_OFFLINE": "1",
    }.items():
        os.environ[name] = value
    os.environ["CURATOR_CACHE_DIR"] = str(folder)
    import tiktoken
    from bespokelabs.curator import LLM

    # It fetches its tokenizer from the web; a count by length stands in, which is faster than the real one.
    tiktoken.get_encoding = lambda name: SimpleNamespace(encode=lambda text, **_: range(len(text) // 4))
    limits = {"max_concurrent_requests": IN_FLIGHT, "max_requests_per_minute": 10**8, "max_tokens_per_minute": 10**11}
    model = LLM(
        model_name=MODEL,
        backend="openai",
        generation_params=SAMPLING,
        backend_params={"base_url": url, "api_key": "none", **limits},
    )

    def answer(asked: Sequence[str]) -> list[str]:
        found = model(list(asked))
        texts: list[str] = getattr(found, "dataset", found)["response"]
        return texts

    yield answer


@contextmanager
def understudy(url: str, folder: Path, store: str | None = None) -> Iterator[Answer]:
    """As the stage `generate` asks."""
    from understudy.tasks.wordsums import Wordsums
    from understudy.teachers.account import Account
    from understudy.teachers.openai import OpenAITeacher

    teacher = OpenAITeacher(model=MODEL, base_url=url)
    path = folder / store if store else None
    with Account(path) as account, asyncio.Runner() as runner, teacher.open(Wordsums(), IN_FLIGHT, account) as live:

        def answer(asked: Sequence[str]) -> list[str]:
            found: list[str] = []
            runner.run(driver_of(live).each(procedures(asked), IN_FLIGHT, lambda _, said: found.append(said[0].text)))
            live.flush()  # type: ignore[attr-defined]
            return found

        yield answer


@contextmanager
def understudy_stored(url: str, folder: Path) -> Iterator[Answer]:
    with understudy(url, folder, "store.sqlite") as answer:
        yield answer


def driver_of(live: Any) -> Driver:
    from understudy.procedures import Driver
    from understudy.records import Sampling

    return Driver({"teacher": live}, lambda programs: [], sampling=Sampling(**SAMPLING))  # type: ignore[arg-type]


def procedures(asked: Iterable[str]) -> Iterator[tuple[str, Procedure[list[Completion]]]]:
    from understudy.procedures import Ask

    def write(prompt: str) -> Procedure[list[Completion]]:
        [completions] = yield [Ask("teacher", prompt)]
        return list(completions)

    return ((str(i), write(prompt)) for i, prompt in enumerate(asked))


WAYS = {way.__name__: way for way in (pyreqwest, aiohttp, openai, curator, understudy, understudy_stored)}


class Instant:
    """An endpoint without a network."""

    def __init__(self) -> None:
        from fast_endpoint import Endpoint

        self._replies = [json.loads(body) for body in Endpoint.bodies]
        self._number = 0

    def most(self, ask: Ask, n: int) -> Cost:
        from understudy.teachers.ledger import Cost

        return Cost()

    async def request(self, ask: Ask, n: int, first: int, attempts: Attempts) -> Reply:
        from understudy.records import Completion
        from understudy.teachers.kept import Reply
        from understudy.teachers.store import Answer

        self._number += 1
        reply = self._replies[self._number % len(self._replies)]
        text = reply["choices"][0]["message"]["content"]
        return Reply([Answer(Completion(text, model=MODEL, prompt_tokens=300, completion_tokens=400), reply)])


def replay(count: int, store: Path) -> dict[str, float]:
    """Store `count` answers; then ask for them again, and write them down in order, as the stage `generate` does both.

    Memory is looked at after a tenth of the writing and at its end.
    """
    from understudy.stages.generation import CHUNK
    from understudy.teachers.account import Account
    from understudy.teachers.kept import keeping

    def ask() -> float:
        before = time.perf_counter()
        asyncio.run(driver.each(procedures(map(prompt, range(count))), IN_FLIGHT, lambda *_: None))
        return time.perf_counter() - before

    found: dict[str, float] = {}
    with Account(store) as account, keeping(Instant(), "made-up", account) as live:
        driver = driver_of(live)
        found["fill_s"] = ask()
        found["ask_again_s"] = ask()
        driver, waiting, done = driver_of(live.recall()), procedures(map(prompt, range(count))), 0
        before = time.perf_counter()
        while chunk := list(itertools.islice(waiting, CHUNK)):
            done += sum(completion.finish == "stop" for [completion] in driver.run(chunk))
            if done <= count // 10:
                found["begin_mib"] = resident_mib()
        found["recall_s"] = time.perf_counter() - before
        found["end_mib"] = resident_mib()
    assert done == count
    return found


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def cpu_s() -> float:
    """Of this process and of those that it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def measure(way: str, port: int, first: int, count: int, folder: Path) -> dict[str, float]:
    asked = [prompt(i) for i in range(first + count)]
    with WAYS[way](f"http://127.0.0.1:{port}/v1", folder) as answer:
        answer(asked[:first])
        before, used = time.perf_counter(), cpu_s()
        texts = answer(asked[first:])
        seconds, used = time.perf_counter() - before, cpu_s() - used
    answered = sum(map(bool, texts))
    assert answered == count, f"{answered} of {count} are answered"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu_s": used, "peak_mib": peak}


def main() -> None:
    way, core, port, first, count, folder = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    out, sys.stdout = sys.stdout, sys.stderr  # a library may print
    if way == "replay":
        found = replay(int(count), Path(folder) / "store.sqlite")
    else:
        found = measure(way, int(port), int(first), int(count), Path(folder))
    print(json.dumps(found), file=out, flush=True)
    os._exit(0)  # a thread of a library's own may crash an interpreter that ends


if __name__ == "__main__":
    main()
