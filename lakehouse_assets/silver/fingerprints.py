"""What silver partitions are built from, and which were built from something else. Needs neither engine nor Dagster."""

import hashlib
from datetime import date

from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.storage.ledger import PartitionRecord


def silver_fingerprint(raw: PartitionRecord, entity: Entity) -> str:
    """What a silver partition was built from: its raw partition's fingerprint and the code."""
    return hashlib.sha256(f"{raw.fingerprint}/{entity.silver_digest()}".encode()).hexdigest()[:16]


def stale_dates(entity: Entity, raw: dict[date, PartitionRecord], silver: dict[date, PartitionRecord]) -> dict[date, str]:
    """The partitions that were built from something else than what raw and the code are now, with the fingerprints due."""
    due = {day: silver_fingerprint(record, entity) for day, record in sorted(raw.items())}
    return {day: mark for day, mark in due.items() if day not in silver or silver[day].fingerprint != mark}
