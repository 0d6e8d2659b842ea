"""DuckDB connections of this process, for bookkeeping over Parquet files that fits on this machine.

Views created here are temporary (TEMP) and private to the connection, unless their name has a schema. Those need a connection
from `new_connection`.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.contracts.types import in_duckdb
from lakehouse_assets.delta.statistics import TEXT_LENGTH, Bounds, Chunk, Footer
from lakehouse_assets.delta.tables import (
    SPLIT,
    live_files,
    split_by,
    split_folder,
    sql_date,
    sql_name,
    sql_text,
    values_by_folder,
)
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import credentials_fingerprint, load_s3_client

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from deltalake import DeltaTable


_KEYS_LOOKED_UP = 10_000
"""A join with at most this many values reads only the row groups of the other side that can hold one of them."""


_GIVES_MEMORY_BACK = "SET allocator_background_threads = true"
"""Otherwise DuckDB keeps the memory of its largest query, for nobody. It holds for the process: any new instance resets it."""


def connect(root: Root) -> "duckdb.DuckDBPyConnection":
    """A connection to this process's shared instance that can read below the root: 10 ms faster than a new instance."""
    cursor = _shared(root, credentials_fingerprint() if root.bucket else "").cursor()
    cursor.execute(_GIVES_MEMORY_BACK)
    return cursor


def new_connection(root: Root) -> "duckdb.DuckDBPyConnection":
    """A connection to a new in-memory instance that can read below the root."""
    import duckdb

    connection = duckdb.connect()
    # GLOBAL: otherwise the instance's other cursors have the machine's.
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    # In a process that runs no script file (`python -c`), DuckDB would write one to stdout after two seconds.
    connection.execute("SET enable_progress_bar = false")
    connection.execute(_GIVES_MEMORY_BACK)
    connection.execute(f"SET GLOBAL dynamic_or_filter_threshold = {_KEYS_LOOKED_UP}")
    enable_s3(connection, root)
    return connection


def forget_instances() -> None:
    """Close this process's shared instances, once nobody uses them: they remember each file that they have read."""
    _shared.cache_clear()


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


def rows_of_layout(files: Sequence[str], columns: Mapping[str, str], *, path_column: str | None = None) -> str:
    """Like `rows_of_schema`, with DuckDB's type names: importing Arrow takes longer than a pass with nothing to do.

    `path_column` adds the path of a row's file.
    """
    nulls = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in columns.items())
    no_rows = f"SELECT {nulls} WHERE FALSE"
    return f"{no_rows} UNION ALL BY NAME FROM {parquet(files, path_column=path_column)}" if files else no_rows


def rows_of_csv(file: Path, columns: Mapping[str, str]) -> str:
    """SQL for the rows of a CSV file with a header, with DuckDB's types of its columns, by name and in their order."""
    types = ", ".join(f"{sql_text(name)}: {sql_text(kind)}" for name, kind in columns.items())
    return f"FROM read_csv({sql_text(str(file))}, header = true, auto_detect = false, columns = {{{types}}})"


def files_view(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    uri: str,
    files: Sequence[dict[str, Any]],
    columns: dict[str, str],
) -> None:
    """Create a view over some of a table's files (as from `live_files`): `columns` (name to type), and `_date` from the log.

    The view keeps showing these files, whatever is committed to the table later. A column that a file lacks is NULL there. A query
    for some dates opens only their files.
    """
    connection.execute(f"{_create('VIEW', name)} AS {rows_of_live_files(uri, files, columns)}")


def rows_of_live_files(uri: str, files: Sequence[dict[str, Any]], columns: Mapping[str, str], **computed: str) -> str:
    """SQL for the rows of some of a table's files, see `files_view`; others are `computed` as in `rows_of_files`."""
    days = {f"{uri}/{f['path']}": f["date"] for f in files}
    count = sum(f["num_records"] for f in files)
    return rows_of_files(list(days), columns, count, {DATE_COLUMN: _date_of_file(days), **computed})


def rows_of_files(paths: Sequence[str], columns: Mapping[str, str], count: int, computed: Mapping[str, str] | None = None) -> str:
    """SQL for the rows of Parquet files: `columns` (name to type; NULL where a file lacks it), and others `computed` by SQL.

    `count` is about how many rows there are. The SQL may use `filename` and `file_index`: if a condition on a computed column can't
    be true in a file, DuckDB does not open it. Knowing columns and count, it opens no file to plan a query, and can look for the
    values of a join's smaller side in the statistics of the larger side's row groups.
    """
    types = {column: in_duckdb(kind) for column, kind in columns.items()}
    # A column of the data may have the name that DuckDB gives to the path or the number of a row's file.
    own = {column: f"{column} in the file" if column.lower() in ("filename", "file_index") else column for column in types}
    if paths:
        stored = ", ".join(
            f"{sql_text(column)}: {{name: {sql_text(own[column])}, type: {sql_text(kind)}, default_value: NULL}}"
            for column, kind in types.items()
        )
        listed = ", ".join(map(sql_text, paths))
        rows = f"read_parquet([{listed}], schema = MAP {{{stored}}}, filename = true, explicit_cardinality = {max(count, 1)})"
    else:
        nulls = (f"CAST(NULL AS {kind}) AS {sql_name(own[column])}" for column, kind in types.items())
        rows = f"(SELECT {', '.join([*nulls, 'NULL AS filename', 'NULL AS file_index'])} WHERE FALSE)"
    shown = [*(f"{sql_name(own[c])} AS {sql_name(c)}" for c in types), *(f"{sql} AS {c}" for c, sql in (computed or {}).items())]
    return f"SELECT {', '.join(shown)} FROM {rows}"


