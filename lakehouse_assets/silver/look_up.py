"""Runs SQL over the rows that a table has already: in DuckDB, or on the engine if that is remote.

DuckDB is faster while the engine runs on the same machine. A cluster is there for tables that one machine can't read: there, this
process sends the SQL and the names of the files, and no row leaves the cluster. `look_up` decides which of the two it is. Both run the
same SQL, with names in backticks, so the tables are the same.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any, Protocol

from lakehouse_assets.books.set_aside import BATCH, LANDED, SUPERSEDED, SetAside
from lakehouse_assets.contracts.provenance import DATE_COLUMN, FEED, FILE, IDENTITY, ITEM, ROW, typed_columns
from lakehouse_assets.delta.data_files import DataFolder, path_of_row, read_parquet, read_partitions
from lakehouse_assets.delta.duck import connect, files_view, files_with_keys, rows_of_files
from lakehouse_assets.delta.key_filter import is_worthwhile, key_filter
from lakehouse_assets.delta.tables import split_folder, sql_name
from lakehouse_assets.engine.session import is_remote
from lakehouse_assets.silver.held import Held
from lakehouse_assets.silver.judge import OK, VERDICT
from lakehouse_assets.silver.stage import is_staged, landed_view, read_aside_rows
from lakehouse_assets.silver.winners import in_duckdb

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from deltalake import DeltaTable
    from pyspark.sql import DataFrame, SparkSession

PLACE = "_place"
"""Where a row lies, see `LookUp.places`: the path of its file, or of the file's folder; or the batch in which it is set aside."""

FEW_KEYS = 1_000_000
"""A remote engine sends up to so many keys of a run here, to compare them with the bounds of files. With more, it reads all files."""


@dataclass(frozen=True)
class Opened:
    """A version of a table, and its URI."""

    uri: str
    table: "DeltaTable"


class Changes(Protocol):
    """Rows whose state must change: the columns of `IDENTITY`, and those of their new state."""

    @property
    def found(self) -> Any:
        """The rows: a `pyarrow.Table`, or a DataFrame of the remote engine."""

    def among(self, current: Held) -> Held:
        """Return the files of live rows, and the batches and dates of superseded ones, that hold one of the rows."""

    def in_engine(self, session: "SparkSession") -> "DataFrame":
        """Return the rows, for the engine to join with."""


class LookUp(Protocol):
    """Named relations, and SQL over them."""

    places: Sequence[str]
    """The columns that `live` and `aside` add, by which `changes` knows where a row lies."""

    def live(self, name: str, of: Opened, files: Sequence[dict[str, Any]], columns: Mapping[str, str]) -> None:
        """Name the rows of some files of a table (as from `live_files`): `columns` (name to type) and `_date`."""

    def aside(self, name: str, of: Opened, aside: SetAside, columns: Mapping[str, str]) -> None:
        """Name rows that are set aside: `columns` (name to type) and `_date`."""

    def given(self, name: str, rows: "pa.Table") -> None:
        """Name some rows of this process."""

    def result(self, name: str, sql: str) -> None:
        """Name the result of a query."""

    def narrowed(self, others: Held, keys: str, types: Mapping[str, str], count: int) -> AbstractContextManager[Held]:
        """For the block, which reads it: the part of `others` in files that may have one of the keys.

        `keys` names a result with the columns of `types` (name to type) and about `count` rows.
        """

    def contested(self, rows: str, key: Sequence[str], differs: str) -> str:
        """SQL: `rows`, which is SQL too, without those that are alone with their key, unless `differs`. They may stay, too."""

    def changes(self, sql: str) -> Changes:
        """Run a query for rows whose state must change."""


@contextmanager
def look_up(session: "SparkSession", folder: DataFolder) -> Iterator[LookUp]:
    """Look up rows on a remote engine, or else on this machine. `folder` takes the files that this needs."""
    if is_remote(session):
        yield RemoteLookUp(session, folder)
    else:
        with connect(folder.root) as connection:
            yield LocalLookUp(connection, folder)


