"""Claims: which samples are being asked for, as seen by several processes that share a store."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from understudy.teachers.ledger import Cost
from understudy.teachers.store import Change, Store

KEYS = [bytes([i]) * 16 for i in range(12)]
MOST = Cost(10, 1)


def take(store: Store, *asks: Sequence[bytes]) -> list[bool]:
    [taken] = store.transact([lambda: store.set_out("r", [(keys, MOST) for keys in asks])])
    return taken


def release(store: Store, keys: Sequence[bytes]) -> None:
    store.transact([lambda: store.write([Change(released=keys)], "r")])


def test_what_was_claimed_together_is_let_go_one_by_one(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as one, Store(tmp_path / "s") as other:
        assert take(one, KEYS[:2], KEYS[2:3]) == [True, True]
        assert take(other, KEYS[:1], KEYS[1:2], KEYS[3:4]) == [False, False, True]
        release(one, KEYS[:1])
        assert take(other, KEYS[:1], KEYS[1:2], KEYS[2:3]) == [True, False, False]
        release(one, KEYS[1:3])
        assert take(other, KEYS[1:3]) == [True]
        assert take(one, KEYS[4:5], KEYS[:1]) == [True, False]


def test_a_request_that_is_sent_again_keeps_its_claim(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as one, Store(tmp_path / "s") as other:
        assert take(one, KEYS[:2]) == [True]
        assert take(one, KEYS[:2]) == [True]
        assert take(one, KEYS[1:3]) == [True]
        release(one, KEYS[:2])
        assert take(other, KEYS[:2], KEYS[2:3]) == [True, False]


def test_nobody_lets_go_of_the_claims_of_others(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as one, Store(tmp_path / "s") as other:
        assert take(one, KEYS[:1]) == [True]
        release(other, KEYS[:1])
        assert take(other, KEYS[:1]) == [False]


def test_no_sample_has_two_owners_whatever_happens(tmp_path: Path) -> None:
    """Random schedules of three processes; one now and then comes to its end, and another begins."""
    dice = random.Random(3)
    stores = [Store(tmp_path / "s") for _ in range(3)]
    held: list[set[bytes]] = [set(), set(), set()]
    taken = refused = 0
    for _ in range(600):
        who = dice.randrange(3)
        mine, others = held[who], set[bytes]().union(*(held[i] for i in range(3) if i != who))
        step = dice.random()
        if step < 0.6:
            asks = [dice.sample(KEYS, dice.randint(1, 2)) for _ in range(dice.randint(1, 3))]
            found = take(stores[who], *asks)
            assert found == [others.isdisjoint(keys) for keys in asks]
            mine.update(key for keys, free in zip(asks, found, strict=True) if free for key in keys)
            taken, refused = taken + sum(found), refused + found.count(False)
        elif step < 0.97:
            gone = [key for key in KEYS if dice.random() < 0.3]
            release(stores[who], gone)
            mine.difference_update(gone)
        else:
            stores[who].__exit__()
            stores[who], held[who] = Store(tmp_path / "s"), set()
    assert min(taken, refused) > 100
    for store in stores:
        store.__exit__()
    with Store(tmp_path / "s") as last:
        assert take(last, *([key] for key in KEYS)) == [True] * len(KEYS)


def test_what_could_not_be_committed_is_not_remembered(tmp_path: Path) -> None:
    def fail() -> Any:
        raise ZeroDivisionError

    with Store(tmp_path / "s") as one, Store(tmp_path / "s") as other:
        assert take(one, KEYS[:1]) == [True]
        with suppress(ZeroDivisionError):
            one.transact([lambda: one.set_out("r", [(KEYS[1:2], MOST)]), fail])
        with suppress(ZeroDivisionError):
            one.transact([lambda: one.write([Change(released=KEYS[:1], most=MOST)], "r"), fail])
        assert one.ledger.requests("r") == {"sent": 1}
        assert take(other, KEYS[:1], KEYS[1:2]) == [False, True]
        assert take(one, KEYS[1:2], KEYS[2:3]) == [False, True]
        one.transact([lambda: one.write([Change(released=KEYS[:1], most=MOST, cost=Cost(3, 0))], "r")])
        assert one.ledger.requests("r") == {"sent": 2, "settled": 1}
        assert one.ledger.spent("r") == Cost(23, 2)
        assert take(other, KEYS[:1]) == [True]
