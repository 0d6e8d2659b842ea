"""The ledger: how each partition of each table stands and what it was built from. A Delta table, `ops/partitions`.

A step marks the partitions that it is about to change, before it changes anything, and writes how they stand when it is done. Where
it is killed in between the mark remains, so that the next pass builds them again, whatever has happened to their input meanwhile.
Row accounts are a view of the ledger.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse_assets.storage.duck import connect, parquet
from lakehouse_assets.storage.root import Root
from lakehouse_assets.storage.tables import file_paths, newest_table, replace_rows, sql_date, sql_text

if TYPE_CHECKING:
    import pyarrow as pa


BEGUN = ""
"""The fingerprint of a partition that a step is about to change, or was killed while it changed."""


@dataclass(frozen=True)
class LandedFile:
    """A landing object as a raw partition was built from it.

    `version` is what the store's listing said of it, and changes with each upload; `etag` is the MD5 of its bytes.
    `duplicate_of` names the file of the same bytes whose rows stand for this one's; "" where its own rows stand.
    """

    name: str
    version: str
    etag: str
    size: int
    rows_in: int
    rows_out: int
    duplicate_of: str = ""


@dataclass(frozen=True)
class RuleHits:
    """How many rows of a partition broke a rule, and a few of their keys for a person to look up."""

    rule: str
    rows: int
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class InputVersion:
    """The Delta version of a table that something was built from."""

    table: str
    delta_version: int


@dataclass(frozen=True)
class PartitionRecord:
    """One partition: its row accounts, and the fingerprint of all that it was built from (rows in and code).

    `rows_in` is None where a table has another grain than what it is made of, so that there is nothing to add up.
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

    @property
    def is_begun(self) -> bool:
        """Whether a step is changing the partition, or was killed while it did: what the record says may not be so."""
        return self.fingerprint == BEGUN

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

    def read(
        self, layer: str | None = None, table_name: str | None = None, *, brief: bool = False
    ) -> dict[tuple[str, str, date], PartitionRecord]:
        """The records by layer, table and date, of one layer or table or of all; `brief` ones without `files` and `rules`."""
        wanted = {k: v for k, v in (("layer", layer), ("table_name", table_name)) if v is not None}
        return self._records("* EXCLUDE (files, rules)" if brief else "*", "true", wanted)

    def read_dates(self, layer: str, dates: Mapping[str, Collection[date]]) -> dict[tuple[str, str, date], PartitionRecord]:
        """The records of the given tables and dates of a layer, by layer, table and date: for these alone all is read."""
        chosen = _chosen({table: days for table, days in dates.items() if days})
        return self._records("*", chosen, {"layer": layer}) if chosen else {}

    def _records(self, columns: str, chosen: str, partition: dict[str, str]) -> dict[tuple[str, str, date], PartitionRecord]:
        table = newest_table(self.uri)
        files = file_paths(table, self.uri, **partition) if table is not None else []
        if not files:
            return {}
        with connect(self.root) as connection:
            rows = connection.execute(f"SELECT {columns} FROM {parquet(files)} WHERE {chosen}")
            names = [c[0] for c in rows.description or []]
            records = [_record(dict(zip(names, row, strict=True))) for row in rows.fetchall()]
        return {(r.layer, r.table_name, r.date): r for r in records}

    def begin(
        self, layer: str, table_name: str, dates: Iterable[date], known: Mapping[date, PartitionRecord], run_id: str
    ) -> None:
        """Mark partitions as about to change. `known` are the records as they are, by date."""
        marked = [
            replace(known[day], fingerprint=BEGUN, run_id=run_id)
            if day in known
            else PartitionRecord(layer, table_name, day, 0, 0, 0, 0, -1, run_id, BEGUN)
            for day in sorted(dates)
        ]
        self.replace(layer, {table_name: [r.date for r in marked]}, marked, run_id)

    def replace(self, layer: str, dates: Mapping[str, Iterable[date]], records: Sequence[PartitionRecord], run_id: str) -> None:
        """Put `records` in place of those of the given tables and dates, in one commit."""
        import pyarrow as pa

        chosen = _chosen(dates)
        rows = pa.Table.from_pylist([asdict(r) for r in records], schema=ledger_schema())
        key = hashlib.sha256(f"{layer}/{chosen}/{records!r}".encode()).hexdigest()[:16]
        replace_rows(
            self.uri,
            rows,
            predicate=f"layer = {sql_text(layer)} AND ({chosen})",
            key=key,
            run_id=run_id,
            partition_by=("layer", "table_name"),
            description="How each partition stands and what it was built from",
        )


def _chosen(dates: Mapping[str, Iterable[date]]) -> str:
    """SQL that is true for the given partitions."""
    return " OR ".join(
        f"(table_name = {sql_text(table)} AND date IN ({', '.join(sql_date(d) for d in sorted(days))}))"
        for table, days in sorted(dates.items())
    )


def _record(row: dict[str, Any]) -> PartitionRecord:
    files = [LandedFile(**f) for f in row.pop("files", [])]
    rules = [RuleHits(**r) for r in row.pop("rules", [])]
    inputs = [InputVersion(**i) for i in row.pop("inputs")]
    return PartitionRecord(**row, files=files, rules=rules, inputs=inputs)


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
    }
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
            ("inputs", pa.list_(pa.struct([("table", pa.string()), ("delta_version", pa.int64())]))),
        ]
    )