@dataclass
class LocalLookUp:
    """Looks up rows with DuckDB, in this process."""

    connection: "duckdb.DuckDBPyConnection"
    folder: DataFolder
    places: Sequence[str] = ()

    def live(self, name: str, of: Opened, files: Sequence[dict[str, Any]], columns: Mapping[str, str]) -> None:
        """Create a view."""
        files_view(self.connection, name, of.uri, files, dict(columns))

    def aside(self, name: str, of: Opened, aside: SetAside, columns: Mapping[str, str]) -> None:
        """Create a view."""
        landed_view(self.connection, name, of.uri, aside.files, dict(columns), aside.count, aside.places)

    def given(self, name: str, rows: "pa.Table") -> None:
        """Create a table."""
        self.connection.register("_given", rows)
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM _given")
        self.connection.unregister("_given")

    def result(self, name: str, sql: str) -> None:
        """Create a table."""
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {in_duckdb(sql)}")

    @contextmanager
    def narrowed(self, others: Held, keys: str, types: Mapping[str, str], count: int) -> Iterator[Held]:
        """Skip files by the bounds of their columns and by the key filter, which this extends."""
        folder, connection = self.folder, self.connection
        to_read = _within_bounds(connection, keys, types, others)
        known = key_filter(folder.root, folder.layer, folder.table, types) if is_worthwhile(sum(to_read.rows.values())) else None
        if known is not None:
            to_read = to_read.in_files(to_read.rows.keys() - known.files_without(connection, keys, to_read.rows))
        yield to_read
        if known is not None and is_worthwhile(sum(to_read.rows.values())):
            days = {day for (day,) in connection.execute(f"SELECT DISTINCT {DATE_COLUMN} FROM found_{OK}").fetchall()}
            # Where most files have one of the keys, a filter would not help the next time either.
            if 2 * sum(to_read.of(days).rows.values()) < sum(to_read.rows.values()):
                known.extend(connection, to_read.rows, kept=others.rows)

    def contested(self, rows: str, key: Sequence[str], differs: str) -> str:
        """Compare hashes, because a table of all keys may not fit into memory. Two keys of one hash are looked at in vain."""
        hashed = f"hash({', '.join(map(sql_name, key))})"
        several = f"count(*) > 1 OR bool_or({differs})"
        self.result("contested", f"SELECT {hashed} AS key FROM ({rows}) GROUP BY ALL HAVING {several}")
        return f"SELECT * FROM ({rows}) WHERE {hashed} IN (FROM contested)"

    def changes(self, sql: str) -> Changes:
        """Fetch the rows."""
        return _ChangesHere(self.connection, self.folder, self.connection.execute(in_duckdb(sql)).to_arrow_table())


@dataclass
class RemoteLookUp:
    """Looks up rows on the engine, by one query of which all named results are a part."""

    session: "SparkSession"
    folder: DataFolder
    places: Sequence[str] = (PLACE,)
    _files: dict[str, Any] = field(default_factory=dict)
    _results: dict[str, str] = field(default_factory=dict)

    def live(self, name: str, of: Opened, files: Sequence[dict[str, Any]], columns: Mapping[str, str]) -> None:
        """Name rows of files. A compacted file lacks the dates of its rows, so its date is read whole, and its rows have no place."""
        compacted = {f["date"] for f in files if not is_staged(f["path"])}
        parts = []
        if staged := [f["path"] for f in files if f["date"] not in compacted]:
            rows = read_parquet(self.session, of.uri, staged, {**columns, BATCH: "string", LANDED: "date"})
            folder_of_row = f"CONCAT({BATCH}, '/{VERDICT}={OK}/{DATE_COLUMN}=', CAST({LANDED} AS STRING))"
            place = path_of_row(self.session, of.uri) or folder_of_row
            parts.append(rows.selectExpr(*_quoted(columns), f"{LANDED} AS {DATE_COLUMN}", f"{place} AS {PLACE}"))
        if compacted:
            rows = read_partitions(self.session, of.uri, of.table, sorted(compacted))
            stored = {
                column: f"`{column}`" if column in rows.columns else f"CAST(NULL AS {columns[column]})" for column in columns
            }
            shown = [f"{sql} AS `{column}`" for column, sql in stored.items()]
            parts.append(rows.selectExpr(*shown, DATE_COLUMN, f"CAST(NULL AS STRING) AS {PLACE}"))
        self._files[name] = reduce(lambda one, other: one.unionByName(other), parts) if parts else self._nothing(columns)

    def aside(self, name: str, of: Opened, aside: SetAside, columns: Mapping[str, str]) -> None:
        """Name rows of files. The place of a row is its batch."""
        if not aside.batches:
            self._files[name] = self._nothing(columns)
            return
        rows = read_aside_rows(self.session, self.folder, of.uri, aside, {**columns, BATCH: "string"}, f"places-{name}")
        self._files[name] = rows.withColumnRenamed(BATCH, PLACE)

    def given(self, name: str, rows: "pa.Table") -> None:
        """Put the rows into a file."""
        self._files[name] = self.session.read.parquet(self.folder.put(rows, f"given-{name}"))

    def result(self, name: str, sql: str) -> None:
        """Name a part of the query."""
        self._results[name] = sql

    @contextmanager
    def narrowed(self, others: Held, keys: str, types: Mapping[str, str], count: int) -> Iterator[Held]:
        """Skip files by the bounds of their columns. A key filter is not used: this process would have to read and write it."""
        if count > FEW_KEYS:
            yield others
            return
        with connect(self.folder.root) as connection:
            connection.register(keys, self._query(f"SELECT * FROM {keys}").toArrow())
            yield _within_bounds(connection, keys, types, others)
            connection.unregister(keys)

    def contested(self, rows: str, key: Sequence[str], differs: str) -> str:
        """Keep all rows: the engine brings those of a key together once, to decide, and need not do so before."""
        return rows

    def changes(self, sql: str) -> Changes:
        """Let the engine write the rows to files, because it needs them more than once."""
        folder, found = self.folder, self._query(sql)
        path = f"{folder.layer}/{folder.table}/{folder.name}/changes"
        found.write.parquet(folder.root.path(path))
        if not any(file.endswith(".parquet") for file, _ in folder.root.files(path)):
            return _ChangesThere(found.where("FALSE"))
        return _ChangesThere(self.session.read.schema(found.schema).parquet(folder.root.path(path)))

    def _query(self, sql: str) -> "DataFrame":
        """Return the result of SQL over the named relations."""
        named = {name: f"SELECT * FROM {{{name}}}" for name in self._files} | {
            n: _escaped(sql) for n, sql in self._results.items()
        }
        parts = ", ".join(f"{name} AS ({part})" for name, part in named.items())
        return self.session.sql(f"WITH {parts} {_escaped(sql)}", **self._files)

    def _nothing(self, columns: Mapping[str, str]) -> "DataFrame":
        """Return no rows, in the form of those of files."""
        types = {**columns, DATE_COLUMN: "date", PLACE: "string"}
        nulls = ", ".join(f"CAST(NULL AS {kind}) AS `{name}`" for name, kind in types.items())
        return self.session.sql(f"SELECT {nulls} WHERE FALSE")


