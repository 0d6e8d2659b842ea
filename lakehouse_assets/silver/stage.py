"""The stage: Parquet files by verdict that the engine writes below the table's folder, before a commit refers to them.

One job of the engine writes all rows of a run: live ones by date, as the table is partitioned, the others together, because a
file per date would cost more than the rows. DuckDB then reads from these files what is counted or copied: hits per rule, rows for
quarantine, keys that other partitions have too.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import obstore

from lakehouse_assets.books.ledger import RuleHits
from lakehouse_assets.books.set_aside import BATCH, DROPPED, LANDED, SUPERSEDED, WAITING, Batch, SetAside
from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.contracts.provenance import (
    BROKEN_RULES,
    DATE_COLUMN,
    FEED,
    FILE,
    IDENTITY,
    IN_SILVER,
    ITEM,
    ROW,
    typed_columns,
)
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.delta.data_files import DataFolder, read_parquet
from lakehouse_assets.delta.duck import files_view, read_footers, rows_of_files
from lakehouse_assets.delta.statistics import Bounds, Footer, bounds
from lakehouse_assets.delta.tables import DataFile, sql_date, sql_text
from lakehouse_assets.silver.judge import FAILED, OK, VERDICT, VERDICTS
from lakehouse_assets.silver.winners import DELETED

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_MANY_DATES = date.min
"""The date in the path of a file with rows of many dates."""

_REPARTITION_DATES = 16
"""From this many dates on, one task writes each date: else each task writes a file per date. With fewer, tasks would be idle."""

_EXAMPLES = 5

_MOST_BATCHES = 64
"""The most batches of rows set aside for one reason that a commit lists. Beyond it, the smallest three quarters are merged into
one, as in a log-structured merge."""


@dataclass
class Stage:
    """The files that the engine has written for one commit of one table."""

    folder: DataFolder
    table: SilverTable
    connection: "duckdb.DuckDBPyConnection"
    ok: list[DataFile] = field(default_factory=list)
    aside: SetAside = field(default_factory=SetAside)
    """The rows that are set aside and kept with the table."""
    rejected_dates: set[date] = field(default_factory=set)
    """Dates with a row that broke a `fail` rule: they are not built."""

    @property
    def contract(self) -> Contract:
        """The contract of the table."""
        return self.table.contract

    @property
    def uri(self) -> str:
        """The address of the table."""
        return self.folder.root.table(self.folder.layer, self.folder.table)

    def write(self, rows: "DataFrame", dates: Collection[date]) -> None:
        """Let the engine compute and write all rows of `dates`; then create the view `staged` over them."""
        files, self.aside = self._write(rows, "judged", dates)
        self.ok = files[OK]
        columns = staged_columns(self.contract)
        files_view(self.connection, f"staged_{OK}", self.uri, [f.as_dict() for f in self.ok], columns)
        for verdict in VERDICTS[1:]:
            count = sum(f.num_records for f in files[verdict])
            landed_view(self.connection, f"staged_{verdict}", self.uri, [f.path for f in files[verdict]], columns, count)
        staged = " UNION ALL ".join(f"SELECT *, '{verdict}' AS {VERDICT} FROM staged_{verdict}" for verdict in VERDICTS)
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW staged AS {staged}")
        self.rejected_dates = set(self._rows_by_date(f"staged_{FAILED}")) if files[FAILED] else set()

    def rewrite(self, merged: "DataFrame", dates: Collection[date]) -> None:
        """Let the engine write the live and superseded rows of `dates` by their new verdict, replacing the staged ones."""
        files, aside = self._write(merged, "merged", dates)
        self.ok = [f for f in self.ok if f.date not in dates] + files[OK]
        superseded, others = self.aside.with_reason(SUPERSEDED), self.aside.with_reason(WAITING, DROPPED)
        self.aside = others + superseded.without(dates) + aside

    def in_few_batches(self, aside: SetAside) -> SetAside:
        """Return the same rows in fewer batches: merge the smallest ones, so that a commit never lists too many."""
        few = SetAside((), aside.deliveries)
        for reason in (SUPERSEDED, WAITING, DROPPED):
            few += self._in_few_batches(aside.with_reason(reason), reason)
        return few

    def _in_few_batches(self, aside: SetAside, reason: str) -> SetAside:
        if len(aside.batches) <= _MOST_BATCHES:
            return SetAside(aside.batches)
        ordered = sorted(aside.batches, key=lambda batch: sum(batch.rows.values()))
        few = SetAside(tuple(ordered[: -_MOST_BATCHES // 4]))
        name = f"{self.folder.name}/few-{reason}"
        columns = staged_columns(self.contract)
        landed_view(self.connection, "scattered", self.uri, few.files, columns, few.count, few.places)
        rows = f"SELECT * EXCLUDE ({DATE_COLUMN}), {sql_text(name)} AS {BATCH}, {DATE_COLUMN} AS {LANDED} FROM scattered"
        # Via a local file, because the rows may not fit into memory.
        with TemporaryDirectory(prefix="lakehouse-") as beside:
            file = Path(beside, "few.parquet")
            self.connection.execute(f"COPY ({rows}) TO {sql_text(str(file))} (FORMAT parquet)")
            obstore.put(self.folder.root.store, f"{self.folder.layer}/{self.folder.table}/{name}.parquet", file)
            known = self._bounds(read_footers(self.connection, [str(file)])[str(file)])
        merged = Batch(name, (f"{name}.parquet",), few.rows_by_date, reason, {f"{name}.parquet": known})
        return SetAside((*ordered[-_MOST_BATCHES // 4 :], merged))

    def rule_hits(self) -> dict[date, list[RuleHits]]:
        """Return, by date, each broken rule with its number of rows and the keys of some of them."""
        key = " || ', ' || ".join(f"COALESCE(CAST(\"{k}\" AS VARCHAR), 'NULL')" for k in self.contract.key)
        counted = self.connection.execute(
            f"""SELECT {DATE_COLUMN}, rule, count(*), list({key} ORDER BY {FILE}, {ROW}, {ITEM})[1:{_EXAMPLES}]
                FROM (SELECT *, unnest(string_split({BROKEN_RULES}, ',')) AS rule FROM staged WHERE {BROKEN_RULES} IS NOT NULL)
                GROUP BY ALL ORDER BY ALL"""
        ).fetchall()
        hits: dict[date, list[RuleHits]] = {}
        for day, rule, rows, examples in counted:
            hits.setdefault(day, []).append(RuleHits(rule, rows, examples))
        return hits

    def quarantined(self) -> "pa.Table":
        """Return the rows that broke a `drop` rule or wait for a partner: the columns of `IDENTITY` and `_broken_rules`."""
        columns = ", ".join((*IDENTITY, BROKEN_RULES))
        order = ", ".join((DATE_COLUMN, FILE, ROW, ITEM))
        rows: pa.Table = self.connection.execute(
            f"SELECT {columns} FROM staged WHERE {VERDICT} IN ('{DROPPED}', '{WAITING}') ORDER BY {order}"
        ).to_arrow_table()
        return rows

    def waiting(self) -> dict[date, str]:
        """Return, by date, a hash of the rows that wait."""
        identity = " || '/' || ".join(f"CAST({name} AS VARCHAR)" for name in (FILE, ROW, ITEM, FEED))
        hashes = f"SELECT {DATE_COLUMN}, md5(string_agg({identity}, ',' ORDER BY {identity})) FROM staged_{WAITING} GROUP BY ALL"
        return {day: str(value)[:8] for day, value in self.connection.execute(hashes).fetchall()}

    def _write(self, rows: "DataFrame", part: str, dates: Collection[date]) -> tuple[dict[str, list[DataFile]], SetAside]:
        """Let the engine write rows below the folder `part`; return the files by verdict, and the rows to set aside."""
        from pyspark.sql import functions as F

        batch = f"{self.folder.name}/{part}"
        by_date = f"CASE WHEN {VERDICT} = '{OK}' THEN {DATE_COLUMN} ELSE {sql_date(_MANY_DATES)} END"
        staged = rows.withColumns({LANDED: F.col(DATE_COLUMN), BATCH: F.lit(batch), DATE_COLUMN: F.expr(by_date)})
        if len(dates) >= _REPARTITION_DATES:
            staged = staged.repartition(LANDED)
        written = self.folder.write(staged, part, VERDICT)
        files = {v: [f for f in written if f"/{VERDICT}={v}/" in f.path] for v in VERDICTS}
        kept = [reason for reason in self._kept() if files[reason]]
        batches = []
        for reason in kept:
            paths = tuple(f.path for f in files[reason])
            landed_view(self.connection, "written", self.uri, paths, {}, sum(f.num_records for f in files[reason]))
            known = {f.path: self._bounds(f.footer) for f in files[reason]}
            batches.append(Batch(batch, paths, self._rows_by_date("written"), reason, known))
        return files, SetAside(tuple(batches))

    def _bounds(self, footer: Footer | None) -> dict[str, Bounds]:
        """The bounds of the key's columns in a file, where they are known."""
        footer, types = footer or {}, staged_columns(self.contract)
        known = {name: bounds(footer[name], types[name]) for name in self.contract.key if name in footer}
        return {name: pair for name, pair in known.items() if pair is not None}

    def _kept(self) -> list[str]:
        """Return the reasons whose rows later steps need: these rows are set aside with the table."""
        dropped = [DROPPED] if any(feed.complete for feed in self.table.feeds) else []
        return [SUPERSEDED, *([WAITING] if self.contract.waits_for else []), *dropped]

    def _rows_by_date(self, view: str) -> dict[date, int]:
        """Count the rows of a view by date."""
        counted = self.connection.execute(f"SELECT {DATE_COLUMN}, count(*) FROM {view} GROUP BY ALL")
        return dict(counted.fetchall())


