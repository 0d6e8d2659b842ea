"""Moves models between Delta and a run's database file: silver and existing gold in, what dbt built out."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake import DeltaTable, Schema

from lakehouse_assets.books.ledger import Ledger, PartitionRecord, Records
from lakehouse_assets.books.records import table_id, verified_tables
from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.delta.duck import enable_s3, rows_of_csv, rows_of_layout, table_view
from lakehouse_assets.delta.tables import (
    Commit,
    dates_predicate,
    ensure_table,
    open_table,
    replace_rows_at,
    replace_table,
    rows_note,
    sql_name,
    table_facts,
    until_committed,
)
from lakehouse_assets.errors import PartitionGuardError
from lakehouse_assets.gold.changes import Changes, OpenTables, describe_changes, followed_dates, input_versions
from lakehouse_assets.gold.models import Columns, Model, Seed, code_digest
from lakehouse_assets.gold.row_sums import RowSums, built_sums, live_sums, view_of_live
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


_BATCH_ROWS = 65_536
"""So many rows of a model are in memory at once while they are written."""


@dataclass(frozen=True)
class TablesRead:
    """The silver and gold tables as a run found them: the versions that it reads, and the records verified against these."""

    opened: dict[tuple[str, str], DeltaTable]
    records: Records


def open_tables(root: Root, models: Sequence[Model]) -> TablesRead:
    """Open the silver tables that the models read, and the tables of the models."""
    ledger = Ledger(root).read(brief=True)
    names = [*(("silver", s) for s in sorted({s for m in models for s in m.sources})), *(("gold", m.name) for m in models)]
    # After the ledger: a step that ends in between then makes a record look old, and never an old one look new.
    opened = {(layer, name): open_table(root.table(layer, name)) for layer, name in names}
    records = verified_tables(root, opened, ledger)
    return TablesRead({key: table for key, table in opened.items() if table is not None}, records)


def fill_database(
    file: Path,
    root: Root,
    read: TablesRead,
    selected: Iterable[str],
    columns: Columns,
    seeds: Iterable[Seed] = (),
    changes: Changes | None = None,
) -> None:
    """Create a run's database: views of all silver tables, and of the gold tables that the run won't build; the project's seeds.

    In a database that exists, silver is replaced. A table that has never been written is empty there, if `columns` has it. With
    `changes`, if there are some, the schema `live` has all gold tables as they are published, and `changed` says what has changed.
    """
    import duckdb

    selected_tables = {("gold", name) for name in selected}
    with duckdb.connect(str(file)) as connection:
        enable_s3(connection, root)
        connection.execute("DROP SCHEMA IF EXISTS silver CASCADE; CREATE SCHEMA silver; CREATE SCHEMA IF NOT EXISTS gold")
        for (layer, name), table in read.opened.items():
            if (layer, name) not in selected_tables:
                table_view(connection, f"{layer}.{name}", root.table(layer, name), table)
        for (layer, name), types in columns.items():
            if (layer, name) not in {*read.opened, *selected_tables}:
                connection.execute(f"CREATE VIEW {layer}.{sql_name(name)} AS {rows_of_layout([], types)}")
        create_seeds(connection, seeds)
        if changes is not None:
            describe_changes(connection, changes)
            connection.execute("CREATE SCHEMA live")
            for (layer, name), table in read.opened.items() if changes else ():
                if layer == "gold":
                    table_view(connection, f"live.{name}", root.table(layer, name), table)


def create_seeds(connection: "duckdb.DuckDBPyConnection", seeds: Iterable[Seed]) -> None:
    """Create the tables of the seeds in the schema `gold`."""
    for seed in seeds:
        connection.execute(f"CREATE TABLE gold.{sql_name(seed.name)} AS {rows_of_csv(seed.file, seed.types)}")


@dataclass(frozen=True)
class Published:
    """A model as it is published: the commit, and the table at the version that holds the model.

    `rows_rekeyed` counts, by foreign key, the rows that were there before and now refer to another row of a dimension: two persons
    were merged, say, or a late row version came in between.
    """

    commit: Commit
    table: DeltaTable
    rows_rekeyed: Mapping[str, int]


def publish_model(
    connection: "duckdb.DuckDBPyConnection", root: Root, model: Model, *, fingerprint: str, run_id: str, opened: int | None = None
) -> Published:
    """Write the partitions of a model whose rows differ from the live ones. If none differs, nothing is committed.

    What was published last is known from the sums in its commit; the live table is read only if another writer made the newest one.

    `connection` has the run's database open; `opened` is the version of the table that the run found, if any. After a commit conflict
    the partitions are compared again.

    Raises:
        CommitFailedError: other writers won every attempt.
        PartitionGuardError: a row has no date.
    """
    uri = root.table("gold", model.name)
    _refuse_undated(connection, model)
    columns = _columns(connection, model)

    def attempt() -> tuple[Commit, Mapping[str, int]]:
        ensure_table(uri, columns, model.description)
        return _replace_differing(connection, uri, model, columns, opened, fingerprint, run_id)

    commit, rows_rekeyed = until_committed(attempt)
    return Published(commit, DeltaTable(uri, version=commit.version), rows_rekeyed)


def _replace_differing(
    connection: "duckdb.DuckDBPyConnection",
    uri: str,
    model: Model,
    columns: "pa.Schema",
    opened: int | None,
    fingerprint: str,
    run_id: str,
) -> tuple[Commit, Mapping[str, int]]:
    """Replace the partitions that differ, or the whole table if its columns have changed. Returns `rows_rekeyed` too."""
    table = DeltaTable(uri)  # the newest version: a commit by another writer after this makes the one below fail
    published = RowSums.from_json(rows_note(table))
    new = _sums_of(connection, model, published if table.version() == opened else None)
    if _is_reshaped(table, columns):
        rows = connection.execute(f"FROM gold.{model.name}").to_arrow_reader(_BATCH_ROWS)
        return replace_table(table, uri, rows, key=fingerprint, run_id=run_id, note=new.to_json()), {}
    if published is None or not published.is_comparable(new):
        published = live_sums(connection, uri, table, model.name)
    differing = new.differing(published)
    if not differing:
        return Commit(table.version(), changed=False), {}
    rekeyed = _rows_rekeyed(connection, uri, table, model, differing)
    rows = connection.execute(f"FROM gold.{model.name} WHERE {dates_predicate(differing)}").to_arrow_reader(_BATCH_ROWS)
    key = f"{fingerprint}/{hashlib.sha256(repr(differing).encode()).hexdigest()[:8]}"
    commit = replace_rows_at(table, uri, rows, predicate=dates_predicate(differing), key=key, run_id=run_id, note=new.to_json())
    return commit, rekeyed


def _rows_rekeyed(
    connection: "duckdb.DuckDBPyConnection", uri: str, table: DeltaTable, model: Model, dates: Sequence[date]
) -> dict[str, int]:
    """Return how many rows of some dates, live and in the run's database, differ in each foreign key; none where the key is new."""
    live = {field.name for field in table.schema().fields}
    foreign_keys = [column for column in model.foreign_keys if column in live]
    if not foreign_keys or model.key not in live or not table.file_uris():
        return {}
    view_of_live(connection, uri, table, model.name)
    counts = ", ".join(f"count(*) FILTER (new.{sql_name(c)} IS DISTINCT FROM old.{sql_name(c)})" for c in foreign_keys)
    chosen = dates_predicate(dates)
    counted = connection.execute(
        f"SELECT {counts} FROM (FROM gold.{model.name} WHERE {chosen}) AS new "
        f"JOIN (FROM memory.live.{model.name} WHERE {chosen}) AS old USING ({sql_name(model.key)})"
    ).fetchone()
    return {column: count for column, count in zip(foreign_keys, counted or (), strict=False) if count}


