"""The data files that an engine reads and writes: Parquet, partitioned by `_date`.

Spark, or any engine behind Spark Connect, computes rows. delta-rs decides which files make up a table, and from which commit on.
So the engine needs no table format, and in a cold JVM the first read is 4 s faster than with Delta's own reader. This module
reads, lists and deletes files; their contents are up to the callers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import WeakKeyDictionary

import obstore
from deltalake import DeltaTable

from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.contracts.types import from_delta
from lakehouse_assets.delta.duck import connect, read_footers
from lakehouse_assets.delta.statistics import rows_of
from lakehouse_assets.delta.tables import DataFile, dates_predicate, live_files
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


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
        """Have the engine compute and write rows, partitioned by the given columns and `_date`. Returns the written files."""
        rows.write.partitionBy(*partition_by, DATE_COLUMN).parquet(self.root.path(self.layer, self.table, self.name, part))
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


def _reports_paths(session: "SparkSession") -> bool:
    """Whether the engine can report which file a row comes from.

    Spark can. Sail can't (0.7.2), and has no application id either, by which it is recognized. It uses its own Delta reader,
    which is fast.
    """
    if session not in _path_reporting:
        _path_reporting[session] = bool(session.conf.get("spark.app.id", ""))
    return _path_reporting[session]


_path_reporting: "WeakKeyDictionary[SparkSession, bool]" = WeakKeyDictionary()


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
