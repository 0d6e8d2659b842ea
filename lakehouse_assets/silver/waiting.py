"""Finds partitions with rows whose partner was loaded or removed since they were built.

This is read from the tables: whether a row waits, and whether its partner exists. So neither the order of arrival nor concurrent
writers matter.
"""

from collections.abc import Mapping
from datetime import date

from deltalake import DeltaTable

from lakehouse_assets.books.ledger import InputVersion, PartitionRecord
from lakehouse_assets.books.records import table_id
from lakehouse_assets.books.set_aside import SUPERSEDED, WAITING, SetAside, listed_set_aside
from lakehouse_assets.contracts.contract import Contract, Relationship
from lakehouse_assets.contracts.provenance import BROKEN_RULES, DATE_COLUMN
from lakehouse_assets.delta.duck import connect, files_view
from lakehouse_assets.delta.tables import live_files, newest_table
from lakehouse_assets.silver.stage import landed_view
from lakehouse_assets.silver.winners import DELETED
from lakehouse_assets.store.root import Root

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
    """Do the same as `dates_to_judge_again`, for an open table, its rows set aside, and its open partners."""
    versions = partner_versions(partners)
    if not contract.waits_for or all(r.is_unverified or r.inputs == versions for r in records.values()):
        return set()
    uri = root.table("silver", contract.table)
    types = {c.name: c.type for c in contract.columns}
    columns = {r.column: types[r.column] for r in contract.waits_for} | {BROKEN_RULES: "string", DELETED: "boolean"}
    with connect(root) as connection:
        files_view(connection, "waited_live", uri, live_files(table), columns)
        kept = aside.with_reason(SUPERSEDED, WAITING)
        landed_view(connection, "waited_aside", uri, kept.files, columns, kept.count, kept.places)
        for number, relation in enumerate(contract.waits_for):
            partner, name = partners[relation.to_table], relation.to_table
            files = [] if partner is None else live_files(partner)
            partner_columns = {relation.to_column: types[relation.column]}
            files_view(connection, f"waited_for_{number}", root.table("silver", name), files, partner_columns)
        joins = " ".join(
            f'LEFT JOIN (SELECT DISTINCT "{r.to_column}" AS value FROM waited_for_{n}) AS p{n} ON w."{r.column}" = p{n}.value'
            for n, r in enumerate(contract.waits_for)
        )
        differs = " OR ".join(_differs(r, n) for n, r in enumerate(contract.waits_for))
        rows = connection.execute(
            f"""SELECT DISTINCT {DATE_COLUMN} FROM (FROM waited_live UNION ALL BY NAME FROM waited_aside) AS w {joins}
                WHERE NOT coalesce({DELETED}, FALSE) AND ({differs})"""
        ).fetchall()
    return {day for (day,) in rows}


def _differs(relation: Relationship, number: int) -> str:
    """SQL: whether a row waits for a partner that exists, or does not wait for one that doesn't."""
    waits = f"list_contains(string_split(coalesce({BROKEN_RULES}, ''), ','), '{relation.name}')"
    return f'{waits} <> (w."{relation.column}" IS NOT NULL AND p{number}.value IS NULL)'
