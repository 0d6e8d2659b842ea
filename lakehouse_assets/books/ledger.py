"""The ledger: the state of each partition of each table, and what it was built from. A Delta table, `ops/partitions`.

A step writes its records last, and each record names exactly the files that it describes. So a record need not be trusted:
`records.py` compares it with the table, whichever process wrote them and when. Row accounts are a view of the ledger.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable

from lakehouse_assets.delta.duck import connect, parquet
from lakehouse_assets.delta.tables import (
    ensure_table,
    file_paths,
    newest_table,
    replace_rows_at,
    sql_date,
    sql_text,
    until_committed,
)
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import pyarrow as pa


UNVERIFIED = ""
"""The fingerprint of a partition whose record does not describe the table: the partition is to be built again."""

Records = dict[tuple[str, str, date], "PartitionRecord"]
"""Records by layer, table and date."""

_brief_records: dict[str, dict[str, list["PartitionRecord"]]] = {}
"""By the ledger's URI: the files that this process has read, and their brief records. A file never changes."""

_newest_landings: dict[str, date | None] = {}
"""By the URI of a file of the ledger that this process has read: the newest date in it that was built from a landing file."""

_MAX_FILES_PER_TABLE = 32
"""When a table's records are spread over this many files, the next write puts them all into one file."""


@dataclass(frozen=True)
class LandedFile:
    """A landing object as it was when a raw partition was built from it.

    `version` identifies the upload in the store's listing and changes with each one; `etag` is the MD5 of the bytes.
    `duplicate_of` names the file with the same bytes whose rows were used instead; "" if the file's own rows were used. `batch`
    names its rows in quarantine; "" if there are none.
    """

    name: str
    version: str
    etag: str
    size: int
    rows_in: int
    rows_out: int
    duplicate_of: str = ""
    batch: str = ""


@dataclass(frozen=True)
class RuleHits:
    """How many rows of a partition broke a rule, and a few of them for a person to look up: key, file and row, between tabs."""

    rule: str
    rows: int
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class InputVersion:
    """A version of a table that something was built from: the table's Delta id, and the version number."""

    table: str
    delta_version: int
    table_id: str = ""


@dataclass(frozen=True)
class PartitionRecord:
    """One partition: its row accounts, and the fingerprint of all inputs (rows and code).

    `rows_in` is None if the table has another grain than its inputs, so that rows can't add up. `table_id` and `content` identify
    the table and the partition's files that the record describes; `batches` names its rows in quarantine. `sources` are the landing
    files that a silver partition was built from, as JSON: `{feed: {file name: etag}}`; "" if that is unknown. `totals` are the control
    totals of a raw partition, as JSON: by the file that has them, the number of rows of each file that they speak of, see
    `raw/totals.py`; "" if there are none. `shortfall` is why rows of a raw partition may not have arrived, by its control totals; ""
    if nothing says so. `code` is a hash of the code and settings that made the rows of a model; "" in other layers.
    """

    layer: str
    table_name: str
    date: date
    rows_in: int | None
    rows_out: int
    rows_quarantined: int
    rows_superseded: int
    delta_version: int
    run_id: str
    fingerprint: str
    files: list[LandedFile] = field(default_factory=list)
    rules: list[RuleHits] = field(default_factory=list)
    inputs: list[InputVersion] = field(default_factory=list)
    table_id: str = ""
    content: str = ""
    batches: list[str] = field(default_factory=list)
    sources: str = ""
    totals: str = ""
    shortfall: str = ""
    code: str = ""

    @property
    def is_unverified(self) -> bool:
        """Whether the record does not describe the table, so that the partition is to be built again."""
        return self.fingerprint == UNVERIFIED

    @property
    def adds_up(self) -> bool:
        """Whether every row that came in is live, in quarantine or superseded."""
        return self.rows_in is None or self.rows_in == self.rows_out + self.rows_quarantined + self.rows_superseded


