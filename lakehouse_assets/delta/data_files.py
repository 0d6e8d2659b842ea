"""The data files that engines and this process read and write: Parquet, partitioned by `_date`.

Spark, or any engine behind Spark Connect, computes rows. delta-rs decides which files make up a table, and from which commit on.
So the engine needs no table format, and in a cold JVM the first read is 4 s faster than with Delta's own reader. This module
reads, lists and deletes files; their contents are up to the callers.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import WeakKeyDictionary

import obstore
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lakehouse_assets.contracts.provenance import DATE_COLUMN, FILE
from lakehouse_assets.contracts.types import from_delta
from lakehouse_assets.delta.duck import connect, read_footers
from lakehouse_assets.delta.statistics import TEXT_LENGTH, Chunk, Footer, rows_of
from lakehouse_assets.delta.tables import DataFile, dates_predicate, files_with, live_files
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ColumnChunkMetaData, FileMetaData, ParquetWriter
    from pyspark.sql import DataFrame, SparkSession


_ROW_GROUP_BYTES = 32 * 1024 * 1024
"""The size of a row group in memory. Compressed, it is a third to a tenth of it."""

_FILE_BYTES = 32 * 1024 * 1024
"""A data file of this size is finished; it may exceed it by a row group."""


@dataclass
class DataFolder:
    """A folder inside a table's folder, for the files of one commit."""

    root: Root
    layer: str
    table: str
    name: str
    named: set[str] = field(default_factory=set)
    """Paths of files that a commit has added to the table, or may have added. These are kept."""

    def write(self, rows: "DataFrame", part: str, *partition_by: str) -> list[DataFile]:
        """Have the engine compute and write rows, partitioned by the given columns, `_date` among them. Returns the written files."""
        rows.write.partitionBy(*partition_by).parquet(self.root.path(self.layer, self.table, self.name, part))
        prefix = f"{self.layer}/{self.table}/"
        sizes = {
            path.removeprefix(prefix): size
            for path, size in self.root.files(f"{prefix}{self.name}/{part}")
            if path.endswith(".parquet")
        }
        if not sizes:
            return []
        table_uri = self.root.path(self.layer, self.table)
        uris = {f"{table_uri}/{path}": path for path in sizes}
        with connect(self.root) as connection:
            footers = read_footers(connection, list(uris))
        return [
            DataFile(path, sizes[path], rows_of(footers[uri]), _partition_date(path), footers[uri]) for uri, path in uris.items()
        ]

    def put(self, rows: "pa.Table", name: str) -> str:
        """Write a small table into the folder as a Parquet file, for the engine to join with. Returns its URI."""
        import pyarrow.parquet as parquet

        buffer = BytesIO()
        parquet.write_table(rows, buffer)
        path = f"{self.layer}/{self.table}/{self.name}/{name}.parquet"
        obstore.put(self.root.store, path, buffer.getvalue())
        return self.root.path(path)

    @contextmanager
    def committing(self, paths: Iterable[str]) -> Iterator[None]:
        """Keep these files, which the block commits, unless it raises CommitFailedError.

        From the commit on the table may refer to them, even if this process never learns of it. An orphan is better than a missing
        file.
        """
        self.named = set(paths)
        try:
            yield
        except CommitFailedError:
            self.named = set()
            raise