def _sums_of(connection: "duckdb.DuckDBPyConnection", model: Model, published: RowSums | None) -> RowSums:
    """Return the sums of a model in the run's database. Dates of which it has computed no rows have those that are `published`.

    `published` are the sums of the version that the run found, if nobody has written to the table since.
    """
    dates = followed_dates(connection, model.name)
    if dates is None or published is None:
        return built_sums(connection, model.name)
    computed = built_sums(connection, model.name, dates)
    return published.with_dates(dates, computed) if published.is_comparable(computed) else built_sums(connection, model.name)


def rows_of_grain(connection: "duckdb.DuckDBPyConnection", model: Model, records: Records) -> dict[date, int]:
    """Return how many rows a model that keeps a grain should have by date, counted in its silver tables.

    `connection` has the run's database open. Where each row of a table makes one, the ledger has counted them.
    """
    rows: Counter[date] = Counter()
    for table, made in model.grain_of:
        counted = {day: record.rows_out for (layer, name, day), record in records.items() if (layer, name) == ("silver", table)}
        if made is not None:
            sql = f"SELECT {DATE_COLUMN}, sum({made})::BIGINT FROM silver.{sql_name(table)} GROUP BY 1"
            counted = dict.fromkeys(counted, 0) | dict(connection.execute(sql).fetchall())
        rows.update(counted)
    return dict(rows)


