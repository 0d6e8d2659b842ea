"""The data files of tables as an engine reads and writes them: Parquet, partitioned by `_date`.

Spark, or any engine behind Spark Connect, computes rows; which files make up a table, and when new ones do, is decided by delta-rs. So
the engine needs to know no table format, and in a cold JVM the first read is 4 s sooner than by Delta's own reader. Put here how files
are read, found and cleared away. What is in them is the business of whoever had them written.
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
from lakehouse_assets.delta.duck import connect
from lakehouse_assets.delta.tables import DataFile, dates_predicate, live_files, sql_text
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


@dataclass
class DataFolder:
    """A folder below a table's for the files of one commit."""

    root: Root
    layer: str
    table: str
    name: str
    named: set[str] = field(default_factory=set)
    """Paths of files that a commit has made part of the table, or may have: these are kept."""

    def write(self, rows: "DataFrame", part: str, *partition_by: str) -> list[DataFile]:
        """Let the engine compute and write rows, by the given columns and `_date`; the files, with paths below the table."""
        rows.write.partitionBy(*partition_by, DATE_COLUMN).parquet(self.root.path(self.layer, self.table, self.name, part))
        prefix = f"{self.layer}/{self.table}/"
        sizes = {
            path.removeprefix(prefix): size
            for path, size in self.root.files(f"{prefix}{self.name}/{part}")
            if path.endswith(".parquet")
        }
        if not sizes:
            return []
        below = self.root.path(self.layer, self.table)
        with connect(self.root) as connection:
            written = ", ".join(sql_text(f"{below}/{path}") for path in sizes)
            counted = connection.execute(f"SELECT file_name, num_rows FROM parquet_file_metadata([{written}])").fetchall()
        paths = ((name.removeprefix(f"{below}/"), rows) for name, rows in counted)
        return [DataFile(path, sizes[path], count, _date_of(path)) for path, count in paths]

    def put(self, rows: "pa.Table", name: str) -> str:
        """Put a small table there as a Parquet file, for the engine to join with; its URI."""
        import pyarrow.parquet as parquet

        buffer = BytesIO()
        parquet.write_table(rows, buffer)
        path = f"{self.layer}/{self.table}/{self.name}/{name}.parquet"
        obstore.put(self.root.store, path, buffer.getvalue())
        return self.root.path(path)


@contextmanager
def data_folder(root: Root, layer: str, table: str, run_id: str) -> Iterator[DataFolder]:
    """A new folder; at the end, what no commit has named of it is deleted."""
    folder = DataFolder(root, layer, table, f"data-{run_id[:8]}-{uuid4().hex[:8]}")
    try:
        yield folder
    finally:
        prefix = f"{layer}/{table}/"
        unnamed = [path for path, _ in root.files(f"{prefix}{folder.name}") if path.removeprefix(prefix) not in folder.named]
        root.delete(unnamed)


def read_partitions(session: "SparkSession", uri: str, table: DeltaTable, dates: Sequence[date] | None) -> "DataFrame":
    """The rows of some of a table's partitions (of all where None) at the version that was opened, with all its columns."""
    files = [f["path"] for f in live_files(table) if dates is None or f["date"] in dates]
    if not files or _tells_paths(session):
        return _read_files(session, uri, files, table)
    rows = session.read.format("delta").option("versionAsOf", table.version()).load(uri)
    return rows if dates is None else rows.where(dates_predicate(dates))


def _tells_paths(session: "SparkSession") -> bool:
    """Whether the engine can say which file a row is from: Spark can.

    Sail can't (0.7.2), and knows no application either; it reads by its own Delta reader, which is quick.
    """
    if session not in _telling:
        _telling[session] = bool(session.conf.get("spark.app.id", ""))
    return _telling[session]


_telling: "WeakKeyDictionary[SparkSession, bool]" = WeakKeyDictionary()


def read_parquet(session: "SparkSession", uri: str, files: Iterable[str], columns: Mapping[str, str]) -> "DataFrame":
    """The given columns (name to type) of files below a table, as the files hold them; NULL where a file has none."""
    schema = ", ".join(f"`{name}` {type_name}" for name, type_name in columns.items())
    # Below a table files lie in folders of several commits; this option keeps Spark from making columns out of those.
    return session.read.schema(schema).option("recursiveFileLookup", "true").parquet(*(f"{uri}/{path}" for path in files))


def _read_files(session: "SparkSession", uri: str, files: Sequence[str], table: DeltaTable) -> "DataFrame":
    """The rows of some of a table's files, with all columns of the table; `_date` comes from the files' paths."""
    types = {field.name: from_delta(str(field.type.type)) for field in table.schema().fields}
    columns = {name: type_name for name, type_name in types.items() if name != DATE_COLUMN}
    if not files:
        nothing = ", ".join(f"CAST(NULL AS {type_name}) AS `{name}`" for name, type_name in types.items())
        return session.sql(f"SELECT {nothing} WHERE FALSE")
    rows = read_parquet(session, uri, files, columns)
    dated = f"CAST(REGEXP_EXTRACT(_metadata.file_path, '{DATE_COLUMN}=([0-9-]+)', 1) AS DATE) AS {DATE_COLUMN}"
    return rows.selectExpr(*(f"`{name}`" for name in columns), dated).select(*types)


def _date_of(path: str) -> date | None:
    """The partition that a path says; None where the engine wrote rows without a date."""
    value = path.split(f"{DATE_COLUMN}=", 1)[1].split("/", 1)[0]
    return None if value.startswith("__") else date.fromisoformat(value)
