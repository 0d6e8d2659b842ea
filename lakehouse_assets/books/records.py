"""The books held against the tables: which records say how their partitions stand, and which don't.

A table's log decides. A record names the table by its id and a partition's files by a hash, and counts only where these are what the
log has now. So it makes no difference who wrote table and ledger in which order: a step that was killed in between, one that another
overtook, a table that was lost, replaced or restored, all end in a record that does not fit, and the partition is built again.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from deltalake import DeltaTable

from lakehouse_assets.books.ledger import UNVERIFIED, Ledger, PartitionRecord, Records
from lakehouse_assets.books.quarantine import Quarantine
from lakehouse_assets.books.set_aside import listed_set_aside
from lakehouse_assets.delta.tables import live_files, newest_table
from lakehouse_assets.store.root import Root


def table_id(table: DeltaTable | None) -> str:
    """What tells a table from one that was made anew in its place; empty where there is none."""
    return "" if table is None else str(table.metadata().id)


def contents(root: Root, layer: str, name: str, table: DeltaTable | None) -> dict[date, str]:
    """What each partition holds at the version that is open, as a hash of its files and of rows set aside; no entry where nothing."""
    if table is None:
        return {}
    parts: dict[date, list[str]] = {}
    for file in live_files(table):
        parts.setdefault(file["date"], []).append(file["path"])
    aside = listed_set_aside(root, layer, name, table)
    for batch in aside.batches if aside is not None else ():
        for day, rows in batch.rows.items():
            parts.setdefault(day, []).append(f"{batch.name}: {rows} {batch.reason}")
    return {day: hashlib.sha256("\n".join(sorted(of_day)).encode()).hexdigest()[:16] for day, of_day in parts.items()}


def verified(
    root: Root, layer: str, name: str, table: DeltaTable | None, records: Mapping[date, PartitionRecord]
) -> dict[date, PartitionRecord]:
    """The records of a table by date, unsettled where the open version is not what they speak of, also for dates without a record.

    An unsettled record names what the open version holds.
    """
    own_id, now = table_id(table), contents(root, layer, name, table)
    # Counted, because a quarantine that was put back reaches the version that a record would name again, with other rows.
    quarantined = Quarantine(root).counted(layer, name, {batch for r in records.values() for batch in r.batches})

    def fits(record: PartitionRecord) -> bool:
        held = own_id, now.get(record.date, ""), quarantined.get(record.date, 0)
        return (record.table_id, record.content, record.rows_quarantined) == held

    unknown = {day: PartitionRecord(layer, name, day, 0, 0, 0, 0, -1, "", UNVERIFIED) for day in now.keys() - records.keys()}
    return {
        day: record
        if day in records and fits(record)
        else replace(record, fingerprint=UNVERIFIED, table_id=own_id, content=now.get(day, ""))
        for day, record in {**records, **unknown}.items()
    }


def read_books(root: Root, tables: Iterable[tuple[str, str]], *, brief: bool = False) -> Records:
    """The records of some tables, each held against the table as it is now; `brief` ones without `files` and `rules`."""
    records = Ledger(root).read(brief=brief)
    by_table: dict[tuple[str, str], dict[date, PartitionRecord]] = {key: {} for key in tables}
    for (layer, name, day), record in records.items():
        if (layer, name) in by_table:
            by_table[layer, name][day] = record
    # The tables are opened after the ledger was read: a step that ends in between makes a record look old, never an old one look new.
    return {
        (layer, name, day): record
        for (layer, name), of_table in by_table.items()
        for day, record in verified(root, layer, name, newest_table(root.table(layer, name)), of_table).items()
    }


def record_partitions(
    root: Root,
    layer: str,
    committed: Mapping[str, DeltaTable],
    records_after: Callable[[Records], Sequence[PartitionRecord]],
    run_id: str,
) -> list[PartitionRecord]:
    """Record how partitions of some tables stand at the versions that are open, which a step has made; the records that were written.

    `records_after` gives them from those that stand, whose batches of rows in quarantine go where they are named no more. A partition
    that somebody has changed since is left to whoever did so: what was right of it is right no more.
    """
    ids = {name: table_id(table) for name, table in committed.items()}
    mine = {name: contents(root, layer, name, table) for name, table in committed.items()}

    def decide(known: Records) -> list[PartitionRecord]:
        newest = {name: newest_table(root.table(layer, name)) for name in committed}
        now = {n: contents(root, layer, n, table) if table_id(table) == ids[n] else None for n, table in newest.items()}
        found = []
        for record in records_after(known):
            name, content = record.table_name, mine[record.table_name].get(record.date, "")
            of_table = now[name]
            if of_table is not None and of_table.get(record.date, "") == content:
                found.append(replace(record, table_id=ids[name], content=content))
        return found

    written, known = Ledger(root).record(layer, committed, decide, run_id)
    for name in committed:
        ours = [r for r in written if r.table_name == name]
        replaced = {batch for r in ours if (layer, name, r.date) in known for batch in known[layer, name, r.date].batches}
        Quarantine(root).remove(layer, name, replaced - {batch for r in ours for batch in r.batches}, run_id)
    return written
