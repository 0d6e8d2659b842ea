"""Which rows of a key stand in a silver table: the rule of each write mode, as SQL over all rows of the key.

The same text goes to the engine, for the rows of a run, and to DuckDB, for the rows of a key that lie in other partitions too: so there
is one rule. It looks at the rows alone, never at the time or order in which they came, which is why no table can tell those.

Put here what makes a row stand. Where the rows come from, and what becomes of the others, stands in `judge.py` and `reconcile.py`.
"""

from collections.abc import Sequence

from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.contracts.provenance import DATE_COLUMN, FEED, FILE, ITEM, ROW

DELETED = "_deleted"
"""Whether a row is a tombstone."""

STANDS = "_stands"
VALID_FROM, VALID_TO = "_valid_from", "_valid_to"

GONE_ON, GONE_BEFORE = "_gone_on", "_gone_before"
"""Of a row whose feed delivers complete: the date of the first delivery after it that ends its key's presence, and of the last one
before it. NULL where none does."""

Projection = dict[str, str]
"""Columns to add to a relation: names and their SQL. Names stand in backticks; DuckDB takes them as double quotes."""


def settle(contract: Contract, within: Sequence[str] = (), *, with_deliveries: bool = False) -> list[Projection]:
    """Projections, one upon the other, that add `_stands` (boolean) and for a history `_valid_to` to rows that may share keys.

    The rows have the contract's columns, those of `IDENTITY`, and `_deleted`. Rows that differ in a column of `within` are judged
    apart. `with_deliveries`, they have `_gone_on` and `_gone_before` too, and a history has `_valid_from` afterwards.
    """
    key = [*within, *identity(contract)]
    gone = f"{GONE_ON} IS NOT NULL"
    if contract.mode != "history":
        apart = [*_names(key), *([gone] if with_deliveries else [])]
        present = f" AND NOT {gone}" if with_deliveries else ""
        return [
            {"_rank": f"ROW_NUMBER() OVER (PARTITION BY {', '.join(apart)} ORDER BY {order(contract)})"},
            {STANDS: f"_rank = 1 AND NOT {DELETED}{present}"},
        ]
    moment = f"`{contract.valid_from}`"
    counts = f"ROW_NUMBER() OVER (PARTITION BY {_listed(key)}, {{moment}} ORDER BY {order(contract)}) = 1"
    first: list[Projection] = [{"_counts": counts.format(moment=moment)}]
    if with_deliveries:
        # A key that comes back holds from the delivery that brings it back. A row version from after its key's end never holds.
        back = f"{GONE_BEFORE} IS NOT NULL AND ({moment} IS NULL OR CAST({moment} AS DATE) <= {GONE_BEFORE})"
        type_ = contract.validity[0].type
        late = f"{GONE_ON} IS NOT NULL AND CAST({VALID_FROM} AS DATE) >= {GONE_ON} AND NOT {DELETED}"
        first = [
            {VALID_FROM: f"CASE WHEN {back} AND NOT {DELETED} THEN CAST({DATE_COLUMN} AS {type_}) ELSE {moment} END"},
            {"_late": f"COALESCE({late}, FALSE)"},
            {"_counts": f"NOT _late AND {counts.format(moment=f'{VALID_FROM}, _late')}"},
        ]
        moment = VALID_FROM
    # Of the rows of one moment one counts. What has not changed since the moment before opens no version; after a delete all does.
    since = f"OVER (PARTITION BY {_listed([*key, '_counts'])} ORDER BY {moment} ASC NULLS FIRST)"
    changes = [f"`{name}` IS DISTINCT FROM LAG(`{name}`) {since}" for name in contract.tracked_columns]
    opens = " OR ".join([DELETED, f"LAG({DELETED}) {since} IS DISTINCT FROM FALSE", *changes])
    until = f"OVER (PARTITION BY {_listed([*key, '_opens'])} ORDER BY {moment} ASC NULLS FIRST)"
    return [
        *first,
        {"_opens": f"_counts AND ({opens})"},
        {VALID_TO: f"CASE WHEN _opens THEN LEAD({moment}) {until} END", STANDS: f"_opens AND NOT {DELETED}"},
    ]


def order(contract: Contract) -> str:
    """SQL that puts the winning row of a key first: the highest sequence, then the latest landing date, file name and row."""
    sequence = [f"`{name}` DESC NULLS LAST" for name in contract.sequence_columns]
    return ", ".join([*sequence, *(f"{name} DESC" for name in (DATE_COLUMN, FILE, ROW, ITEM, FEED))])


def identity(contract: Contract) -> list[str]:
    """The columns by which one row takes another's place: the key, in a snapshot within its date."""
    return [*contract.key, DATE_COLUMN] if contract.mode == "snapshot" else list(contract.key)


def deciding_columns(contract: Contract) -> list[str]:
    """The contract's columns that `settle` looks at."""
    tracked = contract.tracked_columns if contract.mode == "history" else ()
    return [name for name in contract.column_names if name in {*contract.key, *contract.sequence_columns, *tracked}]


def in_duckdb(sql: str) -> str:
    """The same text as DuckDB quotes names."""
    return sql.replace("`", '"')


def _names(names: Sequence[str]) -> list[str]:
    return [f"`{name}`" for name in names]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(_names(names))
