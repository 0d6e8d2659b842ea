"""Delta tables, read and written with delta-rs: commits, row counts by partition, guarded replacement of partitions.

Only what applies to any Delta table belongs here. The layers raw, silver and gold have packages of their own.
"""

import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from deltalake import CommitProperties, DeltaTable, Schema, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.schema import PrimitiveType
from deltalake.transaction import AddAction, PostCommitHookProperties, RemoveAction, Transaction

from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.delta.statistics import Footer, statistics_json
from lakehouse_assets.errors import NewerTableError, PartitionGuardError
from lakehouse_assets.retry import retried

if TYPE_CHECKING:
    import pyarrow as pa

IDEMPOTENCY_KEY = "lakehouse.idempotency_key"
RUN_ID = "lakehouse.run_id"
COMMIT_ID = "lakehouse.commit"
"""A unique id of each commit. A writer that lost the store's reply recognizes its own commit by it."""

ROWS_NOTE, _NOTED_VERSION = "lakehouse.rows", "lakehouse.rows.version"
"""What a commit's writer notes of all rows of the table, and the version of which that holds: the commit's own."""

_COMMITS_PER_CHECKPOINT = 10
"""Opening a table reads all commits since the last checkpoint. 10 is Spark's default; delta-rs's is 100."""

_HOOKS = PostCommitHookProperties(cleanup_expired_logs=False)
"""Only `lakehouse maintain` deletes old log entries. A commit whose identity may not delete would fail if it tried."""

_UNKNOWN_FEATURE = re.compile(r"Unsupported: (Feature '\w+'|[^\n]*(?:version|protocol)[^\n]*?\d+)", re.IGNORECASE)

_Result = TypeVar("_Result")


def until_committed(attempt: Callable[[], _Result], *, attempts: int = 8, first_pause: float = 0.05) -> _Result:
    """The result of `attempt`, which computes and commits. If another commit comes first, it is retried after growing pauses (s).

    Raises:
        CommitFailedError: another commit came first at every attempt.
    """
    return retried(attempt, attempts=attempts, first_pause=first_pause, on_error=CommitFailedError)


@dataclass(frozen=True)
class Commit:
    """The table's version after a write. `changed` is False if the table already held the rows, so that no commit was made."""

    version: int
    changed: bool


@dataclass(frozen=True)
class TableFacts:
    """A table's version and size, from its log: no data is read."""

    version: int
    rows: int
    bytes: int
    files: int
    rows_by_date: dict[date, int]
    bytes_by_date: dict[date, int]


def open_table(uri: str, version: int | None = None) -> DeltaTable | None:
    """The table at its newest (or a given) version; None if there is no table.

    Raises:
        NewerTableError: the table uses a Delta feature that this program does not support.
    """
    try:
        return DeltaTable(uri, version=version)
    except TableNotFoundError:
        return None
    except DeltaError as error:
        if match := _UNKNOWN_FEATURE.search(str(error)):
            raise NewerTableError(
                f"{uri} was written by a newer version or another program: it needs {match[1]}, which this version doesn't know. "
                "It was not changed. Install the newer version, or move the folder away: the next pass builds the table again."
            ) from None
        raise


def newest_table(uri: str) -> DeltaTable | None:
    """The table at its newest version; None if there is no table. This process keeps it open, and each call updates it.

    Read what you need at once, because the next call updates the same object; `open_table` gives a version that stays. On S3 an
    update takes 2 ms; opening a table takes 12 ms of CPU time alone.
    """
    table = _kept_open.get(uri)
    if table is not None:
        table.update_incremental()
    elif (table := open_table(uri)) is not None:
        _kept_open[uri] = table
    return table


def forget_open_tables() -> None:
    """Close all kept tables. Called at the start of a pass, because a table may have been deleted and created again."""
    _kept_open.clear()


_kept_open: dict[str, DeltaTable] = {}


def table_facts(table: DeltaTable) -> TableFacts:
    """Rows, bytes and files of a table, from the log entries of its live files."""
    rows_by_date: dict[date, int] = {}
    bytes_by_date: dict[date, int] = {}
    rows = size = files = 0
    by_date = DATE_COLUMN in table.metadata().partition_columns
    for add in live_files(table):
        files += 1
        rows += add["num_records"]
        size += add["size_bytes"]
        if by_date:
            rows_by_date[add["date"]] = rows_by_date.get(add["date"], 0) + add["num_records"]
            bytes_by_date[add["date"]] = bytes_by_date.get(add["date"], 0) + add["size_bytes"]
    return TableFacts(table.version(), rows, size, files, rows_by_date, bytes_by_date)


