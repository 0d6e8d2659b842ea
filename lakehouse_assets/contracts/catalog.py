"""Finds mistakes across systems: name clashes, relationships to unknown tables or columns, circles."""

import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.contracts.expressions import unknown_columns
from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.contracts.system import SilverTable, System
from lakehouse_assets.contracts.types import type_fault


def catalog_problems(systems: Sequence[System], files: Mapping[str, str]) -> list[str]:
    """Return the mistakes across systems, a line each, starting with the file. `files` maps systems to their files."""
    problems = [*_clashes(systems), *_unknown_relations(systems), *_circles(systems), *_unknown_columns(systems)]
    return [_IN_SYSTEM.sub(lambda match: files.get(match[1], match[0]), problem) for problem in problems]


_IN_SYSTEM = re.compile(r"systems/(\w+)\.py")


def _clashes(systems: Sequence[System]) -> Iterator[str]:
    """Report two feeds with the same folder, and two tables with the same name."""
    for what, names in (
        ("feeds", [(s.name, f.landing) for s in systems for f in s.feeds]),
        ("tables", [(s.name, t.name) for s in systems for t in s.tables]),
    ):
        first: dict[str, str] = {}
        for system, name in names:
            if name in first:
                claim = "land in the folder" if what == "feeds" else "have the name"
                yield (
                    f"systems/{system}.py: Two {what} {claim} {name!r}, the other in systems/{first[name]}.py: "
                    "give one of them another name."
                )
            first.setdefault(name, system)


def _unknown_relations(systems: Sequence[System]) -> Iterator[str]:
    """Report relationships to a table or column that does not exist, or to a column of another type."""
    contracts = {table.name: table.contract for system in systems for table in system.tables}
    for system, table in _tables(systems):
        for relation in table.contract.relationships:
            where = f"systems/{system}.py: Contract of {table.name}: relationship of {relation.column!r}"
            partner = contracts.get(relation.to_table)
            if partner is None:
                yield f"{where}: {relation.to_table!r} is not a silver table{nearest(relation.to_table, contracts)}."
                continue
            types = {c.name: c.type for c in partner.table_columns}
            if relation.to_column not in types:
                near = nearest(relation.to_column, types)
                yield f"{where}: {relation.to_column!r} is not a column of {relation.to_table}{near}."
            elif (own := _type(table.contract, relation.column)) not in (None, types[relation.to_column]):
                yield f"{where}: it is {own}, {relation.to_table}.{relation.to_column} is {types[relation.to_column]}."


def _circles(systems: Sequence[System]) -> Iterator[str]:
    """Report tables whose rows wait for each other in a circle: none of these rows would ever be loaded."""
    files = {table.name: system for system, table in _tables(systems)}
    waits = {table.name: {r.to_table for r in table.contract.waits_for} & files.keys() for _, table in _tables(systems)}
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        yield (
            f"systems/{files[circle[0]]}.py: Rows wait for each other in a circle: {' waits for '.join(circle)}. "
            "Give one of these relationships the outcome warn."
        )


def _unknown_columns(systems: Sequence[System]) -> Iterator[str]:
    """Report columns that rules name, but no input has."""
    files = {table.name: system for system, table in _tables(systems)}
    for table, problem in unknown_columns([table for _, table in _tables(systems)]):
        yield f"systems/{files[table.name]}.py: Contract of {table.name}: {problem}."


def _tables(systems: Sequence[System]) -> Iterator[tuple[str, SilverTable]]:
    for system in systems:
        for table in system.tables:
            yield system.name, table


def _type(contract: Contract, column: str) -> str | None:
    """Return the type of a column; None if the column or the type does not exist, which is reported elsewhere."""
    return next((c.type for c in contract.columns if c.name == column and type_fault(c.type) is None), None)
