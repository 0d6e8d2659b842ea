"""The stage: Parquet files by verdict that the engine writes below the table's folder, before a commit refers to them.

One job of the engine writes all rows of a run: live ones by date, as the table is partitioned, the others together, because a
file per date would cost more than the rows. DuckDB then reads from these files what is counted or copied: hits per rule, rows for
quarantine.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse_assets.books.ledger import RuleHits
from lakehouse_assets.books.set_aside import BATCH, DROPPED, LANDED, SUPERSEDED, WAITING, Batch, SetAside, rows_set_aside
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
from lakehouse_assets.delta.duck import files_view
from lakehouse_assets.delta.statistics import Bounds, Footer, bounds
from lakehouse_assets.delta.tables import SPLIT, DataFile, sql_date
from lakehouse_assets.silver.judge import FAILED, OK, VERDICT, VERDICTS
from lakehouse_assets.silver.transform import UNREAD
from lakehouse_assets.silver.winners import DELETED

if TYPE_CHECKING:
    import duckdb
    from pyspark.sql import DataFrame, SparkSession

_MANY_DATES, _ANY = date.min, "any"
"""The date in the path of a file with rows of many dates, and what stands there for many values of a contract's `split_by`."""

_REPARTITION_DATES = 16
"""From this many dates on, one task writes each date: else each task writes a file per date. With fewer, tasks would be idle."""

ROWS_PER_FILE = 100_000
"""So many rows are worth a task of their own, and a file. What adds to a date in smaller pieces would leave one for each task."""

MOST_EXAMPLES = 5
"""Of so many rows that break a rule the record of a date has the keys."""

