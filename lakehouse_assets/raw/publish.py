"""Writes landed rows: a mark in the ledger, quarantine, the table, then how it stands. The next pass heals a kill in between."""

import hashlib
from collections import Counter
from collections.abc import Collection
from datetime import date
from typing import Any

from lakehouse_assets.raw.batch import rows_of
from lakehouse_assets.raw.load import LandedRows
from lakehouse_assets.storage.accounts import account_metadata
from lakehouse_assets.storage.duck import connect, files_view
from lakehouse_assets.storage.handlers import Handler, Source, Target, Written
from lakehouse_assets.storage.ledger import Ledger, PartitionRecord
from lakehouse_assets.storage.quarantine import Quarantine, quarantine_schema, quarantined_in
from lakehouse_assets.storage.tables import (
    Commit,
    ensure_table,
    file_paths,
    files_predicate,
    live_files,
    newest_table,
    replace_rows,
    table_facts,
)


class LandedRowsHandler(Handler[LandedRows]):
    """What a raw asset returns. Read raw tables as Arrow, Spark or any other type of rows."""

    type_name = f"{LandedRows.__module__}.{LandedRows.__qualname__}"

    def write(self, rows: LandedRows, target: Target) -> Written:
        """Replace the rows of the files that were read or have vanished, in one commit; nothing where no file differs."""
        import pyarrow as pa

        dates = sorted(rows.files)
        if not dates:
            target.log.info("Nothing differs between landing and these partitions.")
            table = ensure_table(target.uri, rows.rows.schema, target.description)
            return Written(Commit(table.version(), changed=False))
        ledger, quarantine = Ledger(target.root), Quarantine(target.root)
        rejects = rows.rejects
        for column, value in {"layer": target.layer, "table_name": target.name, "run_id": target.run_id}.items():
            rejects = rejects.append_column(column, pa.repeat(pa.scalar(value), rejects.num_rows))
        rejects = rejects.select(quarantine_schema().names)
        if rows.replaced:
            ledger.begin(target.layer, target.name, dates, rows.begun, target.run_id)
            quarantine.replace(target.layer, target.name, rejects, dates=dates, run_id=target.run_id, files_by_date=rows.replaced)
            commit = replace_rows(
                target.uri,
                rows.rows,
                predicate=files_predicate(rows.replaced, "_date", "_source_file"),
                key=hashlib.sha256(repr(sorted(rows.fingerprints.items())).encode()).hexdigest()[:16],
                run_id=target.run_id,
                description=target.description,
            )
        else:
            commit = Commit(ensure_table(target.uri, rows.rows.schema, target.description).version(), changed=False)
        records = _records(rows, target, quarantine, commit)
        ledger.replace(target.layer, {target.name: dates}, records, target.run_id)
        return Written(commit, _metadata(rows), {r.date: _metadata_of_day(r) for r in records})

    def read(self, source: Source) -> LandedRows:
        """Refused: see the class."""
        raise TypeError(f"{source.layer}/{source.name}: take its rows as a DataFrame or an Arrow table, not as LandedRows.")


def _records(rows: LandedRows, target: Target, quarantine: Quarantine, commit: Commit) -> list[PartitionRecord]:
    table = newest_table(target.uri)
    standing = table_facts(table).rows_by_date if table is not None else {}
    quarantined = quarantine.by_date(target.layer, target.name)
    of_file = _rows_of_files(target, quarantine, [day for day, files in rows.files.items() if any(f.duplicate_of for f in files)])
    return [
        PartitionRecord(
            layer=target.layer,
            table_name=target.name,
            date=day,
            rows_in=sum(f.rows_in for f in files),
            rows_out=standing.get(day, 0),
            rows_quarantined=quarantined.get(day, 0),
            # Each row of a duplicate has its like in the file that stands for it.
            rows_superseded=sum(of_file[day, f.duplicate_of] for f in files if f.duplicate_of),
            delta_version=commit.version,
            run_id=target.run_id,
            fingerprint=rows.fingerprints[day],
            files=files,
        )
        for day, files in sorted(rows.files.items())
    ]


def _rows_of_files(target: Target, quarantine: Quarantine, dates: Collection[date]) -> Counter[tuple[date, str]]:
    """How many rows of each file stand in the table or in quarantine, by date and name, counted there."""
    found: Counter[tuple[date, str]] = Counter()
    if not dates:
        return found
    table, rejects = newest_table(target.uri), newest_table(quarantine.uri)
    with connect(target.root) as connection:
        queries = []
        if table is not None:
            files = [f for f in live_files(table) if f["date"] in dates]
            files_view(connection, "landed", target.uri, files, {"_source_file": "string"})
            queries.append("SELECT _date, _source_file, count(*) FROM landed GROUP BY ALL")
        if rejects is not None and (paths := file_paths(rejects, quarantine.uri, layer=target.layer, table_name=target.name)):
            queries.append(f"SELECT date, source_file, sum(rows) FROM {quarantined_in(paths)} GROUP BY ALL")
        for query in queries:
            found.update({(day, name): int(rows) for day, name, rows in connection.execute(query).fetchall()})
    return found


def _metadata(rows: LandedRows) -> dict[str, Any]:
    told: dict[str, Any] = {
        "files_loaded": sum(len(rows.files[day]) if names is None else len(names) for day, names in rows.replaced.items()),
        "rows_quarantined": rows_of(rows.rejects),
    }
    duplicates = [f"{day}/{f.name} (as {f.duplicate_of})" for day, files in rows.files.items() for f in files if f.duplicate_of]
    if duplicates:
        told["duplicate_files"] = ", ".join(duplicates)
    if rows.new_columns:
        told["new_columns"] = ", ".join(rows.new_columns)
    if rows.unstable:
        told["files_still_changing"] = ", ".join(rows.unstable)
    return told


def _metadata_of_day(record: PartitionRecord) -> dict[str, Any]:
    return {
        **account_metadata(record),
        "landing_files": len(record.files),
        "duplicate_files": sum(1 for f in record.files if f.duplicate_of),
    }
