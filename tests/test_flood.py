"""Ten thousand requests to an endpoint that does everything wrong that endpoints do, with kills and budgets."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import flood
from flood import Flood
from understudy.errors import BudgetError
from understudy.procedures import Ask, Driver, Procedure
from understudy.records import Sampling
from understudy.tasks.wordsums import Wordsums
from understudy.teachers.account import Account, Budget
from understudy.teachers.openai import OpenAITeacher
from understudy.teachers.store import Store

COUNT = 10_000


@contextmanager
def flooded(seed: int) -> Iterator[int]:
    """The port of an endpoint in a process of its own."""
    command = [sys.executable, flood.__file__, "serve", str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()  # and the `with` waits for it and closes the pipes


def counts(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=30) as reply:
        found: dict[str, Any] = json.loads(reply.read())
    return found


def asking(port: int, count: int, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, flood.__file__, "ask", str(port), str(count), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def ends_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a process that asked has printed at its end."""
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


@pytest.mark.thorough
def test_every_request_ends_and_no_answer_is_asked_for_twice(tmp_path: Path) -> None:
    with flooded(seed=1) as port:
        ended = ends_of(asking(port, COUNT, tmp_path))["ends"]
        assert sum(ended.values()) == COUNT
        assert ended["failed"] <= COUNT * 0.02
        assert ended["refused"] > 0
        seen = counts(port)
        assert set(seen["faults"]) >= set(flood.FAULTS)
        twice = [prompt for prompt, times in seen["whole"].items() if times > 1]
        assert twice == []
        again = ends_of(asking(port, COUNT, tmp_path))
        failed_before = ended["failed"]
        assert sum(again["ends"].values()) == COUNT
        after = counts(port)
        asked_again = {p for p in after["asked"] if after["asked"][p] > seen["asked"][p]}
        assert len(asked_again) == failed_before


@pytest.mark.thorough
def test_after_kills_only_what_was_under_way_is_asked_again(tmp_path: Path) -> None:
    dice = random.Random(2)
    with flooded(seed=2) as port:
        said: list[str] = []
        for _ in range(10):
            with asking(port, COUNT, tmp_path) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(dice.uniform(0.05, 1.0))
                process.send_signal(signal.SIGKILL)
            with Store(tmp_path / "store.sqlite") as store:
                [(claims,)] = store._db.execute("SELECT coalesce(sum(length(keys)), 0) / 16 FROM claimed").fetchall()
            said.append(str(claims))
        last = ends_of(asking(port, COUNT, tmp_path))
        seen = counts(port)
    assert sum(last["ends"].values()) == COUNT
    again = sum(times - 1 for times in seen["whole"].values())
    under_way = sum(map(int, said))
    print(f"{again} answers were asked for twice, {under_way} were under way at the ten kills")
    assert again <= under_way
    assert under_way <= 10 * 128
    if int(said[-1]):
        assert last["said"] == [
            f"{said[-1]} answers were under way when this run was stopped; their outcome is unknown, so they are asked "
            "for again"
        ]


@pytest.mark.thorough
def test_the_endpoint_never_charges_more_than_the_budget() -> None:
    async def every_schedule() -> list[bool]:
        return [
            over for start in range(0, 200, 25) for over in await asyncio.gather(*map(_spend, range(start, start + 25)))
        ]

    assert 50 < sum(asyncio.run(every_schedule())) < 200  # the budget ends some of the runs, and not all


async def _spend(seed: int) -> bool:
    """Ask forty questions on a random budget by a random schedule of faults; whether the budget stopped them."""
    dice = random.Random(seed)
    budget, good, concurrency = dice.randrange(200, 4000), dice.uniform(0.2, 1.0), dice.choice([1, 4, 16])
    endpoint = Flood(seed, good, latency_s=0.0)
    server = await endpoint.serve()
    port = server.sockets[0].getsockname()[1]
    teacher = OpenAITeacher(
        model="flood", base_url=f"http://127.0.0.1:{port}/v1", timeout_s=0.1, backoff_s=0.001, retries=2
    )

    def one(i: int) -> Procedure[None]:
        yield [Ask("teacher", f"q{i}")]

    over = False
    with Account(budget=Budget(tokens=budget)) as account:
        with teacher.open(Wordsums(), concurrency, account) as live:
            driver = Driver({"teacher": live}, lambda programs: [], sampling=Sampling(max_tokens=20))
            try:
                await driver.each(((str(i), one(i)) for i in range(40)), concurrency, lambda *_: None)
            except BudgetError:
                over = True
        spent = account.store.ledger.spent("").tokens
    server.close()
    await asyncio.sleep(0)
    await endpoint.close()
    assert endpoint.charged <= spent <= budget, f"seed {seed}"
    return over
