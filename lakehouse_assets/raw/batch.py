"""What a reader of any format hands on: rows that could be parsed, and those that could not, each with its row number."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Reject:
    """A row that could not be parsed: where it stands, the rule it breaks, what is wrong with it, its original text.

    `row_number` is None where the fault is the whole file's.
    """

    row_number: int | None
    rule: str
    reason: str
    payload: str


@dataclass(frozen=True)
class Batch:
    """A piece of a file. `rows`: text columns under snake_case names, and `_row_number` (int64)."""

    rows: "pa.Table"
    rejects: list[Reject]
    rows_in: int
