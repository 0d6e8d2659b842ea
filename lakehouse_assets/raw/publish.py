"""Writes landed rows: quarantine first, then the table, then the ledger, so that a kill in between is healed by the next pass."""

import hashlib
from datetime import date
from typing import Any

from lakehouse_assets.raw.load import LandedRows
from lakehouse_assets.storage.handlers import Handler, Source, Target, Written
from lakehouse_assets.storage.ledger import Ledger, PartitionRecord
from lakehouse_assets.storage.quarantine import quarantine_schema, quarantined_by_date, replace_quarantine
from lakehouse_assets.storage.tables import Commit, open_table, replace_rows, sql_date, sql_text, table_facts


class LandedRowsHandler(Handler[LandedRows]):
    """What a raw asset returns. Read raw tables as Arrow, Spark or any other type of rows."""

    type_name = f"{LandedRows.__module__}.{LandedRows.__qualname__}"

    def write(self, rows: LandedRows, target: Target) -> Written:
        """Replace the rows of the files that were read or have vanished, in one commit; nothing where no file differs."""
        import pyarrow as pa

        dates = sorted(rows.files)
        if not dates:
            target.log.info("Nothing differs between landing and these partitions.")
            return Written(_standing(target))
        rejects = pa.Table.from_pylist(
            [
                {
                    "layer": target.layer,
                    "table_name": target.name,
                    "date": day,
                    "source_file": name,
                    "row_number": reject.row_number,
                    "rule": reject.rule,
                    "reason": reject.reason,
                    "payload": reject.payload,
                    "run_id": target.run_id,
                }
                for day, name, reject in rows.rejects
            ],
            schema=quarantine_schema(),
        )
        if rows.replaced:
            replace_quarantine(
                target.root, target.layer, target.name, rejects, dates=dates, run_id=target.run_id, files_by_date=rows.replaced
            )
            commit = replace_rows(
                target.uri,
                rows.rows,
                predicate=_replaced_predicate(rows.replaced),
                key=hashlib.sha256(repr(sorted(rows.fingerprints.items())).encode()).hexdigest()[:16],
                run_id=target.run_id,
                description=target.description,
            )
        else:
            commit = _standing(target)
        records = _records(rows, target, commit)
        Ledger(target.root).replace(target.layer, target.name, dates, records, target.run_id)
        return Written(commit, _metadata(rows), {r.date: _metadata_of_day(r) for r in records})

    def read(self, source: Source) -> LandedRows:
        """Refused: see the class."""
        raise TypeError(f"{source.layer}/{source.name}: take its rows as a DataFrame or an Arrow table, not as LandedRows.")


def _standing(target: Target) -> Commit:
    table = open_table(target.uri)
    return Commit(-1 if table is None else table.version(), changed=False)


def _replaced_predicate(replaced: dict[date, set[str]]) -> str:
    """SQL for the rows of the given files."""
    return " OR ".join(
        f"(_date = {sql_date(day)} AND _source_file IN ({', '.join(sql_text(n) for n in sorted(names))}))"
        for day, names in sorted(replaced.items())
        if names
    )


def _records(rows: LandedRows, target: Target, commit: Commit) -> list[PartitionRecord]:
    table = open_table(target.uri)
    standing = table_facts(table).rows_by_date if table is not None else {}
    quarantined = quarantined_by_date(target.root, target.layer, target.name)
    return [
        PartitionRecord(
            layer=target.layer,
            table_name=target.name,
            date=day,
            rows_in=sum(f.rows_in for f in files),
            rows_out=standing.get(day, 0),
            rows_quarantined=quarantined.get(day, 0),
            rows_superseded=0,
            delta_version=commit.version,
            run_id=target.run_id,
            fingerprint=rows.fingerprints[day],
            files=files,
        )
        for day, files in sorted(rows.files.items())
    ]


def _metadata(rows: LandedRows) -> dict[str, Any]:
    told: dict[str, Any] = {
        "files_read": sum(len(names) for names in rows.replaced.values()),
        "rows_quarantined": len(rows.rejects),
    }
    if rows.new_columns:
        told["new_columns"] = ", ".join(rows.new_columns)
    if rows.unstable:
        told["files_still_changing"] = ", ".join(rows.unstable)
    return told


def _metadata_of_day(record: PartitionRecord) -> dict[str, Any]:
    return {
        "rows_in": record.rows_in,
        "rows_out": record.rows_out,
        "rows_quarantined": record.rows_quarantined,
        "landing_files": len(record.files),
    }