def live_files(table: DeltaTable, bounds_of: Collection[str] = ()) -> list[dict[str, Any]]:
    """The live files: `path`, `size_bytes`, `num_records`, and `date` (None unless the table is partitioned by `_date`).

    With `bounds_of`, also `bounds`: of these columns, those whose bounds in the file the log knows (name to `Bounds`).
    """
    partition = f"partition.{DATE_COLUMN}"
    limits = {name: (f"min.{name}", f"max.{name}") for name in bounds_of}
    files = []
    for add in _adds(table, "size_bytes", "num_records", partition, *(limit for pair in limits.values() for limit in pair)):
        file = {
            "path": add["path"],
            "size_bytes": add["size_bytes"],
            "num_records": add["num_records"] or 0,
            "date": add.get(partition),
        }
        if bounds_of:
            known = {name: (add.get(low), add.get(high)) for name, (low, high) in limits.items()}
            file["bounds"] = {name: (str(low), str(high)) for name, (low, high) in known.items() if None not in (low, high)}
        files.append(file)
    return files


def files_with(table: DeltaTable, column: str, values: Mapping[date, Collection[str] | None]) -> list[dict[str, Any]]:
    """The live files that may hold a row with one of the values of a text column by date (None: any), by the log's statistics."""

    def may_hold(file: dict[str, Any]) -> bool:
        wanted, known = values.get(file["date"], ()), file["bounds"].get(column)
        return wanted is None or any(known is None or known[0] <= value <= known[1] for value in wanted)

    return [file for file in live_files(table, [column]) if may_hold(file)]


SPLIT = "_split_"
"""The files of a table that is split by a column lie in folders of this name with the column's, within those of their dates."""

_SPLIT_FOLDER = re.compile(rf"/{SPLIT}([a-z0-9_]+)=[^/]+(?=/)")


def split_folder(path: str) -> str:
    """The folder, with the slash before it, by which the rows of a date are split into files; "" if they are not."""
    match = _SPLIT_FOLDER.search(path)
    return match[0] if match else ""


def split_by(paths: Iterable[str]) -> str | None:
    """The column by which the files of a table are split; None if none is."""
    return next((match[1] for path in paths if (match := _SPLIT_FOLDER.search(path))), None)


def values_by_folder(table: DeltaTable, column: str) -> dict[str, str | None]:
    """The value that all rows in folders of this name (see `split_folder`) have, by the log's statistics; not where they differ."""
    found: dict[str, set[str | None]] = {}
    for add in _adds(table, "num_records", *(limits := (f"min.{column}", f"max.{column}", f"null_count.{column}"))):
        least, greatest, nulls = (add.get(name) for name in limits)
        values = {least, greatest} if nulls == 0 else {None} if nulls == add["num_records"] else {least, greatest, None}
        found.setdefault(split_folder(add["path"]), set()).update(values)
    known = {folder: next(iter(values)) for folder, values in found.items() if folder and len(values) == 1}
    # Of no statistics, or of a text that ends SQL, nothing is known.
    return {folder: value for folder, value in known.items() if value is None or "\0" not in value}


def paths_and_dates(table: DeltaTable) -> tuple[list[str], list[date]]:
    """The paths of the live files of a table partitioned by `_date`, and their dates. Much less work than `live_files`."""
    entries: Any = table.get_add_actions(flatten=True)
    return entries.column("path").to_pylist(), entries.column(f"partition.{DATE_COLUMN}").to_pylist()


def file_paths(table: DeltaTable, uri: str, **partition: str) -> list[str]:
    """URIs of the live files of a partition, or of all, as DuckDB opens them (delta-rs percent-encodes its paths)."""
    conditions = [(f"partition.{column}", value) for column, value in partition.items()]
    adds = _adds(table, *(column for column, _ in conditions))
    return [f"{uri}/{unquote(add['path'])}" for add in adds if all(add[column] == value for column, value in conditions)]


def paths_by_partition(table: DeltaTable, uri: str, *columns: str) -> dict[tuple[str, ...], list[str]]:
    """URIs of the live files, as `file_paths` gives them, by the values of partition columns."""
    by_partition: dict[tuple[str, ...], list[str]] = {}
    for add in _adds(table, *(f"partition.{column}" for column in columns)):
        values = tuple(add[f"partition.{column}"] for column in columns)
        by_partition.setdefault(values, []).append(f"{uri}/{unquote(add['path'])}")
    return by_partition


