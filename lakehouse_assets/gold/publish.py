"""Moves models between Delta and the database file of a run: silver and standing gold in, what dbt built out."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake import Schema

from lakehouse_assets.errors import PartitionGuardError
from lakehouse_assets.gold.models import Model, silver_versions
from lakehouse_assets.storage.duck import let_read, table_view
from lakehouse_assets.storage.ledger import InputVersion, Ledger, PartitionRecord
from lakehouse_assets.storage.root import Root
from lakehouse_assets.storage.tables import (
    DATE_COLUMN,
    Commit,
    TableFacts,
    dates_predicate,
    newest_table,
    replace_rows,
    replace_table,
    table_facts,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from deltalake import DeltaTable


def fill_database(file: Path, root: Root, models: Sequence[Model], selected: Iterable[str]) -> None:
    """Make the database of a run: views of all silver tables as they stand, and of the gold tables that the run won't build."""
    import duckdb

    built_elsewhere = {m.name for m in models} - set(selected)
    with duckdb.connect(str(file)) as connection:
        let_read(connection, root)
        connection.execute("CREATE SCHEMA silver; CREATE SCHEMA gold")
        for layer, names in (("silver", {s for m in models for s in m.sources}), ("gold", built_elsewhere)):
            for name in sorted(names):
                uri = root.table(layer, name)
                if (table := newest_table(uri)) is not None:
                    table_view(connection, f"{layer}.{name}", uri, table)


def publish_model(
    connection: "duckdb.DuckDBPyConnection", root: Root, model: Model, *, fingerprint: str, run_id: str, description: str
) -> tuple[Commit, TableFacts]:
    """Write those partitions of a model whose rows differ from the ones that stand; no commit where none does.

    `connection` has the run's database open.
    """
    uri = root.table("gold", model.name)
    columns = connection.execute(f"FROM gold.{model.name} LIMIT 0").to_arrow_table().schema
    _refuse_undated(connection, model)
    table = newest_table(uri)
    commit = Commit(-1 if table is None else table.version(), changed=False)
    if table is not None and _is_reshaped(table, columns):
        commit = replace_table(
            uri, connection.execute(f"FROM gold.{model.name}").to_arrow_table(), key=fingerprint, run_id=run_id
        )
    elif differing := _differing_dates(connection, uri, model.name):
        rows = connection.execute(f"FROM gold.{model.name} WHERE {dates_predicate(differing)}").to_arrow_table()
        key = f"{fingerprint}/{hashlib.sha256(repr(differing).encode()).hexdigest()[:8]}"
        commit = replace_rows(uri, rows, predicate=dates_predicate(differing), key=key, run_id=run_id, description=description)
    table = newest_table(uri)
    return commit, table_facts(table) if table is not None else TableFacts(-1, 0, 0, 0, {})


def model_records(
    model: Model,
    facts: TableFacts,
    records: Mapping[tuple[str, str, date], PartitionRecord],
    *,
    fingerprint: str,
    run_id: str,
) -> list[PartitionRecord]:
    """How a model stands, by date, and what it was built from, for the ledger."""
    arrived = {
        day: record.rows_out
        for (layer, table, day), record in records.items()
        if layer == "silver" and (table == model.grain_of if model.grain_of else table in model.sources)
    }
    old = {key[2]: record for key, record in records.items() if key[:2] == ("gold", model.name)}
    dates = sorted({*facts.rows_by_date, *old, *(arrived if model.grain_of else [])})
    # A table without a row has a record all the same, or it would count as never built.
    dates = dates or sorted(day for (layer, _, day) in records if layer == "silver")[:1]
    versions = silver_versions(records)
    return [
        PartitionRecord(
            layer="gold",
            table_name=model.name,
            date=day,
            rows_in=arrived.get(day, 0) if model.grain_of else None,
            rows_out=facts.rows_by_date.get(day, 0),
            rows_quarantined=0,
            rows_superseded=0,
            delta_version=facts.version,
            run_id=run_id,
            fingerprint=fingerprint,
            inputs=[InputVersion(s, versions.get(s, -1)) for s in model.sources],
        )
        for day in dates
    ]


def record_models(root: Root, standing: Sequence[PartitionRecord], *, run_id: str) -> None:
    """Write into the ledger how models stand, in one commit."""
    dates: dict[str, list[date]] = {}
    for record in standing:
        dates.setdefault(record.table_name, []).append(record.date)
    if dates:
        Ledger(root).replace("gold", dates, standing, run_id)


def _is_reshaped(table: "DeltaTable", columns: "pa.Schema") -> bool:
    """Whether the model has lost a column of the table or gives one another type; a column more is no new shape."""
    new = {field.name: str(field.type) for field in Schema.from_arrow(columns).fields}
    return any(new.get(field.name) != str(field.type) for field in table.schema().fields)


def _refuse_undated(connection: "duckdb.DuckDBPyConnection", model: Model) -> None:
    found = connection.execute(f"SELECT count(*) FROM gold.{model.name} WHERE {DATE_COLUMN} IS NULL").fetchone()
    if found and found[0]:
        raise PartitionGuardError(
            f"gold/{model.name}: {found[0]} rows have no {DATE_COLUMN}, by which every table is partitioned: nothing was written. "
            f"Mend models/{model.folder}/{model.name}.sql."
        )


def _differing_dates(connection: "duckdb.DuckDBPyConnection", uri: str, name: str) -> list[date]:
    """The partitions whose rows, taken as a bag, are not the same in the run's database and in the Delta table."""
    table = newest_table(uri)
    if table is None:
        return [row[0] for row in connection.execute(f"SELECT DISTINCT {DATE_COLUMN} FROM gold.{name} ORDER BY 1").fetchall()]
    standing = {field.name for field in table.schema().fields}
    connection.execute("CREATE SCHEMA IF NOT EXISTS memory.standing")
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