class DataFileWriter:
    """Writes rows of one date into a folder, as Parquet files of bounded size. Holds one row group and one file in memory."""

    def __init__(self, folder: DataFolder, day: date, columns: "pa.Schema") -> None:
        self._folder, self._day = folder, day
        self._columns = columns
        """The columns of the current file, `_date` not among them. A file has no fewer than the one before."""
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        self._buffer = BytesIO()
        self._parquet: ParquetWriter | None = None
        self._metadata: list[FileMetaData] = []
        self._rows = 0
        self._written: list[DataFile] = []

    def write(self, rows: "pa.Table") -> None:
        """Add rows. They may lack columns, which are NULL then, and have new ones."""
        self._waiting.append(rows)
        self._waiting_bytes += rows.nbytes
        if self._waiting_bytes >= _ROW_GROUP_BYTES:
            self._write_row_group()

    def close(self) -> list[DataFile]:
        """Finish the last file, and return all of them."""
        self._write_row_group()
        self._put()
        return self._written

    def _write_row_group(self) -> None:
        """Write the waiting rows, in a new file if they have columns that the current one lacks."""
        import pyarrow as pa
        import pyarrow.parquet as parquet

        if not self._waiting:
            return
        rows = pa.concat_tables([self._columns.empty_table(), *self._waiting], promote_options="default").unify_dictionaries()
        self._waiting, self._waiting_bytes = [], 0
        if rows.schema != self._columns:
            self._put()
            self._columns = rows.schema
        if self._parquet is None:
            texts = [f.name for f in rows.schema if not pa.types.is_integer(f.type)]
            numbers = {f.name: "DELTA_BINARY_PACKED" for f in rows.schema if pa.types.is_integer(f.type)}
            self._parquet = parquet.ParquetWriter(
                self._buffer,
                rows.schema,
                # Readers other than Arrow know no dictionaries of its types, and Arrow shall read them as the plain types.
                store_schema=False,
                use_dictionary=texts,
                column_encoding=numbers,
                metadata_collector=self._metadata,
            )
        self._parquet.write_table(rows, row_group_size=max(rows.num_rows, 1))
        self._rows += rows.num_rows
        if self._buffer.tell() >= _FILE_BYTES:
            self._put()

    def _put(self) -> None:
        """Put the current file into the store."""
        if self._parquet is None:
            return
        self._parquet.close()
        path = f"{self._folder.name}/{DATE_COLUMN}={self._day.isoformat()}/{uuid4().hex}.parquet"
        obstore.put(self._folder.root.store, f"{self._folder.layer}/{self._folder.table}/{path}", self._buffer.getvalue())
        self._written.append(DataFile(path, self._buffer.tell(), self._rows, self._day, _footer(self._metadata.pop())))
        self._buffer, self._parquet, self._rows = BytesIO(), None, 0


def _footer(metadata: "FileMetaData") -> Footer:
    """The statistics of a Parquet file that this process has written."""
    footer: Footer = {}
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for column in (group.column(n) for n in range(group.num_columns)):
            footer.setdefault(column.path_in_schema, []).append(_chunk(group.num_rows, column))
    return footer


def _chunk(rows: int, column: "ColumnChunkMetaData") -> Chunk:
    statistics = column.statistics
    if statistics is None:  # Arrow leaves out those of values of more than 4 KiB
        return Chunk(rows, None, None, None)
    nulls = statistics.null_count if statistics.has_null_count else None
    least, greatest = (
        (str(v)[: TEXT_LENGTH + 1] for v in (statistics.min, statistics.max)) if statistics.has_min_max else (None, None)
    )
    return Chunk(rows, nulls, least, greatest)


@contextmanager
def data_folder(root: Root, layer: str, table: str, run_id: str) -> Iterator[DataFolder]:
    """A new folder for the block. At the end its files that are not in `named` are deleted."""
    folder = DataFolder(root, layer, table, f"data-{run_id[:8]}-{uuid4().hex[:8]}")
    try:
        yield folder
    finally:
        prefix = f"{layer}/{table}/"
        unnamed = [path for path, _ in root.files(f"{prefix}{folder.name}") if path.removeprefix(prefix) not in folder.named]
        root.delete(unnamed)


def read_partitions(session: "SparkSession", uri: str, table: DeltaTable, dates: Sequence[date] | None) -> "DataFrame":
    """The rows of the given partitions (None: of all) at the opened version of the table, with all columns."""
    files = [f["path"] for f in live_files(table) if dates is None or f["date"] in dates]
    if not files or _reports_paths(session):
        return _read_files(session, uri, files, table)
    rows = session.read.format("delta").option("versionAsOf", table.version()).load(uri)
    return rows if dates is None else rows.where(dates_predicate(dates))


