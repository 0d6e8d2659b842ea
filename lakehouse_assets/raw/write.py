"""Loads partitions of a raw table: stages rows, commits them, and records the partitions. If a step is killed in between, the next
pass repairs it.
"""

import hashlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lakehouse_assets.books.accounts import account_metadata
from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.books.quarantine import Quarantine
from lakehouse_assets.books.records import contents, record_partitions
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.provenance import DATE_COLUMN, FILE
from lakehouse_assets.delta.data_files import DataFileWriter, data_folder
from lakehouse_assets.delta.duck import connect, files_view, rows_of_files
from lakehouse_assets.delta.handlers import Target, Written, outside_partitions
from lakehouse_assets.delta.tables import (
    IDEMPOTENCY_KEY,
    Commit,
    DataFile,
    add_columns,
    commit_files,
    ensure_table,
    files_with,
    last_commit,
    live_files,
    open_table,
    sql_text,
    table_facts,
    until_committed,
)
from lakehouse_assets.raw.arrivals import shortfall
from lakehouse_assets.raw.load import Landed, land
from lakehouse_assets.raw.stage import raw_columns, with_dictionaries
from lakehouse_assets.store.root import Root


def load_partitions(feed: Feed, target: Target, start: date) -> Written:
    """Replace the rows of files that are new, changed or deleted, in one commit; write nothing if no file differs.

    Loads again if another step has changed these partitions since the rows were loaded.

    Raises:
        UnreadableError: the feed's folder can't be listed.
    """

    def attempt() -> Written:
        ensure_table(target.uri, raw_columns(feed), target.description)
        with data_folder(target.root, target.layer, target.name, target.run_id) as folder:
            return write_landed(land(feed, target, start, folder))

    return until_committed(attempt)


def write_landed(landed: Landed) -> Written:
    """Commit the staged rows, and record the partitions.

    Raises:
        CommitFailedError: another step has changed these partitions since the rows were loaded. Nothing was committed.
    """
    target = landed.stage.target
    if not landed.dates:
        target.log.info("Nothing differs between landing and these partitions.")
        return Written(Commit(last_commit(target.uri)[0], changed=False))
    commit = _commit(landed)
    committed = open_table(target.uri, version=commit.version)
    assert committed is not None, "the table was opened before"
    records = _records(landed, committed)
    record_partitions(target.root, target.layer, {target.name: committed}, lambda known: records, target.run_id)
    files = [(r.date, f.name, f.size, f.rows_in) for r in records for f in r.files]
    return Written(commit, _metadata(landed), {r.date: _metadata_of_day(r) for r in records}, files)


@dataclass(frozen=True)
class _Change:
    """The data files that a commit adds to the table and removes from it (in the form of `live_files`)."""

    added: list[DataFile]
    removed: list[dict[str, Any]]


def _commit(landed: Landed) -> Commit:
    """Change the files of the partitions in the table, if these have not changed since the rows were loaded.

    Raises:
        CommitFailedError: they have changed. Nothing was committed.
    """
    stage, target = landed.stage, landed.stage.target
    key = hashlib.sha256(repr(sorted((day, d.fingerprint) for day, d in landed.dates.items())).encode()).hexdigest()[:16]
    change: _Change | None = None

    def attempt() -> Commit | None:
        nonlocal change
        table = open_table(target.uri)
        assert table is not None, "`land` has opened it"
        current = contents(target.root, target.layer, target.name, table)
        if any(current.get(day, "") != content for day, content in landed.base.items()):
            return None
        # A step may have been killed between this same commit and its record: then the rows are live already.
        if not _is_changed(landed, table) or table.history(1)[0].get(IDEMPOTENCY_KEY) == key:
            return Commit(table.version(), changed=False)
        # Another writer's commit does not touch these partitions, so what is to be removed stays the same.
        change = change or _change(landed, table)
        table = _with_columns(table, landed)
        if not change.added and not change.removed:
            return Commit(table.version(), changed=False)
        with stage.folder.committing(file.path for file in change.added):
            return commit_files(table, change.added, change.removed, key=key, run_id=target.run_id)

    commit = until_committed(attempt)
    if commit is None:
        raise CommitFailedError(f"{target.layer}/{target.name}: another step has changed these partitions.")
    return commit


