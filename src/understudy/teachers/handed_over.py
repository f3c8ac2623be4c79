"""The batches that a store knows of: what was handed over to be answered within a day, and where it is.

    batches      name   endpoint     run   attempt   owner   begun          file       remote
                 5f0c   openai ...   r     17        a81e    1795000000.0   file-abc   batch_abc
    batched      the requests that a batch still owes an answer to; batch_keys: the samples that they ask for

A batch outlives its process: whoever opens the store next looks after it. How an endpoint is asked is no matter of this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from understudy.records import Json
from understudy.teachers.ledger import Cost
from understudy.teachers.packing import packed, unpacked
from understudy.teachers.store import Store


@dataclass(frozen=True, slots=True)
class Pending:
    """A batch that was handed over, or is about to be.

    Attributes:
        name: ours; the endpoint is told it.
        run, attempt: which run's, and the number of its row among the costs.
        begun: when, in seconds since 1970.
        file, remote: what the endpoint calls the file with its requests and the batch; "" until that is known.
    """

    name: str
    run: str
    attempt: int
    begun: float
    file: str = ""
    remote: str = ""


class HandedOver:
    """The batches of a store; the methods that write belong into its `transact`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def note(self, endpoint: str, batch: Pending, rows: Mapping[str, tuple[Sequence[bytes], Json]]) -> None:
        """Note a batch before it is sent: the keys that each of its requests, by its id, asks for, and what it is."""
        self._store.execute(
            "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, '', '')",
            (batch.name, endpoint, batch.run, batch.attempt, self._store.owner, batch.begun),
        )
        self._store.executemany(
            "INSERT INTO batched VALUES (?, ?, ?)", [(batch.name, id, packed(row)) for id, (_, row) in rows.items()]
        )
        self._store.executemany(
            "INSERT INTO batch_keys VALUES (?, ?)", [(key, batch.name) for keys, _ in rows.values() for key in keys]
        )

    def is_asked(self, keys: Sequence[bytes]) -> bool:
        """Whether a batch is asking for any of `keys`, or a process that lives."""
        marks = ",".join("?" * len(keys))
        if self._store.execute(f"SELECT 1 FROM batch_keys WHERE key IN ({marks}) LIMIT 1", keys).fetchone():
            return True
        return any(map(self._store.lives, self._store.claims.owners_of(keys)))

    def of(self, endpoint: str) -> list[Pending]:
        """The batches of an endpoint that are not done."""
        with self._store.reading():
            rows = self._store.execute(
                "SELECT name, run, attempt, begun, file, remote FROM batches WHERE endpoint = ? ORDER BY begun",
                (endpoint,),
            ).fetchall()
        return [Pending(*row) for row in rows]

    def take(self, batch: str) -> bool:
        """Take it on to look after a batch; false if another process does, or it is done."""
        found = self._store.execute("SELECT owner FROM batches WHERE name = ?", (batch,)).fetchone()
        if found is None or (found[0] != self._store.owner and self._store.lives(found[0])):
            return False
        self._store.execute("UPDATE batches SET owner = ? WHERE name = ?", (self._store.owner, batch))
        return True

    def locate(self, batch: str, file: str = "", remote: str = "") -> None:
        """Note what the endpoint calls a batch's file, and the batch."""
        self._store.execute("UPDATE batches SET file = ?, remote = ? WHERE name = ?", (file, remote, batch))

    def requests(self, batch: str) -> Iterator[tuple[str, Json]]:
        """The requests of a batch that are left, by their ids."""
        with self._store.reading():
            rows = self._store.execute("SELECT id, row FROM batched WHERE batch = ? ORDER BY id", (batch,)).fetchall()
        return ((id, unpacked(row)) for id, row in rows)

    def drop(self, batch: Pending, id: str, keys: Sequence[bytes], less: Cost) -> None:
        """A request of a batch has ended and cost `less` than it might have."""
        self._store.execute("DELETE FROM batched WHERE batch = ? AND id = ?", (batch.name, id))
        marks = ",".join("?" * len(keys))
        self._store.execute(f"DELETE FROM batch_keys WHERE key IN ({marks})", keys)
        self._store.ledger.lower(batch.attempt, less)

    def end(self, batch: Pending) -> None:
        """A batch is done."""
        self._store.ledger.end(batch.attempt)
        self._store.execute("DELETE FROM batches WHERE name = ?", (batch.name,))
