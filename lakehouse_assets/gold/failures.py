"""Which rows broke a dbt test: counts by date, and a few examples with the columns that identify them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.provenance import DATE_COLUMN

if TYPE_CHECKING:
    import duckdb

_ROWS_SHOWN = 10
_NAMED = 3
_IDENTIFYING = ("_id", "_number", "_key")


@dataclass(frozen=True)
class FailingRows:
    """The rows that a test's query returned: counts by date, and the first rows."""

    by_date: Mapping[date | None, int]
    examples: Sequence[Mapping[str, object]]

    def sentence(self) -> str:
        """Summarize them, such as `2 rows, on 2026-01-31: order_id SO1; order_id SO2`."""
        rows = self.rows
        days = [str(day) for day in self.by_date if day is not None]
        on = f", on {_first(days, ', ')}" if days else ""
        named = list(dict.fromkeys(_name(row) for row in self.examples))
        return f"{rows} row{'s' if rows != 1 else ''}{on}: {_first(named, '; ')}"

    @property
    def rows(self) -> int:
        """How many rows the query returned."""
        return sum(self.by_date.values())


def failing_rows(connection: "duckdb.DuckDBPyConnection", test: Mapping[str, Any], sql: str) -> FailingRows | None:
    """Run a test's query in the run's database, which `connection` uses. Returns None if the query returns no rows now.

    `test` is the test's node in dbt's manifest. A test of one column shows only that column and those that identify the row,
    because other columns may hold personal data.
    """
    columns = [row[0] for row in connection.execute(f"DESCRIBE ({sql}\n)").fetchall()]
    tested = test.get("column_name")
    shown = [c for c in columns if tested is None or c in {tested, DATE_COLUMN} or c.endswith(_IDENTIFYING)] or columns
    day = DATE_COLUMN if DATE_COLUMN in columns else "CAST(NULL AS DATE)"
    by_date = dict(connection.execute(f"SELECT {day}, count(*) FROM ({sql}\n) GROUP BY ALL ORDER BY ALL").fetchall())
    listed = ", ".join(f'"{c}"' for c in shown)
    rows = connection.execute(f"SELECT {listed} FROM ({sql}\n) ORDER BY ALL LIMIT {_ROWS_SHOWN}").fetchall()
    return FailingRows(by_date, [dict(zip(shown, row, strict=True)) for row in rows]) if rows else None


def _name(row: Mapping[str, object]) -> str:
    """Name a row by its source ids and numbers, or by its first column if it has none."""
    own = {c: value for c, value in row.items() if c.endswith(("_id", "_number"))}
    return ", ".join(f"{c} {'NULL' if value is None else value}" for c, value in (own or dict([next(iter(row.items()))])).items())


def _first(parts: Sequence[str], separator: str) -> str:
    more = len(parts) - _NAMED
    return separator.join(parts[:_NAMED]) + (f" and {more} more" if more > 0 else "")
