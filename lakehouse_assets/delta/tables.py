"""Delta tables as delta-rs sees them: their commits, their rows by partition, and the guarded replacement of partitions.

Put here what is true of any Delta table. What a raw, silver or gold table does with it stands in those stages.
"""

import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from deltalake import CommitProperties, DeltaTable, Schema, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, PostCommitHookProperties, RemoveAction, Transaction

from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.errors import NewerTableError, PartitionGuardError
from lakehouse_assets.retry import retried

if TYPE_CHECKING:
    import pyarrow as pa

IDEMPOTENCY_KEY = "lakehouse.idempotency_key"
RUN_ID = "lakehouse.run_id"
COMMIT_ID = "lakehouse.commit"
"""Tells a commit from all others: whoever lost the store's reply knows its own by it."""

_COMMITS_PER_CHECKPOINT = 10
"""Opening a table reads all commits since the last checkpoint. Spark's default; delta-rs's own is 100."""

_HOOKS = PostCommitHookProperties(cleanup_expired_logs=False)
"""Old log entries go by `lakehouse maintain`, whose identity may delete them; a commit that tried it would fail where it may not."""

_UNKNOWN_FEATURE = re.compile(r"Unsupported: (Feature '\w+'|[^\n]*(?:version|protocol)[^\n]*?\d+)", re.IGNORECASE)

_Result = TypeVar("_Result")


def until_committed(attempt: Callable[[], _Result], *, attempts: int = 8, first_pause: float = 0.05) -> _Result:
    """What `attempt` gives, which computes and commits; made again, after growing pauses (seconds), where others commit meanwhile.

    Raises:
        CommitFailedError: others were quicker time and again.
    """
    return retried(attempt, attempts=attempts, first_pause=first_pause, on_error=CommitFailedError)


@dataclass(frozen=True)
class Commit:
    """What a write left behind: the table's version.

    `changed` is False where the table already held what was to be written, and no commit was made.
    """

    version: int
    changed: bool


@dataclass(frozen=True)
class TableFacts:
    """A table's size by its log: no data is read."""

    version: int
    rows: int
    bytes: int
    files: int
    rows_by_date: dict[date, int]


def open_table(uri: str, version: int | None = None) -> DeltaTable | None:
    """The table at its newest (or a given) version; None where there is no table.

    Raises:
        NewerTableError: it can't be read, because whoever wrote it knows more of Delta.
    """
    try:
        return DeltaTable(uri, version=version)
    except TableNotFoundError:
        return None
    except DeltaError as error:
        if found := _UNKNOWN_FEATURE.search(str(error)):
            raise NewerTableError(
                f"{uri} was written by a newer program, or by another one: it needs {found[1]}, which this version doesn't know. "
                "Nothing of it was changed. Install the newer version, or move the folder away: the next pass builds the table again."
            ) from None
        raise


def newest_table(uri: str) -> DeltaTable | None:
    """The table at its newest version, kept open by this process and brought up to date by each call; None where there is none.

    Take what you need of it at once, because the next call moves it on: `open_table` is for a version that must stay. On S3 this takes
    2 ms, opening a table 12 ms of computing alone.
    """
    table = _kept_open.get(uri)
    if table is not None:
        table.update_incremental()
    elif (table := open_table(uri)) is not None:
        _kept_open[uri] = table
    return table


def forget_open_tables() -> None:
    """Open tables anew from now on. At the start of a pass, because somebody may have deleted a table and made it anew."""
    _kept_open.clear()


_kept_open: dict[str, DeltaTable] = {}


def table_facts(table: DeltaTable) -> TableFacts:
    """Rows, bytes and files as the log's entries for the live files tell them."""
    rows_by_date: dict[date, int] = {}
    rows = size = files = 0
    by_date = DATE_COLUMN in table.metadata().partition_columns
    for add in live_files(table):
        files += 1
        rows += add["num_records"]
        size += add["size_bytes"]
        if by_date:
            rows_by_date[add["date"]] = rows_by_date.get(add["date"], 0) + add["num_records"]
    return TableFacts(table.version(), rows, size, files, rows_by_date)


def live_files(table: DeltaTable) -> list[dict[str, Any]]:
    """The live files: `path`, `size_bytes`, `num_records`, and `date` where the table is partitioned by `_date`."""
    adds = _adds(table)
    partition = f"partition.{DATE_COLUMN}"
    return [
        {"path": a["path"], "size_bytes": a["size_bytes"], "num_records": a["num_records"] or 0, "date": a.get(partition)}
        for a in adds
    ]