def _is_changed(landed: Landed, table: DeltaTable) -> bool:
    """Whether a row or a column comes or goes."""
    return any(d.is_changed for d in landed.dates.values()) or bool(_new_fields(landed, table))


def _new_fields(landed: Landed, table: DeltaTable) -> list[Any]:
    """Return the columns that the table lacks, as Arrow fields."""
    known = {field.name for field in table.schema().fields}
    return [field for field in raw_columns(landed.stage.feed, landed.stage.new_columns) if field.name not in known]


def _with_columns(table: DeltaTable, landed: Landed) -> DeltaTable:
    """Add the columns that the table lacks, and return its new state."""
    target, new = landed.stage.target, _new_fields(landed, table)
    if not new:
        return table
    commit = add_columns(table, target.uri, new, run_id=target.run_id)
    return DeltaTable(target.uri, version=commit.version)


def _change(landed: Landed, table: DeltaTable) -> _Change:
    """Return the files to add and to remove. Files that hold other rows too are rewritten without those of outgoing files.

    Raises:
        PartitionGuardError: a staged row lies outside the target's partitions.
    """
    stage = landed.stage
    if any(file.date not in landed.dates or file.date not in stage.target.dates for file in stage.files):
        raise outside_partitions(stage.target)
    outgoing = {day: loaded.outgoing for day, loaded in landed.dates.items() if loaded.outgoing}
    whole = {day for day, loaded in landed.dates.items() if loaded.outgoing is None}
    removed = [file for file in live_files(table) if file["date"] in whole]
    added = list(stage.files)
    if outgoing:
        holding = _holding(landed, files_with(table, FILE, outgoing), outgoing)
        removed += holding
        for day, names in outgoing.items():
            added += _rewritten(landed, table, day, [file for file in holding if file["date"] == day], names)
    return _Change(added, removed)


def _holding(landed: Landed, files: list[dict[str, Any]], outgoing: dict[date, set[str]]) -> list[dict[str, Any]]:
    """Return those of the data files that hold a row of an outgoing file; all of them are on its dates."""
    target = landed.stage.target
    paths = {f"{target.uri}/{file['path']}": file for file in files}
    if not paths:
        return []
    names = ", ".join(sql_text(name) for name in sorted(set().union(*outgoing.values())))
    rows = rows_of_files(list(paths), {FILE: "string"}, sum(f["num_records"] for f in files), {"_path": "filename"})
    with connect(target.root) as connection:
        found = connection.execute(f"SELECT DISTINCT _path, {FILE} FROM ({rows}) WHERE {FILE} IN ({names})").fetchall()
    holding = {path for path, name in found if name in outgoing[paths[path]["date"]]}
    return [file for path, file in paths.items() if path in holding]


def _rewritten(landed: Landed, table: DeltaTable, day: date, files: list[dict[str, Any]], names: set[str]) -> list[DataFile]:
    """Write the rows of the data files again, without those of the named landing files."""
    import pyarrow as pa

    stage = landed.stage
    if not files:
        return []
    columns = {
        f.name: "bigint" if str(f.type.type) == "long" else "string" for f in table.schema().fields if f.name != DATE_COLUMN
    }
    writer = DataFileWriter(stage.folder, day, stage.columns)
    with connect(stage.target.root) as connection:
        files_view(connection, "live", stage.target.uri, files, columns)
        others = f"{FILE} NOT IN ({', '.join(map(sql_text, sorted(names)))})"
        for rows in connection.execute(f"SELECT * EXCLUDE ({DATE_COLUMN}) FROM live WHERE {others}").to_arrow_reader():
            writer.write(with_dictionaries(pa.table(rows)))
    return writer.close()


