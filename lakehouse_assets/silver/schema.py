"""The Arrow schemas of silver tables."""

from typing import TYPE_CHECKING

from deltalake import DeltaTable

from lakehouse_assets.contracts.contract import Contract
from lakehouse_assets.contracts.provenance import IDENTITY, IN_SILVER, typed_columns
from lakehouse_assets.contracts.types import type_of

if TYPE_CHECKING:
    import pyarrow as pa


def contract_schema(contract: Contract) -> "pa.Schema":
    """Return the schema of a contract's table."""
    import pyarrow as pa

    types = {c.name: c.type for c in contract.table_columns} | typed_columns(IN_SILVER)
    return pa.schema([pa.field(name, type_of(kind).in_arrow) for name, kind in types.items()])


def added_columns(table: DeltaTable, schema: "pa.Schema") -> "list[pa.Field]":
    """Return the contract's columns that its table lacks; none if the table must be rebuilt anyway."""
    if is_reshaped(table, schema):
        return []
    existing = _types(table)
    return [field for field in schema if field.name not in existing]


def is_reshaped(table: DeltaTable, schema: "pa.Schema") -> bool:
    """Return whether a column has another type than in the contract, is not in it, or the identity columns are missing."""
    wanted, current = {field.name: field.type for field in schema}, _types(table)
    return any(wanted.get(name) != kind for name, kind in current.items()) or not current.keys() >= set(IDENTITY)


def _types(table: DeltaTable) -> "dict[str, pa.DataType]":
    import pyarrow as pa

    schema = pa.schema(table.schema().to_arrow())
    plain = {pa.string_view(): pa.string(), pa.large_string(): pa.string()}
    return {field.name: plain.get(field.type, field.type) for field in schema}
