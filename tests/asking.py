"""An endpoint in memory, and a process that asks it: for the tests of the store, which start several."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from understudy.procedures import Ask
from understudy.records import Completion, Sampling
from understudy.teachers.account import Account
from understudy.teachers.kept import Reply, keeping
from understudy.teachers.ledger import Cost
from understudy.teachers.store import Answer

ASK = Ask("teacher", "How many?", key="q1", seed=1, sampling=Sampling(0.7, 100, 0.9))


class Slow:
    """An endpoint that counts, and takes its time."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def most(self, ask: Ask, n: int) -> Cost:
        return Cost(100, 10)

    async def request(self, ask: Ask, n: int, first: int, attempts: Any) -> Reply:
        await attempts.begin()
        self.sent.append(ask.prompt)
        await asyncio.sleep(0.02)
        return Reply([Answer(Completion("yes"), {"id": "x"})] * n, Cost(3, 2))


def main(path: Path, count: int) -> None:
    """Ask for `count` answers by way of the store, and print what was sent."""
    endpoint = Slow()

    async def all_of_them() -> None:
        with Account(path, run="r") as account, keeping(endpoint, "one", account) as live:
            asks = (Ask("teacher", f"q{i}", key=str(i), sampling=Sampling()) for i in range(count))
            await asyncio.gather(*map(live.complete_one, asks))

    asyncio.run(all_of_them())
    print(json.dumps(endpoint.sent))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
