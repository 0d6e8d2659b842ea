"""The stage: audited rows as the engine wrote them, in Parquet below the table's folder, before any commit names them.

One job of the engine writes all of a run's rows, by verdict and date. Everything that is counted or copied afterwards, counts by
rule, rows for quarantine, superseded rows, is read from there by DuckDB.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.silver.audit import BROKEN_RULES, DROPPED, FAILED, OK, SUPERSEDED, VERDICT
from lakehouse_assets.storage.duck import files_view
from lakehouse_assets.storage.engine_files import DataFolder
from lakehouse_assets.storage.ledger import RuleHits
from lakehouse_assets.storage.tables import DATE_COLUMN, DataFile

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_EXAMPLES = 5


@dataclass
class Stage:
    """What the engine has written for one commit of one table, with the figures of it by date."""

    folder: DataFolder
    contract: Contract
    ok: list[DataFile] = field(default_factory=list)
    rejected_dates: set[date] = field(default_factory=set)
    """Dates with a row that broke a `fail` rule: nothing of them is published."""

    def write(self, audited: "DataFrame", connection: "duckdb.DuckDBPyConnection") -> None:
        """Let the engine compute and write all rows; then make them known to `connection` as the view `staged`."""
        files = self.folder.write(audited, "audited", VERDICT)
        columns = {c.name: c.type for c in self.contract.columns} | {"_source_file": "string", "_row_number": "bigint"}
        columns[BROKEN_RULES] = "string"
        uri = self.folder.root.table(self.folder.layer, self.folder.table)
        verdicts = (OK, SUPERSEDED, DROPPED, FAILED)
        for verdict in verdicts:
            of_verdict = [f for f in files if f"/{VERDICT}={verdict}/" in f.path]
            files_view(connection, f"staged_{verdict}", uri, [{"path": f.path, "date": f.date} for f in of_verdict], columns)
            if verdict == OK:
                self.ok = of_verdict
        staged = " UNION ALL ".join(f"SELECT *, '{verdict}' AS {VERDICT} FROM staged_{verdict}" for verdict in verdicts)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW staged AS {staged}")
        self.rejected_dates = {
            row[0] for row in connection.execute(f"SELECT DISTINCT {DATE_COLUMN} FROM staged_{FAILED}").fetchall()
        }

    def read_ok(self, session: "SparkSession") -> "DataFrame | None":
        """The rows to keep of each key, for the engine; None where there are none."""
        if not self.ok:
            return None
        table = self.folder.root.table(self.folder.layer, self.folder.table)
        staged = session.read.parquet(f"{table}/{self.folder.name}/audited/{VERDICT}={OK}")
        return staged.withColumn(DATE_COLUMN, staged[DATE_COLUMN].cast("date"))

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
