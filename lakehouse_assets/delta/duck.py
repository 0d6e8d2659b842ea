"""DuckDB connections of this process: for bookkeeping over Parquet files, at any scale that fits this machine.

Views made here are the connection's own (TEMP), unless their name has a schema: then the connection is one of `new_connection`.
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
    """A connection that can read what lies below the root, to an instance that this process shares: 10 ms sooner than a new one."""
    return _shared(root, credentials_fingerprint() if root.bucket else "").cursor()


def new_connection(root: Root) -> "duckdb.DuckDBPyConnection":
    """A connection to an in-memory instance of its own, that can read what lies below the root."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    enable_s3(connection, root)
    return connection


@lru_cache(maxsize=4)
def _shared(root: Root, credentials: str) -> "duckdb.DuckDBPyConnection":
    del credentials  # an instance keeps those that it was made with
    return new_connection(root)


def enable_s3(connection: "duckdb.DuckDBPyConnection", root: Root) -> None:
    """Let a connection read what lies below the root, where that takes more than a path."""
    if root.bucket:
        load_s3_client(connection, root.bucket)


def parquet(paths: Sequence[str]) -> str:
    """SQL that reads Parquet files, with columns out of folders named `column=value`.

    The paths stand in the text, because a bound list makes DuckDB import pandas, which takes longer than the query.
    """
    return f"read_parquet([{', '.join(sql_text(p) for p in paths)}], hive_partitioning = true, union_by_name = true)"


def rows_of_schema(connection: "duckdb.DuckDBPyConnection", files: Sequence[str], schema: "pa.Schema") -> str:
    """SQL for all rows of Parquet files, with the columns of a schema: NULL where files of an older layout lack them."""
    connection.register("_no_rows", schema.empty_table())
    described = connection.execute("DESCRIBE _no_rows").fetchall()
    connection.unregister("_no_rows")
    return rows_of_layout(files, {name: kind for name, kind, *_ in described})


def rows_of_layout(files: Sequence[str], columns: Mapping[str, str]) -> str:
    """As `rows_of_schema`, with types by DuckDB's names: importing Arrow takes longer than a pass with nothing to do."""
    nulls = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in columns.items())
    nothing = f"SELECT {nulls} WHERE FALSE"
    return f"{nothing} UNION ALL BY NAME FROM {parquet(files)}" if files else nothing


def files_view(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    uri: str,
    files: Sequence[dict[str, Any]],
    columns: dict[str, str],
) -> None:
    """A view over some of a table's files (as `live_files` gives them): `columns` (name to type) and `_date` from the log.

    The view goes on showing these files, whatever is committed to the table meanwhile. A column that none
    of the files has is NULL.
    """
    create = _create("VIEW", name)
    paths = [f"{uri}/{f['path']}" for f in files]
    rows = rows_of_files(paths, columns)
    if not files:
        connection.execute(f"{create} AS SELECT *, CAST(NULL AS DATE) AS {DATE_COLUMN} FROM ({rows})")
        return
    # The log knows a file's partition; its path merely tends to say it too.
    dates = ", ".join(f"({sql_text(path)}, {sql_date(f['date'])})" for path, f in zip(paths, files, strict=True))
    wanted = ", ".join(f'f."{c}"' for c in columns)
    connection.execute(
        f"{create} AS SELECT {wanted}, d.{DATE_COLUMN} FROM ({rows}) AS f "
        f"JOIN (VALUES {dates}) AS d (_path, {DATE_COLUMN}) USING (_path)"
    )


def rows_of_files(paths: Sequence[str], columns: dict[str, str]) -> str:
    """SQL for all rows of Parquet files: `columns` (name to type), NULL where no file has one, whatever else they have, and `_path`."""
    typed = ", ".join(f'CAST(NULL AS {in_duckdb(t)}) AS "{c}"' for c, t in columns.items())
    if not paths:
        return f"SELECT {typed} WHERE FALSE"
    files = ", ".join(sql_text(p) for p in paths)
    return (
        f"SELECT {typed} WHERE FALSE UNION ALL BY NAME "
        f"FROM read_parquet([{files}], filename = '_path', hive_partitioning = false, union_by_name = true)"
    )


def table_view(connection: "duckdb.DuckDBPyConnection", name: str, uri: str, table: "DeltaTable") -> None:
    """A view over a whole table as it stands now."""
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
    return f"CREATE {'' if '.' in name else 'OR REPLACE TEMP '}{kind} {name}"
