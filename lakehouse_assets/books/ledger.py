"""The ledger: how each partition of each table stands and what it was built from. A Delta table, `ops/partitions`.

A step writes its records last, and each record names the very files that it speaks of. So a record is never taken on trust: `books.py`
compares it with the table, whoever wrote either of them and when. Row accounts are a view of the ledger.
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
"""The fingerprint of a partition whose record does not say how the table stands: it is to be built again."""

Records = dict[tuple[str, str, date], "PartitionRecord"]
"""Records by layer, table and date."""

_FILES_OF_A_TABLE = 32
"""A table whose records lie in more files than these has them written anew as one, with the next records."""


@dataclass(frozen=True)
class LandedFile:
    """A landing object as a raw partition was built from it.

    `version` is what the store's listing said of it, and changes with each upload; `etag` is the MD5 of its bytes.
    `duplicate_of` names the file of the same bytes whose rows stand for this one's; "" where its own rows stand.
    `batch` names its rows in quarantine; "" where it has none there.
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
    """How many rows of a partition broke a rule, and a few of their keys for a person to look up."""

    rule: str
    rows: int
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class InputVersion:
    """The state of a table that something was built from: the table's Delta id, and its version."""

    table: str
    delta_version: int
    table_id: str = ""


@dataclass(frozen=True)
class PartitionRecord:
    """One partition: its row accounts, and the fingerprint of all that it was built from (rows in and code).

    `rows_in` is None where a table has another grain than what it is made of, so that there is nothing to add up. `table_id` and
    `content` name the table and the files of the partition that the record speaks of, `batches` its rows in quarantine.
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

    @property
    def is_unverified(self) -> bool:
        """Whether the record does not say how the table stands, so that the partition is to be built again."""
        return self.fingerprint == UNVERIFIED

    @property
    def adds_up(self) -> bool:
        """Whether every row that came in stands somewhere."""
        return self.rows_in is None or self.rows_in == self.rows_out + self.rows_quarantined + self.rows_superseded


@dataclass(frozen=True)
class Ledger:
    """Reads and replaces partition records below a root."""

    root: Root

    @property
    def uri(self) -> str:
        """Where the Delta table lies."""
        return self.root.path("ops", "partitions")

    def read(self, layer: str | None = None, table_name: str | None = None, *, brief: bool = False) -> Records:
        """The records by layer, table and date, of one layer or table or of all; `brief` ones without `files` and `rules`."""
        wanted = {k: v for k, v in (("layer", layer), ("table_name", table_name)) if v is not None}
        return self._records(newest_table(self.uri), "* EXCLUDE (files, rules)" if brief else "*", "true", wanted)

    def read_dates(self, layer: str, dates: Mapping[str, Collection[date]]) -> Records:
        """The records of the given tables and dates of a layer, by layer, table and date: for these alone all is read."""
        chosen = _chosen({table: days for table, days in dates.items() if days})
        return self._records(newest_table(self.uri), "*", chosen, {"layer": layer}) if chosen else {}

    def _records(self, table: DeltaTable | None, columns: str, chosen: str, partition: dict[str, str]) -> Records:
        files = file_paths(table, self.uri, **partition) if table is not None else []
        if not files:
            return {}
        with connect(self.root) as connection:
            rows = connection.execute(f"SELECT {columns} FROM {parquet(files)} WHERE {chosen}")
            names = [c[0] for c in rows.description or []]
            records = [_record(dict(zip(names, row, strict=True))) for row in rows.fetchall()]
        return {(r.layer, r.table_name, r.date): r for r in records}

    def record(
        self, layer: str, tables: Collection[str], decide: Callable[[Records], Sequence[PartitionRecord]], run_id: str
    ) -> tuple[list[PartitionRecord], Records]:
        """Write records of some tables of a layer, in one commit; those, and all of these tables as they were before.

        `decide` is given all records of these tables and says which are to be written. Where somebody else writes to the ledger
        meanwhile it is asked again, so what it has seen is what stands right before its own.

        Raises:
            CommitFailedError: others were quicker time and again.
        """

        def attempt() -> tuple[list[PartitionRecord], Records]:
            ensure_table(self.uri, ledger_schema(), "How each partition stands and what it was built from", PARTITIONED_BY)
            opened = DeltaTable(self.uri)  # as it stands now: whoever writes after this makes the write below fail
            known: Records = {}
            for table in sorted(tables):
                known |= self._records(opened, "*", "true", {"layer": layer, "table_name": table})
            new = list(decide(known))
            changed = [r for r in new if known.get((r.layer, r.table_name, r.date)) != r]
            if changed:
                self._write(opened, layer, changed, known, run_id)
            return new, known

        return until_committed(attempt)

    def _write(self, opened: DeltaTable, layer: str, new: Sequence[PartitionRecord], known: Records, run_id: str) -> None:
        import pyarrow as pa

        by_table: dict[str, dict[date, PartitionRecord]] = {}
        for record in new:
            by_table.setdefault(record.table_name, {})[record.date] = record
        chosen = []
        for table, records in sorted(by_table.items()):
            if len(file_paths(opened, self.uri, layer=layer, table_name=table)) < _FILES_OF_A_TABLE:
                chosen.append(_chosen({table: records}))
            else:
                by_table[table] = {r.date: r for r in known.values() if r.table_name == table} | records
                chosen.append(f"table_name = {sql_text(table)}")
        written = [record for records in by_table.values() for record in records.values()]
        replace_rows_at(
            opened,
            self.uri,
            pa.Table.from_pylist([asdict(r) for r in written], schema=ledger_schema()),
            predicate=f"layer = {sql_text(layer)} AND ({' OR '.join(chosen)})",
            key=hashlib.sha256(f"{layer}/{new!r}".encode()).hexdigest()[:16],
            run_id=run_id,
        )


PARTITIONED_BY = ("layer", "table_name")
"""The ledger is partitioned by these columns."""


def _chosen(dates: Mapping[str, Iterable[date]]) -> str:
    """SQL that is true for the given partitions."""
    return " OR ".join(
        f"(table_name = {sql_text(table)} AND date IN ({', '.join(sql_date(d) for d in sorted(days))}))"
        for table, days in sorted(dates.items())
    )


def _record(row: dict[str, Any]) -> PartitionRecord:
    """A record of a row. A ledger of an older layout has no values for some columns."""
    row = {name: value for name, value in row.items() if value is not None or name == "rows_in"}
    files = [LandedFile(**_given(f)) for f in row.pop("files", [])]
    rules = [RuleHits(**r) for r in row.pop("rules", [])]
    inputs = [InputVersion(**_given(i)) for i in row.pop("inputs", [])]
    return PartitionRecord(**row, files=files, rules=rules, inputs=inputs)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def ledger_schema() -> "pa.Schema":
    """The columns of `PartitionRecord`."""
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
        ]
    )
