"""The superseded rows of a table: those that landed and passed, but in whose place another row of their key stands, or a tombstone.

They lie in Parquet files below the table's folder that are not part of the table. Which of them count belongs to a commit as much as
the table's own files do: each commit names a list of them, in Delta's `txn` action, which checkpoints keep. So whoever opens a version
of the table knows both, and a kill can't part them. Superseded rows are what makes late, vanished and deleted rows come out right: an
older version of a key comes back from here, and a tombstone waits here for what it deletes.
"""

import json
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

import obstore
from deltalake.transaction import Transaction

from lakehouse_assets.storage.root import Root

if TYPE_CHECKING:
    from deltalake import DeltaTable

BATCH, LANDED = "_batch", "_landed"
"""Columns of the files: the batch and the date of a row. A file holds rows of many dates, and they can't be told from its path."""

_APPLICATION = "lakehouse.superseded"
_FOLDER = "_superseded"
"""Where the lists lie below a table's folder. Delta leaves names with a leading `_` alone."""


@dataclass(frozen=True)
class Batch:
    """Superseded rows that were written at once: the files, relative to the table, and the rows by date that count still."""

    name: str
    files: tuple[str, ...]
    rows: dict[date, int]


@dataclass(frozen=True)
class Superseded:
    """All superseded rows that go with one version of a table. Each date's lie in one batch or a few."""

    batches: tuple[Batch, ...] = ()

    @property
    def files(self) -> list[str]:
        """The files, relative to the table."""
        return [file for batch in self.batches for file in batch.files]

    @property
    def rows_by_date(self) -> dict[date, int]:
        """How many rows of each date are superseded."""
        rows: dict[date, int] = {}
        for batch in self.batches:
            for day, count in batch.rows.items():
                rows[day] = rows.get(day, 0) + count
        return rows

    def of(self, dates: Collection[date]) -> "Superseded":
        """Those of some dates."""
        return self._where(lambda day: day in dates)

    def without(self, dates: Collection[date]) -> "Superseded":
        """Those of all other dates."""
        return self._where(lambda day: day not in dates)

    def __add__(self, other: "Superseded") -> "Superseded":
        return Superseded(self.batches + other.batches)

    @property
    def places(self) -> list[tuple[str, date]]:
        """The batch and date of these rows: what tells them among all of the files, by `_batch` and `_landed`."""
        return [(batch.name, day) for batch in self.batches for day in sorted(batch.rows)]

    def _where(self, wanted: Callable[[date], bool]) -> "Superseded":
        kept = (Batch(b.name, b.files, {day: rows for day, rows in b.rows.items() if wanted(day)}) for b in self.batches)
        return Superseded(tuple(batch for batch in kept if batch.rows))


def read_superseded(root: Root, layer: str, name: str, table: "DeltaTable") -> Superseded | None:
    """The superseded rows of the version that is open. None where nothing is known of them: the table is to be built again."""
    number = table.transaction_version(_APPLICATION)
    if number is None:
        return Superseded() if table.version() == 0 else None
    try:
        found = _read(root, _path(layer, name, number))
    except FileNotFoundError:
        return None
    there = {path for path, _ in root.files(f"{layer}/{name}/")} if found.batches else set()
    # Somebody else's clean-up may have taken what no Delta log names.
    return found if all(f"{layer}/{name}/{file}" in there for file in found.files) else None


def write_superseded(root: Root, layer: str, name: str, superseded: Superseded) -> Transaction:
    """Write the list of a version to come; what to give the commit so that it names the list."""
    number = secrets.randbits(63)
    entries = [
        {"name": b.name, "files": b.files, "rows": {day.isoformat(): rows for day, rows in sorted(b.rows.items())}}
        for b in superseded.batches
    ]
    obstore.put(root.store, _path(layer, name, number), json.dumps({"batches": entries}).encode())
    return Transaction(_APPLICATION, number)


def delete_superseded(root: Root, layer: str, name: str, transaction: Transaction) -> None:
    """Take a list back that no commit has come to name."""
    root.delete([_path(layer, name, transaction.version)])


def listed_superseded(root: Root, layer: str, name: str, table: "DeltaTable") -> Superseded | None:
    """The superseded rows that the open version names, whether or not their files are there; None where it names none."""
    number = table.transaction_version(_APPLICATION)
    if number is None:
        return None
    try:
        return _read(root, _path(layer, name, number))
    except FileNotFoundError:
        return None


def superseded_rows_by_date(root: Root, layer: str, name: str, table: "DeltaTable") -> dict[date, int] | None:
    """How many rows of each date are superseded by the list that the open version names; None where it names none."""
    listed = listed_superseded(root, layer, name, table)
    return None if listed is None else listed.rows_by_date


def old_lists(root: Root, layer: str, name: str, table: "DeltaTable", before: datetime) -> tuple[list[str], set[str]]:
    """The lists that are older than a moment and not the open version's, by path below the root; and all files that the others name."""
    number = table.transaction_version(_APPLICATION)
    current = None if number is None else _path(layer, name, number)
    old: list[str] = []
    named: set[str] = set()
    for meta in (meta for batch in obstore.list(root.store, prefix=f"{layer}/{name}/{_FOLDER}") for meta in batch):
        if meta["path"] != current and meta["last_modified"] <= before:
            old.append(meta["path"])
        else:
            named |= set(_read(root, meta["path"]).files)
    return old, named


def _read(root: Root, path: str) -> Superseded:
    listed = json.loads(bytes(obstore.get(root.store, path).bytes()))
    return Superseded(
        tuple(
            Batch(entry["name"], tuple(entry["files"]), {date.fromisoformat(day): rows for day, rows in entry["rows"].items()})
            for entry in listed["batches"]
        )
    )


def _path(layer: str, name: str, number: int) -> str:
    return f"{layer}/{name}/{_FOLDER}/{number}.json"
