"""Row accounts: whether every row of a partition is accounted for."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from lakehouse_assets.books.ledger import PartitionRecord


def account_faults(
    records: Sequence[PartitionRecord],
    standing: dict[date, int],
    quarantined: dict[date, int],
    superseded: dict[date, int] | None = None,
) -> list[str]:
    """What is wrong with the accounts of a table, a sentence each.

    The three others are rows by date, as they lie; `superseded` is None for a table that does not keep those rows.
    """
    faults = []
    # Of a partition that a step is changing, or was killed while it changed, nothing can be said until the next pass has built it.
    for r in (r for r in records if not r.is_unverified):
        if not r.adds_up:
            faults.append(
                f"{r.date}: {r.rows_in} rows came in, but {r.rows_out} stand, {r.rows_quarantined} are in quarantine and "
                f"{r.rows_superseded} were superseded."
            )
        for what, recorded, found in (
            ("stand in the table", r.rows_out, standing.get(r.date, 0)),
            ("are in quarantine", r.rows_quarantined, quarantined.get(r.date, 0)),
            ("are kept as superseded", r.rows_superseded, r.rows_superseded if superseded is None else superseded.get(r.date, 0)),
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


def account_metadata(record: PartitionRecord) -> dict[str, Any]:
    """What the UI shows of a partition: its row accounts, and how many rows broke which rule."""
    return {
        **({} if record.rows_in is None else {"rows_in": record.rows_in}),
        "rows_out": record.rows_out,
        "rows_quarantined": record.rows_quarantined,
        "rows_superseded": record.rows_superseded,
        **{f"rule/{hit.rule}": hit.rows for hit in record.rules},
    }
