"""Which samples are being asked for right now, and by which process, so that no two ask for the same.

    claimed    id   owner   run    keys
               17   a81e    3f9c   9f2c... 04d1... ...      # 16 bytes for each sample of the requests sent together

A process remembers its own claims and those of others, and reads the others' again when another process has written. A
claim ends with its process; what a dead process had claimed is exactly what it had under way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from understudy.teachers.database import Database

KEY_BYTES = 16
TABLES = """
DROP TABLE IF EXISTS claims;
CREATE TABLE IF NOT EXISTS claimed (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, run TEXT NOT NULL, keys BLOB NOT NULL);
"""


class Claims:
    """The claims in a store; all methods belong into its `transact`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mine: dict[bytes, int] = {}
        self._rows: dict[int, set[bytes]] = {}  # of this process
        self._others: dict[bytes, str] = {}
        self._seen: int | None = None
        database.undone.append(self._forget)

    def _forget(self) -> None:
        """What is on disk may be something else than what is remembered."""
        self._seen = None

    def _look(self) -> None:
        """Remember what is on disk, if that may have changed."""
        changes = self._database.changes()
        if self._seen == changes:
            return
        whole, owner = self._seen is None, self._database.owner
        found = self._database.execute(
            "SELECT id, owner, keys FROM claimed WHERE ? OR owner != ?", (whole, owner)
        ).fetchall()
        self._others = {key: who for _, who, keys in found if who != owner for key in _split(keys)}
        if whole:
            self._rows = {id: set(_split(keys)) for id, who, keys in found if who == owner}
            self._mine = {key: id for id, keys in self._rows.items() for key in keys}
        self._seen = changes

    def owners_of(self, keys: Iterable[bytes]) -> set[str]:
        """The processes that have claimed any of `keys`, this one too, alive or dead."""
        self._look()
        mine, others = self._mine, self._others
        return {others.get(key, self._database.owner) for key in keys if key in others or key in mine}

    def take(self, run: str, asks: Sequence[Sequence[bytes]]) -> list[bool]:
        """Take it on to ask for the keys of each of `asks`; false where another process has claimed any of them."""
        self._look()
        free = [not self._others or self._others.keys().isdisjoint(keys) for keys in asks]
        new = {key for keys, mine in zip(asks, free, strict=True) if mine for key in keys}
        new.difference_update(self._mine)
        if new:
            id = self._database.execute(
                "INSERT INTO claimed (owner, run, keys) VALUES (?, ?, ?)", (self._database.owner, run, b"".join(new))
            ).lastrowid
            assert id is not None
            self._rows[id] = new
            self._mine.update(dict.fromkeys(new, id))
        return free

    def release(self, keys: Iterable[bytes]) -> None:
        """Let go what this process has claimed of `keys`."""
        if self._seen is None:
            self._look()
        touched = set()
        for key in keys:
            if (id := self._mine.pop(key, None)) is not None:
                self._rows[id].discard(key)
                touched.add(id)
        for id in touched:
            if left := self._rows[id]:
                self._database.execute("UPDATE claimed SET keys = ? WHERE id = ?", (b"".join(left), id))
            else:
                del self._rows[id]
                self._database.execute("DELETE FROM claimed WHERE id = ?", (id,))

    def owners(self) -> set[str]:
        """Who has claimed anything."""
        return {owner for (owner,) in self._database.execute("SELECT DISTINCT owner FROM claimed")}

    def count(self, run: str, owner: str) -> int:
        """How many samples a process has claimed for a run."""
        query = "SELECT coalesce(sum(length(keys)), 0) FROM claimed WHERE run = ? AND owner = ?"
        [(size,)] = self._database.execute(query, (run, owner))
        return int(size) // KEY_BYTES

    def abandon(self, owner: str) -> None:
        """Let go whatever a process has claimed."""
        self._database.execute("DELETE FROM claimed WHERE owner = ?", (owner,))
        self._forget()


def _split(keys: bytes) -> list[bytes]:
    return [keys[start : start + KEY_BYTES] for start in range(0, len(keys), KEY_BYTES)]
