"""The check that every row is accounted for, for any table that keeps the grain of what it is made of."""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from lakehouse_assets.storage.ledger import Ledger, PartitionRecord
from lakehouse_assets.storage.quarantine import Quarantine
from lakehouse_assets.storage.root import Root
from lakehouse_assets.storage.tables import newest_table, table_facts

ROW_ACCOUNTS = "row_accounts"
_DATES_SHOWN = 31


def row_accounts_spec(layer: str, table: str) -> dg.AssetCheckSpec:
    """The spec of the check `row_accounts` of a table."""
    return dg.AssetCheckSpec(
        ROW_ACCOUNTS,
        asset=dg.AssetKey([layer, table]),
        blocking=True,
        description="For every date, the rows that came in stand in the table, lie in quarantine, or were superseded.",
    )


def row_accounts_result(root: Root, layer: str, table: str) -> dg.AssetCheckResult:
    """Hold the ledger against the table's log and the quarantine, and see whether each date adds up."""
    records = sorted(Ledger(root).read(layer, table).values(), key=lambda r: r.date)
    opened = newest_table(root.table(layer, table))
    standing = table_facts(opened).rows_by_date if opened is not None else {}
    faults = account_faults(records, standing, Quarantine(root).by_date(layer, table))
    return dg.AssetCheckResult(
        passed=not faults,
        check_name=ROW_ACCOUNTS,
        asset_key=dg.AssetKey([layer, table]),
        description=" ".join(faults[:5]) or None,
        metadata={
            "dates": len(records),
            "unfinished": ", ".join(str(r.date) for r in records if r.is_begun),
            "rows_in": sum(r.rows_in or 0 for r in records),
            "rows_out": sum(r.rows_out for r in records),
            "rows_quarantined": sum(r.rows_quarantined for r in records),
            "rows_superseded": sum(r.rows_superseded for r in records),
            "latest_dates": dg.MetadataValue.md(accounts_table(records[-_DATES_SHOWN:])),
        },
    )


def account_faults(records: Sequence[PartitionRecord], standing: dict[date, int], quarantined: dict[date, int]) -> list[str]:
    """What is wrong with the accounts of a table, a sentence each; `standing` and `quarantined` are rows by date, as they lie."""
    faults = []
    # Of a partition that a step is changing, or was killed while it changed, nothing can be said until the next pass has built it.
    for r in (r for r in records if not r.is_begun):
        if not r.adds_up:
            faults.append(
                f"{r.date}: {r.rows_in} rows came in, but {r.rows_out} stand, {r.rows_quarantined} are in quarantine and "
                f"{r.rows_superseded} were superseded."
            )
        for what, recorded, found in (
            ("stand in the table", r.rows_out, standing.get(r.date, 0)),
            ("are in quarantine", r.rows_quarantined, quarantined.get(r.date, 0)),
        ):
            if recorded != found:
                faults.append(f"{r.date}: {found} rows {what}, the ledger says {recorded}.")
    known = {r.date for r in records}
    for what, found_by_date in (("stand in the table", standing), ("are in quarantine", quarantined)):
        faults += [
            f"{day}: {rows} rows {what}, of which the ledger knows nothing."
            for day, rows in sorted(found_by_date.items())
            if day not in known
        ]
    return faults


def accounts_table(records: Sequence[PartitionRecord]) -> str:
    """Row accounts as a Markdown table."""
    lines = ["| date | in | out | quarantined | superseded |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {r.date} | {'' if r.rows_in is None else r.rows_in} | {r.rows_out} | {r.rows_quarantined} | {r.rows_superseded} |"
        for r in records
    ]
    return "\n".join(lines)


def row_accounts_check(root: Root, layer: str, table: str) -> dg.AssetChecksDefinition:
    """The asset check `row_accounts` of one table."""

    @dg.multi_asset_check(name=f"{layer}__{table}__row_accounts", specs=[row_accounts_spec(layer, table)])
    def _check() -> dg.AssetCheckResult:
        return row_accounts_result(root, layer, table)

    return _check
