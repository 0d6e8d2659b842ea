"""Which columns of silver and gold each column of a model is made from, read from the model's SQL as dbt compiled it."""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.remembered import remembered
from lakehouse_assets.gold.models import Columns, Model, code_digest

if TYPE_CHECKING:
    from sqlglot.optimizer.scope import Scope

Lineage = dict[str, list[tuple[str, str, str]]]
"""By column of the model: layer, table and column of each column from which its values are made."""

_Source = tuple[str, str, str]


def model_lineage(model: Model, sql: Callable[[], str], columns: Columns, shared: str) -> Lineage:
    """Return the lineage of a model's columns. It is worked out once for each state of the model's code and of what it reads.

    `sql` returns the compiled query, if it has to be read. `columns` are those of all silver and gold tables: a `*` may stand for
    them.
    """
    read = [("silver", name) for name in model.sources] + [("gold", name) for name in model.refs]
    known = {key: columns[key] for key in read if key in columns}
    facts = json.dumps([code_digest(model, shared), [[*key, *known[key]] for key in sorted(known)]]).encode()
    found = remembered(__file__, facts, lambda: sql_lineage(sql(), known))
    # A seed lies beside the models, but is no asset.
    return {
        column: [(layer, table, name) for layer, table, name in sources if (layer, table) in read]
        for column, sources in found.items()
    }


def sql_lineage(sql: str, columns: Columns) -> Lineage:
    """Return from which columns of silver and gold each column of a query is made.

    Conditions of joins and filters don't count: they choose rows. Empty if the parser can't read the query.
    """
    import sqlglot
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    layers: dict[str, dict[str, dict[str, str]]] = {}
    for (layer, table), types in columns.items():
        layers.setdefault(layer, {})[table] = dict(types)
    try:
        parsed = sqlglot.parse_one(sql, read="duckdb")
        qualified = qualify(
            parsed,
            dialect="duckdb",
            schema={"run": layers},
            validate_qualify_columns=False,
            quote_identifiers=False,
            canonicalize_table_aliases=False,
        )
        scope = build_scope(qualified)
    except sqlglot.errors.SqlglotError:
        return {}  # DuckDB may know more SQL than the parser; a column without lineage says nothing wrong
    if scope is None:
        return {}
    return {name: sorted(sources) for name, sources in _Scopes().columns(scope).items() if sources}


class _Scopes:
    """The columns of each query within a query, each worked out once."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, frozenset[_Source]]] = {}

    def columns(self, scope: "Scope") -> dict[str, frozenset[_Source]]:
        """Return the sources of the columns that a query returns."""
        key = id(scope)
        if key not in self._known:
            self._known[key] = {}  # a recursive query finds what its first part has added here
            found = self._known[key]
            for part in scope.set_operation_scopes or ():
                made = self.columns(part)
                # The first part of a union names its columns, unless they are matched by name.
                names = [*made] if scope.expression.args.get("by_name") else [*found] or [*made]
                for name, sources in zip(names, made.values(), strict=False):
                    found[name] = found.get(name, frozenset()) | sources
            if not scope.set_operation_scopes:
                found |= {s.alias_or_name.lower(): self._sources(s, scope) for s in getattr(scope.expression, "selects", ())}
        return self._known[key]

    def _sources(self, expression: object, scope: "Scope") -> frozenset[_Source]:
        """Return the sources of an expression, those of the queries within it included."""
        return frozenset(source for column in _columns_in(expression) for source in self._source(column, scope))

    def _source(self, column: object, scope: "Scope") -> frozenset[_Source]:
        from sqlglot import exp
        from sqlglot.optimizer.scope import Scope

        assert isinstance(column, exp.Column)
        table, name = column.table, column.name.lower()
        for within in _around(scope, table):
            source = within.sources[table]
            if isinstance(source, Scope):
                made = self.columns(source)
                # Of a list that is unfolded, the items are those of the list.
                return made[name] if name in made else self._sources(source.expression, within) if source.is_udtf else frozenset()
            if isinstance(source, exp.Table) and source.db in ("silver", "gold"):
                return frozenset([(source.db, source.name, name)])
        return frozenset()


def _columns_in(expression: object) -> Iterator[object]:
    from sqlglot import exp

    assert isinstance(expression, exp.Expr)
    return expression.find_all(exp.Column)


def _around(scope: "Scope", table: str) -> Iterator["Scope"]:
    """Yield the queries that know a table by this name: the query itself, those within it, and those around it."""
    pending = [scope, *scope.subquery_scopes]
    for within in pending:
        if table in within.sources:
            yield within
    if scope.parent is not None:
        yield from _around(scope.parent, table)
