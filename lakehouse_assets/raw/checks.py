"""The asset check of raw tables whose feeds say when they are due, or where their control totals are."""

from collections.abc import Collection
from datetime import UTC, date, datetime

import dagster as dg

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.materialization.presentation import table_metadata
from lakehouse_assets.materialization.row_accounts import FAULTS_TOLD, in_dates, run_dates
from lakehouse_assets.raw.arrivals import Arrivals, arrivals
from lakehouse_assets.store.errors import Unquoted
from lakehouse_assets.store.root import Root

ARRIVALS = "arrivals"

_SHOWN = 20


def arrivals_check(feed: Feed, root: Root, start: date, timezone: str) -> dg.AssetChecksDefinition:
    """Make the check `arrivals` of a raw table, as of the moment when it runs. `timezone` is that of a feed without one."""
    key = dg.AssetKey(["raw", feed.table])
    spec = dg.AssetCheckSpec(
        ARRIVALS, asset=key, description="Every delivery that is due has arrived, with as many rows as was said of it."
    )

    @dg.multi_asset_check(name=f"raw__{feed.table}__arrivals", specs=[spec])
    @Unquoted(root)
    def _check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        found = arrivals_by_ledger(feed, root, datetime.now(UTC), timezone=timezone, start=start)
        return arrivals_result(key, found, run_dates(context))

    return _check


def arrivals_by_ledger(feed: Feed, root: Root, now: datetime, *, timezone: str, start: date) -> Arrivals:
    """Return what is outstanding of a feed, by the files that its raw table was built from. Dates before `start` are no partitions."""
    records = {key[2]: record for key, record in Ledger(root).read("raw", feed.table).items() if key[2] >= start}
    landed = {feed.table: {day for day, record in records.items() if record.files}}
    return arrivals([feed], landed, {feed.table: records}, now, timezone=timezone, start=start)


def arrivals_result(key: dg.AssetKey, found: Arrivals, dates: Collection[date] | None) -> dg.AssetCheckResult:
    """Check whether counts differ on the dates (all if None), or anything is late or missing.

    What has not landed has no run of its own, so each run speaks of it.
    """
    outstanding = [delivery for delivery in found.outstanding if delivery.due is not None or in_dates(delivery.date, dates)]
    shown = [(d.date, d.state, d.reason) for d in sorted(outstanding, key=lambda d: d.date, reverse=True)]
    return dg.AssetCheckResult(
        passed=not outstanding,
        check_name=ARRIVALS,
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join(f"{day}: {reason}." for day, _, reason in shown[:FAULTS_TOLD]) or None,
        metadata={
            "as_of": found.as_of.isoformat(timespec="seconds"),
            "outstanding": len(outstanding),
            **table_metadata("deliveries", ("date", "state", "reason"), shown[:_SHOWN], len(shown)),
        },
    )
