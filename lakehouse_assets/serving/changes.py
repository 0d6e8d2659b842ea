"""What changed in a table between two of its versions: rows that were added, are gone, or have other values under the same key.

Only files that one of the two versions has and the other lacks are read, so the cost follows what was written in between. Columns whose
name begins with `_` say where a row is from: they are shown, but a row in which nothing else differs has not changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deltalake import DeltaTable

from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.delta.duck import column_types, rows_of_live_files
from lakehouse_assets.delta.tables import live_files, sql_name
from lakehouse_assets.errors import QueryError
from lakehouse_assets.serving.versions import AsOf, Tell, Versions, parse_as_of
from lakehouse_assets.store.root import Root

CHANGES = ("ops", "changes")
"""Schema and name under which a query reads the changes."""

_LAYERS = ("raw", "silver", "gold")


@dataclass(frozen=True)
class Changes:
    """A table and its states before and after; None are the newest version, and the version before the one after.

    `key` are the columns that identify a row. Without any, a row that differs is one that is gone and one that was added.
    """

    layer: str
    name: str
    key: tuple[str, ...] = ()
    before: AsOf | None = None
    after: AsOf | None = None


def parse_changes(table: str, between: str | None, zone: str) -> Changes:
    """Parse `--changes` and `--between`: a table such as `gold.dim_customer`, and `A..B`, each as `--as-of` takes it; B may be missing.

    Raises:
        QueryError: one of them is none of that.
    """
    layer, _, name = table.partition(".")
    if layer not in _LAYERS or not name:
        raise QueryError(f"--changes {table}: name a table with its layer, such as gold.dim_customer.")
    if between is None:
        return Changes(layer, name)
    first, dots, last = between.partition("..")
    if not dots or not first:
        raise QueryError(
            f"--between {between}: write A..B, such as 3..7, 2026-01-30..2026-01-31, or pass:7.. for all since then."
        )
    return Changes(layer, name, before=parse_as_of(first, zone), after=parse_as_of(last, zone) if last else None)


def key_of(layer: str, name: str, catalog: Catalog, dbt_manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns that identify a row: by the contract of a silver table, by the tests of a model; none if neither says so."""
    if layer == "silver":
        contracts = {table.name: table.contract for table in catalog.tables}
        if (contract := contracts.get(name)) is None:
            return ()
        more = {"snapshot": (DATE_COLUMN,), "history": ("valid_from",)}.get(contract.mode, ())
        return (*contract.key, *more) if contract.key else ()
    if layer == "gold":
        return _unique_columns(name, dbt_manifest)
    return ()


