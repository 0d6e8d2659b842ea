"""Checks the ledger's records against the tables: which of them describe their partitions, and which don't.

A table's log decides. A record names the table by its id and a partition's files by a hash, and counts only if both match the log
now. So the order in which table and ledger were written doesn't matter. A step that was killed in between or overtaken by
another, a table that was lost, replaced or restored: each leaves a record that does not match, and the partition is built again.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from deltalake import DeltaTable

from lakehouse_assets.books.ledger import UNVERIFIED, Ledger, PartitionRecord, Records
from lakehouse_assets.books.quarantine import Quarantine
from lakehouse_assets.books.set_aside import SetAside, listed_set_aside
from lakehouse_assets.delta.tables import newest_table, paths_and_dates
from lakehouse_assets.store.root import Root


def table_id(table: DeltaTable | None) -> str:
    """The id of a table. A table that was created again in its place has another one. Empty if there is no table."""
    return "" if table is None else str(table.metadata().id)


def contents(root: Root, layer: str, name: str, table: DeltaTable | None) -> Mapping[date, str]:
    """For each partition of the open version, a hash of its files and of its rows set aside. Empty partitions have no entry."""
    if table is None:
        return {}
    aside = listed_set_aside(root, layer, name, table) if layer == "silver" else None  # no other layer sets rows aside
    state = *paths_and_dates(table), aside
    uri = root.table(layer, name)
    known = _known_contents.get(uri)
    # Not by version: a table that was restored reaches the same version again with other files.
    if known is None or known[0] != state:
        _known_contents[uri] = known = state, _hashes(*state)
    return known[1]


_State = tuple[list[str], list[date], SetAside | None]

_known_contents: dict[str, tuple[_State, dict[date, str]]] = {}
"""By table: the last state of which this process has computed the contents, and these."""


def _hashes(paths: Sequence[str], dates: Sequence[date], aside: SetAside | None) -> dict[date, str]:
    """The contents of each partition, see `contents`."""
    parts: dict[date, list[str]] = {}
    for path, day in zip(paths, dates, strict=True):
        parts.setdefault(day, []).append(path)
    for batch in aside.batches if aside is not None else ():
        for day, rows in batch.rows.items():
            parts.setdefault(day, []).append(f"{batch.name}: {rows} {batch.reason}")
    return {day: hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()[:16] for day, texts in parts.items()}


def verified(
    root: Root,
    layer: str,
    name: str,
    table: DeltaTable | None,
    records: Mapping[date, PartitionRecord],
    rows_quarantined: Mapping[date, int] | None = None,
) -> dict[date, PartitionRecord]:
    """The records of a table by date. Those that don't match the open version become unverified, with its id and contents.

    Partitions that have contents but no record get an unverified record. `rows_quarantined` are the rows of the records' batches, if
    the caller has counted them.
    """
    actual_id, actual_contents = table_id(table), contents(root, layer, name, table)
    # Rows are counted, not versions compared: a restored quarantine would reach the same version again, with other rows.
    quarantined = rows_quarantined if rows_quarantined is not None else Quarantine(root).counted(layer, name, batches(records))

    def matches(record: PartitionRecord) -> bool:
        actual = actual_id, actual_contents.get(record.date, ""), quarantined.get(record.date, 0)
        return (record.table_id, record.content, record.rows_quarantined) == actual

    unrecorded = {
        day: PartitionRecord(layer, name, day, 0, 0, 0, 0, -1, "", UNVERIFIED) for day in actual_contents.keys() - records.keys()
    }
    return {
        day: record
        if day in records and matches(record)
        else replace(record, fingerprint=UNVERIFIED, table_id=actual_id, content=actual_contents.get(day, ""))
        for day, record in {**records, **unrecorded}.items()
    }


def batches(records: Mapping[date, PartitionRecord]) -> set[str]:
    """The batches of rows in quarantine that some records name."""
    return {batch for record in records.values() for batch in record.batches}


def verified_tables(root: Root, tables: Mapping[tuple[str, str], DeltaTable | None], records: Records) -> Records:
    """Do the same as `verified` for several open tables, with one query for the rows that are in quarantine."""
    by_table: dict[tuple[str, str], dict[date, PartitionRecord]] = {key: {} for key in tables}
    for (layer, name, day), record in records.items():
        if (layer, name) in by_table:
            by_table[layer, name][day] = record
    quarantined = Quarantine(root).counted_by_table({key: batches(table_records) for key, table_records in by_table.items()})
    return {
        (*key, day): record
        for key, table in tables.items()
        for day, record in verified(root, *key, table, by_table[key], quarantined[key]).items()
    }


def read_books(root: Root, tables: Iterable[tuple[str, str]], *, brief: bool = False) -> Records:
    """The records of some tables, each verified against the table's current version. `brief` leaves out `files` and `rules`."""
    records = Ledger(root).read(brief=brief)
    # Quarantine and tables are opened after the ledger is read: a step that ends in between can make a record look outdated, but never
    # an outdated one look current.
    return verified_tables(root, {key: newest_table(root.table(*key)) for key in tables}, records)


def record_partitions(
    root: Root,
    layer: str,
    committed: Mapping[str, DeltaTable],
    records_after: Callable[[Records], Sequence[PartitionRecord]],
    run_id: str,
) -> list[PartitionRecord]:
    """Record partitions of some tables as a step has committed them. Returns the records that were written.

    `committed` holds the tables, opened at the committed versions. `records_after` computes the new records from the current
    ones. Quarantine batches that only replaced records named are removed. A partition that another step has changed since is left
    to that step's record: ours would be outdated.
    """
    ids = {name: table_id(table) for name, table in committed.items()}
    committed_contents = {name: contents(root, layer, name, table) for name, table in committed.items()}

    def decide(current: Records) -> list[PartitionRecord]:
        newest = {name: newest_table(root.table(layer, name)) for name in committed}
        newest_contents = {n: contents(root, layer, n, t) if table_id(t) == ids[n] else None for n, t in newest.items()}
        records = []
        for record in records_after(current):
            name, content = record.table_name, committed_contents[record.table_name].get(record.date, "")
            table_contents = newest_contents[name]
            if table_contents is not None and table_contents.get(record.date, "") == content:
                records.append(replace(record, table_id=ids[name], content=content))
        return records

    written, before = Ledger(root).record(layer, committed, decide, run_id)
    for name in committed:
        new = [r for r in written if r.table_name == name]
        replaced = {batch for r in new if (layer, name, r.date) in before for batch in before[layer, name, r.date].batches}
        Quarantine(root).remove(layer, name, replaced - {batch for r in new for batch in r.batches}, run_id)
    return written
