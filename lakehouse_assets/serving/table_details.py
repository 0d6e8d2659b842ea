"""Everything that a person asks of one table: columns, contract, partitions with their accounts, versions, a sample."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.contracts.columns import snake_case
from lakehouse_assets.contracts.provenance import PROVENANCE
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.delta.duck import new_connection
from lakehouse_assets.delta.tables import RUN_ID, open_table, sql_name, table_facts
from lakehouse_assets.gold.models import Model
from lakehouse_assets.serving.query import as_json, open_views
from lakehouse_assets.serving.tables import Key, find_table
from lakehouse_assets.store.root import Root

MASKED = "•••"
"""Stands for a value of a personal column."""

_VERSIONS = 5


@dataclass(frozen=True)
class ShownColumn:
    """A column with its type, its meaning, and whether it is about a person."""

    name: str
    type: str
    description: str
    personal: bool = False


@dataclass(frozen=True)
class TableDetails:
    """A table, as people are shown it.

    `facts` are what is declared, by title: owner, key, mode, what it is built from. `rules` are name, outcome and description.
    `partitions` are the newest ones with their accounts, `partition_count` is the number of all. `versions` are the newest commits:
    version, time (UTC), operation, run id. `sample` are a few rows of the newest date, personal columns masked.
    """

    layer: str
    name: str
    description: str
    facts: Mapping[str, str]
    columns: tuple[ShownColumn, ...]
    rules: tuple[tuple[str, str, str], ...]
    rows: int
    bytes: int
    files: int
    partition_count: int
    partitions: tuple[Mapping[str, Any], ...]
    versions: tuple[Mapping[str, Any], ...]
    sample: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def table_details(
    root: Root, catalog: Catalog, models: Sequence[Model], manifest: Mapping[str, Any], table: str, partitions: int, sample: int
) -> TableDetails:
    """Return the details of a table by its name, see `find_table`. `manifest` is dbt's.

    Raises:
        QueryError: there is no such table.
    """
    declared = {*(("raw", f.table) for f in catalog.feeds), *(("silver", t.name) for t in catalog.tables)}
    declared |= {("gold", model.name) for model in models}
    written = {(layer, name) for layer in ("raw", "silver", "gold") for name in root.table_names(layer)}
    key = find_table(table, declared | written)
    description, facts, columns, rules = _declared(catalog, models, manifest, key)
    opened = open_table(root.table(*key))
    size = table_facts(opened) if opened is not None else None
    records = sorted(Ledger(root).read(*key, brief=True).values(), key=lambda record: record.date, reverse=True)
    stored = {field.name: str(field.type) for field in _arrow(opened)} if opened is not None else {}
    known = {column.name for column in columns}
    columns += [ShownColumn(name, kind, _meaning(name)) for name, kind in stored.items() if name not in known]
    return TableDetails(
        *key,
        description=description,
        facts=facts,
        columns=tuple(columns),
        rules=tuple(rules),
        rows=size.rows if size else 0,
        bytes=size.bytes if size else 0,
        files=size.files if size else 0,
        partition_count=len(records),
        partitions=tuple(
            {
                "date": record.date.isoformat(),
                "rows_in": record.rows_in,
                "rows_out": record.rows_out,
                "rows_quarantined": record.rows_quarantined,
                "rows_superseded": record.rows_superseded,
                "bytes": size.bytes_by_date.get(record.date, 0) if size else 0,
                "delta_version": record.delta_version,
                "run_id": record.run_id,
            }
            for record in records[:partitions]
        ),
        versions=tuple(_versions(opened)) if opened is not None else (),
        sample=tuple(_sample(root, key, columns, sample)) if size and size.rows and sample else (),
    )


def _declared(
    catalog: Catalog, models: Sequence[Model], manifest: Mapping[str, Any], key: Key
) -> tuple[str, dict[str, str], list[ShownColumn], list[tuple[str, str, str]]]:
    """What is declared of a table: description, facts by title, columns, rules."""
    layer, name = key
    if layer == "silver" and (table := next((t for t in catalog.tables if t.name == name), None)):
        contract = table.contract
        facts = {
            "owner": contract.owner,
            "system": table.system,
            "mode": contract.mode,
            "key": ", ".join(contract.key),
            "sequence": ", ".join(contract.sequence_columns),
            "built from": ", ".join(f"raw.{feed.table}" for feed in table.feeds),
            "read by": ", ".join(f"gold.{model.name}" for model in models if name in model.sources),
            "fresh within": str(contract.freshness or ""),
            "declared in": table.place.partition(":")[0],
        }
        rules: list[tuple[str, str, str]] = [(rule.name, rule.outcome, rule.description) for rule in table.all_rules]
        rules += [(r.name, "waits" if r.outcome == "drop" else r.outcome, r.description) for r in contract.relationships]
        shown = [ShownColumn(c.name, c.type, c.description, c.personal) for c in contract.table_columns]
        return contract.description, _given(facts), shown, rules
    if layer == "raw" and (feed := next((f for f in catalog.feeds if f.table == name), None)):
        readers = catalog.readers(feed)
        # The names of a source say nothing of persons: what feeds a table with personal columns is masked.
        personal = any(column.personal for table in readers for column in table.contract.columns)
        facts = {
            "owner": ", ".join(catalog.owners(feed)),
            "system": feed.system,
            "lands in": f"landing/{feed.landing}/<date>/",
            "format": ", ".join(type(form).__name__ for form in feed.formats),
            "read by": ", ".join(f"silver.{table.name}" for table in readers),
            "due": str(feed.due or ""),
        }
        shown = [ShownColumn(snake_case(c.name), "string", c.description, personal) for c in feed.columns]
        return f"Rows of landing/{feed.landing}/<date>/ as the files give them, all text.", _given(facts), shown, []
    if layer == "gold" and (model := next((m for m in models if m.name == name), None)):
        node = next(n for n in manifest["nodes"].values() if n["resource_type"] == "model" and n["name"] == name)
        facts = {
            "owner": node["config"].get("meta", {}).get("owner", ""),
            "folder": model.folder,
            "key": model.key or "",
            "built from": ", ".join([*(f"silver.{s}" for s in model.sources), *(f"gold.{ref}" for ref in model.refs)]),
            "read by": ", ".join(f"gold.{other.name}" for other in models if name in other.refs),
            "declared in": f"models/{model.folder}/{name}.sql",
        }
        shown = [
            ShownColumn(c["name"], c.get("data_type") or "", c["description"], bool(_meta(c).get("personal")))
            for c in node["columns"].values()
        ]
        tests = [
            n for n in manifest["nodes"].values() if n["resource_type"] == "test" and n.get("attached_node") == node["unique_id"]
        ]
        rules = [
            (test["name"], str(test["config"].get("severity", "error")).lower(), test.get("description") or "") for test in tests
        ]
        return model.description, _given(facts), shown, sorted(rules)
    return "No contract, feed or model declares it.", {}, [], []


def _meta(column: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**column.get("meta", {}), **column.get("config", {}).get("meta", {})}


def _given(facts: Mapping[str, str]) -> dict[str, str]:
    return {title: text for title, text in facts.items() if text}


def _meaning(column: str) -> str:
    known = PROVENANCE.get(column)
    return known.description if known else ""


def _arrow(table: Any) -> Any:
    import pyarrow as pa

    return pa.schema(table.schema().to_arrow())


def _versions(table: Any) -> list[dict[str, Any]]:
    newest, history = table.version(), table.history(_VERSIONS)
    return [
        {
            "version": newest - age,
            "time": datetime.fromtimestamp(entry["timestamp"] / 1000, UTC).isoformat(timespec="seconds"),
            "operation": entry.get("operation", ""),
            "run_id": entry.get(RUN_ID, ""),
        }
        for age, entry in enumerate(history)
    ]


def _sample(root: Root, key: Key, columns: Sequence[ShownColumn], count: int) -> list[dict[str, Any]]:
    """A few rows of the newest date that has some, personal columns masked."""
    layer, name = key
    connection = new_connection(root)
    open_views(connection, root, {key})
    table = f"{layer}.{sql_name(name)}"
    rows = as_json(connection.sql(f"FROM {table} WHERE _date = (SELECT max(_date) FROM {table}) LIMIT {int(count)}"))
    personal = {column.name for column in columns if column.personal}
    return [{c: MASKED if c in personal and value is not None else value for c, value in row.items()} for row in rows]
