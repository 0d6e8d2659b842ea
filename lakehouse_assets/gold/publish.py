"""Moves models between Delta and the database file of a run: silver and standing gold in, what dbt built out."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake import DeltaTable, Schema

from lakehouse_assets.books.ledger import InputVersion, Ledger, PartitionRecord, Records
from lakehouse_assets.books.records import table_id, verified
from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.delta.duck import enable_s3, table_view
from lakehouse_assets.delta.tables import (
    Commit,
    dates_predicate,
    ensure_table,
    open_table,
    replace_rows_at,
    replace_table,
    table_facts,
    until_committed,
)
from lakehouse_assets.errors import PartitionGuardError
from lakehouse_assets.gold.models import Model
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


@dataclass(frozen=True)
class TablesRead:
    """The silver and gold tables as a run found them: the versions that it reads, and the records that fit these."""

    opened: dict[tuple[str, str], DeltaTable]
    records: Records


def open_tables(root: Root, models: Sequence[Model]) -> TablesRead:
    """Open all tables that models read or are."""
    ledger = Ledger(root).read(brief=True)
    names = [*(("silver", s) for s in sorted({s for m in models for s in m.sources})), *(("gold", m.name) for m in models)]
    # After the ledger, so that a step that ends in between makes a record look old, never an old one look new.
    opened = {(layer, name): open_table(root.table(layer, name)) for layer, name in names}
    records: Records = {}
    for (layer, name), table in opened.items():
        of_table = {key[2]: r for key, r in ledger.items() if key[:2] == (layer, name)}
        records |= {(layer, name, day): r for day, r in verified(root, layer, name, table, of_table).items()}
    return TablesRead({key: table for key, table in opened.items() if table is not None}, records)


def fill_database(file: Path, root: Root, read: TablesRead, selected: Iterable[str]) -> None:
    """Make the database of a run: views of all silver tables, and of the gold tables that the run won't build."""
    import duckdb

    built_here = {("gold", name) for name in selected}
    with duckdb.connect(str(file)) as connection:
        enable_s3(connection, root)
        connection.execute("CREATE SCHEMA silver; CREATE SCHEMA gold")
        for (layer, name), table in read.opened.items():
            if (layer, name) not in built_here:
                table_view(connection, f"{layer}.{name}", root.table(layer, name), table)


def publish_model(
    connection: "duckdb.DuckDBPyConnection", root: Root, model: Model, *, fingerprint: str, run_id: str
) -> tuple[Commit, DeltaTable]:
    """Write those partitions of a model whose rows differ from the ones that stand; no commit where none does.

    `connection` has the run's database open. The table is open at the version that holds the model. Where others commit to it
    meanwhile, what differs is looked for again.

    Raises:
        CommitFailedError: others were quicker time and again.
        PartitionGuardError: a row has no date.
    """
    uri = root.table("gold", model.name)
    _refuse_undated(connection, model)
    columns = _columns(connection, model)

    def attempt() -> Commit:
        ensure_table(uri, columns, model.description)
        return _replace_what_differs(connection, uri, model, columns, fingerprint, run_id)

    commit = until_committed(attempt)
    return commit, DeltaTable(uri, version=commit.version)


def _replace_what_differs(
    connection: "duckdb.DuckDBPyConnection", uri: str, model: Model, columns: "pa.Schema", fingerprint: str, run_id: str
) -> Commit:
    table = DeltaTable(uri)  # as it stands now: whoever commits after this makes the commit below fail
    if _is_reshaped(table, columns):
        rows = connection.execute(f"FROM gold.{model.name}").to_arrow_table()
        return replace_table(table, uri, rows, key=fingerprint, run_id=run_id)
    differing = _differing_dates(connection, uri, table, model.name)
    if not differing:
        return Commit(table.version(), changed=False)
    rows = connection.execute(f"FROM gold.{model.name} WHERE {dates_predicate(differing)}").to_arrow_table()
    key = f"{fingerprint}/{hashlib.sha256(repr(differing).encode()).hexdigest()[:8]}"
    return replace_rows_at(table, uri, rows, predicate=dates_predicate(differing), key=key, run_id=run_id)


