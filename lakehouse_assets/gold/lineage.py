"""Which columns of silver and gold each column of a model is made from, read from the model's SQL as dbt compiled it."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.remembered import remembered
from lakehouse_assets.gold.models import Columns, Model, code_digest

if TYPE_CHECKING:
    from sqlglot.expressions import Column, Expr
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

    def _sources(self, expression: "Expr", scope: "Scope") -> frozenset[_Source]:
        """Return the sources of an expression. A query within it gives what it selects."""
        from sqlglot import exp

        inner = {id(within.expression): within for within in scope.subquery_scopes}
        found: set[_Source] = set()
        for part in expression.walk(prune=lambda node: id(node) in inner):
            if id(part) in inner:
                found.update(*self.columns(inner[id(part)]).values())
            elif isinstance(part, exp.Column):
                found |= self._source(part, scope)
        return frozenset(found)

    def _source(self, column: "Column", scope: "Scope") -> frozenset[_Source]:
        from sqlglot import exp
        from sqlglot.optimizer.scope import Scope

        table, name = column.table, column.name.lower()
        around: Scope | None = scope
        while around is not None and table not in around.sources:
            around = around.parent  # a query within another one may use the other's tables
        source = around.sources[table] if around is not None else None
        if isinstance(source, Scope):
            if source.is_udtf:
                return self._sources(source.expression, source)  # the items of a list that is unfolded
            return self.columns(source).get(name, frozenset())
        if isinstance(source, exp.Table) and source.db in ("silver", "gold"):
            return frozenset([(source.db, source.name, name)])
        return frozenset()
