"""Decides which rows of a key are live in a silver table: the rule of each write mode, as SQL over all rows of the key.

The engine runs this SQL on the rows of a run. A look-up runs it on rows of the same keys in other partitions: in DuckDB or, if the
engine is remote, there. So there is one rule. It depends on the rows alone, never on the time or order of arrival.

This module only has the rule. `judge.py` and `merge.py` apply it.
"""

from collections.abc import Sequence

from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.contracts.provenance import DATE_COLUMN, FEED, FILE, ITEM, ROW

DELETED = "_deleted"
"""Whether a row is a tombstone."""

LIVE = "_live"
"""Whether a row is live."""

VALID_FROM, VALID_TO = "_valid_from", "_valid_to"

ENDED_ON, ENDED_BEFORE = "_ended_on", "_ended_before"
"""For rows of feeds with complete deliveries: the date of the first delivery after the row that ends its key's presence, and of
the last one before it. NULL if there is none."""

Projection = dict[str, str]
"""Columns to add to a relation: names and their SQL. Names are quoted with backticks; see `in_duckdb`."""


def resolve_winners(contract: Contract, within: Sequence[str] = (), *, with_deliveries: bool = False) -> list[Projection]:
    """Return successive projections that add `_live` (boolean: live), and for a history `_valid_to`.

    The rows have the contract's columns, those of `IDENTITY`, and `_deleted`. Rows that differ in a column of `within` are
    treated separately. With `with_deliveries`, rows also have `_ended_on` and `_ended_before`, and a history gets `_valid_from`.
    """
    key = [*within, *identity(contract)]
    was_deleted = f"{ENDED_ON} IS NOT NULL"
    if contract.mode != "history":
        partition = [*_names(key), *([was_deleted] if with_deliveries else [])]
        present = f" AND NOT {was_deleted}" if with_deliveries else ""
        return [
            {"_rank": f"ROW_NUMBER() OVER (PARTITION BY {', '.join(partition)} ORDER BY {order(contract)})"},
            {LIVE: f"_rank = 1 AND NOT {DELETED}{present}"},
        ]
    moment = f"`{contract.valid_from}`"
    counts = f"ROW_NUMBER() OVER (PARTITION BY {_listed(key)}, {{moment}} ORDER BY {order(contract)}) = 1"
    first: list[Projection] = [{"_counts": counts.format(moment=moment)}]
    if with_deliveries:
        # A key that returns is valid from the delivery that has it again. A row version from after its key's end is never valid.
        back = f"{ENDED_BEFORE} IS NOT NULL AND ({moment} IS NULL OR CAST({moment} AS DATE) <= {ENDED_BEFORE})"
        type_ = contract.validity[0].type
        late = f"{ENDED_ON} IS NOT NULL AND CAST({VALID_FROM} AS DATE) >= {ENDED_ON} AND NOT {DELETED}"
        first = [
            {VALID_FROM: f"CASE WHEN {back} AND NOT {DELETED} THEN CAST({DATE_COLUMN} AS {type_}) ELSE {moment} END"},
            {"_late": f"COALESCE({late}, FALSE)"},
            {"_counts": f"NOT _late AND {counts.format(moment=f'{VALID_FROM}, _late')}"},
        ]
        moment = VALID_FROM
    # Of the rows of one moment, one counts. It opens a row version if it differs from the moment before, or follows a delete.
    since = f"OVER (PARTITION BY {_listed([*key, '_counts'])} ORDER BY {moment} ASC NULLS FIRST)"
    changes = [f"`{name}` IS DISTINCT FROM LAG(`{name}`) {since}" for name in contract.tracked_columns]
    opens = " OR ".join([DELETED, f"LAG({DELETED}) {since} IS DISTINCT FROM FALSE", *changes])
    until = f"OVER (PARTITION BY {_listed([*key, '_opens'])} ORDER BY {moment} ASC NULLS FIRST)"
    return [
        *first,
        {"_opens": f"_counts AND ({opens})"},
        {VALID_TO: f"CASE WHEN _opens THEN LEAD({moment}) {until} END", LIVE: f"_opens AND NOT {DELETED}"},
    ]


def state_alone(contract: Contract) -> Projection:
    """Return what `resolve_winners` says of a row that is alone with its key, if no delivery deletes it."""
    return {LIVE: f"NOT {DELETED}"} | ({VALID_TO: "NULL"} if contract.mode == "history" else {})


def order(contract: Contract) -> str:
    """SQL: the sort order with the winner of a key first: highest sequence, then latest landing date, file name and row."""
    sequence = [f"`{name}` DESC NULLS LAST" for name in contract.sequence_columns]
    return ", ".join([*sequence, *(f"{name} DESC" for name in (DATE_COLUMN, FILE, ROW, ITEM, FEED))])


def identity(contract: Contract) -> list[str]:
    """Return the columns whose equal values make rows replace each other: the key, in a snapshot with the date."""
    return [*contract.key, DATE_COLUMN] if contract.mode == "snapshot" else list(contract.key)


def deciding_columns(contract: Contract) -> list[str]:
    """Return the contract's columns that `resolve_winners` reads."""
    tracked = contract.tracked_columns if contract.mode == "history" else ()
    return [name for name in contract.column_names if name in {*contract.key, *contract.sequence_columns, *tracked}]


def in_duckdb(sql: str) -> str:
    """Convert the SQL to DuckDB's quotes for names."""
    return sql.replace("`", '"')


def _names(names: Sequence[str]) -> list[str]:
    return [f"`{name}`" for name in names]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(_names(names))
