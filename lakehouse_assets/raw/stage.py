"""The stage of a raw table: the rows of landing files as Parquet below the table's folder, before a commit refers to them.

Rows are written as they are read, so that memory stays bounded. The rows of small files of a date share a Parquet file. A file whose
reading fails leaves nothing that counts: its rows are dropped, or in Parquet files that no commit names, and its rejects in a batch
that no record names.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

from lakehouse_assets.books.quarantine import new_batch, quarantine_schema
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.provenance import DATE_COLUMN, ETAG, FILE, typed_columns
from lakehouse_assets.contracts.types import type_of
from lakehouse_assets.delta.data_files import DataFileWriter, DataFolder
from lakehouse_assets.delta.handlers import Target
from lakehouse_assets.delta.tables import DataFile
from lakehouse_assets.raw.readers.batch import Batch

if TYPE_CHECKING:
    import pyarrow as pa

_BYTES_IN_MEMORY = 32 * 1024 * 1024
"""A file with rows or rejects beyond this size is written at once, to Parquet files of its own. Others wait for their end."""


@dataclass
class Stage:
    """What a run has read: the data files to commit, and what it has found on the way."""

    feed: Feed
    target: Target
    folder: DataFolder
    add_rejects: "Callable[[pa.Table], None]"
    """Takes entries for quarantine (see `Quarantine.adding`)."""
    files: list[DataFile] = field(default_factory=list)
    new_columns: list[str] = field(default_factory=list)
    """Columns of the files that the feed does not declare."""
    rejected: int = 0
    """The rows in quarantine."""
    batches: int = 0

    def begin(self, day: date) -> "StagedDate":
        """Begin a date. It counts once it is finished."""
        return StagedDate(self, day)

    def next_batch(self) -> str:
        """Return a name for the rejects of another file."""
        self.batches += 1
        return f"{self._batch}-{self.batches - 1}"

    @cached_property
    def columns(self) -> "pa.Schema":
        """The columns that all data files have. Names and etags are dictionaries, as they are the same in all rows of a file."""
        import pyarrow as pa

        constant = pa.dictionary(pa.int32(), pa.string())
        columns = [
            f.with_type(constant) if f.name in (FILE, ETAG) else f for f in raw_columns(self.feed) if f.name != DATE_COLUMN
        ]
        return pa.schema(columns)

    @cached_property
    def _batch(self) -> str:
        return new_batch()


class StagedDate:
    """The rows of one date."""

    def __init__(self, stage: Stage, day: date) -> None:
        self.stage, self.day = stage, day
        self.files: list[DataFile] = []
        self.new_columns: dict[str, None] = {}
        self.rejected = 0
        self.shared = self.writer()

    def file(self, name: str, etag: str) -> "StagedFile":
        """Begin a landing file. It counts once it is kept."""
        return StagedFile(self, name, etag)

    def writer(self) -> DataFileWriter:
        """Return a writer of data files for this date."""
        return DataFileWriter(self.stage.folder, self.day, self.stage.columns)

    def finish(self) -> None:
        """Let all rows of the date count."""
        stage = self.stage
        stage.files += [*self.files, *self.shared.close()]
        stage.new_columns += [name for name in self.new_columns if name not in stage.new_columns]
        stage.rejected += self.rejected


class StagedFile:
    """The rows and rejects of a landing file, as they are read."""

    def __init__(self, staged: StagedDate, name: str, etag: str) -> None:
        self.rows_in = self.rows_out = 0
        self.batch = ""
        """The name of its rejects in quarantine; empty if there are none."""
        self._date, self._name, self._etag = staged, name, etag
        self._rows: list[pa.Table] = []
        self._rejects: list[pa.Table] = []
        self._columns: dict[str, None] = {}
        self._bytes = 0
        self._own: DataFileWriter | None = None

    def add(self, batch: Batch) -> None:
        """Add what was read of the file next."""
        self.rows_in += batch.rows_in
        self.rows_out += batch.rows.num_rows
        self._columns.update(dict.fromkeys(batch.rows.column_names))
        if batch.rows.num_rows:
            self._rows.append(self._stamped(batch.rows))
        if batch.rejects.num_rows:
            self._rejects.append(self._entries(batch.rejects))
        self._bytes += batch.rows.nbytes + batch.rejects.nbytes
        if self._bytes > _BYTES_IN_MEMORY:
            self._own = self._own or self._date.writer()
            self._write(self._own)

    def keep(self) -> None:
        """Let the rows count, once the date is finished."""
        self._write(self._own or self._date.shared)
        if self._own is not None:
            self._date.files += self._own.close()
        self._date.rejected += self.rows_in - self.rows_out
        declared = self._date.stage.columns.names
        self._date.new_columns.update((name, None) for name in self._columns if name not in declared)

    def _write(self, writer: DataFileWriter) -> None:
        for rows in self._rows:
            writer.write(rows)
        for rejects in self._rejects:
            self._date.stage.add_rejects(rejects)
        self._rows, self._rejects, self._bytes = [], [], 0

    def _stamped(self, rows: "pa.Table") -> "pa.Table":
        """Return rows with the file's name and etag, as dictionaries of one value."""
        import pyarrow as pa

        first = pa.repeat(pa.scalar(0, pa.int32()), rows.num_rows)
        for column, value in ((FILE, self._name), (ETAG, self._etag)):
            rows = rows.append_column(column, pa.DictionaryArray.from_arrays(first, [value]))
        return rows

    def _entries(self, rejects: "pa.Table") -> "pa.Table":
        """Return rejects as entries of the quarantine table."""
        import pyarrow as pa

        self.batch = self.batch or self._date.stage.next_batch()
        target = self._date.stage.target
        own = {
            "layer": target.layer,
            "table_name": target.name,
            "date": self._date.day,
            "source_file": self._name,
            "run_id": target.run_id,
            "batch": self.batch,
            "source_feed": target.name,
            "item_number": 0,
        }
        schema = quarantine_schema()
        for column, value in own.items():
            rejects = rejects.append_column(
                schema.field(column), pa.repeat(pa.scalar(value, schema.field(column).type), rejects.num_rows)
            )
        return rejects.select(schema.names)


def raw_columns(feed: Feed, more: Iterable[str] = ()) -> "pa.Schema":
    """Return the columns of the feed's raw table, and `more` columns of text."""
    import pyarrow as pa

    own = [(name, type_of(kind).in_arrow) for name, kind in typed_columns(feed.provenance).items()]
    return pa.schema([*((name, pa.string()) for name in feed.column_names), *own, *((name, pa.string()) for name in more)])


def with_dictionaries(rows: "pa.Table") -> "pa.Table":
    """Return rows of a raw table in the types of `Stage.columns`."""
    for column in (FILE, ETAG):
        rows = rows.set_column(rows.schema.get_field_index(column), column, rows.column(column).dictionary_encode())
    return rows