def file_paths(table: DeltaTable, uri: str, **partition: str) -> list[str]:
    """The paths of the live files of a partition, or of all, as DuckDB opens them (delta-rs's own are percent-encoded)."""
    wanted = [(f"partition.{column}", value) for column, value in partition.items()]
    adds = _adds(table)
    return [f"{uri}/{unquote(add['path'])}" for add in adds if all(add[column] == value for column, value in wanted)]


def _adds(table: DeltaTable) -> list[dict[str, Any]]:
    # As delta-rs's own Arrow values: pyarrow would import pandas for it, which takes longer than a pass with nothing to do.
    entries: Any = table.get_add_actions(flatten=True)
    found: list[dict[str, Any]] = entries.to_struct_array().to_pylist()
    return found


def dates_predicate(dates: Iterable[date]) -> str:
    """SQL that is true for rows of the given partitions."""
    return f"{DATE_COLUMN} IN ({', '.join(sql_date(d) for d in sorted(dates))})"


def files_predicate(files_by_date: Mapping[date, set[str] | None], date_column: str, file_column: str) -> str:
    """SQL that is true for rows of the given files, or of a whole date where it has None."""
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


def last_commit(uri: str) -> tuple[int, str | None]:
    """The version of a table's newest commit, and its idempotency key where it has one. The table is there."""
    table = newest_table(uri)
    assert table is not None, "the table is there"
    while True:
        version = table.version()
        # delta-rs reads the history as it is now, and numbers it by the version that was opened.
        newest = table.history(1)[0]
        table.update_incremental()
        if table.version() == version:
            key = newest.get(IDEMPOTENCY_KEY)
            return version, None if key is None else str(key)


def commit_metadata(key: str, run_id: str) -> dict[str, str]:
    """What each commit carries, so that a repeated step is no second commit, a commit leads to its run, and its writer knows it."""
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
    """Put `rows` in place of those for which `predicate` is true, in one commit.

    The rows may lack columns of the table and may bring new ones. A repetition (same `key` as the newest commit) commits nothing.
    Where somebody else commits meanwhile, the rows are put over the version that is then the newest.

    Raises:
        PartitionGuardError: a row lies outside the predicate; nothing was written.
    """

    def attempt() -> Commit:
        # Made empty where there is none, so that the first rows pass the same guard as all later ones.
        ensure_table(uri, rows.schema, description, partition_by)
        version, newest_key = last_commit(uri)
        if newest_key == key:
            return Commit(version, changed=False)
        return replace_rows_at(_kept_open[uri], uri, rows, predicate=predicate, key=key, run_id=run_id)

    # A stream can be read once.
    return attempt() if hasattr(rows, "read_next_batch") else until_committed(attempt)


def replace_rows_at(
    table: DeltaTable, uri: str, rows: "pa.Table | pa.RecordBatchReader", *, predicate: str, key: str, run_id: str
) -> Commit:
    """Put `rows` in place of those for which `predicate` is true, as the commit that follows the open version.

    Raises:
        CommitFailedError: somebody has committed since `table` was opened. Nothing was written.
        PartitionGuardError: a row lies outside the predicate; nothing was written.
    """
    before, metadata = table.version(), commit_metadata(key, run_id)

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
                "Start the run for their dates too, or mend the asset that returned them."
            ) from None  # the cause shows the rows themselves
        raise


def append_rows(
    uri: str, rows: "pa.Table", *, run_id: str, partition_by: Sequence[str] = (DATE_COLUMN,), description: str | None = None
) -> Commit:
    """Add rows to those that stand, in one commit, whoever else commits meanwhile."""

    def attempt() -> Commit:
        ensure_table(uri, rows.schema, description, partition_by)
        return _append_rows_at(_kept_open[uri], uri, rows, run_id)

    return until_committed(attempt)


def _append_rows_at(table: DeltaTable, uri: str, rows: "pa.Table", run_id: str) -> Commit:
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


def replace_table(table: DeltaTable, uri: str, rows: "pa.Table", *, key: str, run_id: str) -> Commit:
    """Put `rows` in place of all that a table holds, its columns included, as the commit that follows the open version.

    For a table that is made anew as a whole because its columns have other types now, and for nothing else.

    Raises:
        CommitFailedError: somebody has committed since `table` was opened. Nothing was written.
    """
    before, metadata = table.version(), commit_metadata(key, run_id)

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
    """Add columns to a table, NULL in the rows that stand, as the commit that follows the open version.

    Raises:
        CommitFailedError: somebody has committed since `table` was opened.
    """
    import pyarrow as pa

    before, metadata = table.version(), commit_metadata("", run_id)
    properties = CommitProperties(custom_metadata=metadata, max_commit_retries=0)
    new = Schema.from_arrow(pa.schema(list(fields))).fields

    def write() -> None:
        table.alter.add_columns(new, commit_properties=properties, post_commithook_properties=_HOOKS)

    return _committed(write, uri, before, metadata[COMMIT_ID])


