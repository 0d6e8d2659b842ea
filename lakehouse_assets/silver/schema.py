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


def standing_schema(table: DeltaTable) -> "pa.Schema":
    """The columns that a table has now."""
    import pyarrow as pa

    found = pa.schema(table.schema().to_arrow())
    plain = {pa.string_view(): pa.string(), pa.large_string(): pa.string()}
    return pa.schema([pa.field(f.name, plain.get(f.type, f.type)) for f in found])