MOST_SMALL_FILES, _MOST_BATCHES = 16, 64
"""The most files of few rows that a date has, and the most batches of rows set aside for one reason that a commit lists. Beyond it,
the small ones are merged: see `pieces_to_merge`."""


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
    _written: set[str] = field(default_factory=set)
    """The verdicts with a view: `ok`, and those that a row has."""
    _all_keep_rules: bool = False
    """Whether no row breaks a rule, by the statistics of the files."""

    @property
    def contract(self) -> Contract:
        """The contract of the table."""
        return self.table.contract

    @property
    def uri(self) -> str:
        """The address of the table."""
        return self.folder.root.table(self.folder.layer, self.folder.table)

    def write(self, rows: "DataFrame", dates: Collection[date], count: int | None) -> None:
        """Let the engine compute and write all rows of `dates`; then create the view `staged` over them.

        `count` is about how many rows these are; None if they may be many.
        """
        files, self.aside = self._write(rows, "judged", dates, count, self._kept())
        self.ok = files[OK]
        columns = staged_columns(self.contract) | {UNREAD: "string"}
        files_view(self.connection, f"staged_{OK}", self.uri, [f.as_dict() for f in self.ok], columns)
        self._written = {OK, *(verdict for verdict in VERDICTS if files[verdict])}
        for verdict in self._written - {OK}:
            count = sum(f.num_records for f in files[verdict])
            landed_view(self.connection, f"staged_{verdict}", self.uri, [f.path for f in files[verdict]], columns, count)
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW staged AS {self._staged(self._written)}")
        broken = [(f.footer or {}).get(BROKEN_RULES) for of_verdict in files.values() for f in of_verdict]
        self._all_keep_rules = all(chunks and all(chunk.nulls == chunk.rows for chunk in chunks) for chunks in broken)
        self.rejected_dates = set(self._rows_by_date(f"staged_{FAILED}")) if files[FAILED] else set()

    def rewrite(self, merged: "DataFrame", live: Mapping[str, date], superseded: SetAside, count: int) -> None:
        """Let the engine write `count` rows again by their new verdict: of `live`, files with their date, and of `superseded`."""
        files, aside = self._write(merged, "merged", {*live.values(), *superseded.rows_by_date}, count, self._kept())
        self.ok = [f for f in self.ok if f.path not in live] + files[OK]
        self.aside = self.aside.minus(superseded) + aside

    def in_few_batches(self, aside: SetAside, session: "Callable[[], SparkSession]") -> SetAside:
        """Return the same rows in fewer batches: let the engine merge the smallest, so that a commit never lists too many."""
        few = SetAside((), aside.deliveries)
        for reason in (SUPERSEDED, WAITING, DROPPED):
            few += self._in_few_batches(aside.with_reason(reason), reason, session)
        return few

    def _in_few_batches(self, aside: SetAside, reason: str, session: "Callable[[], SparkSession]") -> SetAside:
        ordered = sorted(aside.batches, key=lambda batch: sum(batch.rows.values()))
        number = pieces_to_merge([sum(batch.rows.values()) for batch in ordered], _MOST_BATCHES)
        if not number:
            return SetAside(aside.batches)
        few, part = SetAside(tuple(ordered[:number])), f"few-{reason}"
        columns = staged_columns(self.contract)
        rows = read_aside_rows(session(), self.folder, self.uri, few, columns, f"places-{part}")
        _, merged = self._write(rows.selectExpr("*", f"'{reason}' AS {VERDICT}"), part, few.rows_by_date, few.count, [reason])
        return SetAside((*ordered[number:], *merged.batches))

    def rule_hits(self) -> dict[date, list[RuleHits]]:
        """Return, by date, each broken rule with its number of rows, and key, file and row of some of them."""
        if self._all_keep_rules:
            return {}
        key = " || ', ' || ".join(f"COALESCE(CAST(\"{k}\" AS VARCHAR), 'NULL')" for k in self.contract.key)
        example = f"concat({key}, chr(9), {FILE}, chr(9), {ROW})"
        counted = self.connection.execute(
            f"""SELECT {DATE_COLUMN}, rule, count(*), list({example} ORDER BY {FILE}, {ROW}, {ITEM})[1:{MOST_EXAMPLES}]
                FROM (SELECT *, unnest(string_split({BROKEN_RULES}, ',')) AS rule FROM staged WHERE {BROKEN_RULES} IS NOT NULL)
                GROUP BY ALL ORDER BY ALL"""
        ).fetchall()
        hits: dict[date, list[RuleHits]] = {}
        for day, rule, rows, examples in counted:
            hits.setdefault(day, []).append(RuleHits(rule, rows, examples))
        return hits

    def quarantined(self) -> list[dict[str, Any]]:
        """Return the rows that broke a `drop` rule or wait for a partner: the columns of `IDENTITY`, `_broken_rules`, `_unread`."""
        if not (refused := self._written & {DROPPED, WAITING}):
            return []
        columns = ", ".join((*IDENTITY, BROKEN_RULES, UNREAD))
        order = ", ".join((DATE_COLUMN, FILE, ROW, ITEM))
        found = self.connection.execute(f"SELECT {columns} FROM ({self._staged(refused)}) ORDER BY {order}").to_arrow_table()
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows

    def waiting(self, kept: SetAside) -> dict[date, str]:
        """Return, by date, a hash of the rows that wait: the staged ones, and those in `kept`."""
        waiting, types = kept.with_reason(WAITING), typed_columns((FILE, ROW, ITEM, FEED))
        if not waiting.batches and WAITING not in self._written:
            return {}
        landed_view(self.connection, "kept_waiting", self.uri, waiting.files, types, waiting.count, waiting.places)
        staged = f" UNION ALL SELECT {', '.join((*types, DATE_COLUMN))} FROM staged_{WAITING}" if WAITING in self._written else ""
        identity = " || '/' || ".join(f"CAST({name} AS VARCHAR)" for name in (FILE, ROW, ITEM, FEED))
        hashed = f"md5(string_agg({identity}, ',' ORDER BY {identity}))"
        hashes = f"SELECT {DATE_COLUMN}, {hashed} FROM (FROM kept_waiting{staged}) GROUP BY ALL"
        return {day: str(value)[:8] for day, value in self.connection.execute(hashes).fetchall()}

    def _staged(self, verdicts: Collection[str]) -> str:
        """SQL: the staged rows with one of the verdicts."""
        return " UNION ALL ".join(f"SELECT *, '{verdict}' AS {VERDICT} FROM staged_{verdict}" for verdict in sorted(verdicts))

    def _write(
        self, rows: "DataFrame", part: str, dates: Collection[date], count: int | None, kept: Sequence[str]
    ) -> tuple[dict[str, list[DataFile]], SetAside]:
        """Let the engine write rows below the folder `part`; return the files by verdict, and as set aside those that are `kept`."""
        from pyspark.sql import functions as F

        batch = f"{self.folder.name}/{part}"
        by_date = f"CASE WHEN {VERDICT} = '{OK}' THEN {DATE_COLUMN} ELSE {sql_date(_MANY_DATES)} END"
        staged = rows.withColumns({LANDED: F.col(DATE_COLUMN), BATCH: F.lit(batch), DATE_COLUMN: F.expr(by_date)})
        split = []
        if (column := self.contract.split_by) is not None:
            # Not the value itself: a folder's name can't have any character. Of two values with one hash, a file has both.
            hashed = f"SUBSTRING(MD5(COALESCE(`{column}`, '')), 1, 8)"
            split = [f"{SPLIT}{column}"]
            staged = staged.withColumn(split[0], F.expr(f"CASE WHEN {VERDICT} = '{OK}' THEN {hashed} ELSE '{_ANY}' END"))
        # One task writes each file, where that leaves work for the others.
        if len(dates) >= _REPARTITION_DATES or (split and (count is None or count >= ROWS_PER_FILE)):
            staged = staged.repartition(LANDED, *split)
        elif count is not None:
            staged = staged.coalesce(1 + count // ROWS_PER_FILE)
        written = self.folder.write(staged, part, VERDICT, DATE_COLUMN, *split)
        files = {v: [f for f in written if f"/{VERDICT}={v}/" in f.path] for v in VERDICTS}
        batches = []
        for reason in (reason for reason in kept if files[reason]):
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


def pieces_to_merge(sizes: Sequence[int], most: int) -> int:
    """Return how many of the smallest of some pieces to merge into one: 0 unless there are more than `most`. `sizes` ascend.

    Each remaining piece is larger than all smaller ones together, so few remain. And each row that is written again is then in a
    piece at least twice as large: a row is written again only as often as its date, or table, has doubled.
    """
    number = total = 0
    for place, size in enumerate(sizes if len(sizes) > most else (), start=1):
        number = place if size <= total else number
        total += size
    return number


def is_staged(path: str) -> bool:
    """Return whether a stage has written a data file, so that it has `staged_columns` and the dates of its rows.

    Files that `lakehouse maintain` has compacted have only the columns of the table.
    """
    return f"/{VERDICT}={OK}/" in path


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
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {rows_set_aside(uri, files, columns, count, places)}")


def read_staged(session: "SparkSession", uri: str, files: Collection[str], contract: Contract) -> "DataFrame":
    """Read all rows of staged files with the engine: `staged_columns` and `_date`. `files` must not be empty."""
    columns = staged_columns(contract)
    rows = read_parquet(session, uri, files, {**columns, LANDED: "date"})
    return rows.selectExpr(*(f"`{name}`" for name in columns), f"{LANDED} AS {DATE_COLUMN}")


def read_aside_rows(
    session: "SparkSession",
    folder: DataFolder,
    uri: str,
    aside: SetAside,
    columns: Mapping[str, str],
    name: str = "places",
) -> "DataFrame":
    """Read rows that are set aside with the engine: `columns` (name to type) and `_date`. `aside` must have a batch.

    A join with a file selects the rows, because engines can't handle a predicate that grows with the number of batches (Sail
    0.7.2 crashes with SIGSEGV at about 700). Its `name` is that of no other in the folder.
    """
    import pyarrow as pa

    batches, days = zip(*aside.places, strict=True)
    places = session.read.parquet(
        folder.put(pa.table({"_of_batch": pa.array(batches), "_of_date": pa.array(days, pa.date32())}), name)
    )
    rows = read_parquet(session, uri, aside.files, {**columns, BATCH: "string", LANDED: "date"})
    selected = rows.join(places, on=[rows[BATCH] == places["_of_batch"], rows[LANDED] == places["_of_date"]], how="left_semi")
    return selected.selectExpr(*(f"`{name}`" for name in columns), f"{LANDED} AS {DATE_COLUMN}")