def read_sources(
    session: "SparkSession", uri: str, table: DeltaTable, sources: Mapping[date, Collection[str] | None]
) -> "DataFrame":
    """The rows that come from the given landing files by date (None: from any) at the opened version, with all columns.

    Parquet files that can't hold such a row are not read.
    """
    if all(names is None for names in sources.values()):
        return read_partitions(session, uri, table, sorted(sources))
    from pyspark.sql import functions as F

    if _reports_paths(session):
        rows = _read_files(session, uri, [f["path"] for f in files_with(table, FILE, sources)], table)
    else:
        rows = read_partitions(session, uri, table, sorted(sources))  # Sail's own reader skips files by statistics
    # Lists, because engines can't handle a predicate that nests deeper with each date; literals, because SQL text knows escapes.
    day, file = F.col(DATE_COLUMN), F.col(FILE)
    whole = [F.lit(date) for date, names in sources.items() if names is None]
    some = {date: names for date, names in sources.items() if names is not None}
    names = sorted({name for of_date in some.values() for name in of_date})
    wanted = day.isin([F.lit(date) for date in some]) & file.isin(names)
    if len(some) > 1:
        places = [f"{date} {name}" for date, of_date in some.items() for name in of_date]
        wanted &= F.concat_ws(" ", day.cast("string"), file).isin(places)
    return rows.where(wanted | day.isin(whole) if whole else wanted)


def _reports_paths(session: "SparkSession") -> bool:
    """Whether the engine can report which file a row comes from.

    Spark can. Sail can't (0.7.2), and has no application id either, by which it is recognized. It uses its own Delta reader,
    which is fast.
    """
    if session not in _path_reporting:
        _path_reporting[session] = bool(session.conf.get("spark.app.id", ""))
    return _path_reporting[session]


_path_reporting: "WeakKeyDictionary[SparkSession, bool]" = WeakKeyDictionary()


def path_of_row(session: "SparkSession", uri: str) -> str | None:
    """SQL: the path of a row's file, relative to the table that it is read from; None if the engine can't report it."""
    folder = "/".join(uri.split("/")[-2:])  # the engine may write the rest in another way
    return f"REGEXP_EXTRACT(_metadata.file_path, '.*/{re.escape(folder)}/(.*)', 1)" if _reports_paths(session) else None


def read_parquet(session: "SparkSession", uri: str, files: Iterable[str], columns: Mapping[str, str]) -> "DataFrame":
    """The given columns (name to type) as stored in files below a table. A column that a file lacks is NULL."""
    schema = ", ".join(f"`{name}` {type_name}" for name, type_name in columns.items())
    # A table's files are in folders of several commits. This option keeps Spark from deriving columns from the folder names.
    return session.read.schema(schema).option("recursiveFileLookup", "true").parquet(*(f"{uri}/{path}" for path in files))


def _read_files(session: "SparkSession", uri: str, files: Sequence[str], table: DeltaTable) -> "DataFrame":
    """The rows of the given files of a table, with all its columns. `_date` comes from the paths of the files."""
    types = {field.name: from_delta(str(field.type.type)) for field in table.schema().fields}
    columns = {name: type_name for name, type_name in types.items() if name != DATE_COLUMN}
    if not files:
        nulls = ", ".join(f"CAST(NULL AS {type_name}) AS `{name}`" for name, type_name in types.items())
        return session.sql(f"SELECT {nulls} WHERE FALSE")
    rows = read_parquet(session, uri, files, columns)
    path_date = f"CAST(REGEXP_EXTRACT(_metadata.file_path, '{DATE_COLUMN}=([0-9-]+)', 1) AS DATE) AS {DATE_COLUMN}"
    return rows.selectExpr(*(f"`{name}`" for name in columns), path_date).select(*types)


def _partition_date(path: str) -> date | None:
    """The date in a file's path; None if its rows have no date."""
    value = path.split(f"{DATE_COLUMN}=", 1)[1].split("/", 1)[0]
    return None if value.startswith("__") else date.fromisoformat(value)
