"""What silver partitions are built from, and which were built from something else. Needs neither engine nor Dagster."""

import hashlib
from collections.abc import Mapping
from datetime import date

from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.storage.ledger import PartitionRecord

WRITER_VERSION = "3"
"""Changes when audit or merge would make another table of the same rows; every silver partition is then built again."""


def silver_fingerprints(entity: Entity, raw: Mapping[date, PartitionRecord]) -> dict[date, str]:
    """What silver partitions are built from: their raw partitions' fingerprints and the code."""
    code = f"{WRITER_VERSION}/{entity.silver_digest()}"
    return {day: hashlib.sha256(f"{record.fingerprint}/{code}".encode()).hexdigest()[:16] for day, record in sorted(raw.items())}


def stale_dates(entity: Entity, raw: Mapping[date, PartitionRecord], silver: Mapping[date, PartitionRecord]) -> dict[date, str]:
    """The partitions that were built from something else than what raw and the code are now, with the fingerprints due."""
    due = silver_fingerprints(entity, with_empty_dates(entity, raw, silver))
    return {day: mark for day, mark in due.items() if day not in silver or silver[day].fingerprint != mark}


def with_empty_dates(
    entity: Entity, raw: Mapping[date, PartitionRecord], silver: Mapping[date, PartitionRecord]
) -> dict[date, PartitionRecord]:
    """The records of raw, and one without rows for each date of which only silver holds something."""
    only_silver = {day for day, record in silver.items() if record.is_unsettled} - raw.keys()
    return {**raw, **{day: PartitionRecord("raw", entity.table, day, 0, 0, 0, 0, -1, "", "nothing") for day in only_silver}}