def _unique_columns(model: str, dbt_manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns of which a test of the model says that they are unique, a single one rather than several together."""
    tests = [
        node["test_metadata"]
        for node in dbt_manifest["nodes"].values()
        if node.get("test_metadata") and (node.get("attached_node") or "").rpartition(".")[2] == model
    ]
    single = {test["kwargs"]["column_name"] for test in tests if test["name"] == "unique"}
    together = [tuple(test["kwargs"]["columns"]) for test in tests if test["name"] == "unique_together"]
    described = next((n for n in dbt_manifest["nodes"].values() if n["resource_type"] == "model" and n["name"] == model), None)
    in_order = [column for column in (described["columns"] if described else ()) if column in single]
    return (in_order[0],) if in_order else next(iter(together), ())


def changed_rows(root: Root, changes: Changes, tell: Tell) -> str:
    """SQL for the rows that changed: `_change` (added, gone, changed), `_was` (by column, the former values), the table's columns.

    A row that is gone is shown as it was, the others as they are.

    Raises:
        QueryError: one of the versions can't be read, or the first is the later one.
    """
    label = f"{changes.layer}.{changes.name}"
    after = _open(root, changes, changes.after, tell)
    if changes.before is None:
        if after.version() == 0:
            raise QueryError(f"{label} has only one version: nothing has changed in it.")
        before = _open(root, changes, AsOf(str(after.version() - 1), version=after.version() - 1), tell)
    else:
        before = _open(root, changes, changes.before, tell)
    if before.version() > after.version():
        raise QueryError(f"{label}: the first state has version {before.version()}, the second {after.version()}. Swap them.")
    uri = root.table(changes.layer, changes.name)
    return differing_rows((uri, before), (uri, after), changes.key)


def differing_rows(earlier: tuple[str, DeltaTable], later: tuple[str, DeltaTable], declared_key: Sequence[str]) -> str:
    """SQL for the rows in which two open tables differ, each with its URI: versions of one table, or tables of two roots.

    The columns are those of `changed_rows`. Without a key, a row that differs is one that is gone and one that was added.
    """
    (old_uri, before), (new_uri, after) = earlier, later
    old, new = ({file["path"]: file for file in live_files(table)} for table in (before, after))
    types, old_types = column_types(after), column_types(before)
    columns = [*dict.fromkeys([*types, *old_types]), DATE_COLUMN]
    own = [column for column in columns if not column.startswith("_")]
    key = [column for column in declared_key if column in columns] or own
    # A column whose type has changed is compared as text.
    retyped = {c for c in types.keys() & old_types.keys() if types[c] != old_types[c]}
    old_rows, new_rows = [
        _side(
            rows_of_live_files(uri, [f for path, f in files.items() if path not in others], known), known, columns, retyped, key
        )
        for uri, files, others, known in ((old_uri, old, new, old_types), (new_uri, new, old, types))
    ]
    return _difference(old_rows, new_rows, columns, own, key)


def _open(root: Root, changes: Changes, as_of: AsOf | None, tell: Tell) -> DeltaTable:
    table = Versions(root, as_of, tell).open(
        changes.layer, changes.name, beside_gold=changes.layer == "gold" and as_of is not None
    )
    if table is None:
        raise QueryError(f'There is no table {changes.layer}.{changes.name}. `lakehouse query "SHOW ALL TABLES"` lists them.')
    return table


def _side(rows: str, known: Mapping[str, str], columns: Sequence[str], retyped: set[str], key: Sequence[str]) -> str:
    """SQL for the rows of one side with the columns of both, and `_nth`: several rows of one key are told apart by their number."""

    def shown(column: str) -> str:
        if column not in known and column != DATE_COLUMN:
            return f"NULL AS {sql_name(column)}"
        return f"CAST({sql_name(column)} AS VARCHAR) AS {sql_name(column)}" if column in retyped else sql_name(column)

    keys = ", ".join(map(sql_name, key))
    return f"SELECT {', '.join(map(shown, columns))}, row_number() OVER (PARTITION BY {keys}) AS _nth FROM ({rows})"


def _difference(before: str, after: str, columns: Sequence[str], own: Sequence[str], key: Sequence[str]) -> str:
    """SQL for the rows that are on one side alone, or differ under the same key."""
    names = {column: sql_name(column) for column in columns}
    same_key = " AND ".join(["a._nth = b._nth", *(f"a.{names[c]} IS NOT DISTINCT FROM b.{names[c]}" for c in key)])
    differs = {column: f"a.{names[column]} IS DISTINCT FROM b.{names[column]}" for column in own if column not in key}
    was = ", ".join(
        f"{{'name': '{column.replace(chr(39), chr(39) * 2)}', 'value': CAST(b.{names[column]} AS VARCHAR), 'differs': {condition}}}"
        for column, condition in differs.items()
    )
    former = f"map_from_entries([(e.name, e.value) FOR e IN [{was}] IF e.differs])" if was else "MAP {}"
    shown = ", ".join(f"CASE WHEN a._nth IS NULL THEN b.{name} ELSE a.{name} END AS {name}" for name in names.values())
    return f"""WITH b AS ({before}), a AS ({after})
        SELECT CASE WHEN b._nth IS NULL THEN 'added' WHEN a._nth IS NULL THEN 'gone' ELSE 'changed' END AS _change,
            CASE WHEN a._nth IS NOT NULL AND b._nth IS NOT NULL THEN {former} END AS _was, {shown}
        FROM b FULL JOIN a ON {same_key}
        WHERE a._nth IS NULL OR b._nth IS NULL OR {" OR ".join(differs.values()) or "FALSE"}"""
