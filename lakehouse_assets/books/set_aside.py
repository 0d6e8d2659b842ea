"""Rows that are set aside: kept beside the table, but not part of it.

A superseded row lost to another row of its key, or to a tombstone. A waiting row has no partner yet. A dropped row is kept only
if its key matters: a complete delivery that names a key does not delete it, even if the row is bad.

The rows are in Parquet files below the table's folder that Delta does not know. Each commit names a list of those that count, in
Delta's `txn` action, which checkpoints keep. So each version of the table has its own list, and a kill can't separate the two.
That makes late, missing and deleted rows come out right: an older row of a key is restored from here, a tombstone waits for the
row that it deletes, a waiting row for its partner.
"""

import json
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import obstore
from deltalake.transaction import Transaction

from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.delta.duck import rows_of_files
from lakehouse_assets.delta.statistics import Bounds
from lakehouse_assets.delta.tables import sql_date, sql_text
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    from deltalake import DeltaTable

BATCH, LANDED = "_batch", "_landed"
"""Columns of the files: the batch and the date of a row. A file holds rows of many dates, so its path can't name the date."""

SUPERSEDED, WAITING, DROPPED = "superseded", "waiting", "dropped"
"""Why a row is set aside."""

_APPLICATION = "lakehouse.superseded"
_FOLDER = "_superseded"
"""The folder of the lists, below a table's folder. Delta ignores names with a leading `_`."""

Deliveries = dict[str, frozenset[date]]
"""By feed: the dates of the complete deliveries that delete the keys missing from them."""


TableVersion = tuple[str, int]
"""The Delta id of a table, "" if it does not exist, and its version."""


@dataclass(frozen=True)
class Batch:
    """Rows that were set aside together, for one reason: files (relative to the table), and rows by date that still count.

    `bounds` are those of key columns by file, where they are known.
    """

    name: str
    files: tuple[str, ...]
    rows: Mapping[date, int]
    reason: str = SUPERSEDED
    bounds: Mapping[str, Mapping[str, Bounds]] = field(default_factory=dict)


@dataclass(frozen=True)
class SetAside:
    """All rows that are set aside in one version of a table. The rows of a date are in one or a few batches.

    `deliveries` are the complete deliveries whose missing keys are deleted in that version. `judged_with` are the versions of other
    tables that decide which rows wait, for the table as a whole (see `TableVersion`); empty if dates were judged with several.
    """

    batches: tuple[Batch, ...] = ()
    deliveries: Deliveries = field(default_factory=dict)
    judged_with: Mapping[str, TableVersion] = field(default_factory=dict)

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

    @property
    def count(self) -> int:
        """How many rows are set aside."""
        return sum(self.rows_by_date.values())

    def with_reason(self, *reasons: str) -> "SetAside":
        """The rows that are set aside for one of the reasons."""
        return SetAside(tuple(batch for batch in self.batches if batch.reason in reasons), self.deliveries)

    def of(self, dates: Collection[date]) -> "SetAside":
        """The rows of some dates."""
        return self._where(lambda day: day in dates)

    def without(self, dates: Collection[date]) -> "SetAside":
        """The rows of all other dates."""
        return self._where(lambda day: day not in dates)

    def of_places(self, places: Collection[tuple[str, date]]) -> "SetAside":
        """The rows of some batches and dates, see `places`."""
        kept = (replace(b, rows={day: rows for day, rows in b.rows.items() if (b.name, day) in places}) for b in self.batches)
        return SetAside(tuple(batch for batch in kept if batch.rows), self.deliveries)

    def minus(self, other: "SetAside") -> "SetAside":
        """These rows without another's, which are some batches and dates of these."""
        taken = {(batch.name, batch.reason, day) for batch in other.batches for day in batch.rows}
        kept = (replace(b, rows={d: n for d, n in b.rows.items() if (b.name, b.reason, d) not in taken}) for b in self.batches)
        return SetAside(tuple(batch for batch in kept if batch.rows), self.deliveries)

    def __add__(self, other: "SetAside") -> "SetAside":
        feeds = self.deliveries.keys() | other.deliveries.keys()
        none: frozenset[date] = frozenset()
        deliveries = {feed: self.deliveries.get(feed, none) | other.deliveries.get(feed, none) for feed in feeds}
        return SetAside(self.batches + other.batches, deliveries)

    @property
    def places(self) -> list[tuple[str, date]]:
        """Batch and date of these rows. They select the rows in the files, by `_batch` and `_landed`."""
        return [(batch.name, day) for batch in self.batches for day in sorted(batch.rows)]

    @property
    def bounds(self) -> dict[str, Mapping[str, Bounds]]:
        """By file: the bounds of key columns, where they are known."""
        return {file: batch.bounds.get(file, {}) for batch in self.batches for file in batch.files}

    def with_files(self, files: Collection[str]) -> "SetAside":
        """The rows in some of the files."""
        batches = (replace(batch, files=tuple(file for file in batch.files if file in files)) for batch in self.batches)
        return SetAside(tuple(batch for batch in batches if batch.files), self.deliveries)

    def _where(self, keeps: Callable[[date], bool]) -> "SetAside":
        """The rows and deliveries of the dates for which `keeps` is true."""
        kept = (replace(b, rows={day: rows for day, rows in b.rows.items() if keeps(day)}) for b in self.batches)
        deliveries = {feed: frozenset(filter(keeps, days)) for feed, days in self.deliveries.items()}
        return SetAside(tuple(batch for batch in kept if batch.rows), deliveries)


