"""What silver partitions are built from, and which were built from something else. Needs neither engine nor Dagster."""

import hashlib
import json
from collections.abc import Mapping
from datetime import date

from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.silver.deliveries import Accepted, deliveries

WRITER_VERSION = "4"
"""Changes when this package would make another table of the same rows; every silver partition is then built again."""

RawRecords = Mapping[str, Mapping[date, PartitionRecord]]
"""The records of raw partitions by feed (the raw table's name) and date."""

_WAITING = "/"
"""What stands in a record's fingerprint between what a partition is built from and which of its rows wait."""


def silver_fingerprints(table: SilverTable, raw: RawRecords, accepted: Accepted = ()) -> dict[date, str]:
    """What silver partitions are built from: their raw partitions, the code, and whether complete deliveries count.

    A date of which some raw partition is unsettled is left out: nobody knows what it would be built from.
    """
    code = f"{WRITER_VERSION}/{table.digest()}"
    counted = {
        (d.feed.table, d.date) for f in table.feeds for d in deliveries(f, raw.get(f.table, {}), accepted) if not d.held_because
    }
    built_from: dict[date, list[list[object]]] = {}
    unsettled: set[date] = set()
    for feed in sorted({f.table for f in table.feeds}):
        for day, record in raw.get(feed, {}).items():
            built_from.setdefault(day, []).append([feed, record.fingerprint, (feed, day) in counted])
            if record.is_unverified:
                unsettled.add(day)
    return {
        day: hashlib.sha256(json.dumps([code, parts]).encode()).hexdigest()[:16]
        for day, parts in sorted(built_from.items())
        if day not in unsettled
    }


def stale_dates(
    table: SilverTable, raw: RawRecords, silver: Mapping[date, PartitionRecord], accepted: Accepted = ()
) -> dict[date, str]:
    """The partitions that were built from something else than what raw and the code are now, with the fingerprints due."""
    return differing(silver_fingerprints(table, with_empty_dates(table, raw, silver), accepted), silver)


def differing(due: Mapping[date, str], silver: Mapping[date, PartitionRecord]) -> dict[date, str]:
    """Those of the partitions that are due which were built from something else."""
    return {day: fingerprint for day, fingerprint in due.items() if day not in silver or built_from(silver[day]) != fingerprint}


def change(standing: PartitionRecord | None, due: str) -> str:
    """What building a partition would change: what it was built from, and what it is to be built from.

    A change that was refused would be refused again. What it starts from counts too: where a partition could be built in the end, and
    its table is then lost, nobody has refused that.
    """
    return f"{'nothing' if standing is None else built_from(standing)} to {due}"


def with_waiting(fingerprint: str, waiting: str | None) -> str:
    """The fingerprint of a partition of which some rows wait: what reads the table has to see that these come and go."""
    return f"{fingerprint}{_WAITING}{waiting}" if waiting else fingerprint


def built_from(record: PartitionRecord) -> str:
    """What a partition was built from, whichever of its rows wait."""
    return record.fingerprint.split(_WAITING)[0]


def with_empty_dates(table: SilverTable, raw: RawRecords, silver: Mapping[date, PartitionRecord]) -> RawRecords:
    """The records of raw, and one without rows for each date of which only silver holds something."""
    first = table.feeds[0].table
    known = {day for of_feed in raw.values() for day in of_feed}
    only_silver = {day for day, record in silver.items() if record.is_unverified} - known
    nothing = {day: PartitionRecord("raw", first, day, 0, 0, 0, 0, -1, "", "nothing") for day in only_silver}
    return {**raw, first: {**raw.get(first, {}), **nothing}}