def model_records(
    model: Model,
    table: DeltaTable,
    read: TablesRead,
    published: OpenTables,
    arrived: Mapping[date, int],
    *,
    shared: str,
    fingerprint: str,
    run_id: str,
) -> list[PartitionRecord]:
    """Return the ledger records of a published model: row counts by date, and what it was built from.

    `published` are the models that the run has published before it; `arrived` is how many rows it should have by date, if it keeps a
    grain (see `rows_of_grain`); `shared` is a hash of what any model may depend on.
    """
    records = read.records
    rows_by_date, own_id = table_facts(table).rows_by_date, table_id(table)
    old = {key[2]: record for key, record in records.items() if key[:2] == ("gold", model.name)}
    dates = sorted({*rows_by_date, *old, *arrived})
    # An empty table has a record too; otherwise it would count as never built.
    dates = dates or sorted(day for (layer, _, day) in records if layer == "silver")[:1]
    inputs, code = input_versions(model, {**read.opened, **published}), code_digest(model, shared)
    return [
        PartitionRecord(
            layer="gold",
            table_name=model.name,
            date=day,
            rows_in=arrived.get(day, 0) if model.grain_of else None,
            rows_out=rows_by_date.get(day, 0),
            rows_quarantined=0,
            rows_superseded=0,
            delta_version=table.version(),
            run_id=run_id,
            fingerprint=fingerprint,
            inputs=inputs,
            table_id=own_id,
            code=code,
        )
        for day in dates
    ]


def _is_reshaped(table: DeltaTable, columns: "pa.Schema") -> bool:
    """Whether the model lacks a column of the table or changes its type. An added column does not count."""
    new = {field.name: str(field.type) for field in Schema.from_arrow(columns).fields}
    return any(new.get(field.name) != str(field.type) for field in table.schema().fields)


def _columns(connection: "duckdb.DuckDBPyConnection", model: Model) -> "pa.Schema":
    return connection.execute(f"FROM gold.{model.name} LIMIT 0").to_arrow_table().schema


def _refuse_undated(connection: "duckdb.DuckDBPyConnection", model: Model) -> None:
    """Check that the model has the date column, without NULLs.

    Raises:
        PartitionGuardError: it has not.
    """
    if DATE_COLUMN not in _columns(connection, model).names:
        raise PartitionGuardError(
            f"gold/{model.name} has no column {DATE_COLUMN} (date), by which every table is partitioned. Nothing was written. Add the "
            f"landing date of what last changed the row to models/{model.folder}/{model.name}.sql, such as `max(_date) as _date`."
        )
    undated = connection.execute(f"SELECT count(*) FROM gold.{model.name} WHERE {DATE_COLUMN} IS NULL").fetchone()
    if undated and undated[0]:
        raise PartitionGuardError(
            f"gold/{model.name}: {undated[0]} rows have no {DATE_COLUMN}, by which every table is partitioned. Nothing was written. "
            f"Fix models/{model.folder}/{model.name}.sql."
        )