@dataclass(frozen=True)
class _ChangesHere:
    """Rows that this process has."""

    connection: "duckdb.DuckDBPyConnection"
    folder: DataFolder
    found: "pa.Table"

    def among(self, current: Held) -> Held:
        """Look for the rows by their identity."""
        if not self.found.num_rows:
            return Held([], SetAside())
        connection, own = self.connection, typed_columns((FEED, FILE, ROW, ITEM))
        uri = self.folder.root.table(self.folder.layer, self.folder.table)
        changed = current.of(set(self.found.column(DATE_COLUMN).to_pylist()))
        by_path = {f"{uri}/{f['path']}": f for f in changed.files}
        superseded = changed.aside.with_reason(SUPERSEDED)
        rows = sum(f["num_records"] for f in changed.files)
        live = rows_of_files(list(by_path), own, rows, {"_path": "filename"})
        landed_view(connection, "by_batch", uri, superseded.files, {**own, BATCH: "string"}, superseded.count, superseded.places)
        connection.register("changes", self.found)
        # The date is compared here: a join with it would keep DuckDB from skipping row groups by the other columns.
        places = connection.execute(
            f"SELECT DISTINCT _path, {DATE_COLUMN} FROM ({live}) JOIN changes USING ({', '.join(own)})"
        ).fetchall()
        same_row = f"SEMI JOIN changes USING ({', '.join(IDENTITY)})"
        batches = set(connection.execute(f"SELECT DISTINCT {BATCH}, {DATE_COLUMN} FROM by_batch {same_row}").fetchall())
        connection.unregister("changes")
        files = [file for path, day in places if (file := by_path[path])["date"] == day]
        return Held(files, superseded.of_places(batches))

    def in_engine(self, session: "SparkSession") -> "DataFrame":
        """Put the rows into a file."""
        return session.read.parquet(self.folder.put(self.found, "changes"))


@dataclass(frozen=True)
class _ChangesThere:
    """Rows that the engine has written to files, with `_place`."""

    found: "DataFrame"

    def among(self, current: Held) -> Held:
        """Ask for the places of the rows."""
        places = {(row[0], row[1]) for row in self.found.select(PLACE, DATE_COLUMN).distinct().collect()}
        files = [f for f in current.files if not places.isdisjoint((place, f["date"]) for place in _places(f["path"]))]
        return Held(files, current.aside.with_reason(SUPERSEDED).of_places(places))

    def in_engine(self, session: "SparkSession") -> "DataFrame":
        """Return the rows where they are."""
        return self.found


def _places(path: str) -> tuple[str | None, ...]:
    """Return what `PLACE` may be for the rows of a live file."""
    folder = path.rpartition("/")[0].removesuffix(split_folder(path))
    return (path, folder) if is_staged(path) else (None,)


def _within_bounds(connection: "duckdb.DuckDBPyConnection", keys: str, types: Mapping[str, str], others: Held) -> Held:
    """Return the part in files that may have one of the keys, by the bounds of their columns."""
    bounds = {file["path"]: file["bounds"] for file in others.files} | others.aside.bounds
    possible = files_with_keys(connection, keys, types, list(bounds.values()))
    return others.in_files({file for file, may_have in zip(bounds, possible, strict=True) if may_have})


def _quoted(names: Iterable[str]) -> list[str]:
    return [f"`{name}`" for name in names]


def _escaped(sql: str) -> str:
    """SQL as the text of a format."""
    return sql.replace("{", "{{").replace("}", "}}")
