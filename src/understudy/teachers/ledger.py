"""What the requests to teachers cost, by run: at most, while they are under way, and then what was billed.

    costs    id   run    owner   state     requests   tokens   picodollars
             1    3f9c   a81e    sent      12         9360     14040000000       # under way now: at most
             2    3f9c   a81e    settled   9988       512000   768000000000      # as billed
             3    3f9c   a81e    unknown   3          2340     3510000000        # nobody knows: counts as the most
             4    3f9c   5f0c    sent      1          93600    140400000000      # a batch, which is an owner of its own

A process adds up its requests in a row for each state, one for those that cost money and one for those that do not. When
it dies, what it had sent becomes unknown. The ledger of a run is the sum over all that ever asked for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from understudy.teachers.database import Database

TABLES = """
CREATE TABLE IF NOT EXISTS costs (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL, requests INTEGER NOT NULL,
    tokens INTEGER NOT NULL, picodollars TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS costs_of_run ON costs (run);
"""
_OLD = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'attempts'"
"""Stores once had a row for each request."""

State: TypeAlias = Literal["sent", "settled", "unknown"]


class Cost(NamedTuple):
    """What something costs. 10^12 picodollars are a dollar: whole numbers add up exactly."""

    tokens: int = 0
    picodollars: int = 0

    def plus(self, other: Cost) -> Cost:
        return Cost(self.tokens + other.tokens, self.picodollars + other.picodollars)

    def minus(self, other: Cost) -> Cost:
        return Cost(self.tokens - other.tokens, self.picodollars - other.picodollars)


@dataclass(slots=True)
class _Row:
    """A row of this process, as it is on disk after the next statement."""

    id: int
    requests: int = 0
    tokens: int = 0
    picodollars: int = 0


class Ledger:
    """The costs in a store; the methods that write belong into its `transact`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: dict[tuple[str, State, bool], _Row] | None = None
        database.undone.append(self._forget)
        with database.reading():
            is_old = database.execute(_OLD).fetchone() is not None
        if is_old:
            database.transact([self._take_over])

    def _take_over(self) -> None:
        """Count what an older understudy wrote, which may still be in use beside this one."""
        execute = self._database.execute
        if not execute(_OLD).fetchone():  # another process was faster
            return
        batches = {attempt: name for name, attempt in execute("SELECT name, attempt FROM batches")}
        found = execute("SELECT id, run, owner, state, tokens, picodollars FROM attempts").fetchall()
        for id, run, owner, state, tokens, money in found:
            number = self._insert(run, owner, state, 1, Cost(tokens, int(money)))
            if batches.get(id) == owner:
                execute("UPDATE batches SET attempt = ? WHERE name = ?", (number, owner))
        execute("DROP TABLE attempts")

    def _forget(self) -> None:
        """What is on disk may be something else than what is remembered."""
        self._rows = None

    def _row(self, run: str, state: State, free: bool) -> _Row:
        if self._rows is None:
            query = "SELECT run, state, id, requests, tokens, picodollars FROM costs WHERE owner = ?"
            found = self._database.execute(query, (self._database.owner,)).fetchall()
            self._rows = {
                (its_run, its_state, money == "0"): _Row(id, requests, tokens, int(money))
                for its_run, its_state, id, requests, tokens, money in found
            }
        row = self._rows.get((run, state, free))
        if row is None:
            row = self._rows[run, state, free] = _Row(self._insert(run, self._database.owner, state, 0, Cost()))
        return row

    def _insert(self, run: str, owner: str, state: State, requests: int, cost: Cost) -> int:
        """A new row. Returns its number."""
        number = self._database.execute(
            "INSERT INTO costs (run, owner, state, requests, tokens, picodollars) VALUES (?, ?, ?, ?, ?, ?)",
            (run, owner, state, requests, cost.tokens, str(cost.picodollars)),
        ).lastrowid
        assert number is not None
        return number

    def _add(self, run: str, state: State, costs: Sequence[Cost], sign: int = 1) -> None:
        """Add requests to what this process has in a state, or take them off."""
        free = [cost for cost in costs if not cost.picodollars]
        priced = costs if not free else [cost for cost in costs if cost.picodollars]
        for some in filter(None, (free, priced)):
            row = self._row(run, state, some is free)
            tokens, money = map(sum, zip(*some, strict=True))
            row.requests += sign * len(some)
            row.tokens += sign * tokens
            row.picodollars += sign * money
            self._database.execute(
                "UPDATE costs SET requests = ?, tokens = ?, picodollars = ? WHERE id = ?",
                (row.requests, row.tokens, str(row.picodollars), row.id),
            )

    def sent(self, run: str, most: Sequence[Cost]) -> None:
        """Note requests before they are sent, with what each may cost at most."""
        self._add(run, "sent", most)

    def ended(self, run: str, costs: Sequence[tuple[Cost, Cost | None]]) -> None:
        """Requests have ended: the most that each may have cost, and what it did cost; None: its outcome is unknown."""
        self._add(run, "sent", [most for most, _ in costs], -1)
        self._add(run, "settled", [cost for _, cost in costs if cost is not None])
        self._add(run, "unknown", [most for most, cost in costs if cost is None])

    def hand_over(self, run: str, batch: str, most: Cost) -> int:
        """Note a batch before it is sent, with what it may cost at most. Returns the number of its row."""
        return self._insert(run, batch, "sent", 1, most)

    def lower(self, batch: int, less: Cost) -> None:
        """A batch costs `less` than it might have, by the number of its row."""
        [(tokens, money)] = self._database.execute("SELECT tokens, picodollars FROM costs WHERE id = ?", (batch,))
        cost = Cost(tokens, int(money)).minus(less)
        self._database.execute(
            "UPDATE costs SET tokens = ?, picodollars = ? WHERE id = ?", (cost.tokens, str(cost.picodollars), batch)
        )

    def end(self, batch: int, known: bool = True) -> None:
        """A batch is done; or nobody will know what it did cost."""
        self._database.execute("UPDATE costs SET state = ? WHERE id = ?", ("settled" if known else "unknown", batch))

    def abandon(self, owner: str) -> None:
        """A process has ended: what it had under way counts as unknown."""
        if owner == self._database.owner:
            self._forget()
        self._database.execute("DELETE FROM costs WHERE owner = ? AND requests = 0", (owner,))
        self._database.execute("UPDATE costs SET state = 'unknown' WHERE owner = ? AND state = 'sent'", (owner,))

    def spent(self, run: str) -> Cost:
        """What the requests of a run cost, those of unknown outcome at the most they may have cost."""
        with self._database.reading():
            rows = self._database.execute("SELECT tokens, picodollars FROM costs WHERE run = ?", (run,)).fetchall()
        return Cost(sum(tokens for tokens, _ in rows), sum(int(money) for _, money in rows))

    def unpriced(self, run: str) -> int:
        """The tokens of a run's requests that count as no money: the price is not known, or nothing is charged."""
        with self._database.reading():
            [(tokens,)] = self._database.execute(
                "SELECT coalesce(sum(tokens), 0) FROM costs WHERE run = ? AND picodollars = '0'", (run,)
            )
        return int(tokens)

    def requests(self, run: str) -> Mapping[str, int]:
        """How many requests a run sent, by what became of them: `settled`, `unknown`, `sent` (under way)."""
        query = "SELECT state, sum(requests) FROM costs WHERE run = ? AND requests > 0 GROUP BY state"
        with self._database.reading():
            return dict(self._database.execute(query, (run,)))
