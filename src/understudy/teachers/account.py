"""A run's account with its teachers: the store of their answers, the budget, and what was spent of it.

    with Account(default_path(), run="3f9c...", budget=Budget(usd=Decimal(5))) as account:
        with teacher.open(task, concurrency=32, account=account) as live:
            completions = await live.complete_one(ask)         # asked, paid and kept, or found in the store

Before a request is sent, the most that it can cost is reserved; what it did cost is charged when the answer says so. A
request whose outcome is not known (a time-out, a connection cut, a kill) counts as the most. So the sum that an endpoint
charges never exceeds the budget, if its prices and its counts of tokens are right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from understudy.errors import BudgetError
from understudy.records import Json
from understudy.teachers.ledger import Cost
from understudy.teachers.store import Store

PICODOLLARS = 10**12


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may spend; None: as much as it takes.

    Attributes:
        usd: US dollars.
        tokens: of prompts and completions together.
    """

    usd: Decimal | None = None
    tokens: int | None = None


class Account:
    """Opens the store when it is first needed, so that a run without a paid teacher has none.

    Args:
        path: of the store; None: in memory.
        run: who spends; the requests of a run are counted together, however often it is started.
        budget: what it may spend.
        say: where a line goes that the user must see.
    """

    def __init__(
        self,
        path: Path | None = None,
        run: str = "",
        budget: Budget = Budget(),
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.run = run
        self.budget = budget
        self._limited = budget.usd is not None or budget.tokens is not None
        self.replayed = 0
        self._path = path
        self.say = say
        self._store: Store | None = None
        self._spent, self._reserved = Cost(), Cost()
        self._under_way = 0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def store(self) -> Store:
        """The open store."""
        if self._store is None:
            self._store = Store(self._path)
            lost = self._store.lost(self.run)
            if lost:
                self.say(
                    f"{lost} answers were under way when this run was stopped; their outcome is unknown, so they are asked "
                    "for again"
                )
            self._spent = self._store.ledger.spent(self.run)
        return self._store

    def __enter__(self) -> Account:
        return self

    def __exit__(self, *_: object) -> None:
        if self._store is not None:
            self._store.__exit__()
            self._store = None

    async def reserve(self, most: Cost) -> None:
        """Set `most` aside for a request, waiting for others to end if they hold what it needs.

        Raises:
            BudgetError: it does not fit, and nothing is under way that could leave something over.
        """
        while not self.set_aside(most):
            ended = asyncio.get_running_loop().create_future()
            self._waiting.append(ended)
            await ended

    def set_aside(self, most: Cost) -> bool:
        """As `reserve`, but false where that waits."""
        if self._limited:
            if not self._fits(most):
                if not self._under_way:
                    raise BudgetError(self._over(most))
                return False
            self._reserved = self._reserved.plus(most)
        self._under_way += 1
        return True

    def settle(self, most: Cost, cost: Cost | None) -> None:
        """A request has ended: give back `most` and charge `cost`; None charges the most."""
        if self._limited:
            self._reserved = self._reserved.minus(most)
        self._spent = self._spent.plus(most if cost is None else cost)
        self._under_way -= 1
        waiting, self._waiting = self._waiting, []
        for ended in waiting:
            if not ended.done():
                ended.set_result(None)

    def take_up(self, most: Cost) -> None:
        """What an earlier process of this run sent is under way again: reserved, and not yet spent."""
        self._spent = self._spent.minus(most)
        if self._limited:
            self._reserved = self._reserved.plus(most)
        self._under_way += 1

    def _fits(self, most: Cost) -> bool:
        budget = self.budget
        after = self._spent.plus(self._reserved).plus(most)
        return (budget.tokens is None or after.tokens <= budget.tokens) and (
            budget.usd is None or after.picodollars <= budget.usd * PICODOLLARS
        )

    def _over(self, most: Cost) -> str:
        if self.budget.usd is not None and (self._spent.plus(most)).picodollars > self.budget.usd * PICODOLLARS:
            key, budget, spent, more = "budget_usd", f"${self.budget.usd}", usd(self._spent), usd(most)
        else:
            key, budget = "budget_tokens", f"{self.budget.tokens:,} tokens"
            spent, more = f"{self._spent.tokens:,}", f"{most.tokens:,}"
        return (
            f"the budget of {budget} ends here: {spent} is spent, and the next request may cost up to {more}. "
            f"What was answered is kept; raise {key} to go on"
        )

    def info(self) -> dict[str, str]:
        """What a progress bar shows: `spent $1.27 of $5`; nothing while there is nothing to say."""
        if self.budget.usd is not None:
            return {"spent": f"{usd(self._spent)} of ${self.budget.usd}"}
        if self.budget.tokens is not None:
            return {"spent": f"{self._spent.tokens:,} of {self.budget.tokens:,} tokens"}
        return {"spent": usd(self._spent)} if self._spent.picodollars else {}

    def ledger(self) -> Json | None:
        """What the run has spent, for its manifest; None if it never opened the store."""
        if self._store is None:
            return None
        spent, requests = self._store.ledger.spent(self.run), self._store.ledger.requests(self.run)
        return {
            "requests": sum(requests.values()),
            "unknown": requests.get("unknown", 0),
            "tokens": spent.tokens,
            "usd": str(dollars(spent)) if spent.picodollars else None,
            "unpriced_tokens": self._store.ledger.unpriced(self.run),
            "replayed": self.replayed,
            "budget_usd": None if self.budget.usd is None else str(self.budget.usd),
            "budget_tokens": self.budget.tokens,
        }


def dollars(cost: Cost) -> Decimal:
    """The money of a cost in US dollars, exactly."""
    return Decimal(cost.picodollars) / PICODOLLARS


def usd(cost: Cost) -> str:
    """The money of a cost for people: `$12.30`, `$0.0042`."""
    amount = dollars(cost)
    return (
        f"${amount:.2f}"
        if amount >= 1 or not amount
        else f"${amount:.2g}"
        if amount < Decimal("0.01")
        else f"${amount:.3f}"
    )
