"""The stage: audited rows as the engine wrote them, in Parquet below the table's folder, before any commit names them.

One job of the engine writes all of a run's rows, by verdict and date. Everything that is counted or copied afterwards, counts by
rule, rows for quarantine, superseded rows, is read from there by DuckDB.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.silver.audit import BROKEN_RULES, DROPPED, FAILED, OK, SUPERSEDED, VERDICT
from lakehouse_assets.storage.duck import files_view
from lakehouse_assets.storage.ledger import RuleHits
from lakehouse_assets.storage.tables import DATE_COLUMN, DataFile

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse_assets.storage.handlers import Target

_EXAMPLES = 5


@dataclass
class Stage:
    """What the engine has written for one commit of one table, with the figures of it by date."""

    target: "Target"
    contract: Contract
    folder: str
    ok: list[DataFile] = field(default_factory=list)
    rejected_dates: set[date] = field(default_factory=set)
    """Dates with a row that broke a `fail` rule: nothing of them is published."""
    named: set[str] = field(default_factory=set)
    """Paths that a commit has made part of the table."""

    def write(self, audited: "DataFrame", connection: "duckdb.DuckDBPyConnection") -> None:
        """Let the engine compute and write all rows; then make them known to `connection` as the view `staged`."""
        audited.write.partitionBy(VERDICT, DATE_COLUMN).parquet(f"{self.target.uri}/{self.folder}/audited")
        files = self._written("audited", connection)
        self.ok = [DataFile(**f) for f in files if f["path"].startswith(f"{self.folder}/audited/{VERDICT}={OK}/")]
        columns = {c.name: c.type for c in self.contract.columns} | {"_source_file": "string", "_row_number": "bigint"}
        columns[BROKEN_RULES] = "string"
        for verdict in (OK, SUPERSEDED, DROPPED, FAILED):
            of_verdict = [f for f in files if f["path"].startswith(f"{self.folder}/audited/{VERDICT}={verdict}/")]
            files_view(connection, f"staged_{verdict}", self.target.uri, of_verdict, columns)
        connection.execute(
            "CREATE VIEW staged AS "
            + " UNION ALL ".join(f"SELECT *, '{v}' AS {VERDICT} FROM staged_{v}" for v in (OK, SUPERSEDED, DROPPED, FAILED))
        )
        self.rejected_dates = {
            row[0] for row in connection.execute(f"SELECT DISTINCT {DATE_COLUMN} FROM staged_{FAILED}").fetchall()
        }

    def read_ok(self, session: "SparkSession") -> "DataFrame | None":
        """The rows to keep of each key, for the engine; None where there are none."""
        if not self.ok:
            return None
        staged = session.read.parquet(f"{self.target.uri}/{self.folder}/audited/{VERDICT}={OK}")
        return staged.withColumn(DATE_COLUMN, staged[DATE_COLUMN].cast("date"))

    def write_merged(self, rows: "DataFrame", connection: "duckdb.DuckDBPyConnection") -> list[DataFile]:
        """Let the engine write the final rows of a table's partitions."""
        rows.write.partitionBy(DATE_COLUMN).parquet(f"{self.target.uri}/{self.folder}/merged")
        return [DataFile(**f) for f in self._written("merged", connection)]

    def rule_hits(self, connection: "duckdb.DuckDBPyConnection") -> dict[date, list[RuleHits]]:
        """By date: each broken rule with its rows, and the keys of a few of them."""
        key = " || ', ' || ".join(f"COALESCE(CAST(\"{k}\" AS VARCHAR), 'NULL')" for k in self.contract.key)
        found = connection.execute(
            f"""SELECT {DATE_COLUMN}, rule, count(*), list({key} ORDER BY _source_file, _row_number)[1:{_EXAMPLES}]
                FROM (SELECT *, unnest(string_split({BROKEN_RULES}, ',')) AS rule FROM staged WHERE {BROKEN_RULES} IS NOT NULL)
                GROUP BY ALL ORDER BY ALL"""
        ).fetchall()
        hits: dict[date, list[RuleHits]] = {}
        for day, rule, rows, examples in found:
            hits.setdefault(day, []).append(RuleHits(rule, rows, examples))
        return hits

    def dropped(self, connection: "duckdb.DuckDBPyConnection") -> "pa.Table":
        """The rows that broke a `drop` rule: `_date`, `_source_file`, `_row_number`, `_broken_rules`."""
        found: pa.Table = connection.execute(
            f"SELECT {DATE_COLUMN}, _source_file, _row_number, {BROKEN_RULES} FROM staged_{DROPPED} "
            f"ORDER BY {DATE_COLUMN}, _source_file, _row_number"
        ).to_arrow_table()
        return found

    def _written(self, part: str, connection: "duckdb.DuckDBPyConnection") -> list[dict[str, Any]]:
        """The files that the engine wrote: path below the table, bytes, rows, date."""
        prefix = f"{self.target.layer}/{self.target.name}"
        sizes = {
            path.removeprefix(f"{prefix}/"): size
            for path, size in self.target.root.files(f"{prefix}/{self.folder}/{part}")
            if path.endswith(".parquet")
        }
        if not sizes:
            return []
        paths = [f"{self.target.uri}/{path}" for path in sizes]
        rows = connection.execute("SELECT file_name, num_rows FROM parquet_file_metadata(?)", [paths]).fetchall()
        return [
            {"path": path, "size_bytes": sizes[path], "num_records": count, "date": date.fromisoformat(_partition(path))}
            for path, count in ((name.removeprefix(f"{self.target.uri}/"), count) for name, count in rows)
        ]


@contextmanager
def staging(target: "Target", contract: Contract) -> Iterator[Stage]:
    """A new stage; what no commit has named of it is deleted at the end."""
    stage = Stage(target, contract, f"data-{target.run_id[:8]}-{uuid4().hex[:8]}")
    try:
        yield stage
    finally:
        prefix = f"{target.layer}/{target.name}"
        named = {f"{prefix}/{path}" for path in stage.named}
        target.root.delete([path for path, _ in target.root.files(f"{prefix}/{stage.folder}") if path not in named])


def _partition(path: str) -> str:
    return path.split(f"{DATE_COLUMN}=", 1)[1].split("/", 1)[0]