def read_set_aside(root: Root, layer: str, name: str, table: "DeltaTable") -> SetAside | None:
    """The rows set aside in the open version. None if their list or a file is missing: the table is to be built again."""
    number = table.transaction_version(_APPLICATION)
    if number is None:
        return SetAside() if table.version() == 0 else None
    try:
        aside = _read(root, _path(layer, name, number))
    except FileNotFoundError:
        return None
    existing = {path for path, _ in root.files(f"{layer}/{name}/")} if aside.batches else set()
    # Another tool's clean-up may have deleted files that no Delta log names.
    return aside if all(f"{layer}/{name}/{file}" in existing for file in aside.files) else None


def write_set_aside(root: Root, layer: str, name: str, aside: SetAside) -> Transaction:
    """Write the list of the next version. Returns the `txn` action with which the commit names the list."""
    number = secrets.randbits(63)
    entries = [
        {
            "name": b.name,
            "files": b.files,
            "rows": {day.isoformat(): rows for day, rows in sorted(b.rows.items())},
            "reason": b.reason,
            "bounds": b.bounds,
        }
        for b in aside.batches
    ]
    deliveries = {feed: sorted(day.isoformat() for day in days) for feed, days in aside.deliveries.items()}
    listed = {"batches": entries, "deliveries": deliveries, "judged_with": aside.judged_with}
    obstore.put(root.store, _path(layer, name, number), json.dumps(listed).encode())
    return Transaction(_APPLICATION, number)


def delete_set_aside(root: Root, layer: str, name: str, transaction: Transaction) -> None:
    """Delete a list whose commit failed."""
    root.delete([_path(layer, name, transaction.version)])


def listed_set_aside(root: Root, layer: str, name: str, table: "DeltaTable") -> SetAside | None:
    """The rows that the open version's list names, whether or not their files exist; None if it has no list."""
    number = table.transaction_version(_APPLICATION)
    if number is None:
        return None
    try:
        return _read(root, _path(layer, name, number))
    except FileNotFoundError:
        return None


def rows_set_aside(
    uri: str, files: Collection[str], columns: Mapping[str, str], count: int, places: Collection[tuple[str, date]] | None = None
) -> str:
    """SQL, of DuckDB: `columns` (name to type) and `_date` of the rows in files of set-aside rows of the table at `uri`.

    It is all rows, or those of the batches and dates in `places`: a file may hold rows that no longer count. `count` is about how
    many rows it has.
    """
    rows = rows_of_files([f"{uri}/{path}" for path in files], {**columns, BATCH: "string", LANDED: "date"}, count)
    shown = ", ".join([*(f'"{column}"' for column in columns), f"{LANDED} AS {DATE_COLUMN}"])
    where = ""
    if places:
        listed = ", ".join(f"({sql_text(batch)}, {sql_date(day)})" for batch, day in places)
        where = f" SEMI JOIN (VALUES {listed}) AS places ({BATCH}, {LANDED}) USING ({BATCH}, {LANDED})"
    return f"SELECT {shown} FROM ({rows}){where}"


def superseded_rows_by_date(root: Root, layer: str, name: str, table: "DeltaTable") -> dict[date, int] | None:
    """How many rows of each date are superseded, by the open version's list; None if it has no list."""
    listed = listed_set_aside(root, layer, name, table)
    return None if listed is None else listed.with_reason(SUPERSEDED).rows_by_date


def old_lists(root: Root, layer: str, name: str, table: "DeltaTable", before: datetime) -> tuple[list[str], set[str]]:
    """Paths (below the root) of lists older than `before`, except the open version's, and all files of the other lists."""
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
    """Read a list."""
    return _parsed(bytes(obstore.get(root.store, path).bytes()))


@lru_cache(maxsize=128)
def _parsed(text: bytes) -> SetAside:
    """Parse a list. It is as long as there are dates with rows set aside, and changes only when its table does."""
    listed = json.loads(text)
    return SetAside(
        tuple(
            Batch(
                entry["name"],
                tuple(entry["files"]),
                {date.fromisoformat(day): rows for day, rows in entry["rows"].items()},
                entry.get("reason", SUPERSEDED),
                {
                    file: {column: (least, greatest) for column, (least, greatest) in columns.items()}
                    for file, columns in entry.get("bounds", {}).items()
                },
            )
            for entry in listed["batches"]
        ),
        {feed: frozenset(map(date.fromisoformat, days)) for feed, days in listed.get("deliveries", {}).items()},
        {name: (id_, version) for name, (id_, version) in listed.get("judged_with", {}).items()},
    )


def _path(layer: str, name: str, number: int) -> str:
    """The path of a list below the root."""
    return f"{layer}/{name}/{_FOLDER}/{number}.json"
