"""The output of every reader: parsed rows and rejects, each with its row number, or the refusal of the whole file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.dialects import Dialect
from lakehouse_assets.contracts.provenance import DIALECT, ROW

if TYPE_CHECKING:
    import pyarrow as pa

MOST_SHOWN = 10_000
"""How many bytes of a row quarantine keeps: of a longer row, its head and its tail."""

SAMPLE_ROWS = 5
"""How many rows of a refused file its quarantine entry shows."""


@dataclass(frozen=True)
class Reject:
    """A row that could not be parsed: its row number, the rule it breaks, the reason, and its original text.

    `place` is the sheet, or the path within the document, where there is one. `row_number` is None if the whole file is refused, or
    a whole part of it, such as a sheet. Then `rows` is its number of rows (1 if they can't be counted), and `payload` its beginning.
    """

    row_number: int | None
    rule: str
    reason: str
    payload: str
    rows: int = 1
    place: str | None = None


@dataclass(frozen=True)
class Batch:
    """A piece of a file.

    `rows`: text columns under snake_case names, `_row_number` (int64), and of a workbook `_sheet`. `rejects`: the fields of `Reject`.
    """

    rows: "pa.Table"
    rejects: "pa.Table"

    @property
    def rows_in(self) -> int:
        """The number of the file's rows that the batch covers, rejects included."""
        return int(self.rows.num_rows) + rows_of(self.rejects)


def with_dialect(rows: "pa.Table", dialect: Dialect | None) -> "pa.Table":
    """Return rows with the name of their dialect in `_dialect`, if they have one."""
    import pyarrow as pa

    return rows if dialect is None else rows.append_column(DIALECT, pa.repeat(dialect.name, rows.num_rows))


def rejects_schema() -> "pa.Schema":
    """Return the fields of `Reject` as an Arrow schema."""
    import pyarrow as pa

    text = [(name, pa.string()) for name in ("rule", "reason", "payload")]
    return pa.schema([("row_number", pa.int64()), *text, ("rows", pa.int64()), ("place", pa.string())])


def rejects_table(rejects: Sequence[Reject]) -> "pa.Table":
    """Convert rejects to Arrow, which takes a tenth of the memory."""
    import pyarrow as pa

    schema = rejects_schema()
    columns = {f.name: [getattr(r, f.name) for r in rejects] for f in schema}
    for name in ("rule", "reason", "payload", "place"):
        # A name may have half a character, which JSON can write.
        columns[name] = [text and text.encode(errors="backslashreplace").decode() for text in columns[name]]
    return pa.table([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def rows_of(rejects: "pa.Table") -> int:
    """Return how many rows the entries represent."""
    import pyarrow.compute as pc

    return int(pc.sum(rejects.column("rows")).as_py() or 0)


class RefusedFileError(Exception):
    """A file is refused as a whole: `batch`, of one reject, stands for all of it, and no batch before counts."""

    def __init__(self, rule: str, reason: str, beginning: Iterable[str] = (), rows: int = 1) -> None:
        super().__init__(reason)
        self._entry = Reject(None, rule, reason, shown_beginning(beginning), max(rows, 1))

    @property
    def batch(self) -> Batch:
        """The one reject, and no columns, because no row enters the table."""
        return entry_alone(self._entry)


def entry_alone(entry: Reject) -> Batch:
    """Return the entry of a file or a part of it that is refused as a whole: no rows, and no columns."""
    import pyarrow as pa

    return Batch(pa.table({ROW: pa.array([], pa.int64())}), rejects_table([entry]))


def shown_beginning(lines: Iterable[str]) -> str:
    """Return the first lines of a file, or of a part of it, as quarantine shows them."""
    text = "\n".join(lines)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} […]"
