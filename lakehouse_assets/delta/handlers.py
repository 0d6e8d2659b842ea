"""Handlers of the typed Delta IO manager: one for each type that an asset may return or take.

A handler writes exactly the partitions of the run and reads only the requested ones. The annotation of the asset's function picks
the handler. To support a new type, add a handler to the list that `definitions.py` passes to the IO manager.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from logging import Logger
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from deltalake import DeltaTable

from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.delta.data_files import data_folder, read_partitions
from lakehouse_assets.delta.tables import (
    Commit,
    commit_files,
    dates_predicate,
    ensure_table,
    last_commit,
    live_files,
    newest_table,
    open_table,
    replace_rows,
)
from lakehouse_assets.errors import PartitionGuardError
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """The partitions of a table that a run writes, and what a handler needs to write them."""

    root: Root
    layer: str
    name: str
    dates: Sequence[date]
    run_id: str
    log: Logger
    description: str | None = None

    @property
    def uri(self) -> str:
        """The URI of the table."""
        return self.root.table(self.layer, self.name)

    @property
    def key(self) -> str:
        """The default idempotency key of a write: the run, the table and the partitions."""
        days = "..".join(sorted({d.isoformat() for d in (min(self.dates), max(self.dates))}))
        return f"{self.run_id}/{self.layer}/{self.name}/{days}"


@dataclass(frozen=True)
class Source:
    """The partitions and columns of a table that a step reads. `dates` or `columns` of None means all."""

    root: Root
    layer: str
    name: str
    dates: Sequence[date] | None
    columns: Sequence[str] | None

    @property
    def uri(self) -> str:
        """The URI of the table."""
        return self.root.table(self.layer, self.name)


@dataclass(frozen=True)
class Written:
    """The result of a write: the commit, and metadata of the whole write and of each partition.

    `files` are the landing files of the partitions that were built, if it read landing: date, name, bytes and rows of each.
    """

    commit: Commit
    metadata: dict[str, Any] = field(default_factory=dict)
    by_date: dict[date, dict[str, Any]] = field(default_factory=dict)
    files: Sequence[tuple[date, str, int, int]] = ()


class Handler(ABC, Generic[T]):
    """Writes and reads one Python type. `type_name` is its full name, so that an unused type is never imported."""

    type_name: str

    def handles(self, annotation: object) -> bool:
        """Whether an annotation is the handler's type or a subclass of it."""
        bases = annotation.__mro__ if isinstance(annotation, type) else ()
        return any(f"{base.__module__}.{base.__qualname__}" == self.type_name for base in bases)

    @abstractmethod
    def write(self, rows: T, target: Target) -> Written:
        """Replace the target's partitions with `rows`, in one commit.

        Raises:
            PartitionGuardError: a row lies outside the target's partitions; nothing was written.
        """

    @abstractmethod
    def read(self, source: Source) -> T:
        """The rows of the source's partitions.

        Raises:
            FileNotFoundError: there is no such table yet.
        """


class ArrowHandler(Handler[Any]):
    """Handles an in-memory type that converts to and from Arrow. delta-rs writes it."""

    def __init__(
        self, type_name: str, to_arrow: "Callable[[Any], pa.Table | pa.RecordBatchReader]", from_arrow: Callable[[Any], Any]
    ) -> None:
        self.type_name = type_name
        self._to_arrow = to_arrow
        self._from_arrow = from_arrow

    def write(self, rows: Any, target: Target) -> Written:
        """See `Handler.write`."""
        arrow = self._to_arrow(rows)
        refuse_without_date(arrow.schema.names, target)
        return Written(
            replace_rows(
                target.uri,
                arrow,
                predicate=dates_predicate(target.dates),
                key=target.key,
                run_id=target.run_id,
                description=target.description,
            )
        )

    def read(self, source: Source) -> Any:
        """See `Handler.read`."""
        import pyarrow.dataset as arrow_dataset

        table = open_table(source.uri)
        if table is None:
            raise missing_table(source)
        date_filter = None if source.dates is None else arrow_dataset.field(DATE_COLUMN).isin(list(source.dates))
        scanner = table.to_pyarrow_dataset().scanner(columns=source.columns and list(source.columns), filter=date_filter)
        return self._from_arrow(scanner.to_reader())


