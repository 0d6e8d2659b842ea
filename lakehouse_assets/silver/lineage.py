"""Which raw columns each column of a silver table is made from, read from the plans of its functions. Computes no rows."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.provenance import IDENTITY
from lakehouse_assets.contracts.remembered import remembered
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.hooks.spark_plan import messages, plan_of
from lakehouse_assets.silver.transform import computed

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Lineage = dict[str, list[tuple[str, str]]]
"""By column of the silver table: the raw tables and their columns from which its values are made."""

_Sources = dict[str, frozenset[str]]
"""By column, in lower case: the columns of what the plan reads."""


def silver_lineage(table: SilverTable, session: "Callable[[], SparkSession]") -> Lineage:
    """Return the lineage of a table's columns. It is worked out once for each state of the table's code."""
    facts = repr((table.digest(), [(given.feed.table, given.feed.column_names) for given in table.inputs])).encode()
    found = remembered(__file__, facts, lambda: _lineage(table, session()))
    return {column: [(name, source) for name, source in sources] for column, sources in found.items()}


def _lineage(table: SilverTable, session: "SparkSession") -> Lineage:
    contract = table.contract
    lineage: Lineage = {name: [] for name in (*contract.column_names, *IDENTITY)}
    for given in table.inputs:
        plan = plan_of(computed(session, table, given))
        if plan is None:
            continue
        sources = plan_lineage(plan, [*given.feed.column_names, *given.feed.provenance])
        for name, read in lineage.items():
            read += [(given.feed.table, source) for source in sorted(sources.get(name.lower(), ()))]
    for column in contract.validity:
        lineage[column.name] = list(lineage[contract.valid_from])
    return {name: sources for name, sources in lineage.items() if sources}


def plan_lineage(relation: Any, columns: list[str]) -> _Sources:
    """Return from which of the `columns` that a plan reads each of its own columns is made.

    `relation` is Spark Connect's unresolved plan. Of an operation that is not known here, each column may come from that of the
    same name in any of its inputs.
    """
    kind = relation.WhichOneof("rel_type")
    operation = getattr(relation, kind)
    inputs: _Sources = {}
    for part in _inputs(operation):
        for name, sources in plan_lineage(part, columns).items():
            inputs[name] = inputs.get(name, frozenset()) | sources
    match kind:
        case "read" | "local_relation":
            return {name.lower(): frozenset([name]) for name in columns}
        case "project":
            return {name: sources for part in operation.expressions for name, sources in _made(part, inputs).items()}
        case "with_columns":
            return inputs | {a.name[0].lower(): _sources(a.expr, inputs) for a in operation.aliases}
        case "with_columns_renamed":
            renames = dict(operation.rename_columns_map) | {r.col_name: r.new_col_name for r in operation.renames}
            new_names = {old.lower(): new.lower() for old, new in renames.items()}
            return {new_names.get(name, name): sources for name, sources in inputs.items()}
    return inputs


def _inputs(operation: Any) -> Iterator[Any]:
    """Yield the plans that an operation reads."""
    for field, value in operation.ListFields():
        if field.message_type is not None and field.message_type.name == "Relation":
            yield from value if field.is_repeated else [value]


def _made(expression: Any, inputs: _Sources) -> _Sources:
    """Return the columns that an expression of a projection makes."""
    match expression.WhichOneof("expr_type"):
        case "unresolved_star":
            return inputs
        case "expression_string":
            return _of_sql(expression.expression_string.expression, inputs)
        case "alias":
            sources = _sources(expression.alias.expr, inputs)
            return {name.lower(): sources for name in expression.alias.name}
        case "unresolved_attribute":
            name = expression.unresolved_attribute.unparsed_identifier.strip("`").lower()
            return {name.rpartition(".")[2].strip("`"): _sources(expression, inputs)}
    return {}


def _sources(expression: Any, inputs: _Sources) -> frozenset[str]:
    """Return the columns that an expression names, SQL in it included."""
    found: frozenset[str] = frozenset()
    for message in messages(expression):
        match message.DESCRIPTOR.name:
            case "UnresolvedAttribute":
                found |= _named(message.unparsed_identifier.replace("`", "").split("."), inputs)
            case "ExpressionString":
                found = found.union(*_of_sql(message.expression, inputs).values())
    return found


def _of_sql(sql: str, inputs: _Sources) -> _Sources:
    """Return the columns that a SQL expression of a projection makes, `*` among them."""
    import sqlglot
    from sqlglot import exp

    try:
        parsed = sqlglot.parse_one(f"SELECT {sql}", read="spark")
    except sqlglot.errors.ParseError:
        return {}  # the engine may know more SQL than the parser; a column without lineage says nothing wrong
    made: _Sources = {}
    for part in parsed.expressions if isinstance(parsed, exp.Select) else ():
        if isinstance(part, exp.Star):
            made |= inputs
            continue
        named = [_named([p.name for p in column.parts], inputs) for column in part.find_all(exp.Column)]
        names = [a.name for a in part.aliases] if isinstance(part, exp.Aliases) else [part.alias_or_name]
        made |= {str(name).lower(): frozenset().union(*named) for name in names}
    return made


def _named(parts: list[str], inputs: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the sources of a column as it is named: `column`, `table.column`, or a field of it, `column.field`."""
    return next((inputs[part.lower()] for part in parts if part.lower() in inputs), frozenset())
