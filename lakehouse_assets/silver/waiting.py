"""Finds partitions with rows whose partner was loaded or removed since they were built.

This is read from the tables: whether a row waits, and whether its partner exists. So neither the order of arrival nor concurrent
writers matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from lakehouse_assets.books.ledger import InputVersion, PartitionRecord
from lakehouse_assets.books.records import table_id
from lakehouse_assets.books.set_aside import SUPERSEDED, WAITING, SetAside, TableVersion, listed_set_aside
from lakehouse_assets.contracts.contract import Contract, Relationship
from lakehouse_assets.contracts.provenance import BROKEN_RULES, DATE_COLUMN
from lakehouse_assets.delta.duck import connect, files_view, files_with_keys
from lakehouse_assets.delta.tables import live_files, newest_table
from lakehouse_assets.silver.stage import landed_view
from lakehouse_assets.silver.winners import DELETED
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import duckdb

OpenedPartners = Mapping[str, DeltaTable | None]
"""The silver tables that rows of a table wait for, by name, at their current version; None if one does not exist yet."""


def open_partners(root: Root, contract: Contract) -> dict[str, DeltaTable | None]:
    """Open the silver tables that rows of a table wait for."""
    return {name: newest_table(root.table("silver", name)) for name in sorted({r.to_table for r in contract.waits_for})}


def partner_versions(partners: OpenedPartners) -> list[InputVersion]:
    """Return the versions of the partners, as the record of a partition stores them."""
    return [
        InputVersion(f"silver.{name}", -1 if table is None else table.version(), table_id(table))
        for name, table in sorted(partners.items())
    ]


def dates_to_judge_again(root: Root, contract: Contract, records: Mapping[date, PartitionRecord]) -> set[date]:
    """Return the partitions with a row that waits although its partner exists, or does not wait although it doesn't."""
    if not contract.waits_for:
        return set()
    table = newest_table(root.table("silver", contract.table))
    aside = None if table is None else listed_set_aside(root, "silver", contract.table, table)
    if table is None or aside is None:
        return set()
    return changed_partners(root, contract, table, aside, open_partners(root, contract), records)


def dates_with_waiting_rows(root: Root, contract: Contract) -> set[date]:
    """Return the partitions with rows that wait."""
    table = newest_table(root.table("silver", contract.table))
    aside = None if table is None else listed_set_aside(root, "silver", contract.table, table)
    return set() if aside is None else set(aside.with_reason(WAITING).rows_by_date)


def changed_partners(
    root: Root,
    contract: Contract,
    table: DeltaTable,
    aside: SetAside,
    partners: OpenedPartners,
    records: Mapping[date, PartitionRecord],
) -> set[date]:
    """Do the same as `dates_to_judge_again`, for an open table, its rows set aside, and its open partners.

    If the table was judged with known versions of its partners, only values that came or went since are looked at, and only files
    that may have one. Otherwise all rows are.
    """
    versions = partner_versions(partners)
    if not contract.waits_for or aside.judged_with == judged_with(partners):
        return set()
    if not aside.judged_with and all(r.is_unverified or r.inputs == versions for r in records.values()):
        return set()
    types = {c.name: c.type for c in contract.columns}
    with connect(root) as connection:
        touched = [
            _touched(connection, number, root, r, types[r.column], partners[r.to_table], aside.judged_with.get(r.to_table))
            for number, r in _numbered(contract)
        ]
        if all(values is not None and not values.came and not values.went for values in touched):
            return set()
        return _contradicted(connection, root, contract, table, aside, partners, touched)


def judged_with(partners: OpenedPartners) -> dict[str, TableVersion]:
    """Return the versions of the partners, as the list of rows set aside stores them."""
    return {name: (table_id(table), -1 if table is None else table.version()) for name, table in partners.items()}


@dataclass(frozen=True)
class _Touched:
    """The relation that has the values of a partner's column in files that came or went; whether there are some of each."""

    name: str
    came: bool
    went: bool


