"""Rows that are set aside: those that passed the rules but are not part of the table.

A superseded row lost to another row of its key, or to a tombstone. A waiting row has no partner yet. A dropped row is kept here only
where its key matters: a complete delivery that names a key does not delete it, even if the row is bad.

They lie in Parquet files below the table's folder that Delta knows nothing of. Which of them count belongs to a commit as much as the
table's own files do: each commit names a list of them, in Delta's `txn` action, which checkpoints keep. So whoever opens a version of
the table knows both, and a kill can't part them. So late, vanished and deleted rows come out right: an older row of a key
comes back from here, a tombstone waits for what it deletes, a waiting row for its partner.
"""

import json
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

import obstore
from deltalake.transaction import Transaction

from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    from deltalake import DeltaTable

BATCH, LANDED = "_batch", "_landed"
"""Columns of the files: the batch and the date of a row. A file holds rows of many dates, and they can't be told from its path."""

SUPERSEDED, WAITING, DROPPED = "superseded", "waiting", "dropped"
"""Why a row is set aside."""

_APPLICATION = "lakehouse.superseded"
_FOLDER = "_superseded"
"""Where the lists lie below a table's folder. Delta leaves names with a leading `_` alone."""

Deliveries = dict[str, frozenset[date]]
"""By feed: the dates of the complete deliveries that delete what they lack."""


@dataclass(frozen=True)
class Batch:
    """Rows that were set aside at once, for one reason: the files, relative to the table, and the rows by date that still count."""

    name: str
    files: tuple[str, ...]
    rows: Mapping[date, int]
    reason: str = SUPERSEDED


@dataclass(frozen=True)
class SetAside:
    """All rows that are set aside with one version of a table. Each date's lie in one batch or a few.

    `deliveries` are the complete deliveries whose missing keys are deleted in that version.
    """

    batches: tuple[Batch, ...] = ()
    deliveries: Deliveries = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """The files, relative to the table."""
        return [file for batch in self.batches for file in batch.files]

    @property
    def rows_by_date(self) -> dict[date, int]:
        """How many rows of each date are set aside."""
        rows: dict[date, int] = {}
        for batch in self.batches:
            for day, count in batch.rows.items():
                rows[day] = rows.get(day, 0) + count
        return rows

    def with_reason(self, *reasons: str) -> "SetAside":
        """Those that are set aside for one of the reasons."""
        return SetAside(tuple(batch for batch in self.batches if batch.reason in reasons), self.deliveries)

    def of(self, dates: Collection[date]) -> "SetAside":
        """Those of some dates."""
        return self._where(lambda day: day in dates)

    def without(self, dates: Collection[date]) -> "SetAside":
        """Those of all other dates."""
        return self._where(lambda day: day not in dates)

    def __add__(self, other: "SetAside") -> "SetAside":
        feeds = self.deliveries.keys() | other.deliveries.keys()
        nothing: frozenset[date] = frozenset()
        both = {feed: self.deliveries.get(feed, nothing) | other.deliveries.get(feed, nothing) for feed in feeds}
        return SetAside(self.batches + other.batches, both)

    @property
    def places(self) -> list[tuple[str, date]]:
        """The batch and date of these rows: what tells them among all of the files, by `_batch` and `_landed`."""
        return [(batch.name, day) for batch in self.batches for day in sorted(batch.rows)]

    def _where(self, wanted: Callable[[date], bool]) -> "SetAside":
        kept = (
            Batch(b.name, b.files, {day: rows for day, rows in b.rows.items() if wanted(day)}, b.reason) for b in self.batches
        )
        deliveries = {feed: frozenset(filter(wanted, days)) for feed, days in self.deliveries.items()}
        return SetAside(tuple(batch for batch in kept if batch.rows), deliveries)


def read_set_aside(root: Root, layer: str, name: str, table: "DeltaTable") -> SetAside | None:
    """The rows set aside with the version that is open. None where nothing is known of them: the table is to be built again."""
    number = table.transaction_version(_APPLICATION)
    if number is None:
        return SetAside() if table.version() == 0 else None
    try:
        found = _read(root, _path(layer, name, number))
    except FileNotFoundError:
        return None
    there = {path for path, _ in root.files(f"{layer}/{name}/")} if found.batches else set()
    # Somebody else's clean-up may have taken what no Delta log names.
    return found if all(f"{layer}/{name}/{file}" in there for file in found.files) else None


def write_set_aside(root: Root, layer: str, name: str, aside: SetAside) -> Transaction:
    """Write the list of a version to come; what to give the commit so that it names the list."""
    number = secrets.randbits(63)
    entries = [
        {
            "name": b.name,
            "files": b.files,
            "rows": {day.isoformat(): rows for day, rows in sorted(b.rows.items())},
            "reason": b.reason,
        }
        for b in aside.batches
    ]
    deliveries = {feed: sorted(day.isoformat() for day in days) for feed, days in aside.deliveries.items()}
    obstore.put(root.store, _path(layer, name, number), json.dumps({"batches": entries, "deliveries": deliveries}).encode())
    return Transaction(_APPLICATION, number)


def delete_set_aside(root: Root, layer: str, name: str, transaction: Transaction) -> None:
    """Take a list back that no commit has come to name."""
    root.delete([_path(layer, name, transaction.version)])


def listed_set_aside(root: Root, layer: str, name: str, table: "DeltaTable") -> SetAside | None:
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
    listed = listed_set_aside(root, layer, name, table)
    return None if listed is None else listed.with_reason(SUPERSEDED).rows_by_date


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


def _read(root: Root, path: str) -> SetAside:
    listed = json.loads(bytes(obstore.get(root.store, path).bytes()))
    return SetAside(
        tuple(
            Batch(
                entry["name"],
                tuple(entry["files"]),
                {date.fromisoformat(day): rows for day, rows in entry["rows"].items()},
                entry.get("reason", SUPERSEDED),
            )
            for entry in listed["batches"]
        ),
        {feed: frozenset(map(date.fromisoformat, days)) for feed, days in listed.get("deliveries", {}).items()},
    )


def _path(layer: str, name: str, number: int) -> str:
    return f"{layer}/{name}/{_FOLDER}/{number}.json"