def arrow_handlers() -> list[Handler[Any]]:
    """The handlers of pyarrow's Table and RecordBatchReader, Polars' and pandas' DataFrame, and DuckDB's relation."""
    return [
        ArrowHandler("pyarrow.lib.Table", _same, lambda reader: reader.read_all()),
        ArrowHandler("pyarrow.lib.RecordBatchReader", _same, _same),
        ArrowHandler("polars.dataframe.frame.DataFrame", lambda frame: frame.to_arrow(), _to_polars),
        ArrowHandler("pandas.core.frame.DataFrame", _from_pandas, lambda reader: reader.read_all().to_pandas()),
        ArrowHandler("_duckdb.DuckDBPyRelation", lambda relation: relation.to_arrow_table(), _to_duckdb),
    ]


class SparkHandler(Handler["DataFrame"]):
    """Handles a Spark DataFrame: the engine computes and writes the files, delta-rs commits them.

    `session` is called only when rows are written or read.
    """

    type_name = "pyspark.sql.dataframe.DataFrame"

    def __init__(self, session: "Callable[[], SparkSession]") -> None:
        self._session = session

    def write(self, rows: "DataFrame", target: Target) -> Written:
        """See `Handler.write`."""
        from pyspark.sql.pandas.types import to_arrow_schema

        refuse_without_date(rows.columns, target)
        ensure_table(target.uri, to_arrow_schema(rows.schema), target.description)
        table = DeltaTable(target.uri)  # the current version: any later commit of another writer makes the one below fail
        version, key = last_commit(target.uri)
        if key == target.key:
            return Written(Commit(version, changed=False))
        with data_folder(target.root, target.layer, target.name, target.run_id) as folder:
            files = folder.write(rows, "rows", DATE_COLUMN)
            if any(file.date not in target.dates for file in files):
                raise outside_partitions(target)
            removed = [file for file in live_files(table) if file["date"] in target.dates]
            with folder.committing(file.path for file in files):
                return Written(commit_files(table, files, removed, key=target.key, run_id=target.run_id))

    def read(self, source: Source) -> "DataFrame":
        """See `Handler.read`. The frame keeps reading the table's current version."""
        table = newest_table(source.uri)
        if table is None:
            raise missing_table(source)
        rows = read_partitions(self._session(), source.uri, table, source.dates)
        return rows.select(*source.columns) if source.columns is not None else rows


def refuse_without_date(columns: Sequence[str], target: Target) -> None:
    """Check that the columns include `_date`, by which every table is partitioned.

    Raises:
        PartitionGuardError: there is no such column.
    """
    if DATE_COLUMN not in columns:
        raise PartitionGuardError(
            f"Rows for {target.layer}/{target.name} have no column {DATE_COLUMN} (date), by which every table is partitioned: "
            f"add it to what the asset returns. Its columns are {', '.join(columns)}."
        )


def outside_partitions(target: Target) -> PartitionGuardError:
    """The error for rows of dates that the run does not cover."""
    days = f"{min(target.dates)}" if len(target.dates) == 1 else f"{min(target.dates)} to {max(target.dates)}"
    return PartitionGuardError(
        f"Rows to be written to {target.uri} lie outside the partitions of the run ({days}): nothing was written. "
        "Start the run for their dates too, or fix the asset that returned them."
    )


def missing_table(source: Source) -> FileNotFoundError:
    """The error for a table that does not exist yet."""
    return FileNotFoundError(f"There is no table {source.layer}/{source.name} yet: materialize that asset first.")


def _same(rows: Any) -> Any:
    return rows


def _to_polars(reader: "pa.RecordBatchReader") -> Any:
    import polars

    return polars.from_arrow(reader.read_all())


def _from_pandas(frame: Any) -> "pa.Table":
    import pyarrow as pa

    return pa.Table.from_pandas(frame, preserve_index=False)


def _to_duckdb(reader: "pa.RecordBatchReader") -> Any:
    import duckdb

    return duckdb.connect().from_arrow(reader.read_all())
