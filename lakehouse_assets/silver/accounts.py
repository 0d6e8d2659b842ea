"""Row accounts of silver: the figures of each partition after a commit.

Each figure is counted independently, never by subtraction: live rows from the table's log, superseded rows from their files,
quarantined rows in the quarantine table, incoming rows from the records of raw, items from the lists in raw.
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
    """Count the incoming rows of each date: the rows of raw or, for an input with `each`, the items of its lists."""
    counts = dict.fromkeys(dates, 0)
    for given in table.inputs:
        opened = raw.get(given.feed.table)
        if given.each is None or opened is None:
            feed_counts = {day: r.rows_out for day, r in records.get(given.feed.table, {}).items()}
        else:
            files = [f for f in live_files(opened) if f["date"] in counts]
            files_view(connection, "lists", target.root.table("raw", given.feed.table), files, {given.each: "string"})
            feed_counts = _items(connection, given)
        for day in counts.keys() & feed_counts.keys():
            counts[day] += feed_counts[day]
    return counts


def _items(connection: "duckdb.DuckDBPyConnection", given: Input) -> dict[date, int]:
    """Count the items of the lists in the view `lists`, by date; a value that is not a list counts as one."""
    text = f'trim("{given.each}")'
    is_list = f"json_valid({text}) AND {text} LIKE '[%'"
    items = f"CASE WHEN coalesce({text}, '') = '' THEN 0 WHEN {is_list} THEN json_array_length({text}) ELSE 1 END"
    counted = connection.execute(f"SELECT {DATE_COLUMN}, CAST(sum({items}) AS BIGINT) FROM lists GROUP BY ALL")
    return dict(counted.fetchall())


def built_records(
    target: Target,
    came_in: Mapping[date, int],
    hits: Mapping[date, list[RuleHits]],
    batches: Mapping[date, str],
    waiting: Mapping[date, str],
    inputs: list[InputVersion],
    committed: DeltaTable,
    built: Mapping[date, str],
) -> list[PartitionRecord]:
    """Return the records of the built partitions, at the committed version. `built` has their fingerprints."""
    live = table_facts(committed).rows_by_date
    superseded = superseded_rows_by_date(target.root, target.layer, target.name, committed)
    assert superseded is not None, "the commit lists them"
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
        for day, fingerprint in sorted(built.items())
    ]


def touched_records(
    target: Target,
    before: DeltaTable,
    committed: DeltaTable,
    built: Collection[date],
    known: Mapping[date, PartitionRecord],
) -> list[PartitionRecord]:
    """Return updated records of the `known` partitions that the commit changed without building them.

    A record that did not match the version before the commit is left as it is: its partition is built again later.
    """
    content_before = contents(target.root, target.layer, target.name, before)
    content_after = contents(target.root, target.layer, target.name, committed)
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
        if day not in built
        and content_before.get(day, "") != content_after.get(day, "")
        and record.content == content_before.get(day, "")
    ]
