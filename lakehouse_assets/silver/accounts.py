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
from lakehouse_assets.contracts.provenance import DATE_COLUMN, FILE
from lakehouse_assets.contracts.system import Input, SilverTable
from lakehouse_assets.delta.duck import files_view
from lakehouse_assets.delta.handlers import Target
from lakehouse_assets.delta.tables import files_predicate, files_with, table_facts
from lakehouse_assets.silver.additions import ToBuild
from lakehouse_assets.silver.fingerprints import RawRecords, with_waiting
from lakehouse_assets.silver.stage import MOST_EXAMPLES

if TYPE_CHECKING:
    import duckdb


def rows_in(
    connection: "duckdb.DuckDBPyConnection",
    table: SilverTable,
    target: Target,
    records: RawRecords,
    raw: Mapping[str, DeltaTable],
    to_build: ToBuild,
) -> dict[date, int]:
    """Count the incoming rows of each date: the rows of raw or, for an input with `each`, the items of its lists.

    A date to which files were added has those of its record, and those of the added files.
    """
    counts = {day: added.before.rows_in or 0 for day, added in to_build.additions.items()} | dict.fromkeys(to_build.whole, 0)
    for given in table.inputs:
        name, opened = given.feed.table, raw.get(given.feed.table)
        if given.each is None or opened is None:
            feed_counts = {day: r.rows_out for day, r in records.get(name, {}).items() if day in to_build.whole}
            feed_counts |= {day: sum(added.files.get(name, {}).values()) for day, added in to_build.additions.items()}
        else:
            wanted = to_build.files(name)
            files = files_with(opened, FILE, wanted)
            files_view(connection, "lists", target.root.table("raw", name), files, {given.each: "string", FILE: "string"})
            feed_counts = _items(connection, given, wanted)
        for day in counts.keys() & feed_counts.keys():
            counts[day] += feed_counts[day]
    return counts


def _items(
    connection: "duckdb.DuckDBPyConnection", given: Input, files: Mapping[date, Collection[str] | None]
) -> dict[date, int]:
    """Count the items of the lists in the view `lists`, by date, in the given files; a value that is not a list counts as one."""
    text = f'trim("{given.each}")'
    is_list = f"json_valid({text}) AND {text} LIKE '[%'"
    items = f"CASE WHEN coalesce({text}, '') = '' THEN 0 WHEN {is_list} THEN json_array_length({text}) ELSE 1 END"
    wanted = files_predicate({day: None if names is None else set(names) for day, names in files.items()}, DATE_COLUMN, FILE)
    counted = connection.execute(
        f"SELECT {DATE_COLUMN}, CAST(sum({items}) AS BIGINT) FROM lists WHERE {wanted or 'FALSE'} GROUP BY ALL"
    )
    return dict(counted.fetchall())


def built_records(
    target: Target,
    came_in: Mapping[date, int],
    hits: Mapping[date, list[RuleHits]],
    batches: Mapping[date, list[str]],
    waiting: Mapping[date, str],
    inputs: list[InputVersion],
    committed: DeltaTable,
    built: ToBuild,
) -> list[PartitionRecord]:
    """Return the records of the built partitions, at the committed version. `hits` are those of the staged rows."""
    live = table_facts(committed).rows_by_date
    superseded = superseded_rows_by_date(target.root, target.layer, target.name, committed)
    assert superseded is not None, "the commit lists them"
    quarantined = Quarantine(target.root).counted(
        target.layer, target.name, {name for names in batches.values() for name in names}
    )
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
            rules=_added(built.additions[day].before.rules, hits.get(day, [])) if day in built.additions else hits.get(day, []),
            inputs=inputs,
            batches=batches.get(day, []),
            sources=built.sources[day],
        )
        for day, fingerprint in sorted(built.fingerprints.items())
    ]


def _added(before: list[RuleHits], new: list[RuleHits]) -> list[RuleHits]:
    """Return the rule hits of a date to which files were added: those before and those of the added rows."""
    hits = {hit.rule: hit for hit in before}
    for hit in new:
        known = hits.get(hit.rule, RuleHits(hit.rule, 0))
        hits[hit.rule] = RuleHits(hit.rule, known.rows + hit.rows, [*known.examples, *hit.examples][:MOST_EXAMPLES])
    return [hits[rule] for rule in sorted(hits)]


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
