"""The rows in quarantine: grouped for display, or exported to a file."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.delta.duck import new_connection
from lakehouse_assets.errors import QueryError
from lakehouse_assets.serving.query import open_views
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import duckdb

FORMATS = {".csv": "FORMAT csv, HEADER", ".parquet": "FORMAT parquet", ".json": "FORMAT json, ARRAY true"}
"""The export formats by file suffix, as options of DuckDB's COPY."""


@dataclass(frozen=True)
class Choice:
    """A filter on the quarantine: rows must match all fields that are given. `first` and `last` are dates, both inclusive."""

    layer: str | None = None
    table: str | None = None
    first: date | None = None
    last: date | None = None
    rule: str | None = None
    file: str | None = None


_CHOSEN = """($layer IS NULL OR layer = $layer) AND ($table IS NULL OR table_name = $table)
    AND ($first IS NULL OR date >= $first) AND ($last IS NULL OR date <= $last)
    AND ($rule IS NULL OR rule = $rule) AND ($file IS NULL OR source_file = $file)"""


def refused_files(root: Root, run_ids: Collection[str]) -> list[dict[str, Any]]:
    """The files that some runs refused as a whole: `table_name`, `date`, `source_file`, `rule`, `reason`."""
    connection = new_connection(root)
    open_views(connection, root, {("quarantine", "rows")})
    found = connection.execute(
        """SELECT DISTINCT table_name, date, source_file, rule, reason FROM quarantine.rows
            WHERE layer = 'raw' AND row_number IS NULL AND list_contains($runs, run_id) ORDER BY ALL""",
        {"runs": list(run_ids)},
    )
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def quarantined(root: Root, catalog: Catalog, choice: Choice, samples: int) -> list[dict[str, Any]]:
    """Group the rows by `layer`, `table_name`, `date`, `rule`, `reason`, each with a count, `rows`, and up to `samples` samples.

    A sample has `source_file`, `row_number`, `item_number` (0 if the row is not an item of another) and `payload`, the original
    text.

    Raises:
        QueryError: there is no such table or rule.
    """
    with _connection(root, catalog, choice) as connection:
        groups = connection.execute(
            f"""SELECT layer, table_name, date, rule, reason, CAST(sum(rows) AS BIGINT) AS rows,
                    list({{source_file: source_file, row_number: row_number, item_number: coalesce(item_number, 0), payload: payload}}
                         ORDER BY source_file, row_number, item_number)[1:$samples] AS samples
                FROM quarantine.rows WHERE {_CHOSEN}
                GROUP BY ALL ORDER BY layer, table_name, date, rule, reason""",
            {**asdict(choice), "samples": samples},
        )
        names = [c[0] for c in groups.description or []]
        return [dict(zip(names, row, strict=True)) for row in groups.fetchall()]


def export(root: Root, catalog: Catalog, choice: Choice, file: Path, *, overwrite: bool = False) -> int:
    """Write the rows, with all columns of `quarantine.rows`, to a file; its suffix gives the format. Returns the number of rows.

    Raises:
        QueryError: the suffix is not in `FORMATS`, the file exists or can't be written, or there is no such table or rule.
    """
    if file.suffix.lower() not in FORMATS:
        raise QueryError(f"{file}: rows can be exported as {', '.join(FORMATS)}. Give the file one of these suffixes.")
    if file.exists() and not overwrite:
        raise QueryError(f"{file} already exists. Name another file, or overwrite it with --force.")
    if not file.parent.is_dir():
        raise QueryError(f"{file.parent} is not a folder. Create it first.")
    with _connection(root, catalog, choice) as connection:
        try:
            return _write(connection, choice, file)
        except OSError as error:
            raise QueryError(
                f"{file} can't be written: {error.strerror}. Name a file in a folder that you can write to."
            ) from None


def _write(connection: "duckdb.DuckDBPyConnection", choice: Choice, file: Path) -> int:
    """Write the file atomically: an existing file stays until the new one is complete."""
    with TemporaryDirectory(prefix=".lakehouse-", dir=file.parent) as folder:
        written = Path(folder, file.name)
        counted = connection.execute(
            f"""COPY (FROM quarantine.rows WHERE {_CHOSEN} ORDER BY layer, table_name, date, source_file, row_number)
                TO $written ({FORMATS[file.suffix.lower()]})""",
            {**asdict(choice), "written": str(written)},
        ).fetchone()
        written.replace(file)
    return int(counted[0]) if counted else 0


@contextmanager
def _connection(root: Root, catalog: Catalog, choice: Choice) -> "Iterator[duckdb.DuckDBPyConnection]":
    """Open a connection with the views of the books, and check that the table and rule of the filter exist."""
    with new_connection(root) as connection:
        open_views(connection, root, {("quarantine", "rows")})
        quarantined_pairs = connection.execute("SELECT DISTINCT table_name, rule FROM quarantine.rows").fetchall()
        tables = {f.table for f in catalog.feeds} | {t.name for t in catalog.tables} | {table for table, _ in quarantined_pairs}
        rules = {r.name for t in catalog.tables for r in t.all_rules if r.outcome == "drop"}
        rules |= {r.name for t in catalog.tables for r in t.contract.waits_for} | {rule for _, rule in quarantined_pairs}
        _refuse_unknown("table", choice.table, tables)
        _refuse_unknown("rule", choice.rule, rules)
        yield connection


def _refuse_unknown(what: str, name: str | None, known: Collection[str]) -> None:
    if name is not None and name not in known:
        raise QueryError(f"{name!r} is not a {what} that sends rows to quarantine. Known are: {', '.join(sorted(known))}.")
