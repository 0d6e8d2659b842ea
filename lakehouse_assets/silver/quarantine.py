"""Puts the rows that broke a `drop` rule into quarantine, with the reason and what the source said."""

from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.silver.stage import Stage
from lakehouse_assets.storage.duck import files_view
from lakehouse_assets.storage.handlers import Target
from lakehouse_assets.storage.quarantine import Quarantine, new_batch, quarantine_schema
from lakehouse_assets.storage.tables import live_files

if TYPE_CHECKING:
    import duckdb
    from deltalake import DeltaTable


def quarantine_dropped(
    quarantine: Quarantine, stage: Stage, entity: Entity, target: Target, raw: "DeltaTable"
) -> dict[date, str]:
    """Put the dropped rows into quarantine with what the source said, as JSON; the name of each date's batch.

    `raw` is the version of the raw table that the rows were read from.
    """
    import pyarrow as pa

    dropped = stage.dropped().to_pylist()
    payloads = _payloads(entity, target, raw, stage.connection, dropped)
    batch = new_batch()
    batches = {row["_date"]: f"{batch}-{row['_date']}" for row in dropped}
    rules = {r.name: r for r in entity.contract.all_rules}
    declared = {r.name for r in entity.contract.rules}
    rows = []
    for row in dropped:
        broken = [name for name in row["_broken_rules"].split(",") if rules[name].outcome == "drop"]
        # A rule that the contract declares says more than those that follow from key and types.
        broken.sort(key=lambda name: name not in declared)
        rows.append(
            {
                "layer": "silver",
                "table_name": entity.table,
                "date": row["_date"],
                "source_file": row["_source_file"],
                "row_number": row["_row_number"],
                "rule": broken[0],
                "reason": " ".join(f"Breaks the rule: {rules[name].description}" for name in broken),
                "payload": payloads[(row["_date"], row["_source_file"], row["_row_number"])],
                "run_id": target.run_id,
                "batch": batches[row["_date"]],
                "rows": 1,
            }
        )
    quarantine.add(pa.Table.from_pylist(rows, schema=quarantine_schema()), target.run_id)
    return batches


def _payloads(
    entity: Entity,
    target: Target,
    raw: "DeltaTable",
    connection: "duckdb.DuckDBPyConnection",
    dropped: list[dict[str, Any]],
) -> dict[tuple[date, str, int], str]:
    """What the source said of the dropped rows: their raw columns as JSON, by date, file and row number."""
    if not dropped:
        return {}
    own = ("_source_file", "_source_etag", "_row_number", "_date")
    source = [f.name for f in raw.schema().fields if f.name not in own]
    days = {row["_date"] for row in dropped}
    columns = dict.fromkeys(source, "string") | {"_source_file": "string", "_row_number": "bigint"}
    files_view(
        connection, "raw_rows", target.root.table("raw", entity.table), [f for f in live_files(raw) if f["date"] in days], columns
    )
    as_json = ", ".join(f"'{name}', \"{name}\"" for name in source)
    found = connection.execute(
        f"SELECT _date, _source_file, _row_number, json_object({as_json}) FROM raw_rows "
        "SEMI JOIN staged_dropped USING (_date, _source_file, _row_number)"
    )
    return {(day, file, number): str(payload) for day, file, number, payload in found.fetchall()}