def staged_columns(contract: Contract) -> dict[str, str]:
    """Return the columns of staged rows with their Spark SQL types, except those for the date."""
    own = typed_columns(tuple(name for name in IN_SILVER if name != DATE_COLUMN))
    return {c.name: c.type for c in contract.table_columns} | own | {DELETED: "boolean"}


def landed_view(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    uri: str,
    files: Collection[str],
    columns: dict[str, str],
    count: int,
    places: Collection[tuple[str, date]] | None = None,
) -> None:
    """Create a view of `columns` and `_date` over set-aside files, of all rows or of the batches and dates in `places`.

    `count` is about how many rows it has.
    """
    typed = {**columns, BATCH: "string", LANDED: "date"}
    rows = rows_of_files([f"{uri}/{path}" for path in files], typed, count)
    shown = ", ".join([*(f'"{column}"' for column in columns), f"{LANDED} AS {DATE_COLUMN}"])
    where = ""
    if places:
        listed = ", ".join(f"({sql_text(batch)}, {sql_date(day)})" for batch, day in places)
        where = f" SEMI JOIN (VALUES {listed}) AS places ({BATCH}, {LANDED}) USING ({BATCH}, {LANDED})"
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT {shown} FROM ({rows}){where}")


def read_staged(session: "SparkSession", uri: str, files: Collection[str], contract: Contract) -> "DataFrame":
    """Read all rows of staged files with the engine: `staged_columns` and `_date`. `files` must not be empty."""
    columns = staged_columns(contract)
    rows = read_parquet(session, uri, files, {**columns, LANDED: "date"})
    return rows.selectExpr(*(f"`{name}`" for name in columns), f"{LANDED} AS {DATE_COLUMN}")


def read_aside_rows(session: "SparkSession", folder: DataFolder, uri: str, aside: SetAside, contract: Contract) -> "DataFrame":
    """Read rows that are set aside with the engine: `staged_columns` and `_date`. `aside` must have a batch.

    A join with a file selects the rows, because engines can't handle a predicate that grows with the number of batches (Sail
    0.7.2 crashes with SIGSEGV at about 700).
    """
    import pyarrow as pa

    batches, days = zip(*aside.places, strict=True)
    places = session.read.parquet(
        folder.put(pa.table({"_of_batch": pa.array(batches), "_of_date": pa.array(days, pa.date32())}), "places")
    )
    columns = staged_columns(contract)
    rows = read_parquet(session, uri, aside.files, {**columns, BATCH: "string", LANDED: "date"})
    selected = rows.join(places, on=[rows[BATCH] == places["_of_batch"], rows[LANDED] == places["_of_date"]], how="left_semi")
    return selected.selectExpr(*(f"`{name}`" for name in columns), f"{LANDED} AS {DATE_COLUMN}")
