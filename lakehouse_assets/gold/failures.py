"""Which rows broke a dbt test: their number by date, and a few of them by what a person finds them by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.markdown import markdown_table

if TYPE_CHECKING:
    import duckdb

_ROWS_SHOWN = 10
_NAMED = 3
_IDENTIFYING = ("_id", "_number", "_key")


@dataclass(frozen=True)
class FailingRows:
    """What a test's query found: rows by date, and the first of them, by column."""

    by_date: Mapping[date | None, int]
    examples: Sequence[Mapping[str, object]]

    def sentence(self) -> str:
        """Such as `2 rows, on 2026-01-31: order_id SO1; order_id SO2`."""
        rows = sum(self.by_date.values())
        days = [str(day) for day in self.by_date if day is not None]
        on = f", on {_first(days, ', ')}" if days else ""
        named = list(dict.fromkeys(_name(row) for row in self.examples))
        return f"{rows} row{'s' if rows != 1 else ''}{on}: {_first(named, '; ')}"

    def table(self) -> str:
        """The examples as a Markdown table, and how many more rows there are."""
        columns = list(self.examples[0])
        return markdown_table(columns, [list(row.values()) for row in self.examples], sum(self.by_date.values()))


def failing_rows(connection: "duckdb.DuckDBPyConnection", test: Mapping[str, Any], sql: str) -> FailingRows | None:
    """The rows that a test's query finds in the run's database, which `connection` has in use; None where it finds none now.

    `test` is the test in dbt's manifest. Of the whole rows that a test of one column finds, only that column is shown and those that
    identify the row: others may be personal.
    """
    columns = [row[0] for row in connection.execute(f"DESCRIBE ({sql}\n)").fetchall()]
    tested = test.get("column_name")
    shown = [c for c in columns if tested is None or c in {tested, DATE_COLUMN} or c.endswith(_IDENTIFYING)] or columns
    day = DATE_COLUMN if DATE_COLUMN in columns else "CAST(NULL AS DATE)"
    by_date = dict(connection.execute(f"SELECT {day}, count(*) FROM ({sql}\n) GROUP BY ALL ORDER BY ALL").fetchall())
    listed = ", ".join(f'"{c}"' for c in shown)
    found = connection.execute(f"SELECT {listed} FROM ({sql}\n) ORDER BY ALL LIMIT {_ROWS_SHOWN}").fetchall()
    return FailingRows(by_date, [dict(zip(shown, row, strict=True)) for row in found]) if found else None


def _name(row: Mapping[str, object]) -> str:
    """A row by the source's own names for it; where it has none, by its first column."""
    own = {c: value for c, value in row.items() if c.endswith(("_id", "_number"))}
    return ", ".join(f"{c} {'NULL' if value is None else value}" for c, value in (own or dict([next(iter(row.items()))])).items())


def _first(parts: Sequence[str], between: str) -> str:
    more = len(parts) - _NAMED
    return between.join(parts[:_NAMED]) + (f" and {more} more" if more > 0 else "")
