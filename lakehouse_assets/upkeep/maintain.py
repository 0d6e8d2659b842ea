"""Upkeep of all Delta tables: compacts small files, deletes files that no table refers to any more, shortens logs.

delta-rs does the work, whatever the engine. Rows never change: a pass right after it finds nothing to do. Old files stay for a
while, because a query or a step that began earlier may still read them. If a table can't be maintained, that is reported at the
end, and the next table follows.

Compaction replaces a partition's files, and records name files. So records that matched the table just before are updated to
match it again; the partitions of other records remain to be built. A kill in between leaves records that don't match, and these
partitions are built once more.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from lakehouse_assets.books.ledger import PartitionRecord, Records
from lakehouse_assets.books.manifest import Key, Manifest, Manifests, Pinned
from lakehouse_assets.books.quarantine import Quarantine
from lakehouse_assets.books.records import contents, record_partitions, table_id
from lakehouse_assets.books.set_aside import old_lists
from lakehouse_assets.delta.tables import Commit, compact, live_files, open_table, split_by, until_committed
from lakehouse_assets.errors import LakehouseError, UpkeepError
from lakehouse_assets.store.errors import explained, unquoted
from lakehouse_assets.store.root import Root

RECORDED_LAYERS = ("raw", "silver", "gold")
"""The layers whose partitions have ledger records."""

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
    """Compact, vacuum and checkpoint each table; yields each when done.

    Files that left a table less than `keep` ago stay. So do rows in quarantine that no record names and that are as young: a step
    may be about to name them.

    Raises:
        UpkeepError: at the end, if some tables could not be maintained; the message names each, with the reason.
    """
    faults = []
    with _upkeep_errors(root):
        Manifests(root).prune(datetime.now(UTC) - keep)
    tables = [(layer, name) for layer in LAYERS for name in root.table_names(layer)]
    for layer, name in tables:
        try:
            with _upkeep_errors(root):
                kept = _maintain(root, layer, name, keep)
        except UpkeepError as error:
            faults.append(f"{layer}.{name}: {error}")
        else:
            if kept is not None:
                yield kept
    if faults:
        raise UpkeepError("\n".join(["Not maintained:", *faults]))


def _maintain(root: Root, layer: str, name: str, keep: timedelta) -> KeptTable | None:
    before = datetime.now(UTC) - keep
    if (opened := open_table(root.table(layer, name))) is None:
        return None
    files_before = len(live_files(opened))
    if layer == "quarantine":
        Quarantine(root).remove_unnamed(before.timestamp())
    table = _compacted(root, layer, name)
    # delta-rs refuses to keep files for less than a week unless the check is off. The user chose the time, so it is. `full`
    # covers every file in the folder, so files left by killed steps are deleted too. Rows set aside, which no log names, stay.
    hours = int(keep.total_seconds() // 3600)
    unreferenced = table.vacuum(retention_hours=hours, dry_run=True, enforce_retention_duration=False, full=True)
    lists, set_aside = old_lists(root, layer, name, table, before)
    obsolete = [f"{layer}/{name}/{path}" for path in unreferenced if path not in set_aside]
    if obsolete:
        _forget_version(root, (layer, name), set(unreferenced))
    root.delete([*obsolete, *lists])
    table.create_checkpoint()
    table.cleanup_metadata()
    return KeptTable(f"{layer}.{name}", files_before, len(live_files(table)), len(obsolete))


def _compacted(root: Root, layer: str, name: str) -> DeltaTable:
    """Compact a table and update its records. After a commit conflict, it starts again with the new version."""

    def attempt() -> tuple[Commit, Mapping[date, str]]:
        table = DeltaTable(root.table(layer, name))
        if split_by(file["path"] for file in live_files(table)) is not None:
            # Compaction would put rows of all values into one file. Builds merge small files of each value themselves.
            return Commit(table.version(), changed=False), {}
        contents_before = contents(root, layer, name, table) if layer in RECORDED_LAYERS else {}
        return compact(table, run_id=RUN_ID), contents_before

    commit, contents_before = until_committed(attempt, attempts=5, first_pause=0.2)
    compacted = DeltaTable(root.table(layer, name), version=commit.version)
    if commit.changed and layer in RECORDED_LAYERS:
        _update_records(root, layer, name, compacted, contents_before)
        # The compacted version has the same rows, and outlives the files of the one before.
        before = Pinned(table_id(compacted), commit.version - 1)
        after = Pinned(before.table_id, commit.version)
        Manifests(root).replace_tables(
            lambda manifest: {key: after if (key, p) == ((layer, name), before) else p for key, p in manifest.tables.items()},
            RUN_ID,
        )
    return compacted


def _forget_version(root: Root, key: Key, obsolete: set[str]) -> None:
    """Take a table out of the newest manifest if the files of the version that it names are about to go: it is read at its newest then.

    Nobody has published since that version left the table, which is as long ago as files are kept.
    """

    def still_readable(manifest: Manifest) -> Mapping[Key, Pinned]:
        pinned = manifest.tables.get(key)
        table = None if pinned is None else open_table(root.table(*key))
        if pinned is None or table is None or table_id(table) != pinned.table_id or table.version() < pinned.version:
            return manifest.tables
        table.load_as_version(pinned.version)
        is_gone = any(file["path"] in obsolete for file in live_files(table))
        return {other: p for other, p in manifest.tables.items() if other != key} if is_gone else manifest.tables

    Manifests(root).replace_tables(still_readable, RUN_ID)


def _update_records(root: Root, layer: str, name: str, compacted: DeltaTable, contents_before: Mapping[date, str]) -> None:
    """Update the records that matched the table before compaction to match it now."""
    own_id = table_id(compacted)

    def matching(known: Records) -> list[PartitionRecord]:
        return [r for r in known.values() if (r.table_id, r.content) == (own_id, contents_before.get(r.date, ""))]

    record_partitions(root, layer, {name: compacted}, matching, RUN_ID)


@contextmanager
def _upkeep_errors(root: Root) -> Iterator[None]:
    """Turn errors of the block into an `UpkeepError` with the reason in a sentence.

    Raises:
        UpkeepError: the table can't be maintained.
    """
    try:
        with explained(root, "delete"):
            yield
    except CommitFailedError:
        raise UpkeepError("other writers kept committing to it. Run `lakehouse maintain` again.") from None
    except (DeltaError, duckdb.Error, ValueError) as error:
        message = " ".join(unquoted(root, str(error)).split())
        raise UpkeepError(f"{type(error).__name__}: {message}") from None
    except LakehouseError as error:
        raise UpkeepError(str(error)) from None
