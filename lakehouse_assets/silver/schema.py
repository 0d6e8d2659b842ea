"""The columns of silver tables as Arrow has them."""

from typing import TYPE_CHECKING

from deltalake import DeltaTable

from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.contracts.types import type_of

if TYPE_CHECKING:
    import pyarrow as pa


def contract_schema(entity: Entity) -> "pa.Schema":
    """The columns that a silver table has by its contract."""
    import pyarrow as pa

    contract = [pa.field(c.name, type_of(c.type).in_arrow) for c in entity.contract.table_columns]
    own = [("_source_file", pa.string()), ("_row_number", pa.int64()), ("_date", pa.date32()), ("_broken_rules", pa.string())]
    return pa.schema([*contract, *(pa.field(name, kind) for name, kind in own)])


def added_columns(table: DeltaTable, schema: "pa.Schema") -> "list[pa.Field]":
    """The columns of a contract that its table has not got yet; none where the table has to be made anew anyhow."""
    if is_reshaped(table, schema):
        return []
    standing = _types(table)
    return [field for field in schema if field.name not in standing]


def is_reshaped(table: DeltaTable, schema: "pa.Schema") -> bool:
    """Whether a table has a column of another type than its contract says, or one that the contract no longer has."""
    wanted = {field.name: field.type for field in schema}
    return any(wanted.get(name) != kind for name, kind in _types(table).items())


def _types(table: DeltaTable) -> "dict[str, pa.DataType]":
    import pyarrow as pa

    found = pa.schema(table.schema().to_arrow())
    plain = {pa.string_view(): pa.string(), pa.large_string(): pa.string()}
    return {field.name: plain.get(field.type, field.type) for field in found}
