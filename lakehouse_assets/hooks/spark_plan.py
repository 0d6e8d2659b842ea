"""Looks into the plan of a Spark Connect DataFrame: what it says, and whether each of its rows is made from one row alone."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lakehouse_assets.hooks.names import SPARK_PLAN

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_ROW_BY_ROW = {
    "read",
    "local_relation",
    "project",
    "filter",
    "with_columns",
    "with_columns_renamed",
    "drop",
    "to_df",
    "to_schema",
    "subquery_alias",
    "hint",
}
"""Spark Connect's names for the operations that make each row from one row."""

_OTHER_ROWS = re.compile(r"\b(over|select)\b", re.IGNORECASE)
"""Matches SQL with a window or a subquery."""


def is_row_by_row_sql(expression: str) -> bool:
    """Return whether a SQL expression looks at one row alone. False if that is not certain."""
    return not _OTHER_ROWS.search(expression)


def is_row_by_row(rows: "DataFrame") -> bool:
    """Return whether each row is made from one row of what is read. False if that is not certain."""
    plan = plan_of(rows)
    return plan is not None and all(map(_is_row_by_row, messages(plan)))


def plan_of(rows: "DataFrame") -> Any | None:
    """Return the unresolved plan of a DataFrame, Spark Connect's Protobuf message `Relation`; None if it can't be had."""
    plan = getattr(rows, "_plan", None)
    if plan is None or not SPARK_PLAN.is_usable:
        return None
    return plan.to_proto(rows.sparkSession.client).root


def _is_row_by_row(message: Any) -> bool:
    """Return whether a part of the plan is an operation, or an expression, of one row."""
    match message.DESCRIPTOR.name:
        case "Relation":
            kind = message.WhichOneof("rel_type")
            # A name may be that of a view, whose plan is not in this one.
            return kind in _ROW_BY_ROW and not (kind == "read" and message.read.WhichOneof("read_type") == "named_table")
        case "Window" | "SubqueryExpression":
            return False
        case "ExpressionString":
            return is_row_by_row_sql(message.expression)
    return True


def messages(message: Any) -> Iterator[Any]:
    """Return a Protobuf message and all those in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for part in value if field.is_repeated else [value]:
                yield from messages(part)
