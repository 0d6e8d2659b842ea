"""What each run did to each table, and what it cost. A Delta table, `ops/runs`: one row a run and table.

Dagster's own history is deleted after a while; this one stays. A run writes all its rows at its end, in one commit, so a run that was
killed has none. Nothing depends on it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from deltalake.exceptions import CommitFailedError

from lakehouse_assets.delta.duck import rows_of_layout
from lakehouse_assets.delta.tables import append_rows, compact, file_paths, live_files, newest_table
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import pyarrow as pa

BUILT, UNCHANGED, FAILED, SKIPPED = "built", "unchanged", "failed", "skipped"

_COLUMNS = {
    "run_id": "VARCHAR",
    "layer": "VARCHAR",
    "table_name": "VARCHAR",
    "status": "VARCHAR",
    "started": "TIMESTAMPTZ",
    "seconds": "DOUBLE",
    "first_date": "DATE",
    "last_date": "DATE",
    "dates": "BIGINT",
    "rows_in": "BIGINT",
    "rows_out": "BIGINT",
    "rows_quarantined": "BIGINT",
    "rows_superseded": "BIGINT",
    "bytes": "BIGINT",
    "engine": "VARCHAR",
    "error": "VARCHAR",
}
"""The columns of the view `ops.runs`, with DuckDB's types."""

_MAX_FILES = 32
"""With more files, a run compacts those of its month, so that a query opens few files however many runs there were."""


@dataclass
class TableRun:
    """What a run did to a table. Mutable, because the run fills it in as it goes.

    `status` is `built`; `unchanged`, if no row had to change; `failed`, with the reason in `error`; or `skipped`, if a table that it
    reads failed or was never written. `layer` of a table that was published is the target's name. `started` is in UTC.

    `dates` counts the partitions that the run built, from `first_date` to `last_date`. Row accounts and `bytes`, the size of the files,
    are of these partitions as they stand after the run. `rows_in` is None where rows can't add up. `seconds` are those of the table
    itself, without its checks.
    """

    run_id: str
    layer: str
    table_name: str
    status: str
    started: datetime
    seconds: float = 0.0
    first_date: date | None = None
    last_date: date | None = None
    dates: int = 0
    rows_in: int | None = None
    rows_out: int = 0
    rows_quarantined: int = 0
    rows_superseded: int = 0
    bytes: int = 0
    engine: str = ""
    error: str | None = None

    def covers(self, dates: Sequence[date]) -> None:
        """Note the partitions that the run built."""
        self.dates = len(dates)
        self.first_date, self.last_date = min(dates, default=None), max(dates, default=None)


@dataclass(frozen=True)
class Runs:
    """Adds to the history of runs of a root, and reads it."""

    root: Root

    @property
    def uri(self) -> str:
        """The URI of the Delta table."""
        return self.root.path("ops", "runs")

    def add(self, runs: Sequence[TableRun]) -> None:
        """Add what a run did to its tables."""
        import pyarrow as pa

        if not runs:
            return
        rows = pa.Table.from_pylist([{**asdict(run), "month": f"{run.started:%Y-%m}"} for run in runs], schema=_schema())
        append_rows(self.uri, rows, run_id=runs[0].run_id, partition_by=("month",), description=_DESCRIPTION)
        table = newest_table(self.uri)
        if table is not None and len(live_files(table)) > _MAX_FILES:
            with suppress(CommitFailedError):  # another run was first; the next one tries again
                compact(table, run_id=runs[0].run_id)

    def sql(self) -> str:
        """SQL for all rows, with the columns of `ops.runs`."""
        table = newest_table(self.uri)
        files = file_paths(table, self.uri) if table is not None else []
        return f"SELECT {', '.join(_COLUMNS)} FROM ({rows_of_layout(files, _COLUMNS)})"


def _schema() -> "pa.Schema":
    import pyarrow as pa

    types = {
        "VARCHAR": pa.string(),
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "DATE": pa.date32(),
        "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    }
    return pa.schema([*((name, types[kind]) for name, kind in _COLUMNS.items()), ("month", pa.string())])


_DESCRIPTION = "What each run did to each table, and what it cost"
