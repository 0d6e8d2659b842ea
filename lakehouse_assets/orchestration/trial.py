"""What changed code would change: all tables are built on the side over the same landing, and compared with those that are live.

The trial's root is a folder below `ops/trials` of the live one, so whatever engine and store serve the lakehouse serve the trial. It
reads the live landing and copies nothing of it; it publishes nothing, and is deleted at the end.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable

from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.delta.duck import column_types, new_connection, table_view
from lakehouse_assets.delta.tables import open_table, sql_name
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.orchestration.in_process import SyncResult, Tell
from lakehouse_assets.serving.changes import differing_rows, key_of
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import duckdb

_TRIALS = "ops/trials"
_STAMP = "%Y%m%dT%H%M%S"
_KEPT = timedelta(days=1)
"""A trial older than this was killed: the next one deletes it."""

_ADDITIVE = ("decimal", "double", "float")
"""Arrow's types of columns whose sum says something: counts and keys are whole numbers, of which most sums say nothing."""


@dataclass(frozen=True)
class TableDifference:
    """How a table would differ: rows by what would become of them, and for each column how many changed rows have another value.

    `totals` are the sums that move, by column: as it is live, and as it would be. `only` is "live" or "trial" if only that one has
    the table.
    """

    layer: str
    table: str
    added: int = 0
    gone: int = 0
    changed: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    only: str | None = None

    @property
    def differs(self) -> bool:
        """Whether a row or the table itself would differ."""
        return bool(self.added or self.gone or self.changed or self.only)


@dataclass(frozen=True)
class Trial:
    """What a trial has shown: a difference for each silver and gold table, and why tables could not be built."""

    tables: tuple[TableDifference, ...]
    errors: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the trial as plain values."""
        return {"tables": [asdict(t) for t in self.tables if t.differs], "errors": list(self.errors)}


def try_out(settings: Settings, catalog: Catalog, tell: Tell) -> Trial:
    """Build all tables over the same landing with the current code, and compare them with the live ones.

    Raises:
        LakehouseError: the trial could not be built at all; what the command said stands above.
    """
    with _scratch(settings.root) as root:
        tell(f"Building all tables in {root.uri}, over the live landing")
        result = _build(settings, root)
        errors = [f"{t.layer}/{t.table}: {t.error}" for t in result.tables if t.error] + result.failed_checks
        manifest = settings.gold_project.manifest()
        failed = {(t.layer, t.table) for t in result.tables if t.error}
        names = [
            (layer, name)
            for layer in ("silver", "gold")
            for name in sorted({*settings.root.table_names(layer), *root.table_names(layer)})
            if (layer, name) not in failed
        ]
        tables = []
        for layer, name in names:
            key = key_of(layer, name, catalog, manifest)
            tables.append(compare(settings.root, root, layer, name, key))
        return Trial(tuple(tables), tuple(errors))


def compare(live_root: Root, trial_root: Root, layer: str, name: str, key: Sequence[str]) -> TableDifference:
    """Compare a table of two roots. Columns that say where a row is from don't count."""
    live, trial = ((root.table(layer, name), open_table(root.table(layer, name))) for root in (live_root, trial_root))
    if live[1] is None or trial[1] is None:
        return TableDifference(layer, name, only="trial" if live[1] is None else "live")
    before, after = (live[0], live[1]), (trial[0], trial[1])
    with new_connection(live_root) as connection:
        connection.execute(f"CREATE TEMP TABLE differing AS {differing_rows(before, after, key)}")
        counts = dict(connection.execute("SELECT _change, count(*) FROM differing GROUP BY 1").fetchall())
        columns = connection.execute(
            "SELECT name, count(*) FROM (SELECT unnest(map_keys(_was)) AS name FROM differing WHERE _change = 'changed')"
            " GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
        totals = _totals(connection, before, after) if counts and layer == "gold" else {}
    return TableDifference(
        layer, name, counts.get("added", 0), counts.get("gone", 0), counts.get("changed", 0), dict(columns), totals
    )


def _totals(
    connection: "duckdb.DuckDBPyConnection", before: tuple[str, DeltaTable], after: tuple[str, DeltaTable]
) -> dict[str, tuple[float | None, float | None]]:
    """Return the sums of amounts that differ, by column, before and after."""
    types = [column_types(table) for _, table in (before, after)]
    summed = [column for column, kind in types[1].items() if kind.startswith(_ADDITIVE) and column in types[0]]
    if not summed:
        return {}
    sums = ", ".join(f"sum({sql_name(column)})::DOUBLE" for column in summed)

    def row(view: str, uri: str, table: DeltaTable) -> tuple[float | None, ...]:
        table_view(connection, view, uri, table)
        return connection.execute(f"SELECT {sums} FROM {view}").fetchall()[0]

    pairs = zip(row("_before", *before), row("_after", *after), strict=True)
    return {column: pair for column, pair in zip(summed, pairs, strict=True) if pair[0] != pair[1]}


def _build(settings: Settings, root: Root) -> SyncResult:
    """Run `lakehouse sync` in the trial's root; its progress goes to stderr as ever."""
    with tempfile.TemporaryDirectory(prefix="lakehouse-trial-") as home:
        environment = {
            **os.environ,
            "LAKEHOUSE_ROOT": root.uri,
            "LAKEHOUSE_LANDING_ROOT": settings.root.of_landing.uri,
            # Nobody but the trial is to know of it.
            "DAGSTER_HOME": home,
            "LAKEHOUSE_POSTGRES_URL": "",
            "LAKEHOUSE_ICEBERG_CATALOG": "",
        }
        command = [sys.executable, "-c", "from lakehouse_assets.cli import main; main()", "sync", "--json"]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    try:
        return SyncResult.from_json(json.loads(done.stdout))
    except json.JSONDecodeError:
        raise LakehouseError("The trial could not be built: see above.") from None


@contextmanager
def _scratch(live: Root) -> Iterator[Root]:
    """A root for a trial, deleted at the end; so are those of trials that were killed."""
    now = datetime.now(UTC)
    old = {path.split("/")[2] for path, _ in live.files(_TRIALS)}
    for name in old:
        if _is_left_over(name, now):
            _delete(live, f"{_TRIALS}/{name}")
    name = f"{now.strftime(_STAMP)}-{secrets.token_hex(4)}"
    root = Root(live.path(_TRIALS, name), live.of_landing.uri)
    if root.local_folder is not None:
        root.local_folder.mkdir(parents=True)
    try:
        yield root
    finally:
        _delete(live, f"{_TRIALS}/{name}")


def _is_left_over(name: str, now: datetime) -> bool:
    try:
        began = datetime.strptime(name.partition("-")[0], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return False  # nobody's trial
    return now - began > _KEPT


def _delete(root: Root, prefix: str) -> None:
    """Delete all objects below a prefix; of a folder, its subfolders too."""
    if root.local_folder is not None:
        shutil.rmtree(root.local_folder / prefix, ignore_errors=True)
        return
    root.delete([path for path, _ in root.files(prefix)])
