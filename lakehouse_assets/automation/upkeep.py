"""Upkeep of all Delta tables: many small files become few, what no table names any more is deleted, logs are shortened.

delta-rs does it, whatever the engine. Rows never change by it: a pass right after it finds nothing to do. Old files stay for a while,
because a query or a step that began before may still read them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from deltalake import DeltaTable

from lakehouse_assets.storage.root import Root
from lakehouse_assets.storage.tables import live_files, open_table

LAYERS = ("raw", "silver", "gold", "quarantine", "ops")


@dataclass(frozen=True)
class KeptTable:
    """What upkeep did to a table: live files before and after, and how many files were deleted."""

    name: str
    files_before: int
    files_after: int
    deleted: int


def maintain(root: Root, keep: timedelta) -> Iterator[KeptTable]:
    """Compact, vacuum and checkpoint each table; yields as each is done. Files that left a table less than `keep` ago stay."""
    for layer in LAYERS:
        for name in root.table_names(layer):
            if (table := open_table(root.table(layer, name))) is not None:
                yield _maintain(table, f"{layer}.{name}", keep)


def _maintain(table: DeltaTable, name: str, keep: timedelta) -> KeptTable:
    before = len(live_files(table))
    table.optimize.compact()
    hours = int(keep.total_seconds() // 3600)
    # delta-rs refuses less than a week unless told that it is meant; the user has said so by naming another time.
    # All that lies there is looked at, so that what killed steps left behind goes too.
    deleted = table.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False, full=True)
    table.create_checkpoint()
    table.cleanup_metadata()
    return KeptTable(name, before, len(live_files(table)), len(deleted))
