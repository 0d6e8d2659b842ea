"""Fingerprints of silver partitions: what each is built from, and which are stale. Needs neither engine nor Dagster."""

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from functools import lru_cache

from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.silver.deliveries import Accepted, deliveries

WRITER_VERSION = "4"
"""Increase it when this package builds another table from the same rows: then every silver partition is built again."""

RawRecords = Mapping[str, Mapping[date, PartitionRecord]]
"""The records of raw partitions by feed (the raw table's name) and date."""

_WAITING_SEPARATOR = "/"
"""Separates a record's fingerprint from the hash of the rows that wait."""


def silver_fingerprints(table: SilverTable, raw: RawRecords, accepted: Accepted = ()) -> dict[date, str]:
    """Return the current fingerprints of silver partitions: of their raw partitions, the code, and which deliveries count.

    A date with an unverified raw partition is left out: its inputs are unknown.
    """
    code = f"{WRITER_VERSION}/{table.digest()}"
    counted = {
        (d.feed.table, d.date) for f in table.feeds for d in deliveries(f, raw.get(f.table, {}), accepted) if not d.held_because
    }
    built_from: dict[date, tuple[tuple[str, str, bool], ...]] = {}
    unverified: set[date] = set()
    for feed in sorted({f.table for f in table.feeds}):
        for day, record in raw.get(feed, {}).items():
            built_from[day] = (*built_from.get(day, ()), (feed, record.fingerprint, (feed, day) in counted))
            if record.is_unverified:
                unverified.add(day)
    return {day: _hash(code, parts) for day, parts in sorted(built_from.items()) if day not in unverified}


@lru_cache(maxsize=2**16)
def _hash(code: str, parts: tuple[tuple[str, str, bool], ...]) -> str:
    """Return the fingerprint. It is cached, because each pass asks for those of all settled dates."""
    return hashlib.sha256(json.dumps([code, parts]).encode()).hexdigest()[:16]


def stale_dates(
    table: SilverTable, raw: RawRecords, silver: Mapping[date, PartitionRecord], accepted: Accepted = ()
) -> dict[date, str]:
    """Return the partitions that were built from other raw partitions or code than the current ones, with new fingerprints."""
    return differing(silver_fingerprints(table, with_empty_dates(table, raw, silver), accepted), silver)


def differing(wanted: Mapping[date, str], silver: Mapping[date, PartitionRecord]) -> dict[date, str]:
    """Return those of the fingerprints `wanted` that differ from what silver was built from."""
    return {
        day: fingerprint for day, fingerprint in wanted.items() if day not in silver or built_from(silver[day]) != fingerprint
    }


def change(record: PartitionRecord | None, wanted: str) -> str:
    """Describe a rebuild of a partition: the fingerprint it was built from, and the one it would be built from.

    A change that was refused once would be refused again. The old fingerprint matters too: if a partition was built later, and
    its table is then lost, building it again was never refused.
    """
    return f"{'nothing' if record is None else built_from(record)} to {wanted}"


def with_waiting(fingerprint: str, waiting: str | None) -> str:
    """Add the hash of waiting rows to a fingerprint, so that downstream tables notice when these rows change."""
    return f"{fingerprint}{_WAITING_SEPARATOR}{waiting}" if waiting else fingerprint


def built_from(record: PartitionRecord) -> str:
    """Return the fingerprint that a partition was built from, without the hash of waiting rows."""
    return record.fingerprint.split(_WAITING_SEPARATOR)[0]


def with_empty_dates(table: SilverTable, raw: RawRecords, silver: Mapping[date, PartitionRecord]) -> RawRecords:
    """Return the records of raw, with an empty one for each date that only silver has."""
    first = table.feeds[0].table
    known = {day for records in raw.values() for day in records}
    only_silver = {day for day, record in silver.items() if record.is_unverified} - known
    nothing = {day: PartitionRecord("raw", first, day, 0, 0, 0, 0, -1, "", "nothing") for day in only_silver}
    return {**raw, first: {**raw.get(first, {}), **nothing}}