def _committed(write: Callable[[], None], uri: str, before: int, commit_id: str) -> Commit:
    """Run `write`, which makes one commit after the version `before`, and make sure of it where the store's answer does not.

    A store that answers 500 may have made the commit all the same: the client then sends it again and meets its own. And a reply may be
    lost. So before a failure counts as one, the log is asked whose commit stands there.
    """
    try:
        write()
    except (DeltaError, OSError):
        # Where the log can't be read, that is the error to be told: whether the commit stands is unknown.
        version = _version_of_commit(uri, commit_id, before)
        if version is None:
            raise
        return Commit(version, changed=True)
    return Commit(before + 1, changed=True)


def _version_of_commit(uri: str, commit_id: str, before: int) -> int | None:
    """The version after `before` that a commit of ours made; None where it made none."""
    table = open_table(uri)
    while table is not None and table.version() > before:
        version = table.version()
        entries = table.history(version - before)
        table.update_incremental()
        if table.version() == version:  # else the entries may be numbered by a version that they are not of
            return next((version - place for place, entry in enumerate(entries) if entry.get(COMMIT_ID) == commit_id), None)
    return None


@dataclass(frozen=True)
class DataFile:
    """A Parquet file below a table's folder that no commit names yet. `path` is relative to the table.

    `date` is None where its rows have none, which no commit takes.
    """

    path: str
    size_bytes: int
    num_records: int
    date: date | None

    def as_dict(self) -> dict[str, Any]:
        """The file as `live_files` gives those of a table."""
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
    """Make data files part of a table and take others out (`removed` as `live_files` gives them), in one commit.

    `transaction` is what else the commit is to say of its version. With `new_schema` the files become all that the table holds, and
    its columns those of the schema.

    Raises:
        CommitFailedError: somebody committed since `table` was opened. What was computed from it may be wrong now: compute it again.
    """
    now = int(time.time() * 1000)  # when files were added or removed, for VACUUM: never used to decide anything
    adds = [
        AddAction(
            path=file.path,
            size=file.size_bytes,
            partition_values={DATE_COLUMN: str(file.date)},
            modification_time=now,
            data_change=True,
            stats=json.dumps({"numRecords": file.num_records}),
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
    schema = table.schema() if new_schema is None else Schema.from_arrow(new_schema)

    def write() -> None:
        table.create_write_transaction(
            [*adds, *removes] if new_schema is None else [*adds],
            "append" if new_schema is None else "overwrite",
            schema,
            [DATE_COLUMN],
            commit_properties=properties,
            post_commithook_properties=_HOOKS,
        )

    return _committed(write, table.table_uri, before, metadata[COMMIT_ID])


def compact(table: DeltaTable, *, run_id: str) -> Commit:
    """Make few files of many small ones, as the commit that follows the open version; no commit where there is nothing to do.

    Raises:
        CommitFailedError: somebody has committed since `table` was opened.
    """
    before, metadata = table.version(), commit_metadata("", run_id)
    properties = CommitProperties(custom_metadata=metadata, max_commit_retries=0)
    written = 1  # unless delta-rs says otherwise: where its answer is lost, the log is asked

    def write() -> None:
        nonlocal written
        done = table.optimize.compact(commit_properties=properties, post_commithook_properties=_HOOKS)
        written = done["numFilesAdded"]

    commit = _committed(write, table.table_uri, before, metadata[COMMIT_ID])
    return commit if written else Commit(before, changed=False)


def ensure_table(
    uri: str, schema: "pa.Schema", description: str | None = None, partition_by: Sequence[str] = (DATE_COLUMN,)
) -> DeltaTable:
    """The table as `newest_table` gives it, made empty where there is none yet."""
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
            # Tried again, it would give the table that stands by now another id, and the columns of here.
            commit_properties=CommitProperties(max_commit_retries=0),
            post_commithook_properties=_HOOKS,
        )
    except (DeltaError, OSError):
        # Somebody else has made it meanwhile, or this process itself has, and the store's reply was lost.
        if open_table(uri) is None:
            raise
    table = newest_table(uri)
    assert table is not None, "it was made above"
    return table
