"""What has changed since models were built, from the books: a model that follows changes is built from that alone.

A model says in its config that it follows changes (`materialized: by_change`) and by which columns its rows fall into parts
(`meta.parts`). Its macro `changed_parts_of_<model>` finds the parts that may differ, from the dates of silver that have changed and
from the rows of the models that it reads, before and now. Only these parts are computed; all other rows stay as they are published. See
`dbt_project/macros/by_change.sql`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from lakehouse_assets.books.ledger import InputVersion, PartitionRecord, Records
from lakehouse_assets.books.records import table_id
from lakehouse_assets.gold.models import Model, code_digest

if TYPE_CHECKING:
    import duckdb

OpenTables = Mapping[tuple[str, str], DeltaTable]
"""Open tables by layer and name."""

Changes = Mapping[str, Mapping[str, Collection[date]]]
"""By model that can be built from what has changed: the silver tables of which partitions have changed, with the dates."""


def input_versions(model: Model, opened: OpenTables) -> list[InputVersion]:
    """Return the versions of the tables that a model is built from, as they are open."""
    read = [*(("silver", name) for name in model.sources), *(("gold", name) for name in model.refs)]
    return [
        InputVersion(f"{layer}.{name}", opened[layer, name].version(), table_id(opened[layer, name]))
        for layer, name in read
        if (layer, name) in opened
    ]


def changes_since_built(
    models: Sequence[Model], selected: Collection[str], opened: OpenTables, records: Records, shared: str
) -> Changes:
    """Return what has changed since each selected model was built, for those that can be built from that.

    Such a model follows changes, as does each selected model among those that it reads and that follow changes; its code is as it was;
    its own records and those of silver describe the tables; and the models that it reads are live as they were when it was built.
    """
    by_table: dict[tuple[str, str], list[PartitionRecord]] = {}
    for (layer, name, _), record in records.items():
        by_table.setdefault((layer, name), []).append(record)
    follows = {model.name for model in models if model.follows}
    changes: dict[str, dict[str, set[date]]] = {}
    for model in models:
        if (
            model.name not in selected
            or not model.follows
            or not follows.intersection(model.refs).intersection(selected) <= changes.keys()
        ):
            continue
        dates = _changed_dates(model, opened, by_table, code_digest(model, shared))
        if dates is not None:
            changes[model.name] = dates
    return changes


def _changed_dates(
    model: Model, opened: OpenTables, records: Mapping[tuple[str, str], list[PartitionRecord]], code: str
) -> dict[str, set[date]] | None:
    """Return the dates on which the model's silver tables have changed, or None if that does not say all that may have changed."""
    built = records.get(("gold", model.name), [])
    if not built or ("gold", model.name) not in opened or any(r.is_unverified or r.code != code for r in built):
        return None
    # Each build records all dates of the model.
    known = {tuple((i.table, i.delta_version, i.table_id) for i in record.inputs) for record in built}
    if len(known) > 1:
        return None
    was = {i.table: i for i in built[0].inputs}
    for name in model.refs:
        before, table = was.get(f"gold.{name}"), opened.get(("gold", name))
        if before is None or table is None or (before.delta_version, before.table_id) != (table.version(), table_id(table)):
            return None
    dates: dict[str, set[date]] = {}
    for name in model.sources:
        now, before = records.get(("silver", name), []), was.get(f"silver.{name}")
        if any(record.is_unverified for record in now) or (before is not None and not now):
            return None
        if before is not None and any(record.table_id != before.table_id for record in now):
            return None
        dates[name] = {record.date for record in now if before is None or record.delta_version > before.delta_version}
    return {name: changed for name, changed in dates.items() if changed}


def describe_changes(connection: "duckdb.DuckDBPyConnection", changes: Changes) -> None:
    """Write the changes to a run's database, in the schema `changed`, where the macros of dbt find them."""
    connection.execute(
        "CREATE SCHEMA changed; CREATE TABLE changed.models (model VARCHAR);"
        "CREATE TABLE changed.dates (model VARCHAR, source VARCHAR, _date DATE)"
    )
    rows = [(model, source, day) for model, by_source in changes.items() for source, days in by_source.items() for day in days]
    if changes:
        connection.executemany("INSERT INTO changed.models VALUES (?)", [(model,) for model in changes])
    if rows:
        connection.executemany("INSERT INTO changed.dates VALUES (?, ?, ?)", rows)


def followed_dates(connection: "duckdb.DuckDBPyConnection", name: str) -> list[date] | None:
    """Return the dates of a model of which the run has computed rows; None if it has built the model whole.

    `connection` has the run's database open.
    """
    rows = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = 'changed' AND table_name = ?",
        [f"{name}_dates"],
    ).fetchone()
    if rows is None:
        return None
    return [day for (day,) in connection.execute(f"SELECT _date FROM changed.{name}_dates ORDER BY 1").fetchall()]
