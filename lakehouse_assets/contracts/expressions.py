"""Finds the columns that a contract's SQL names, without an engine, to report mistakes when definitions load."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from lakehouse_assets.contracts.code_digest import texts_reached
from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.contracts.provenance import IDENTITY, ITEM_TEXT
from lakehouse_assets.contracts.remembered import remembered
from lakehouse_assets.contracts.system import Input, SilverTable


def unknown_columns(tables: list[SilverTable]) -> list[tuple[SilverTable, str]]:
    """Find columns in rules and `deleted` that no function returns and no feed has: the table, and half a sentence each.

    A function may add columns for the rules: any word in a string of its code, or keyword argument, may be one. SQL that DuckDB
    can't parse is left to `lakehouse check`, which asks the engine.
    """
    expressions = [(t, what, sql) for t in tables for what, sql in _expressions(t)]
    if not expressions:
        return []
    problems: dict[tuple[str, str], tuple[SilverTable, str]] = {}
    texts = cache(texts_reached)
    for (table, what, _), names in zip(expressions, _names([sql for _, _, sql in expressions]), strict=True):
        for given in table.inputs:
            known = {name.lower() for name in _known(table, given)}
            for name in names:
                if name.lower() not in known and not _is_own(name, texts(given.function)):
                    near = nearest(name, sorted(known))
                    problem = f"{what} names {name!r}, which is not a column here{near}"
                    problems.setdefault((table.name, problem), (table, problem))
    return list(problems.values())


def _expressions(table: SilverTable) -> Iterator[tuple[str, str]]:
    """Yield the SQL expressions of a contract, each after what it is."""
    contract = table.contract
    yield from ((f"rule {rule.name!r}", rule.expression) for rule in contract.rules)
    if contract.deleted:
        yield "deleted", contract.deleted


def _known(table: SilverTable, given: Input) -> list[str]:
    """Return the columns that rules may use for rows of an input."""
    items = [ITEM_TEXT] if given.each else []
    return [*table.contract.column_names, *given.feed.column_names, *IDENTITY, *given.feed.provenance, *items]


def _is_own(name: str, texts: set[str]) -> bool:
    """Whether a function may add this column for the rules: a text in its code contains the word."""
    return any(name in text and re.search(rf"\b{re.escape(name)}\b", text) for text in texts)


def _names(expressions: list[str]) -> list[set[str]]:
    """Return the columns that each expression names; none if DuckDB can't parse it."""
    import duckdb

    facts = json.dumps([duckdb.__version__, expressions]).encode()
    return [set(names) for names in remembered(__file__, facts, lambda: _parsed_names(expressions))]


def _parsed_names(expressions: list[str]) -> list[list[str]]:
    """Do the same as `_names`, by DuckDB's parser."""
    import duckdb

    # As literals, because binding a list makes DuckDB import pandas, which takes longer than everything else here.
    quoted = [sql.replace("`", '"').replace("'", "''") for sql in expressions]
    listed = ", ".join(f"({number}, 'SELECT {sql}')" for number, sql in enumerate(quoted))
    with duckdb.connect() as connection:
        trees = connection.execute(f"SELECT json_serialize_sql(sql) FROM (VALUES {listed}) AS v (n, sql) ORDER BY n").fetchall()
    return [sorted(set(_columns(json.loads(tree)))) for (tree,) in trees]


def _columns(node: Any) -> Iterator[str]:
    """Yield the column names in DuckDB's syntax tree, except within lambdas, whose parameters look the same."""
    if isinstance(node, dict):
        if node.get("class") == "COLUMN_REF":
            yield node["column_names"][-1]
        if node.get("class") == "LAMBDA":
            return
        for value in node.values():
            yield from _columns(value)
    elif isinstance(node, list):
        for value in node:
            yield from _columns(value)
