"""Small hand-made Delta tables, as they are served elsewhere."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from lakehouse_assets.delta.tables import dates_predicate, ensure_table
from lakehouse_assets.publish.served import Served
from lakehouse_assets.store.root import Root

DAY1, DAY2, DAY3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)

SALES = Served(
    "gold",
    "fact_sales",
    "Sales, one row each; it's a fact",
    {"sale_key": "Surrogate key", "note": "What was said"},
    ("sale_key",),
)

TYPES = pa.schema(
    [
        ("sale_key", pa.int64()),
        ("pieces", pa.int32()),
        ("small", pa.int16()),
        ("tiny", pa.int8()),
        ("amount", pa.decimal128(18, 2)),
        ("rate", pa.decimal128(38, 10)),
        ("ratio", pa.float64()),
        ("share", pa.float32()),
        ("note", pa.string()),
        ("Is paid", pa.bool_()),
        ("sold_on", pa.date32()),
        ("sold_at", pa.timestamp("us", "UTC")),
        ("local_time", pa.timestamp("us")),
        ("blob", pa.binary()),
        ("_date", pa.date32()),
    ]
)

VALUES: list[tuple[Any, ...]] = [
    (
        *(1, 2**31 - 1, -(2**15), 127, Decimal("-9999999999999999.99"), Decimal("0.0000000001"), float("nan"), 0.5),
        *('Grüße, 東京 🚲 "quoted"\t\\N\n\'', True, date(1, 1, 1), datetime(1, 1, 1, tzinfo=UTC)),
        *(datetime(2026, 3, 29, 2, 30), b"\x00\xff", DAY1),
    ),
    (
        *(2, -(2**31), 2**15 - 1, -128, Decimal("0.10"), Decimal("-1234567890123456789012345678.0123456789"), float("-inf")),
        *(float("nan"), "", False, date(9999, 12, 31), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        *(datetime(1900, 1, 1, 0, 0, 0, 1), b"", DAY1),
    ),
    (2**63 - 1, *[None] * 13, DAY2),
]
"""Rows with the ends of each type, and NULLs."""


def all_types() -> pa.Table:
    """The rows of `VALUES`."""
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(zip(*VALUES, strict=True), TYPES, strict=True)], schema=TYPES
    )


def sales(day: date, keys: Sequence[int], amount: int = 1, **more: Any) -> pa.Table:
    """Rows of a small table: key, amount, and further columns of one value each."""
    rows = [{"sale_key": key, "amount": Decimal(amount), "note": f"sale {key}", **more, "_date": day} for key in keys]
    types = {"sale_key": pa.int64(), "amount": pa.decimal128(18, 2), "note": pa.string()}
    types |= {name: pa.array([value]).type for name, value in more.items()}
    return pa.Table.from_pylist(rows, schema=pa.schema([*types.items(), ("_date", pa.date32())]))


def write(root: Root, served: Served, rows: pa.Table, *days: date) -> None:
    """Replace the partitions of a Delta table that these rows are of, and those of `days`, in one commit."""
    uri = root.table(served.layer, served.name)
    ensure_table(uri, rows.schema, served.description)
    replaced = {*rows.column("_date").to_pylist(), *days}
    write_deltalake(uri, rows, mode="overwrite", predicate=dates_predicate(replaced), schema_mode="merge")


def rewrite(root: Root, served: Served, rows: pa.Table) -> None:
    """Replace all rows of a Delta table, and its columns."""
    write_deltalake(
        root.table(served.layer, served.name), rows, mode="overwrite", schema_mode="overwrite", partition_by=["_date"]
    )
