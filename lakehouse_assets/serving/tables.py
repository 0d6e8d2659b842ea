"""Finds the table that a person means by a name."""

from collections.abc import Iterable

from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.errors import QueryError

_LAYERS = ("gold", "silver", "raw")
"""Where a name without a layer is looked for, in this order."""

Key = tuple[str, str]
"""Layer and name of a table."""


def find_table(name: str, known: Iterable[Key]) -> Key:
    """Return the table of a name such as `gold.fact_sales`, `silver/crm_sales` or `crm_sales`.

    A name without a layer is that of gold, else of silver, else of raw.

    Raises:
        QueryError: there is none; the message has the nearest name.
    """
    tables = set(known)
    layer, _, table = name.replace("/", ".").rpartition(".")
    wanted = [(layer, table)] if layer else [(layer, table) for layer in _LAYERS]
    for key in wanted:
        if key in tables:
            return key
    names = [f"{layer}.{table}" for layer, table in tables] if layer else [table for _, table in tables]
    raise QueryError(
        f"There is no table {name!r}{nearest(name.replace('/', '.'), names)}. `lakehouse status --tables` lists them."
    )
