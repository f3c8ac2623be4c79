"""How relatives of relatives are related: a small calculus for the task `kinfolk`. Blood only, no marriages.

A relation of A to B says how to walk from B to A: so many generations up, then so many down.

    up, down   0, 1   0, 2        1, 0    1, 1     1, 2    2, 0         2, 1   2, 2    ...
    A is B's   child  grandchild  parent  sibling  nephew  grandparent  uncle  cousin

Taken to hold in every family: brothers and sisters share both parents, nobody is related to anybody in two ways, and
different names are different people. Under that, `compose` gives a relation only where it must hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Relation(NamedTuple):
    """A's place seen from B: `up` generations to where their lines meet, and `down` from there; never both 0."""

    up: int
    down: int

    @property
    def inverse(self) -> Relation:
        """The relation of B to A."""
        return Relation(self.down, self.up)


WORDS: Mapping[Relation, tuple[str, str]] = {
    Relation(1, 0): ("mother", "father"),
    Relation(0, 1): ("daughter", "son"),
    Relation(1, 1): ("sister", "brother"),
    Relation(2, 0): ("grandmother", "grandfather"),
    Relation(0, 2): ("granddaughter", "grandson"),
    Relation(2, 1): ("aunt", "uncle"),
    Relation(1, 2): ("niece", "nephew"),
    Relation(2, 2): ("cousin", "cousin"),
    Relation(3, 0): ("great-grandmother", "great-grandfather"),
    Relation(0, 3): ("great-granddaughter", "great-grandson"),
}
"""The relations there are words for: for a woman, for a man."""

SIBLING = Relation(1, 1)


def compose(first: Relation, second: Relation) -> Relation | None:
    """The relation of A to C, if A is `first` to B, B is `second` to C, and the three are different people.

    None if it need not be the same in every family, or if there is no word for it.
    """
    found = _walked(first, second)
    return found if found in WORDS else None


def _walked(first: Relation, second: Relation) -> Relation | None:
    """From C `second.up` generations up and `second.down` down to B, then `first.up` up and `first.down` down to A."""
    (up, down), (up_before, down_before) = first, second
    if up == 0 and down_before > 0:  # down all the way
        return Relation(up_before, down_before + down)
    if down_before == 0 and up > 0:  # up all the way, then down another line, else A were nearer to B
        return Relation(up_before + up, down)
    if down_before == 0:  # up to B and down again: the child of a parent is a sibling, further down it may be C's line
        return SIBLING if (up_before, down) == (1, 1) else None
    if up == 1 and down > 0 and (up_before == 0 or down_before > 1):  # a sibling's line of someone who is not on C's
        return Relation(up_before, down_before + down - 1)
    if down_before == 1 and up_before > 0:  # B's parents are those above C on C's own line
        if down == 0:
            return Relation(up_before + up - 1, 0)
        if up_before == 1 and (up > 1 or down == 1):  # a sibling shares the ancestors, and is shared by the siblings
            return first
    return None  # B's other parent may lead elsewhere