def _adds(table: DeltaTable, *columns: str) -> list[dict[str, Any]]:
    """The log's add entries of the live files: `path`, and those of the columns that they have."""
    # As delta-rs's own Arrow values: pyarrow would import pandas for it, which takes longer than a pass with nothing to do.
    entries: Any = table.get_add_actions(flatten=True)
    known = set(entries.column_names)
    adds: list[dict[str, Any]] = entries.select(["path", *(c for c in columns if c in known)]).to_struct_array().to_pylist()
    return adds


def dates_predicate(dates: Iterable[date]) -> str:
    """SQL that is true for rows of the given partitions."""
    return f"{DATE_COLUMN} IN ({', '.join(sql_date(d) for d in sorted(dates))})"


def files_predicate(files_by_date: Mapping[date, set[str] | None], date_column: str, file_column: str) -> str:
    """SQL that is true for rows of the given files by date; None stands for all files of a date."""
    return " OR ".join(
        f"({date_column} = {sql_date(day)}"
        + ("" if names is None else f" AND {file_column} IN ({', '.join(sql_text(n) for n in sorted(names))})")
        + ")"
        for day, names in sorted(files_by_date.items())
    )


def sql_date(day: date) -> str:
    """A date as a SQL literal."""
    return f"DATE '{day.isoformat()}'"


def sql_text(text: str) -> str:
    """A text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def sql_name(name: str) -> str:
    """A name of a column as SQL."""
    return '"' + name.replace('"', '""') + '"'


def last_commit(uri: str) -> tuple[int, str | None]:
    """The version of the newest commit of an existing table, and its idempotency key (None if it has none)."""
    table = newest_table(uri)
    assert table is not None, "the table exists"
    while True:
        version = table.version()
        # delta-rs reads the history as of now, but numbers it from the opened version: only valid if no commit came between.
        newest = table.history(1)[0]
        table.update_incremental()
        if table.version() == version:
            key = newest.get(IDEMPOTENCY_KEY)
            return version, None if key is None else str(key)


def rows_note(table: DeltaTable) -> str | None:
    """What the open version's writer noted of all rows of the table; None if it noted nothing, or is not the newest any more."""
    for newest in table.history(1):  # of another version if a commit came since the table was opened; none if the log is cut off
        return str(newest[ROWS_NOTE]) if newest.get(_NOTED_VERSION) == str(table.version()) else None
    return None


def _noted(note: str | None, version: int) -> dict[str, str]:
    """Metadata of the commit that makes a version, with a note of its rows."""
    return {} if note is None else {ROWS_NOTE: note, _NOTED_VERSION: str(version)}


def commit_metadata(key: str, run_id: str) -> dict[str, str]:
    """Metadata of each commit: a repeated step makes no second commit, a commit names its run, a writer recognizes its own."""
    return {IDEMPOTENCY_KEY: key, RUN_ID: run_id, COMMIT_ID: secrets.token_hex(8)}


def replace_rows(
    uri: str,
    rows: "pa.Table | pa.RecordBatchReader",
    *,
    predicate: str,
    key: str,
    run_id: str,
    partition_by: Sequence[str] = (DATE_COLUMN,),
    description: str | None = None,
) -> Commit:
    """Replace the rows for which `predicate` is true with `rows`, in one commit.

    The rows may lack columns of the table and may add new ones. A repetition (same `key` as the newest commit) commits nothing.
    If another writer commits first, the replacement is repeated on the new version.

    Raises:
        PartitionGuardError: a row lies outside the predicate; nothing was written.
    """

    def attempt() -> Commit:
        # A missing table is first created empty, so that the first rows pass the same guard as all later ones.
        ensure_table(uri, rows.schema, description, partition_by)
        version, newest_key = last_commit(uri)
        if newest_key == key:
            return Commit(version, changed=False)
        return replace_rows_at(_kept_open[uri], uri, rows, predicate=predicate, key=key, run_id=run_id)

    # A stream can be read once.
    return attempt() if hasattr(rows, "read_next_batch") else until_committed(attempt)


