"""What a reader of any format hands on: rows that could be parsed, and those that could not, each with its row number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.provenance import ROW
from lakehouse_assets.raw.readers.text import MOST_SHOWN

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_ROWS = 5
"""How many rows of a file that is refused as a whole are kept as its text."""


@dataclass(frozen=True)
class Reject:
    """A row that could not be parsed: where it stands, the rule it breaks, what is wrong with it, its original text.

    `row_number` is None where the fault is the whole file's. Then `rows` says how many it has, 1 where they can't be counted, and
    `payload` is how it begins.
    """

    row_number: int | None
    rule: str
    reason: str
    payload: str
    rows: int = 1


@dataclass(frozen=True)
class Batch:
    """A piece of a file. `rows`: text columns under snake_case names, and `_row_number` (int64). `rejects`: the fields of `Reject`."""

    rows: "pa.Table"
    rejects: "pa.Table"

    @property
    def rows_in(self) -> int:
        """The rows of the file that the batch speaks of."""
        return int(self.rows.num_rows) + rows_of(self.rejects)


def rejects_schema() -> "pa.Schema":
    """The fields of `Reject`."""
    import pyarrow as pa

    text = [(name, pa.string()) for name in ("rule", "reason", "payload")]
    return pa.schema([("row_number", pa.int64()), *text, ("rows", pa.int64())])


def rejects_table(rejects: Sequence[Reject]) -> "pa.Table":
    """Rejects as Arrow, which takes a tenth of the memory."""
    import pyarrow as pa

    schema = rejects_schema()
    return pa.table([pa.array([getattr(r, f.name) for r in rejects], f.type) for f in schema], schema=schema)


def rows_of(rejects: "pa.Table") -> int:
    """How many rows the entries stand for."""
    import pyarrow.compute as pc

    return int(pc.sum(rejects.column("rows")).as_py() or 0)


def refused(rule: str, reason: str, beginning: Iterable[str], rows: int) -> Batch:
    """A file that is refused as a whole: one entry, and no columns, because none of its rows will ever stand in the table."""
    import pyarrow as pa

    text = "\n".join(beginning)
    payload = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} […]"
    entry = Reject(None, rule, reason, payload, max(rows, 1))
    return Batch(pa.table({ROW: pa.array([], pa.int64())}), rejects_table([entry]))
