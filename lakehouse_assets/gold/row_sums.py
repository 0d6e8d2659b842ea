"""Sums over the rows of each partition of a model, by which two builds are compared without reading the one that is live.

The commit that publishes a model has the sums in its metadata, and they hold for exactly that version of the table. If the newest
version is of anybody else, restored, or of other columns, the live table is read.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.provenance import DATE_COLUMN
from lakehouse_assets.delta.duck import table_view
from lakehouse_assets.delta.tables import dates_predicate, sql_name

if TYPE_CHECKING:
    import duckdb
    from deltalake import DeltaTable


@dataclass(frozen=True)
class RowSums:
    """By date (ISO 8601): the number of rows, and a sum of their hashes. Equal rows in any order have the same.

    `columns` are the columns with their types, in order; `hashed_by` names the program, because only it finds the same hashes again.
    """

    hashed_by: str
    columns: str
    by_date: dict[str, str]

    def is_comparable(self, other: "RowSums") -> bool:
        """Whether equal rows have equal sums in both."""
        return (self.hashed_by, self.columns) == (other.hashed_by, other.columns)

    def differing(self, other: "RowSums") -> list[date]:
        """Return the dates on which the rows differ from those of comparable sums."""
        return sorted({date.fromisoformat(day) for day, _ in self.by_date.items() ^ other.by_date.items()})

    def with_dates(self, dates: Collection[date], computed: "RowSums") -> "RowSums":
        """Return these sums with those of some dates as `computed` has them; a date that it lacks has no rows."""
        replaced = {day.isoformat() for day in dates}
        kept = {day: total for day, total in self.by_date.items() if day not in replaced}
        return replace(self, by_date=dict(sorted((kept | computed.by_date).items())))

    def to_json(self) -> str:
        """Return the text that is kept with the commit."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | None) -> "RowSums | None":
        """Return the sums that a commit has, if any."""
        return None if text is None else cls(**json.loads(text))


def built_sums(connection: "duckdb.DuckDBPyConnection", name: str, dates: Collection[date] | None = None) -> RowSums:
    """Return the sums of a model in the run's database, of all dates or of some."""
    columns = connection.execute(f"DESCRIBE gold.{name}").fetchall()
    chosen = f"gold.{name}" if dates is None else f"(FROM gold.{name} WHERE {dates_predicate(dates) if dates else 'FALSE'})"
    return _sums(connection, chosen, [column for column, *_ in columns], columns)


def live_sums(connection: "duckdb.DuckDBPyConnection", uri: str, table: "DeltaTable", name: str) -> RowSums:
    """Return the sums of a live table over the columns of the model in the run's database."""
    known = {field.name for field in table.schema().fields}
    view_of_live(connection, uri, table, name)
    columns = connection.execute(f"DESCRIBE gold.{name}").fetchall()
    sums = _sums(connection, f"memory.live.{name}", [column for column, *_ in columns if column in known], columns)
    # A column that the table does not have yet makes every partition differ.
    return sums if known.issuperset(column for column, *_ in columns) else replace(sums, by_date=dict.fromkeys(sums.by_date, ""))


def view_of_live(connection: "duckdb.DuckDBPyConnection", uri: str, table: "DeltaTable", name: str) -> None:
    """Create `memory.live.<name>`, the rows of a live table."""
    # Drop it first: an earlier attempt may have left a table instead of a view.
    connection.execute("DROP SCHEMA IF EXISTS memory.live CASCADE; CREATE SCHEMA memory.live")
    table_view(connection, f"memory.live.{name}", uri, table)


def _sums(
    connection: "duckdb.DuckDBPyConnection", relation: str, hashed: Iterable[str], columns: list[tuple[str, ...]]
) -> RowSums:
    """Return the sums of a relation over the columns `hashed`."""
    rows = connection.execute(
        f"SELECT {DATE_COLUMN}, count(*), sum(hash({', '.join(map(sql_name, hashed))})) FROM {relation} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    described = ", ".join(f"{sql_name(name)} {kind}" for name, kind, *_ in columns)
    return RowSums(_program(), described, {day.isoformat(): f"{count}/{total:x}" for day, count, total in rows})


def _program() -> str:
    import duckdb

    return f"duckdb {duckdb.__version__}"