def replace_rows_at(
    table: DeltaTable,
    uri: str,
    rows: "pa.Table | pa.RecordBatchReader",
    *,
    predicate: str,
    key: str,
    run_id: str,
    note: str | None = None,
) -> Commit:
    """Replace the rows for which `predicate` is true with `rows`, as the commit right after the open version.

    `note` is kept with the commit, see `rows_note`.

    Raises:
        CommitFailedError: another writer committed after `table` was opened. Nothing was written.
        PartitionGuardError: a row lies outside the predicate; nothing was written.
    """
    before = table.version()
    metadata = commit_metadata(key, run_id) | _noted(note, before + 1)

    def write() -> None:
        write_deltalake(
            table,
            rows,
            mode="overwrite",
            predicate=predicate,
            schema_mode="merge",
            commit_properties=CommitProperties(custom_metadata=metadata, max_commit_retries=0),
            post_commithook_properties=_HOOKS,
        )

    try:
        return _committed(write, uri, before, metadata[COMMIT_ID])
    except DeltaError as error:
        if "validation check" in str(error):
            raise PartitionGuardError(
                f"Rows to be written to {uri} lie outside the partitions of the run ({predicate}): nothing was written. "
                "Start the run for their dates too, or fix the asset that returned them."
            ) from None  # the cause contains the rows themselves
        raise


def append_rows(
    uri: str, rows: "pa.Table", *, run_id: str, partition_by: Sequence[str] = (DATE_COLUMN,), description: str | None = None
) -> Commit:
    """Append rows in one commit, retried if another commit comes first."""

    def attempt() -> Commit:
        ensure_table(uri, rows.schema, description, partition_by)
        return _append_rows_at(_kept_open[uri], uri, rows, run_id)

    return until_committed(attempt)


def _append_rows_at(table: DeltaTable, uri: str, rows: "pa.Table", run_id: str) -> Commit:
    """Append rows as the commit right after the open version."""
    before, metadata = table.version(), commit_metadata("", run_id)

    def write() -> None:
        write_deltalake(
            table,
            rows,
            mode="append",
            schema_mode="merge",
            commit_properties=CommitProperties(custom_metadata=metadata, max_commit_retries=0),
            post_commithook_properties=_HOOKS,
        )

    return _committed(write, uri, before, metadata[COMMIT_ID])


def replace_table(
    table: DeltaTable, uri: str, rows: "pa.Table | pa.RecordBatchReader", *, key: str, run_id: str, note: str | None = None
) -> Commit:
    """Replace all rows of a table and its columns with `rows`, as the commit right after the open version.

    Only for a table that is rebuilt from scratch because its column types changed. `note` is kept with the commit.

    Raises:
        CommitFailedError: another writer committed after `table` was opened. Nothing was written.
    """
    before = table.version()
    metadata = commit_metadata(key, run_id) | _noted(note, before + 1)

    def write() -> None:
        write_deltalake(
            table,
            rows,
            mode="overwrite",
            schema_mode="overwrite",
            partition_by=[DATE_COLUMN],
            commit_properties=CommitProperties(custom_metadata=metadata, max_commit_retries=0),
            post_commithook_properties=_HOOKS,
        )

    return _committed(write, uri, before, metadata[COMMIT_ID])


def add_columns(table: DeltaTable, uri: str, fields: "Sequence[pa.Field]", *, run_id: str) -> Commit:
    """Add columns to a table, NULL in its live rows, as the commit right after the open version.

    Raises:
        CommitFailedError: another writer committed after `table` was opened.
    """
    import pyarrow as pa

    before, metadata = table.version(), commit_metadata("", run_id)
    properties = CommitProperties(custom_metadata=metadata, max_commit_retries=0)
    new = Schema.from_arrow(pa.schema(list(fields))).fields

    def write() -> None:
        table.alter.add_columns(new, commit_properties=properties, post_commithook_properties=_HOOKS)

    return _committed(write, uri, before, metadata[COMMIT_ID])


def _committed(write: Callable[[], None], uri: str, before: int, commit_id: str) -> Commit:
    """Run `write`, which makes one commit after the version `before`. If it fails, check in the log whether it committed anyway.

    A store that answers 500 may have made the commit all the same: the client then retries and conflicts with its own commit. A
    reply may also be lost. So a failure counts only if the log has no commit with this id.
    """
    try:
        write()
    except (DeltaError, OSError):
        # If the log can't be read, that error is raised: it is unknown whether the commit was made.
        version = _version_of_commit(uri, commit_id, before)
        if version is None:
            raise
        return Commit(version, changed=True)
    return Commit(before + 1, changed=True)


def _version_of_commit(uri: str, commit_id: str, before: int) -> int | None:
    """The version after `before` whose commit has the id; None if there is none."""
    table = open_table(uri)
    while table is not None and table.version() > before:
        version = table.version()
        entries = table.history(version - before)
        table.update_incremental()
        if table.version() == version:  # otherwise the entries may include later commits, which would shift the numbering
            return next((version - age for age, entry in enumerate(entries) if entry.get(COMMIT_ID) == commit_id), None)
    return None


