"""The ledger: what the requests of a run cost, added up over processes, batches and older stores."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.teachers.handed_over import HandedOver
from understudy.teachers.ledger import Cost
from understudy.teachers.store import Store

COSTS = st.builds(Cost, st.integers(0, 10**6), st.integers(0, 10**20))
ENDS = st.lists(st.tuples(COSTS, st.none() | COSTS), max_size=8)


@given(rounds=st.lists(ENDS, max_size=4), left=st.lists(COSTS, max_size=3))
def test_all_that_was_sent_is_counted_once(rounds: list[list[tuple[Cost, Cost | None]]], left: list[Cost]) -> None:
    ended = [end for ends in rounds for end in ends]
    counted = [most if cost is None else cost for most, cost in ended] + left
    with Store(None) as store:
        for ends in rounds:
            store.transact([partial(store.ledger.sent, "r", [most for most, _ in ends])])
            store.transact([partial(store.ledger.ended, "r", ends)])
        store.transact([lambda: store.ledger.sent("r", left), lambda: store.ledger.sent("another", [Cost(1, 1)])])
        assert store.ledger.spent("r") == Cost(sum(c.tokens for c in counted), sum(c.picodollars for c in counted))
        assert store.ledger.unpriced("r") == sum(c.tokens for c in counted if not c.picodollars)
        numbers = {
            "settled": sum(cost is not None for _, cost in ended),
            "unknown": sum(cost is None for _, cost in ended),
            "sent": len(left),
        }
        assert store.ledger.requests("r") == {state: number for state, number in numbers.items() if number}


def test_a_run_is_one_however_many_processes_asked_for_it(tmp_path: Path) -> None:
    dice = random.Random(1)
    total = 0
    for _ in range(3):
        with Store(tmp_path / "s") as one, Store(tmp_path / "s") as two:
            for store in (one, two, one):
                cost = Cost(dice.randint(1, 100), 5)
                store.transact([partial(store.ledger.sent, "r", [Cost(100, 5)] * 2)])
                store.transact([partial(store.ledger.ended, "r", [(Cost(100, 5), cost)])])
                total += cost.tokens + 100
            assert one.ledger.requests("r")["sent"] == 3
        assert two  # closed: what it had under way is unknown
    with Store(tmp_path / "s") as last:
        assert last.ledger.spent("r") == Cost(total, 3 * 3 * 10)
        assert last.ledger.requests("r") == {"settled": 9, "unknown": 9}


def test_what_could_not_be_committed_is_not_counted() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with Store(None) as store:
        store.transact([lambda: store.ledger.sent("r", [Cost(100, 5)])])
        with suppress(ZeroDivisionError):
            store.transact([lambda: store.ledger.sent("r", [Cost(7, 7)]), fail])
        with suppress(ZeroDivisionError):
            store.transact([lambda: store.ledger.ended("r", [(Cost(100, 5), None)]), fail])
        store.transact([lambda: store.ledger.sent("r", [Cost(20, 1)])])
        assert store.ledger.spent("r") == Cost(120, 6)
        store.transact([lambda: store.ledger.ended("r", [(Cost(20, 1), None)])])
        assert store.ledger.spent("r") == Cost(120, 6)
        assert store.ledger.requests("r") == {"sent": 1, "unknown": 1}


def test_a_process_that_has_ended_leaves_no_empty_rows(tmp_path: Path) -> None:
    for _ in range(3):
        with Store(tmp_path / "s") as store:
            store.transact([partial(store.ledger.sent, "r", [Cost(9, 0)])])
            store.transact([partial(store.ledger.ended, "r", [(Cost(9, 0), Cost(1, 0))])])
    with Store(tmp_path / "s") as store:
        assert store.execute("SELECT state, requests FROM costs").fetchall() == [("settled", 1)] * 3


OLD = """
    CREATE TABLE attempts (id INTEGER PRIMARY KEY, run TEXT NOT NULL, owner TEXT NOT NULL, samples INTEGER NOT NULL,
        state TEXT NOT NULL, tokens INTEGER NOT NULL, picodollars TEXT NOT NULL);
    CREATE INDEX runs_attempts ON attempts (run);
    CREATE TABLE claims (key BLOB PRIMARY KEY, owner TEXT NOT NULL, run TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO claims VALUES (x'00', 'gone', 'r');
    INSERT INTO attempts VALUES (1, 'r', 'gone', 1, 'settled', 40, '7'), (4, 'r', 'gone', 2, 'settled', 2, '0'),
        (5, 'r', 'gone', 1, 'unknown', 100, '9'), (7, 'r', 'a batch', 9, 'sent', 1000, '100');
    INSERT INTO batches VALUES ('a batch', 'e', 'r', 7, 'gone', 1.0, '', '');
"""
"""What an older understudy leaves: there a row stood for each request, and one for each claim."""


@pytest.mark.parametrize("used", [False, True], ids=["old alone", "old and new in turn"])
def test_an_older_store_keeps_its_ledger_and_its_batches(tmp_path: Path, used: bool) -> None:
    with Store(tmp_path / "s") as store:
        store.transact([lambda: store.ledger.sent("r", [Cost(10, 1)] if used else [])])
    more = Cost(10, 1) if used else Cost()
    with closing(sqlite3.connect(tmp_path / "s")) as old:
        old.executescript(OLD if used else f"DROP TABLE costs; DROP TABLE claimed; {OLD}")
    for _ in range(2):
        with Store(tmp_path / "s") as store:
            assert store.ledger.spent("r") == Cost(1142, 116).plus(more)
            assert store.ledger.requests("r") == {"settled": 2, "unknown": 1 + used, "sent": 1}
            assert store.ledger.unpriced("r") == 2
            assert store.lost("r") == 0
    with Store(tmp_path / "s") as store:
        [batch] = HandedOver(store).of("e")
        store.transact([lambda: store.ledger.lower(batch.attempt, Cost(900, 90))])
        assert store.ledger.spent("r") == Cost(242, 26).plus(more)
        assert store.forget_batches() == 1
        assert store.ledger.requests("r") == {"settled": 2, "unknown": 2 + used}