def _date_of_file(days: Mapping[str, date | None]) -> str:
    """SQL: the date of the file at the path `filename`, by the log's dates of all paths."""
    # The log is the authority on a file's partition. The path need not contain it, but is faster to look at.
    if days and all(day is not None and _IN_PATH.findall(path)[-1:] == [day.isoformat()] for path, day in days.items()):
        return f"CAST(regexp_extract(filename, {sql_text(f'.*{_IN_PATH.pattern}')}, 1) AS DATE)"
    listed = ", ".join(f"{sql_text(path)}: {'NULL' if day is None else sql_date(day)}" for path, day in days.items())
    return f"CAST(MAP {{{listed}}}[filename] AS DATE)" if days else "CAST(NULL AS DATE)"


def _value_of_folder(values: Mapping[str, str | None]) -> str:
    """SQL: the value of the folder, see `split_folder`, in the path `filename`."""
    listed = ", ".join(f"{sql_text(f)}: {'NULL' if v is None else sql_text(v)}" for f, v in values.items())
    return f"CAST(MAP {{{listed}}}[regexp_extract(filename, {sql_text(f'/{SPLIT}[^/]+')})] AS VARCHAR)"


_IN_PATH = re.compile(f"/{DATE_COLUMN}=([0-9-]+)/")
"""A partition's folder in a file's path."""


def read_footers(connection: "duckdb.DuckDBPyConnection", uris: Sequence[str]) -> dict[str, Footer]:
    """The footers of Parquet files by URI, in one query."""
    footers: dict[str, Footer] = {uri: {} for uri in uris}
    chunks = connection.execute(
        f"""SELECT file_name, path_in_schema, row_group_num_rows, stats_null_count,
                left(stats_min_value, {TEXT_LENGTH + 1}), left(stats_max_value, {TEXT_LENGTH + 1})
            FROM parquet_metadata([{", ".join(map(sql_text, uris))}]) ORDER BY file_name, row_group_id, column_id"""
    ).fetchall()
    for uri, column, *chunk in chunks:
        footers[uri].setdefault(column, []).append(Chunk(*chunk))
    return footers


_ORDERED = ("int", "bigint", "string", "date", "timestamp")
"""Types whose bounds all writers agree on. Some round decimals, or leave out NaN."""


def files_with_keys(
    connection: "duckdb.DuckDBPyConnection", keys: str, key: Mapping[str, str], files: Sequence[Mapping[str, Bounds]]
) -> list[bool]:
    """By the bounds of the columns in each file: whether it may hold a row with one of the keys.

    `keys` is a relation with the columns of `key` (name to Spark type). Each column of a key is looked at by itself.
    """
    import pyarrow as pa

    possible = [True] * len(files)
    for column, kind in ((column, kind) for column, kind in key.items() if kind in _ORDERED):
        bounded = [(number, file[column]) for number, file in enumerate(files) if possible[number] and column in file]
        if not bounded:
            continue
        type_ = in_duckdb(kind)
        # Some writers cut moments to milliseconds.
        beyond = " + INTERVAL 1 MILLISECOND" if kind == "timestamp" else ""
        numbers, pairs = zip(*bounded, strict=True)
        low, high = (pa.array(values, pa.string()) for values in zip(*pairs, strict=True))
        # Not as literals: a text may have any character, and SQL ends at a NUL.
        connection.register("bounded", pa.table({"number": numbers, "low": low, "high": high}))
        # Of the values from the lower bound on, the first decides.
        within = connection.execute(
            f"""SELECT number FROM (SELECT number, CAST(low AS {type_}) AS low, CAST(high AS {type_}){beyond} AS high FROM bounded)
                ASOF JOIN (SELECT DISTINCT "{column}" AS value FROM {keys}) ON low <= value WHERE value <= high"""
        ).fetchall()
        connection.unregister("bounded")
        with_keys = {number for (number,) in within}
        for number, _ in bounded:
            possible[number] = number in with_keys
    return possible


def column_types(table: "DeltaTable") -> dict[str, str]:
    """Return the Arrow types of a table's columns, by name, without `_date`."""
    import pyarrow as pa

    return {field.name: str(field.type) for field in pa.schema(table.schema().to_arrow()) if field.name != DATE_COLUMN}


def table_view(connection: "duckdb.DuckDBPyConnection", name: str, uri: str, table: "DeltaTable") -> None:
    """Create a view over all rows of the opened version of a table.

    If its files are split by a column, a query for some of its values opens only their files.
    """
    import pyarrow as pa

    files = live_files(table)
    if files:
        types = column_types(table)
        column = split_by(file["path"] for file in files)
        values = {} if column is None else values_by_folder(table, column)
        of_one = [file for file in files if split_folder(file["path"]) in values]
        others = [file for file in files if split_folder(file["path"]) not in values]
        rows = [rows_of_live_files(uri, others, types)] if others or not of_one else []
        if column is not None and of_one:
            stored = {name: kind for name, kind in types.items() if name != column}
            rows.append(rows_of_live_files(uri, of_one, stored, **{sql_name(column): _value_of_folder(values)}))
        shown = ", ".join(map(sql_name, [*types, DATE_COLUMN]))
        connection.execute(f"{_create('VIEW', name)} AS {' UNION ALL '.join(f'SELECT {shown} FROM ({part})' for part in rows)}")
    else:
        connection.register("_no_rows", pa.schema(table.schema().to_arrow()).empty_table())
        connection.execute(f"{_create('TABLE', name)} AS FROM _no_rows")
        connection.unregister("_no_rows")


def _create(kind: str, name: str) -> str:
    """The beginning of a CREATE statement: temporary unless the name has a schema."""
    return f"CREATE {'' if '.' in name else 'OR REPLACE TEMP '}{kind} {name}"