def model_records(model: Model, table: DeltaTable, records: Records, *, fingerprint: str, run_id: str) -> list[PartitionRecord]:
    """How a model stands, by date, and what it was built from, for the ledger."""
    rows_by_date, own_id = table_facts(table).rows_by_date, table_id(table)
    arrived = {
        day: record.rows_out
        for (layer, name, day), record in records.items()
        if layer == "silver" and (name == model.grain_of if model.grain_of else name in model.sources)
    }
    old = {key[2]: record for key, record in records.items() if key[:2] == ("gold", model.name)}
    dates = sorted({*rows_by_date, *old, *(arrived if model.grain_of else [])})
    # A table without a row has a record all the same, or it would count as never built.
    dates = dates or sorted(day for (layer, _, day) in records if layer == "silver")[:1]
    newest: dict[str, PartitionRecord] = {}
    for (layer, name, _), record in records.items():
        if layer == "silver" and (name not in newest or newest[name].delta_version < record.delta_version):
            newest[name] = record
    inputs = [InputVersion(f"silver.{s}", newest[s].delta_version, newest[s].table_id) for s in model.sources if s in newest]
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
        )
        for day in dates
    ]


def _is_reshaped(table: DeltaTable, columns: "pa.Schema") -> bool:
    """Whether the model has lost a column of the table or gives one another type; a column more is no new shape."""
    new = {field.name: str(field.type) for field in Schema.from_arrow(columns).fields}
    return any(new.get(field.name) != str(field.type) for field in table.schema().fields)


def _columns(connection: "duckdb.DuckDBPyConnection", model: Model) -> "pa.Schema":
    return connection.execute(f"FROM gold.{model.name} LIMIT 0").to_arrow_table().schema


def _refuse_undated(connection: "duckdb.DuckDBPyConnection", model: Model) -> None:
    if DATE_COLUMN not in _columns(connection, model).names:
        raise PartitionGuardError(
            f"gold/{model.name} has no column {DATE_COLUMN} (date), by which every table is partitioned: nothing was written. Add the "
            f"landing date of what last changed the row to models/{model.folder}/{model.name}.sql, such as `max(_date) as _date`."
        )
    found = connection.execute(f"SELECT count(*) FROM gold.{model.name} WHERE {DATE_COLUMN} IS NULL").fetchone()
    if found and found[0]:
        raise PartitionGuardError(
            f"gold/{model.name}: {found[0]} rows have no {DATE_COLUMN}, by which every table is partitioned: nothing was written. "
            f"Mend models/{model.folder}/{model.name}.sql."
        )


def _differing_dates(connection: "duckdb.DuckDBPyConnection", uri: str, table: DeltaTable, name: str) -> list[date]:
    """The partitions whose rows, taken as a bag, are not the same in the run's database and in the Delta table."""
    standing = {field.name for field in table.schema().fields}
    # Anew, because another try may have left a table there in place of a view.
    connection.execute("DROP SCHEMA IF EXISTS memory.standing CASCADE; CREATE SCHEMA memory.standing")
    table_view(connection, f"memory.standing.{name}", uri, table)
    described = [row[0] for row in connection.execute(f"DESCRIBE gold.{name}").fetchall()]
    new_bag = ", ".join(f'"{column}"' for column in described)
    # A column that the table has not got yet makes every partition differ.
    old_bag = ", ".join(f'"{column}"' if column in standing else "'new column'" for column in described)
    sums = "count(*) AS rows, sum(hash({bag})) AS total"
    found = connection.execute(
        f"""SELECT {DATE_COLUMN} FROM (
                SELECT {DATE_COLUMN}, {sums.format(bag=new_bag)} FROM gold.{name} GROUP BY 1) AS new
            FULL JOIN (
                SELECT {DATE_COLUMN}, {sums.format(bag=old_bag)} FROM memory.standing.{name} GROUP BY 1) AS old
            USING ({DATE_COLUMN})
            WHERE new.rows IS DISTINCT FROM old.rows OR new.total IS DISTINCT FROM old.total
            ORDER BY 1"""
    ).fetchall()
    return [row[0] for row in found]