@dataclass(frozen=True)
class DataFile:
    """A Parquet file below a table's folder that is not committed yet. `path` is relative to the table.

    `date` is None if its rows have no date. Such a file must not be committed.
    """

    path: str
    size_bytes: int
    num_records: int
    date: date | None
    footer: Footer | None = None
    """None if nothing is known of its columns."""

    def as_dict(self) -> dict[str, Any]:
        """The file in the form of `live_files`."""
        return {"path": self.path, "size_bytes": self.size_bytes, "num_records": self.num_records, "date": self.date}


def commit_files(
    table: DeltaTable,
    added: Sequence[DataFile],
    removed: Sequence[dict[str, Any]],
    *,
    key: str,
    run_id: str,
    transaction: Transaction | None = None,
    new_schema: "pa.Schema | None" = None,
) -> Commit:
    """Add data files to a table and remove others (`removed` in the form of `live_files`), in one commit.

    The commit has statistics of the added files. `transaction` is added to the commit as a `txn` action. With `new_schema` the
    files replace the table's whole contents, and its columns become those of the schema.

    Raises:
        CommitFailedError: another writer committed after `table` was opened. What was computed from it may be outdated: compute
            it again.
    """
    columns = table.schema() if new_schema is None else Schema.from_arrow(new_schema)
    types = {f.name: str(f.type.type) for f in columns.fields if isinstance(f.type, PrimitiveType) and f.name != DATE_COLUMN}
    now = int(time.time() * 1000)  # when files were added or removed, for VACUUM alone: nothing else depends on it
    adds = [
        AddAction(
            path=file.path,
            size=file.size_bytes,
            partition_values={DATE_COLUMN: str(file.date)},
            modification_time=now,
            data_change=True,
            stats=statistics_json(file.num_records, file.footer, types),
        )
        for file in added
    ]
    removes = [
        RemoveAction(
            path=file["path"],
            data_change=True,
            deletion_timestamp=now,
            size=file["size_bytes"],
            partition_values={DATE_COLUMN: file["date"].isoformat()},
        )
        for file in removed
    ]
    before, metadata = table.version(), commit_metadata(key, run_id)
    properties = CommitProperties(
        custom_metadata=metadata,
        max_commit_retries=0,
        app_transactions=None if transaction is None else [transaction],
    )

    def write() -> None:
        table.create_write_transaction(
            [*adds, *removes] if new_schema is None else [*adds],
            "append" if new_schema is None else "overwrite",
            columns,
            [DATE_COLUMN],
            commit_properties=properties,
            post_commithook_properties=_HOOKS,
        )

    return _committed(write, table.table_uri, before, metadata[COMMIT_ID])


def compact(table: DeltaTable, *, run_id: str) -> Commit:
    """Compact many small files into few, as the commit right after the open version. Commits nothing if there is nothing to do.

    What the open version notes of its rows holds for the new one too.

    Raises:
        CommitFailedError: another writer committed after `table` was opened.
    """
    before = table.version()
    metadata = commit_metadata("", run_id) | _noted(rows_note(table), before + 1)
    properties = CommitProperties(custom_metadata=metadata, max_commit_retries=0)
    files_added = 1  # unless delta-rs reports otherwise: if its answer is lost, `_committed` finds the commit in the log

    def write() -> None:
        nonlocal files_added
        result = table.optimize.compact(commit_properties=properties, post_commithook_properties=_HOOKS)
        files_added = result["numFilesAdded"]

    commit = _committed(write, table.table_uri, before, metadata[COMMIT_ID])
    return commit if files_added else Commit(before, changed=False)


def ensure_table(
    uri: str, schema: "pa.Schema", description: str | None = None, partition_by: Sequence[str] = (DATE_COLUMN,)
) -> DeltaTable:
    """The table as from `newest_table`, created empty if it does not exist."""
    if (table := newest_table(uri)) is not None:
        return table
    try:
        DeltaTable.create(
            uri,
            schema,
            mode="ignore",
            partition_by=list(partition_by),
            description=description,
            configuration={"delta.checkpointInterval": str(_COMMITS_PER_CHECKPOINT)},
            # A retry would give a table that exists by now another id, and the columns of this call.
            commit_properties=CommitProperties(max_commit_retries=0),
            post_commithook_properties=_HOOKS,
        )
    except (DeltaError, OSError):
        # Another process has created it meanwhile, or this one has, and the store's reply was lost.
        if open_table(uri) is None:
            raise
    table = newest_table(uri)
    assert table is not None, "it was created above"
    return table
