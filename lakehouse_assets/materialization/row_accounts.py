"""The check that every row is accounted for, for any table that has the same grain as its inputs."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from lakehouse_assets.books.accounts import account_faults
from lakehouse_assets.books.ledger import Ledger, PartitionRecord
from lakehouse_assets.books.quarantine import Quarantine
from lakehouse_assets.books.set_aside import superseded_rows_by_date
from lakehouse_assets.delta.tables import newest_table, table_facts
from lakehouse_assets.materialization.presentation import table_metadata
from lakehouse_assets.retry import retried
from lakehouse_assets.store.errors import Unquoted
from lakehouse_assets.store.root import Root

ROW_ACCOUNTS = "row_accounts"
DATES_SHOWN = 31
FAULTS_TOLD = 5

_ATTEMPTS, _FIRST_PAUSE_SECONDS = 7, 0.1


def row_accounts_spec(layer: str, table: str) -> dg.AssetCheckSpec:
    """The spec of the check `row_accounts` of a table."""
    return dg.AssetCheckSpec(
        ROW_ACCOUNTS,
        asset=dg.AssetKey([layer, table]),
        blocking=True,
        description="For every date, each row that came in is in the table, in quarantine, or superseded.",
    )


def row_accounts_result(root: Root, layer: str, table: str, dates: Collection[date] | None) -> dg.AssetCheckResult:
    """Compare the ledger with the table's log and the quarantine, and check that each of the dates (None: all) adds up.

    A failing check is repeated for a while, because another writer may be between its commit and its record.
    """
    return retried(
        lambda: _result(root, layer, table, dates),
        attempts=_ATTEMPTS,
        first_pause=_FIRST_PAUSE_SECONDS,
        on_result=lambda result: not result.passed,
    )


def _result(root: Root, layer: str, table: str, dates: Collection[date] | None) -> dg.AssetCheckResult:
    records = {r.date: r for r in Ledger(root).read(layer, table, brief=True).values() if in_dates(r.date, dates)}
    opened = newest_table(root.table(layer, table))
    live = _rows_of_dates(table_facts(opened).rows_by_date if opened is not None else {}, dates)
    quarantined = Quarantine(root).counted(layer, table, {batch for r in records.values() for batch in r.batches})
    superseded = superseded_rows_by_date(root, layer, table, opened) if opened is not None else None
    faults = {
        day: account_faults(
            [records[day]] if day in records else [],
            _rows_of_dates(live, [day]),
            _rows_of_dates(quarantined, [day]),
            None if superseded is None else _rows_of_dates(superseded, [day]),
        )
        for day in sorted({*records, *live, *quarantined})
    }
    all_faults = [fault for day_faults in faults.values() for fault in day_faults]
    unfinished = [r.date for r in records.values() if r.is_unverified]
    return dg.AssetCheckResult(
        passed=not all_faults,
        check_name=ROW_ACCOUNTS,
        asset_key=dg.AssetKey([layer, table]),
        description=" ".join(all_faults[:FAULTS_TOLD]) or None,
        metadata={
            "dates": len(records),
            **({"unfinished": ", ".join(map(str, unfinished))} if unfinished else {}),
            "rows_in": sum(r.rows_in or 0 for r in records.values()),
            "rows_out": sum(r.rows_out for r in records.values()),
            "rows_quarantined": sum(r.rows_quarantined for r in records.values()),
            "rows_superseded": sum(r.rows_superseded for r in records.values()),
            **dates_table(
                ("in", "out", "quarantined", "superseded", "fault"),
                {day: (*_figures(records.get(day)), " ".join(day_faults)) for day, day_faults in faults.items()},
                failing=[day for day, day_faults in faults.items() if day_faults],
            ),
        },
    )


def row_accounts_check(root: Root, layer: str, table: str) -> dg.AssetChecksDefinition:
    """The asset check `row_accounts` of one table."""

    @dg.multi_asset_check(name=f"{layer}__{table}__row_accounts", specs=[row_accounts_spec(layer, table)])
    @Unquoted(root)
    def _check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        return row_accounts_result(root, layer, table, run_dates(context))

    return _check


def run_dates(context: dg.AssetCheckExecutionContext) -> frozenset[date] | None:
    """The dates of a check's run; None if it has none: then the check covers all dates."""
    if not context.run.is_partitioned:
        return None
    return frozenset(date.fromisoformat(key) for key in context.partition_keys)


def in_dates(day: date, dates: Collection[date] | None) -> bool:
    """Whether a date is one of the given dates. None means all dates."""
    return dates is None or day in dates


def dates_table(columns: Sequence[str], cells: Mapping[date, Sequence[object]], *, failing: Collection[date]) -> dict[str, Any]:
    """A check's results by date, as the metadata `by_date`: failing dates first, then newest first, and how many more there are."""
    ordered = sorted(cells, key=lambda day: (day not in failing, -day.toordinal()))
    lines = [(day, "fails" if day in failing else "passes", *cells[day]) for day in ordered[:DATES_SHOWN]]
    return table_metadata("by_date", ("date", "result", *columns), lines, len(ordered))


def _figures(record: PartitionRecord | None) -> tuple[int | None, ...]:
    if record is None:
        return (None,) * 4
    return record.rows_in, record.rows_out, record.rows_quarantined, record.rows_superseded


def _rows_of_dates(rows_by_date: Mapping[date, int], dates: Collection[date] | None) -> dict[date, int]:
    return {day: rows for day, rows in rows_by_date.items() if in_dates(day, dates)}
