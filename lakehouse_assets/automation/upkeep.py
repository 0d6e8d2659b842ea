"""Upkeep of all Delta tables: many small files become few, what no table names any more is deleted, logs are shortened.

delta-rs does it, whatever the engine. Rows never change by it: a pass right after it finds nothing to do. Old files stay for a while,
because a query or a step that began before may still read them.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deltalake import DeltaTable

from lakehouse_assets.storage.books import record_compacted
from lakehouse_assets.storage.quarantine import Quarantine
from lakehouse_assets.storage.root import Root
from lakehouse_assets.storage.superseded import old_lists
from lakehouse_assets.storage.tables import compact, live_files, open_table

BUILT_LAYERS = ("raw", "silver", "gold")
LAYERS = (*BUILT_LAYERS, "quarantine", "ops")


@dataclass(frozen=True)
class KeptTable:
    """What upkeep did to a table: live files before and after, and how many files were deleted."""

    name: str
    files_before: int
    files_after: int
    deleted: int


def maintain(root: Root, keep: timedelta) -> Iterator[KeptTable]:
    """Compact, vacuum and checkpoint each table; yields as each is done. Files that left a table less than `keep` ago stay."""
    Quarantine(root).remove_unnamed(time.time() - keep.total_seconds())
    for layer in LAYERS:
        for name in root.table_names(layer):
            if (table := open_table(root.table(layer, name))) is not None:
                yield _maintain(root, layer, name, table, keep)


def _maintain(root: Root, layer: str, name: str, table: DeltaTable, keep: timedelta) -> KeptTable:
    before = len(live_files(table))
    compacted = compact(table, root.table(layer, name), "maintain")
    if compacted.changed and layer in BUILT_LAYERS:
        record_compacted(root, layer, name, compacted.version)
    hours = int(keep.total_seconds() // 3600)
    # delta-rs refuses less than a week unless told that it is meant; the user has said so by naming another time.
    # All that lies there is looked at, so that what killed steps left behind goes too; superseded rows, which no log names, stay.
    unnamed = table.vacuum(retention_hours=hours, dry_run=True, enforce_retention_duration=False, full=True)
    lists, superseded = old_lists(root, layer, name, table, datetime.now(UTC) - keep)
    doomed = [f"{layer}/{name}/{path}" for path in unnamed if path not in superseded]
    root.delete([*doomed, *lists])
    table.create_checkpoint()
    table.cleanup_metadata()
    return KeptTable(f"{layer}.{name}", before, len(live_files(table)), len(doomed))