def _records(landed: Landed, committed: DeltaTable) -> list[PartitionRecord]:
    """Return the ledger records of the loaded partitions, at the committed version."""
    target, quarantine = landed.stage.target, Quarantine(landed.stage.target.root)
    files_by_date = {day: loaded.files for day, loaded in landed.dates.items()}
    live_rows = table_facts(committed).rows_by_date
    batches = {day: sorted({f.batch for f in files if f.batch}) for day, files in files_by_date.items()}
    quarantined = quarantine.counted(target.layer, target.name, {b for day_batches in batches.values() for b in day_batches})
    with_duplicates = [day for day, files in files_by_date.items() if any(f.duplicate_of for f in files)]
    rows_by_file = _rows_of_files(
        target.root, target.layer, target.name, committed, with_duplicates, {b for day in with_duplicates for b in batches[day]}
    )
    return [
        PartitionRecord(
            layer=target.layer,
            table_name=target.name,
            date=day,
            rows_in=sum(f.rows_in for f in files),
            rows_out=live_rows.get(day, 0),
            rows_quarantined=quarantined.get(day, 0),
            # Each row of a duplicate is superseded by the same row of the file that was loaded.
            rows_superseded=sum(rows_by_file[day, f.duplicate_of] for f in files if f.duplicate_of),
            delta_version=committed.version(),
            run_id=target.run_id,
            fingerprint=landed.dates[day].fingerprint,
            files=files,
            batches=batches[day],
            totals=landed.dates[day].totals,
            shortfall=shortfall(landed.stage.feed, files, landed.dates[day].totals),
        )
        for day, files in sorted(files_by_date.items())
    ]


def _rows_of_files(
    root: Root, layer: str, name: str, table: DeltaTable, dates: Collection[date], batches: Collection[str]
) -> Counter[tuple[date, str]]:
    """Count the rows of each file in the table and in quarantine, by date and file name."""
    counts: Counter[tuple[date, str]] = Counter()
    if not dates:
        return counts
    with connect(root) as connection:
        files = [f for f in live_files(table) if f["date"] in dates]
        files_view(connection, "landed", root.table(layer, name), files, {FILE: "string"})
        queries = [f"SELECT {DATE_COLUMN}, {FILE}, count(*) FROM landed GROUP BY ALL"]
        if batches:
            entries = Quarantine(root).entries(connection, layer, name, batches)
            queries.append(f"SELECT date, source_file, sum(rows) FROM ({entries}) GROUP BY ALL")
        for query in queries:
            counts.update({(day, name): int(rows) for day, name, rows in connection.execute(query).fetchall()})
    return counts


def _metadata(landed: Landed) -> dict[str, Any]:
    """Return the run's metadata: files loaded, rejects, and what the user should look at."""
    metadata: dict[str, Any] = {
        "files_loaded": sum(len(loaded.loaded) for loaded in landed.dates.values()),
        "rows_quarantined": landed.stage.rejected,
    }
    all_files = [(day, file) for day, loaded in landed.dates.items() for file in loaded.files]
    if duplicates := [f"{day}/{file.name} (as {file.duplicate_of})" for day, file in all_files if file.duplicate_of]:
        metadata["duplicate_files"] = ", ".join(duplicates)
    if landed.stage.new_columns:
        metadata["new_columns"] = ", ".join(landed.stage.new_columns)
    if landed.unstable:
        metadata["files_still_changing"] = ", ".join(landed.unstable)
    if landed.unreadable:
        metadata["files_that_cannot_be_read"] = ", ".join(landed.unreadable)
    return metadata


def _metadata_of_day(record: PartitionRecord) -> dict[str, Any]:
    return {
        **account_metadata(record),
        "landing_files": len(record.files),
        "duplicate_files": sum(1 for f in record.files if f.duplicate_of),
    }
