"""Which rows of a key stand in a silver table: the rule of each write mode, as SQL over all rows of the key.

The same text goes to the engine, for the rows of a run, and to DuckDB, for the rows of a key that lie in other partitions too: so there
is one rule. It looks at the rows alone, never at the time or order in which they came, which is why no table can tell those.

Put here what makes a row stand. Where the rows come from, and what becomes of the others, stands in `audit.py` and `merge.py`.
"""

from collections.abc import Sequence

from lakehouse_assets.contracts.contract import Contract

OWN_COLUMNS = ("_source_file", "_row_number", "_date")
"""Where a row came from: what tells it from every other row."""

DELETED = "_deleted"
"""Whether a row is a tombstone."""

STANDS = "_stands"
VALID_TO = "_valid_to"

Projection = dict[str, str]
"""Columns to add to a relation: names and their SQL. Names stand in backticks; DuckDB takes them as double quotes."""


def settle(contract: Contract, within: Sequence[str] = ()) -> list[Projection]:
    """Projections, one upon the other, that add `_stands` (boolean) and for a history `_valid_to` to rows that may share keys.

    The rows have the contract's columns, `OWN_COLUMNS` and `_deleted`. Rows that differ in a column of `within` are judged apart.
    """
    key = [*within, *identity(contract)]
    if contract.mode != "history":
        return [
            {"_rank": f"ROW_NUMBER() OVER (PARTITION BY {_names(key)} ORDER BY {order(contract)})"},
            {STANDS: f"_rank = 1 AND NOT {DELETED}"},
        ]
    moment = f"`{contract.valid_from}`"
    # Of the rows of one moment one counts. What has not changed since the moment before opens no version; after a delete all does.
    since = f"OVER (PARTITION BY {_names([*key, '_counts'])} ORDER BY {moment} ASC NULLS FIRST)"
    changes = [f"`{name}` IS DISTINCT FROM LAG(`{name}`) {since}" for name in contract.tracked_columns]
    opens = " OR ".join([DELETED, f"LAG({DELETED}) {since} IS DISTINCT FROM FALSE", *changes])
    until = f"OVER (PARTITION BY {_names([*key, '_opens'])} ORDER BY {moment} ASC NULLS FIRST)"
    return [
        {"_counts": f"ROW_NUMBER() OVER (PARTITION BY {_names(key)}, {moment} ORDER BY {order(contract)}) = 1"},
        {"_opens": f"_counts AND ({opens})"},
        {VALID_TO: f"CASE WHEN _opens THEN LEAD({moment}) {until} END", STANDS: f"_opens AND NOT {DELETED}"},
    ]


def order(contract: Contract) -> str:
    """SQL that puts the winning row of a key first: the highest sequence, then the latest landing date, file name and row."""
    sequence = [f"`{name}` DESC NULLS LAST" for name in contract.sequence_columns]
    return ", ".join([*sequence, "_date DESC", "_source_file DESC", "_row_number DESC"])


def identity(contract: Contract) -> list[str]:
    """The columns by which one row takes another's place: the key, in a snapshot within its date."""
    return [*contract.key, "_date"] if contract.mode == "snapshot" else list(contract.key)


def deciding_columns(contract: Contract) -> list[str]:
    """The contract's columns that `settle` looks at."""
    tracked = contract.tracked_columns if contract.mode == "history" else ()
    return [name for name in contract.column_names if name in {*contract.key, *contract.sequence_columns, *tracked}]


def in_duckdb(sql: str) -> str:
    """The same text as DuckDB quotes names."""
    return sql.replace("`", '"')


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