@dataclass(frozen=True)
class Ledger:
    """Reads and replaces the partition records of a root."""

    root: Root

    @property
    def uri(self) -> str:
        """The URI of the Delta table."""
        return self.root.path("ops", "partitions")

    def read(self, layer: str | None = None, table_name: str | None = None, *, brief: bool = False) -> Records:
        """Records by layer, table and date: all, or those of a layer or table.

        They lack `sources`, which are long and which only the build of a date needs. `brief` leaves out `files` and `rules` too; a
        process reads each file of the ledger only once for them.
        """
        partition = {k: v for k, v in (("layer", layer), ("table_name", table_name)) if v is not None}
        opened = newest_table(self.uri)
        return self._read_briefly(opened, partition) if brief else self._records(opened, _all_but("sources"), "true", partition)

    def newest_landing(self) -> date | None:
        """The newest date with a file that any raw table was built from."""
        table = newest_table(self.uri)
        files = file_paths(table, self.uri, layer="raw") if table is not None else []
        if unread := [file for file in files if file not in _newest_landings]:
            _newest_landings.update(dict.fromkeys(unread))
            with connect(self.root) as connection:
                newest = "SELECT _path, max(date) FILTER (WHERE len(files) > 0)"
                found = connection.execute(f"{newest} FROM {parquet(unread, path_column='_path')} GROUP BY ALL").fetchall()
            _newest_landings.update(found)
        return max((day for file in files if (day := _newest_landings[file])), default=None)

    def read_dates(self, layer: str, dates: Mapping[str, Collection[date]]) -> Records:
        """The full records of the given tables and dates of a layer, by layer, table and date."""
        chosen = {table: days for table, days in dates.items() if days}
        if not chosen:
            return {}
        partition = {"layer": layer, **({"table_name": min(chosen)} if len(chosen) == 1 else {})}
        return self._records(newest_table(self.uri), "*", _dates_condition(chosen), partition)

    def _records(self, table: DeltaTable | None, columns: str, condition: str, partition: dict[str, str]) -> Records:
        """Records from the files of a partition of the ledger that meet a condition."""
        files = file_paths(table, self.uri, **partition) if table is not None else []
        if not files:
            return {}
        with connect(self.root) as connection:
            rows = connection.execute(f"SELECT {columns} FROM {parquet(files)} WHERE {condition}")
            names = [c[0] for c in rows.description or []]
            records = [_record(dict(zip(names, row, strict=True))) for row in rows.fetchall()]
        return {(r.layer, r.table_name, r.date): r for r in records}

    def _read_briefly(self, table: DeltaTable | None, partition: dict[str, str]) -> Records:
        """The brief records of a partition of the ledger."""
        files = file_paths(table, self.uri, **partition) if table is not None else []
        known = _brief_records.get(self.uri, {})
        if unread := [file for file in files if file not in known]:
            read: dict[str, list[PartitionRecord]] = {file: [] for file in unread}
            with connect(self.root) as connection:
                rows = connection.execute(
                    f"SELECT {_all_but('files', 'rules', 'sources')} FROM {parquet(unread, path_column='_path')}"
                )
                names = [c[0] for c in rows.description or []]
                for row in rows.fetchall():
                    values = dict(zip(names, row, strict=True))
                    read[values.pop("_path")].append(_record(values))
            known = known | read
        # A read of all of the ledger knows which files are still live.
        _brief_records[self.uri] = known if partition else {file: known[file] for file in files}
        return {(r.layer, r.table_name, r.date): r for file in files for r in known[file]}

    def record(
        self, layer: str, tables: Collection[str], decide: Callable[[Records], Sequence[PartitionRecord]], run_id: str
    ) -> tuple[list[PartitionRecord], Records]:
        """Write records of some tables of a layer in one commit. Returns the records, and all records of these tables before.

        `decide` gets all current records of these tables and returns the ones to write. If another process commits to the ledger
        first, `decide` is called again, so it has always seen the records right before its own commit.

        Raises:
            CommitFailedError: another commit came first at every attempt.
        """

        def attempt() -> tuple[list[PartitionRecord], Records]:
            ensure_table(self.uri, ledger_schema(), "How each partition stands and what it was built from", PARTITIONED_BY)
            opened = DeltaTable(self.uri)  # the current version: any later write of another process makes the one below fail
            current: Records = {}
            for table in sorted(tables):
                current |= self._records(opened, "*", "true", {"layer": layer, "table_name": table})
            new = list(decide(current))
            changed = [r for r in new if current.get((r.layer, r.table_name, r.date)) != r]
            if changed:
                self._write(opened, layer, changed, current, run_id)
            return new, current

        return until_committed(attempt)

    def _write(self, opened: DeltaTable, layer: str, new: Sequence[PartitionRecord], current: Records, run_id: str) -> None:
        """Write new records, as the commit right after the open version. Compact the records of tables with too many files."""
        import pyarrow as pa

        by_table: dict[str, dict[date, PartitionRecord]] = {}
        for record in new:
            by_table.setdefault(record.table_name, {})[record.date] = record
        conditions = []
        for table, records in sorted(by_table.items()):
            if len(file_paths(opened, self.uri, layer=layer, table_name=table)) < _MAX_FILES_PER_TABLE:
                conditions.append(_dates_condition({table: records}))
            else:
                by_table[table] = {r.date: r for r in current.values() if r.table_name == table} | records
                conditions.append(f"table_name = {sql_text(table)}")
        rows = [asdict(record) for records in by_table.values() for record in records.values()]
        replace_rows_at(
            opened,
            self.uri,
            pa.Table.from_pylist(rows, schema=ledger_schema()),
            predicate=f"layer = {sql_text(layer)} AND ({' OR '.join(conditions)})",
            key=hashlib.sha256(f"{layer}/{new!r}".encode()).hexdigest()[:16],
            run_id=run_id,
        )


