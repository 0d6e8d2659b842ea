"""Upkeep of all Delta tables: many small files become few, what no table names any more is deleted, logs are shortened.

delta-rs does it, whatever the engine. Rows never change by it: a pass right after it finds nothing to do. Old files stay for a while,
because a query or a step that began before may still read them. What can't be kept up is told, and the next table has its turn.

Compaction gives partitions other files, and records name files. So a record that has fitted the table right before is made to fit it
again; one that has not goes on saying that its partition is to be built. A kill in between leaves records that don't fit, and costs
that these partitions are built once more.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from lakehouse_assets.books.ledger import PartitionRecord, Records
from lakehouse_assets.books.quarantine import Quarantine
from lakehouse_assets.books.records import contents, record_partitions, table_id
from lakehouse_assets.books.set_aside import old_lists
from lakehouse_assets.delta.tables import Commit, compact, live_files, open_table, until_committed
from lakehouse_assets.errors import LakehouseError, UpkeepError
from lakehouse_assets.store.errors import explained, unquoted
from lakehouse_assets.store.root import Root

RECORDED_LAYERS = ("raw", "silver", "gold")
"""The layers of which the ledger says how partitions stand."""

LAYERS = (*RECORDED_LAYERS, "quarantine", "ops")
RUN_ID = "maintain"


@dataclass(frozen=True)
class KeptTable:
    """What upkeep did to a table: live files before and after, and how many files were deleted."""

    name: str
    files_before: int
    files_after: int
    deleted: int


def maintain(root: Root, keep: timedelta) -> Iterator[KeptTable]:
    """Compact, vacuum and checkpoint each table; yields as each is done. Files that left a table less than `keep` ago stay.

    So do rows in quarantine that no record names: a step may be about to name them.

    Raises:
        UpkeepError: at the end, some tables could not be kept up; the text names each, and why.
    """
    faults = []
    tables = [(layer, name) for layer in LAYERS for name in root.table_names(layer)]
    for layer, name in tables:
        try:
            with _told(root):
                kept = _maintain(root, layer, name, keep)
        except UpkeepError as error:
            faults.append(f"{layer}.{name}: {error}")
        else:
            if kept is not None:
                yield kept
    if faults:
        raise UpkeepError("\n".join(["Not kept up:", *faults]))


def _maintain(root: Root, layer: str, name: str, keep: timedelta) -> KeptTable | None:
    before = datetime.now(UTC) - keep
    if (opened := open_table(root.table(layer, name))) is None:
        return None
    files_before = len(live_files(opened))
    if layer == "quarantine":
        Quarantine(root).remove_unnamed(before.timestamp())
    table = _compacted(root, layer, name)
    # delta-rs refuses less than a week unless told that it is meant; the user has said so by naming another time.
    # All that lies there is looked at, so that what killed steps left behind goes too. Rows set aside, which no log names, stay.
    hours = int(keep.total_seconds() // 3600)
    unnamed = table.vacuum(retention_hours=hours, dry_run=True, enforce_retention_duration=False, full=True)
    lists, set_aside = old_lists(root, layer, name, table, before)
    doomed = [f"{layer}/{name}/{path}" for path in unnamed if path not in set_aside]
    root.delete([*doomed, *lists])
    table.create_checkpoint()
    table.cleanup_metadata()
    return KeptTable(f"{layer}.{name}", files_before, len(live_files(table)), len(doomed))


def _compacted(root: Root, layer: str, name: str) -> DeltaTable:
    """The table with few files. Where somebody else commits meanwhile, of what stands then."""

    def attempt() -> tuple[Commit, Mapping[date, str]]:
        table = DeltaTable(root.table(layer, name))
        held = contents(root, layer, name, table) if layer in RECORDED_LAYERS else {}
        return compact(table, run_id=RUN_ID), held

    commit, held = until_committed(attempt, attempts=5, first_pause=0.2)
    compacted = DeltaTable(root.table(layer, name), version=commit.version)
    if commit.changed and layer in RECORDED_LAYERS:
        _record(root, layer, name, compacted, held)
    return compacted


def _record(root: Root, layer: str, name: str, compacted: DeltaTable, held: Mapping[date, str]) -> None:
    """Make the records fit what compaction has made of the table, those that spoke of what it held before."""
    own_id = table_id(compacted)

    def fitting(known: Records) -> list[PartitionRecord]:
        return [r for r in known.values() if (r.table_id, r.content) == (own_id, held.get(r.date, ""))]

    record_partitions(root, layer, {name: compacted}, fitting, RUN_ID)


@contextmanager
def _told(root: Root) -> Iterator[None]:
    """Tell in a sentence why a table can't be kept up.

    Raises:
        UpkeepError: it can't.
    """
    try:
        with explained(root, "delete"):
            yield
    except CommitFailedError:
        raise UpkeepError("others committed to it all the time. Run `lakehouse maintain` again.") from None
    except (DeltaError, duckdb.Error, ValueError) as error:
        said = " ".join(unquoted(root, str(error)).split())
        raise UpkeepError(f"{type(error).__name__}: {said}") from None
    except LakehouseError as error:
        raise UpkeepError(str(error)) from None
