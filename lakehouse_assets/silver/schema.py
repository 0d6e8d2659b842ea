"""The columns of silver tables as Arrow has them."""

from typing import TYPE_CHECKING

from deltalake import DeltaTable

from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.contracts.provenance import IDENTITY, IN_SILVER, typed_columns
from lakehouse_assets.contracts.types import type_of

if TYPE_CHECKING:
    import pyarrow as pa


def contract_schema(contract: Contract) -> "pa.Schema":
    """The columns that a silver table has by its contract."""
    import pyarrow as pa

    types = {c.name: c.type for c in contract.table_columns} | typed_columns(IN_SILVER)
    return pa.schema([pa.field(name, type_of(kind).in_arrow) for name, kind in types.items()])


def added_columns(table: DeltaTable, schema: "pa.Schema") -> "list[pa.Field]":
    """The columns of a contract that its table has not got yet; none where the table has to be made anew anyhow."""
    if is_reshaped(table, schema):
        return []
    standing = _types(table)
    return [field for field in schema if field.name not in standing]


def is_reshaped(table: DeltaTable, schema: "pa.Schema") -> bool:
    """Whether a table has a column of another type than its contract says, a column more, or rows without identity."""
    wanted, current = {field.name: field.type for field in schema}, _types(table)
    return any(wanted.get(name) != kind for name, kind in current.items()) or not current.keys() >= set(IDENTITY)


def _types(table: DeltaTable) -> "dict[str, pa.DataType]":
    import pyarrow as pa

    found = pa.schema(table.schema().to_arrow())
    plain = {pa.string_view(): pa.string(), pa.large_string(): pa.string()}
    return {field.name: plain.get(field.type, field.type) for field in found}