def _touched(
    connection: "duckdb.DuckDBPyConnection",
    number: int,
    root: Root,
    relation: Relationship,
    kind: str,
    partner: DeltaTable | None,
    then: TableVersion | None,
) -> _Touched | None:
    """Name the values that files of a partner have gained or lost since a version; None if that is unknown.

    A value that went may still be in a file that stayed.
    """
    import duckdb

    if then is None or then[0] != table_id(partner):
        return None
    name, files_now = f"touched_{number}", {} if partner is None else {f["path"]: f for f in live_files(partner)}
    uri = root.table("silver", relation.to_table)
    try:
        before = None if partner is None else DeltaTable(uri, version=then[1])
        files_then = {} if before is None else {f["path"]: f for f in live_files(before)}
        for view, files, others in (("came", files_now, files_then), ("went", files_then, files_now)):
            files_view(connection, view, uri, [f for path, f in files.items() if path not in others], {relation.to_column: kind})
        column = f'SELECT "{relation.to_column}" AS value FROM'
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE {name} AS
                SELECT *, TRUE AS came FROM ({column} came EXCEPT {column} went) WHERE value IS NOT NULL
                UNION ALL SELECT *, FALSE FROM ({column} went EXCEPT {column} came) WHERE value IS NOT NULL"""
        )
    except (DeltaError, duckdb.IOException):  # upkeep has deleted that version, or a file of it
        return None
    came, went = connection.execute(f"SELECT bool_or(came), bool_or(NOT came) FROM {name}").fetchone() or (None, None)
    return _Touched(name, bool(came), bool(went))


def _contradicted(
    connection: "duckdb.DuckDBPyConnection",
    root: Root,
    contract: Contract,
    table: DeltaTable,
    aside: SetAside,
    partners: OpenedPartners,
    touched: Sequence[_Touched | None],
) -> set[date]:
    """Return the dates with a row that waits or does not wait, in contradiction to its partners; of `touched` values, if known."""
    uri = root.table("silver", contract.table)
    types = {c.name: c.type for c in contract.columns}
    columns = {r.column: types[r.column] for r in contract.waits_for} | {BROKEN_RULES: "string", DELETED: "boolean"}
    # A value that came only matters to rows that wait.
    may_be_live = any(values is None or values.went for values in touched)
    files: dict[str, dict[str, Any]] = {}
    for relation, values in zip(contract.waits_for, touched, strict=True):
        may_have = live_files(table, [relation.column]) if values is None or values.went else []
        matching = _with_values(connection, may_have, relation.column, types[relation.column], values)
        files |= {file["path"]: file for file in matching}
    files_view(connection, "waited_live", uri, list(files.values()), columns)
    kept = aside.with_reason(*((SUPERSEDED, WAITING) if may_be_live else (WAITING,)))
    landed_view(connection, "waited_aside", uri, kept.files, columns, kept.count, kept.places)
    for number, (relation, values) in enumerate(zip(contract.waits_for, touched, strict=True)):
        partner, name, column = partners[relation.to_table], relation.to_table, relation.to_column
        live = [] if partner is None else live_files(partner, [column])
        matching = _with_values(connection, live, column, types[relation.column], values)
        files_view(connection, f"waited_for_{number}", root.table("silver", name), matching, {column: types[relation.column]})
    joins = " ".join(
        f'LEFT JOIN ({_present(r, n, touched[n])}) AS p{n} ON w."{r.column}" = p{n}.value' for n, r in _numbered(contract)
    )
    differs = " OR ".join(_differs(r, n, touched[n]) for n, r in _numbered(contract))
    rows = connection.execute(
        f"""SELECT DISTINCT {DATE_COLUMN} FROM (FROM waited_live UNION ALL BY NAME FROM waited_aside) AS w {joins}
            WHERE NOT coalesce({DELETED}, FALSE) AND ({differs})"""
    ).fetchall()
    return {day for (day,) in rows}


def _numbered(contract: Contract) -> list[tuple[int, Relationship]]:
    return list(enumerate(contract.waits_for))


def _with_values(
    connection: "duckdb.DuckDBPyConnection", files: list[dict[str, Any]], column: str, kind: str, values: _Touched | None
) -> list[dict[str, Any]]:
    """Return the files that may have one of the values in a column, by its bounds; all if the values are unknown."""
    if values is None:
        return files
    bounds = [{"value": file["bounds"][column]} if column in file["bounds"] else {} for file in files]
    possible = files_with_keys(connection, values.name, {"value": kind}, bounds)
    return [file for file, may_have in zip(files, possible, strict=True) if may_have]


def _present(relation: Relationship, number: int, values: _Touched | None) -> str:
    """SQL: the values that partners have; of the touched ones, if they are known."""
    partners = f'SELECT DISTINCT "{relation.to_column}" AS value FROM waited_for_{number}'
    return (
        partners
        if values is None
        else f'{partners} SEMI JOIN {values.name} AS t ON waited_for_{number}."{relation.to_column}" = t.value'
    )


def _differs(relation: Relationship, number: int, values: _Touched | None) -> str:
    """SQL: whether a row waits for a partner that exists, or does not wait for one that doesn't."""
    waits = f"list_contains(string_split(coalesce({BROKEN_RULES}, ''), ','), '{relation.name}')"
    differs = f'{waits} <> (w."{relation.column}" IS NOT NULL AND p{number}.value IS NULL)'
    return differs if values is None else f'(w."{relation.column}" IN (SELECT value FROM {values.name}) AND {differs})'
