"""Row accounts of silver: how the rows of each partition stand after a commit.

Each figure is counted on its own, none by subtraction: live rows by the table's log, superseded ones by the files that hold them,
quarantined ones in the quarantine, rows that came in by the records of raw, items by the lists in raw.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from lakehouse_assets.books.ledger import InputVersion, PartitionRecord, RuleHits
from lakehouse_assets.books.quarantine import Quarantine
from lakehouse_assets.books.records import contents
from lakehouse_assets.books.set_aside import superseded_rows_by_date
from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.contracts.system import Input, SilverTable
from lakehouse_assets.delta.duck import files_view
from lakehouse_assets.delta.handlers import Target
from lakehouse_assets.delta.tables import live_files, table_facts
from lakehouse_assets.silver.fingerprints import RawRecords, with_waiting

if TYPE_CHECKING:
    import duckdb


def rows_in(
    connection: "duckdb.DuckDBPyConnection",
    table: SilverTable,
    target: Target,
    records: RawRecords,
    raw: Mapping[str, DeltaTable],
    dates: Collection[date],
) -> dict[date, int]:
    """How many rows come in on each of the dates: those of raw, for an input over items as many as its lists hold."""
    counts = dict.fromkeys(dates, 0)
    for given in table.inputs:
        opened = raw.get(given.feed.table)
        if given.each is None or opened is None:
            of_feed = {day: r.rows_out for day, r in records.get(given.feed.table, {}).items()}
        else:
            files = [f for f in live_files(opened) if f["date"] in counts]
            files_view(connection, "lists", target.root.table("raw", given.feed.table), files, {given.each: "string"})
            of_feed = _items(connection, given)
        for day in counts.keys() & of_feed.keys():
            counts[day] += of_feed[day]
    return counts


def _items(connection: "duckdb.DuckDBPyConnection", given: Input) -> dict[date, int]:
    """How many items the lists of the view `lists` hold by date; what is not a list counts as one."""
    text = f'trim("{given.each}")'
    is_list = f"json_valid({text}) AND {text} LIKE '[%'"
    items = f"CASE WHEN coalesce({text}, '') = '' THEN 0 WHEN {is_list} THEN json_array_length({text}) ELSE 1 END"
    counted = connection.execute(f"SELECT {DATE_COLUMN}, CAST(sum({items}) AS BIGINT) FROM lists GROUP BY ALL")
    return dict(counted.fetchall())


def published_records(
    target: Target,
    came_in: Mapping[date, int],
    hits: Mapping[date, list[RuleHits]],
    batches: Mapping[date, str],
    waiting: Mapping[date, str],
    inputs: list[InputVersion],
    committed: DeltaTable,
    published: Mapping[date, str],
) -> list[PartitionRecord]:
    """The records of the published partitions, whose fingerprints are given, at the version that published them."""
    live = table_facts(committed).rows_by_date
    superseded = superseded_rows_by_date(target.root, target.layer, target.name, committed)
    assert superseded is not None, "the commit names them"
    quarantined = Quarantine(target.root).counted(target.layer, target.name, set(batches.values()))
    return [
        PartitionRecord(
            layer=target.layer,
            table_name=target.name,
            date=day,
            rows_in=came_in[day],
            rows_out=live.get(day, 0),
            rows_quarantined=quarantined.get(day, 0),
            rows_superseded=superseded.get(day, 0),
            delta_version=committed.version(),
            run_id=target.run_id,
            fingerprint=with_waiting(fingerprint, waiting.get(day)),
            rules=hits.get(day, []),
            inputs=inputs,
            batches=[batches[day]] if day in batches else [],
        )
        for day, fingerprint in sorted(published.items())
    ]


def touched_records(
    target: Target,
    before: DeltaTable,
    committed: DeltaTable,
    published: Collection[date],
    known: Mapping[date, PartitionRecord],
) -> list[PartitionRecord]:
    """The records of other partitions whose rows the commit has changed, out of those that are `known`.

    A record that did not fit the version before the commit does not fit the one after it, and is left to be built again.
    """
    was = contents(target.root, target.layer, target.name, before)
    now = contents(target.root, target.layer, target.name, committed)
    live = table_facts(committed).rows_by_date
    superseded = superseded_rows_by_date(target.root, target.layer, target.name, committed) or {}
    return [
        replace(
            record,
            rows_out=live.get(day, 0),
            rows_superseded=superseded.get(day, 0),
            delta_version=committed.version(),
            run_id=target.run_id,
        )
        for day, record in sorted(known.items())
        if day not in published and was.get(day, "") != now.get(day, "") and record.content == was.get(day, "")
    ]
