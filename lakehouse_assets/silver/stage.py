"""The stage: rows by verdict and date as the engine wrote them, in Parquet below the table's folder, before any commit names them.

One job of the engine writes all of a run's rows. Everything that is counted or copied afterwards, counts by rule, rows for quarantine,
keys that other partitions hold too, is read from there by DuckDB.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.silver.audit import BROKEN_RULES, DROPPED, FAILED, OK, SUPERSEDED, VERDICT
from lakehouse_assets.silver.versions import DELETED
from lakehouse_assets.storage.duck import files_view
from lakehouse_assets.storage.engine_files import DataFolder
from lakehouse_assets.storage.ledger import RuleHits
from lakehouse_assets.storage.tables import DATE_COLUMN, DataFile

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

LANDED = "_landed"
"""A copy of `_date` within the staged files, for engines that can't say which partition a file is from. No table shows it."""

_EXAMPLES = 5


@dataclass
class Stage:
    """What the engine has written for one commit of one table."""

    folder: DataFolder
    contract: Contract
    ok: list[DataFile] = field(default_factory=list)
    superseded: list[DataFile] = field(default_factory=list)
    rejected_dates: set[date] = field(default_factory=set)
    """Dates with a row that broke a `fail` rule: nothing of them is published."""

    def write(self, audited: "DataFrame", connection: "duckdb.DuckDBPyConnection") -> None:
        """Let the engine compute and write all rows; then make them known to `connection` as the view `staged`."""
        files = self._write(audited, "audited")
        self.ok, self.superseded = files[OK], files[SUPERSEDED]
        uri = self.folder.root.table(self.folder.layer, self.folder.table)
        columns = staged_columns(self.contract)
        for verdict, of_verdict in files.items():
            files_view(connection, f"staged_{verdict}", uri, [{"path": f.path, "date": f.date} for f in of_verdict], columns)
        staged = " UNION ALL ".join(f"SELECT *, '{verdict}' AS {VERDICT} FROM staged_{verdict}" for verdict in files)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW staged AS {staged}")
        self.rejected_dates = {f.date for f in files[FAILED] if f.date is not None}

    def rewrite(self, merged: "DataFrame", dates: Sequence[date]) -> None:
        """Let the engine write rows by their new verdict: all that stand or are superseded of `dates`, in place of what was staged."""
        files = self._write(merged, "merged")
        self.ok = [f for f in self.ok if f.date not in dates] + files[OK]
        self.superseded = [f for f in self.superseded if f.date not in dates] + files[SUPERSEDED]

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

    def _write(self, rows: "DataFrame", part: str) -> dict[str, list[DataFile]]:
        files = self.folder.write(rows.withColumn(LANDED, rows[DATE_COLUMN]), part, VERDICT)
        return {
            verdict: [f for f in files if f"/{VERDICT}={verdict}/" in f.path] for verdict in (OK, SUPERSEDED, DROPPED, FAILED)
        }


def staged_columns(contract: Contract) -> dict[str, str]:
    """The columns of staged rows with their types, in Spark SQL's words; without `_date`, which is the partition."""
    own = {"_source_file": "string", "_row_number": "bigint", BROKEN_RULES: "string", DELETED: "boolean"}
    return {c.name: c.type for c in contract.table_columns} | own


def read_staged(session: "SparkSession", uri: str, files: Sequence[DataFile], contract: Contract) -> "DataFrame":
    """The rows of staged files of any commit, for the engine: `staged_columns` and `_date`. There is at least one file."""
    columns = staged_columns(contract)
    schema = ", ".join(f"`{name}` {kind}" for name, kind in {**columns, LANDED: "date"}.items())
    # Below a table files lie in folders of several commits; this option keeps Spark from making columns out of those.
    rows = session.read.schema(schema).option("recursiveFileLookup", "true").parquet(*(f"{uri}/{file.path}" for file in files))
    return rows.selectExpr(*(f"`{name}`" for name in columns), f"{LANDED} AS {DATE_COLUMN}")
