"""Writes landed rows to quarantine, the table and the ledger. If a step is killed in between, the next pass repairs it."""

import hashlib
from collections import Counter
from collections.abc import Collection
from datetime import date
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lakehouse_assets.books.accounts import account_metadata
from lakehouse_assets.books.ledger import PartitionRecord
from lakehouse_assets.books.quarantine import Quarantine, quarantine_schema
from lakehouse_assets.books.records import contents, record_partitions
from lakehouse_assets.contracts.provenance import DATE_COLUMN, FILE
from lakehouse_assets.delta.duck import connect, files_view
from lakehouse_assets.delta.handlers import Target, Written
from lakehouse_assets.delta.tables import (
    IDEMPOTENCY_KEY,
    Commit,
    ensure_table,
    files_predicate,
    last_commit,
    live_files,
    open_table,
    replace_rows_at,
    table_facts,
    until_committed,
)
from lakehouse_assets.raw.load import LandedRows
from lakehouse_assets.raw.readers.batch import rows_of
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import pyarrow as pa


def write_landed(rows: LandedRows, target: Target) -> Written:
    """Replace the rows of files that were read or deleted, in one commit; write nothing if no file differs.

    Loads again if another step has changed these partitions since the rows were loaded.
    """
    load_again, is_first = rows.load_again, True

    def attempt() -> Written:
        nonlocal is_first
        loaded = rows if is_first or load_again is None else load_again()
        is_first = False
        return _write_once(loaded, target)

    return until_committed(attempt)


def _write_once(rows: LandedRows, target: Target) -> Written:
    """Write rejects to quarantine, commit the rows, and record the partitions."""
    ensure_table(target.uri, rows.rows.schema, target.description)
    if not rows.files:
        target.log.info("Nothing differs between landing and these partitions.")
        return Written(Commit(last_commit(target.uri)[0], changed=False))
    quarantine = Quarantine(target.root)
    if rows.replaced:
        quarantine.add(_rejects(rows, target), target.run_id)
    commit = _commit(rows, target)
    committed = open_table(target.uri, version=commit.version)
    assert committed is not None, "ensure_table created it"
    records = _records(rows, target, quarantine, committed)
    record_partitions(target.root, target.layer, {target.name: committed}, lambda known: records, target.run_id)
    return Written(commit, _metadata(rows), {r.date: _metadata_of_day(r) for r in records})


def _rejects(rows: LandedRows, target: Target) -> "pa.Table":
    """Return the rejects with all columns of the quarantine table."""
    import pyarrow as pa

    rejects = rows.rejects
    own = {
        "layer": target.layer,
        "table_name": target.name,
        "run_id": target.run_id,
        "source_feed": target.name,
        "item_number": 0,
    }
    for column, value in own.items():
        rejects = rejects.append_column(column, pa.repeat(pa.scalar(value), rejects.num_rows))
    return rejects.select(quarantine_schema().names)


def _commit(rows: LandedRows, target: Target) -> Commit:
    """Replace the rows in the table, if these partitions have not changed since the rows were loaded.

    Raises:
        CommitFailedError: they have changed, or another writer is committing. Nothing was written.
    """
    table = open_table(target.uri)
    assert table is not None, "ensure_table created it"
    current = contents(target.root, target.layer, target.name, table)
    if any(current.get(day, "") != content for day, content in rows.base.items()):
        raise CommitFailedError(f"{target.layer}/{target.name}: another step has changed these partitions.")
    key = hashlib.sha256(repr(sorted(rows.fingerprints.items())).encode()).hexdigest()[:16]
    # A step may have been killed between this same commit and its record: then the rows are live already.
    if not rows.replaced or table.history(1)[0].get(IDEMPOTENCY_KEY) == key:
        return Commit(table.version(), changed=False)
    return replace_rows_at(
        table,
        target.uri,
        rows.rows,
        predicate=files_predicate(rows.replaced, DATE_COLUMN, FILE),
        key=key,
        run_id=target.run_id,
    )


def _records(rows: LandedRows, target: Target, quarantine: Quarantine, committed: DeltaTable) -> list[PartitionRecord]:
    """Return the ledger records of the loaded partitions, at the committed version."""
    live_rows = table_facts(committed).rows_by_date
    batches = {day: sorted({f.batch for f in files if f.batch}) for day, files in rows.files.items()}
    quarantined = quarantine.counted(target.layer, target.name, {b for day_batches in batches.values() for b in day_batches})
    with_duplicates = [day for day, files in rows.files.items() if any(f.duplicate_of for f in files)]
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
            fingerprint=rows.fingerprints[day],
            files=files,
            batches=batches[day],
        )
        for day, files in sorted(rows.files.items())
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


def _metadata(rows: LandedRows) -> dict[str, Any]:
    """Return the run's metadata: files loaded, rejects, and what the user should look at."""
    metadata: dict[str, Any] = {
        "files_loaded": sum(len(rows.files[day]) if names is None else len(names) for day, names in rows.replaced.items()),
        "rows_quarantined": rows_of(rows.rejects),
    }
    duplicates = [f"{day}/{f.name} (as {f.duplicate_of})" for day, files in rows.files.items() for f in files if f.duplicate_of]
    if duplicates:
        metadata["duplicate_files"] = ", ".join(duplicates)
    if rows.new_columns:
        metadata["new_columns"] = ", ".join(rows.new_columns)
    if rows.unstable:
        metadata["files_still_changing"] = ", ".join(rows.unstable)
    if rows.unreadable:
        metadata["files_that_cannot_be_read"] = ", ".join(rows.unreadable)
    return metadata


def _metadata_of_day(record: PartitionRecord) -> dict[str, Any]:
    return {
        **account_metadata(record),
        "landing_files": len(record.files),
        "duplicate_files": sum(1 for f in record.files if f.duplicate_of),
    }
