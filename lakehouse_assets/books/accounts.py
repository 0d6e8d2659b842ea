"""Row accounts: whether every row of a partition is accounted for."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from lakehouse_assets.books.ledger import PartitionRecord


def account_faults(
    records: Sequence[PartitionRecord],
    live: dict[date, int],
    quarantined: dict[date, int],
    superseded: dict[date, int] | None = None,
) -> list[str]:
    """The faults in a table's row accounts, one sentence each.

    `live` (the table's live rows), `quarantined` and `superseded` are actual row counts by date. `superseded` is None for a
    table that does not keep superseded rows.
    """
    faults = []
    # An unverified partition is being changed by a step, or the step was killed. Its counts say nothing until the next pass
    # builds it.
    for r in (r for r in records if not r.is_unverified):
        if not r.adds_up:
            faults.append(
                f"{r.date}: {r.rows_in} rows came in, but {r.rows_out} are live, {r.rows_quarantined} are in quarantine and "
                f"{r.rows_superseded} were superseded."
            )
        for what, recorded, actual in (
            ("are in the table", r.rows_out, live.get(r.date, 0)),
            ("are in quarantine", r.rows_quarantined, quarantined.get(r.date, 0)),
            ("are kept as superseded", r.rows_superseded, r.rows_superseded if superseded is None else superseded.get(r.date, 0)),
        ):
            if recorded != actual:
                faults.append(f"{r.date}: {actual} rows {what}, the ledger says {recorded}.")
    recorded_dates = {r.date for r in records}
    for what, rows_by_date in (("are in the table", live), ("are in quarantine", quarantined)):
        faults += [
            f"{day}: {rows} rows {what}, but the ledger has no record of them."
            for day, rows in sorted(rows_by_date.items())
            if day not in recorded_dates
        ]
    return faults


def account_metadata(record: PartitionRecord) -> dict[str, Any]:
    """What the UI shows of a partition: its row accounts, and how many rows broke each rule."""
    return {
        **({} if record.rows_in is None else {"rows_in": record.rows_in}),
        "rows_out": record.rows_out,
        "rows_quarantined": record.rows_quarantined,
        "rows_superseded": record.rows_superseded,
        **{f"rule/{hit.rule}": hit.rows for hit in record.rules},
    }