PARTITIONED_BY = ("layer", "table_name")
"""The ledger is partitioned by these columns."""


def _all_but(*columns: str) -> str:
    """SQL: all columns except these. Unlike EXCLUDE, it allows for a ledger of an older layout that lacks one of them."""
    return f"COLUMNS(lambda name: name NOT IN ({', '.join(map(sql_text, columns))}))"


def _dates_condition(dates: Mapping[str, Iterable[date]]) -> str:
    """SQL that is true for records of the given dates by table."""
    return " OR ".join(
        f"(table_name = {sql_text(table)} AND date IN ({', '.join(sql_date(d) for d in sorted(days))}))"
        for table, days in sorted(dates.items())
    )


def _record(row: dict[str, Any]) -> PartitionRecord:
    """Make a record from a row. In a ledger of an older layout some columns have no values: their defaults apply."""
    row = {name: value for name, value in row.items() if value is not None or name == "rows_in"}
    files = [LandedFile(**_without_nulls(f)) for f in row.pop("files", [])]
    rules = [RuleHits(**r) for r in row.pop("rules", [])]
    inputs = [InputVersion(**_without_nulls(i)) for i in row.pop("inputs", [])]
    return PartitionRecord(**row, files=files, rules=rules, inputs=inputs)


def _without_nulls(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def ledger_schema() -> "pa.Schema":
    """The ledger's Arrow schema: the fields of `PartitionRecord`."""
    import pyarrow as pa

    file = {
        "name": pa.string(),
        "version": pa.string(),
        "etag": pa.string(),
        "size": pa.int64(),
        "rows_in": pa.int64(),
        "rows_out": pa.int64(),
        "duplicate_of": pa.string(),
        "batch": pa.string(),
    }
    inputs = {"table": pa.string(), "delta_version": pa.int64(), "table_id": pa.string()}
    return pa.schema(
        [
            ("layer", pa.string()),
            ("table_name", pa.string()),
            ("date", pa.date32()),
            ("rows_in", pa.int64()),
            ("rows_out", pa.int64()),
            ("rows_quarantined", pa.int64()),
            ("rows_superseded", pa.int64()),
            ("delta_version", pa.int64()),
            ("run_id", pa.string()),
            ("fingerprint", pa.string()),
            ("files", pa.list_(pa.struct(list(file.items())))),
            ("rules", pa.list_(pa.struct([("rule", pa.string()), ("rows", pa.int64()), ("examples", pa.list_(pa.string()))]))),
            ("inputs", pa.list_(pa.struct(list(inputs.items())))),
            ("table_id", pa.string()),
            ("content", pa.string()),
            ("batches", pa.list_(pa.string())),
            ("sources", pa.string()),
            ("totals", pa.string()),
            ("shortfall", pa.string()),
            ("code", pa.string()),
        ]
    )
