"""DuckDB connections of this process, for bookkeeping over Parquet files that fits on this machine.

Views created here are temporary (TEMP) and private to the connection, unless their name has a schema. Those need a connection
from `new_connection`.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.contracts.types import in_duckdb
from lakehouse_assets.delta.tables import live_files, sql_date, sql_text
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import credentials_fingerprint, load_s3_client

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from deltalake import DeltaTable


def connect(root: Root) -> "duckdb.DuckDBPyConnection":
    """A connection to this process's shared instance that can read below the root: 10 ms faster than a new instance."""
    return _shared(root, credentials_fingerprint() if root.bucket else "").cursor()


def new_connection(root: Root) -> "duckdb.DuckDBPyConnection":
    """A connection to a new in-memory instance that can read below the root."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    enable_s3(connection, root)
    return connection


@lru_cache(maxsize=4)
def _shared(root: Root, credentials: str) -> "duckdb.DuckDBPyConnection":
    del credentials  # only a cache key: an instance keeps the credentials it was created with
    return new_connection(root)


def enable_s3(connection: "duckdb.DuckDBPyConnection", root: Root) -> None:
    """Load and configure the S3 client of a connection if the root is on S3."""
    if root.bucket:
        load_s3_client(connection, root.bucket)


def parquet(paths: Sequence[str], *, path_column: str | None = None) -> str:
    """SQL that reads Parquet files, with columns from folders named `column=value`; `path_column` adds the path of a row's file.

    The paths are literals in the SQL, because a bound list makes DuckDB import pandas, which takes longer than the query.
    """
    files = ", ".join(sql_text(p) for p in paths)
    with_path = f", filename = {sql_text(path_column)}" if path_column else ""
    return f"read_parquet([{files}], hive_partitioning = true, union_by_name = true{with_path})"


def rows_of_schema(connection: "duckdb.DuckDBPyConnection", files: Sequence[str], schema: "pa.Schema") -> str:
    """SQL for all rows of Parquet files, with the columns of a schema. Columns that files of an older layout lack are NULL."""
    connection.register("_no_rows", schema.empty_table())
    described = connection.execute("DESCRIBE _no_rows").fetchall()
    connection.unregister("_no_rows")
    return rows_of_layout(files, {name: kind for name, kind, *_ in described})


def rows_of_layout(files: Sequence[str], columns: Mapping[str, str]) -> str:
    """Like `rows_of_schema`, with DuckDB's type names: importing Arrow takes longer than a pass with nothing to do."""
    nulls = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in columns.items())
    no_rows = f"SELECT {nulls} WHERE FALSE"
    return f"{no_rows} UNION ALL BY NAME FROM {parquet(files)}" if files else no_rows


def files_view(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    uri: str,
    files: Sequence[dict[str, Any]],
    columns: dict[str, str],
) -> None:
    """Create a view over some of a table's files (as from `live_files`): `columns` (name to type), and `_date` from the log.

    The view keeps showing these files, whatever is committed to the table later. A column that no file has is NULL.
    """
    create = _create("VIEW", name)
    paths = [f"{uri}/{f['path']}" for f in files]
    rows = rows_of_files(paths, columns)
    if not files:
        connection.execute(f"{create} AS SELECT *, CAST(NULL AS DATE) AS {DATE_COLUMN} FROM ({rows})")
        return
    # The log is the authority on a file's partition. The path usually contains it too, but need not.
    dates = ", ".join(f"({sql_text(path)}, {sql_date(f['date'])})" for path, f in zip(paths, files, strict=True))
    selected = ", ".join(f'f."{c}"' for c in columns)
    connection.execute(
        f"{create} AS SELECT {selected}, d.{DATE_COLUMN} FROM ({rows}) AS f "
        f"JOIN (VALUES {dates}) AS d (_path, {DATE_COLUMN}) USING (_path)"
    )


def rows_of_files(paths: Sequence[str], columns: dict[str, str]) -> str:
    """SQL for all rows of Parquet files: `columns` (name to type; NULL if no file has it), any other columns, and `_path`."""
    typed = ", ".join(f'CAST(NULL AS {in_duckdb(t)}) AS "{c}"' for c, t in columns.items())
    if not paths:
        return f"SELECT {typed} WHERE FALSE"
    files = ", ".join(sql_text(p) for p in paths)
    return (
        f"SELECT {typed} WHERE FALSE UNION ALL BY NAME "
        f"FROM read_parquet([{files}], filename = '_path', hive_partitioning = false, union_by_name = true)"
    )


def table_view(connection: "duckdb.DuckDBPyConnection", name: str, uri: str, table: "DeltaTable") -> None:
    """Create a view over all rows of the opened version of a table."""
    import pyarrow as pa

    schema = pa.schema(table.schema().to_arrow())
    columns = {field.name: str(field.type) for field in schema if field.name != DATE_COLUMN}
    files = live_files(table)
    if files:
        files_view(connection, name, uri, files, columns)
    else:
        connection.register("_no_rows", schema.empty_table())
        connection.execute(f"{_create('TABLE', name)} AS FROM _no_rows")
        connection.unregister("_no_rows")


def _create(kind: str, name: str) -> str:
    """The beginning of a CREATE statement: temporary unless the name has a schema."""
    return f"CREATE {'' if '.' in name else 'OR REPLACE TEMP '}{kind} {name}"
