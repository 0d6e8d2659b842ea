"""Quarantine: rows that could not go on, with their reason and their original text. A Delta table, `quarantine/rows`.

A step adds its entries as batches with names of their own, before it commits its table. They count once the ledger's record of their
partition names the batch, and no more once it names another. So quarantine, table and ledger can't come apart, whoever is killed or
overtaken in between; what no record names is taken out by the step that made it so, or by upkeep.
"""

import secrets
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.delta.duck import connect, rows_of_layout, rows_of_schema
from lakehouse_assets.delta.tables import append_rows, file_paths, newest_table, replace_rows, sql_text
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


def quarantine_schema() -> "pa.Schema":
    """The columns of an entry, which is a row, or a file that was refused as a whole.

    `payload` is the original text, `rows` 1 for a row, `item_number` 0 where the row is not an item of another. A file has the number
    of its rows, no `row_number`, and its beginning as `payload`.
    """
    import pyarrow as pa

    return pa.schema(
        [
            ("layer", pa.string()),
            ("table_name", pa.string()),
            ("date", pa.date32()),
            ("source_file", pa.string()),
            ("row_number", pa.int64()),
            ("rule", pa.string()),
            ("reason", pa.string()),
            ("payload", pa.string()),
            ("run_id", pa.string()),
            ("batch", pa.string()),
            ("rows", pa.int64()),
            ("source_feed", pa.string()),
            ("item_number", pa.int64()),
        ]
    )


def new_batch() -> str:
    """A name for rows that are put into quarantine at once. It begins with the time: upkeep leaves alone what somebody may work on."""
    return f"{_milliseconds(time.time())}-{secrets.token_hex(4)}"


def _milliseconds(seconds: float) -> str:
    return f"{int(seconds * 1000):012x}"


_counted: dict[tuple[str, str, str], tuple[frozenset[str], Counter[tuple[str, date]]]] = {}
"""By address of the quarantine, layer and table: the files that this process has counted, and their rows by batch and date."""


@dataclass(frozen=True)
class Quarantine:
    """Reads, adds and removes quarantined rows below a root."""

    root: Root

    @property
    def uri(self) -> str:
        """Where the Delta table lies."""
        return self.root.path("quarantine", "rows")

    def add(self, rows: "pa.Table", run_id: str) -> None:
        """Add rows, each with the name of its batch."""
        if rows.num_rows:
            append_rows(self.uri, rows, run_id=run_id, partition_by=("layer", "table_name"), description=_DESCRIPTION)

    def remove(self, layer: str, table_name: str, batches: Collection[str], run_id: str) -> None:
        """Take batches out that no record names any more."""
        if batches:
            self._remove(layer, table_name, f"batch IN ({', '.join(sql_text(b) for b in sorted(batches))})", run_id)

    def remove_unnamed(self, before: float) -> None:
        """Take out what no record names and was added before a moment (seconds since 1970): what killed steps have left behind."""
        named = {batch for record in Ledger(self.root).read().values() for batch in record.batches}
        table = newest_table(self.uri)
        if table is None:
            return
        with connect(self.root) as connection:
            entries = self.entries(connection)
            found = connection.execute(f"SELECT DISTINCT layer, table_name, batch FROM ({entries})").fetchall()
        unnamed: dict[tuple[str, str], set[str]] = {}
        for layer, table_name, batch in found:
            if batch not in named and (batch or "") < _milliseconds(before):
                unnamed.setdefault((layer, table_name), set()).add(batch or "")
        # The table of an older layout has no such column: then none of its entries is named.
        batch = "COALESCE(batch, '')" if any(f.name == "batch" for f in table.schema().fields) else "''"
        for (layer, table_name), batches in unnamed.items():
            self._remove(layer, table_name, f"{batch} IN ({', '.join(sql_text(b) for b in sorted(batches))})", "maintain")

    def entries(
        self,
        connection: "duckdb.DuckDBPyConnection",
        layer: str | None = None,
        table_name: str | None = None,
        batches: Collection[str] | None = None,
    ) -> str:
        """SQL for all entries, or for those of one table, or of some of its batches. One of an older layout is one row, of no batch."""
        table = newest_table(self.uri)
        chosen = {k: v for k, v in {"layer": layer, "table_name": table_name}.items() if v is not None}
        files = [] if table is None else file_paths(table, self.uri, **chosen)
        entries = f"SELECT * REPLACE (coalesce(rows, 1) AS rows) FROM ({rows_of_schema(connection, files, quarantine_schema())})"
        if batches is None:
            return entries
        return (
            f"{entries} WHERE batch IN ({', '.join(sql_text(b) for b in sorted(batches))})"
            if batches
            else f"{entries} WHERE FALSE"
        )

    def counted(self, layer: str, table_name: str, batches: Collection[str]) -> dict[date, int]:
        """How many rows of some batches of a table lie in quarantine, by date, counted in the quarantine table itself.

        A process reads each file once.
        """
        table = newest_table(self.uri) if batches else None
        if table is None:
            return {}
        key, files = (self.uri, layer, table_name), set(file_paths(table, self.uri, layer=layer, table_name=table_name))
        read, rows = _counted.get(key, (frozenset(), Counter()))
        if not read <= files:
            read, rows = frozenset(), Counter()
        if unread := files - read:
            with connect(self.root) as connection:
                entries = rows_of_layout(sorted(unread), {"batch": "VARCHAR", "date": "DATE", "rows": "BIGINT"})
                counted = f"SELECT batch, date, sum(coalesce(rows, 1)) FROM ({entries}) WHERE batch IS NOT NULL GROUP BY ALL"
                found = connection.execute(counted).fetchall()
            rows = rows + Counter({(batch, day): int(number) for batch, day, number in found})
            _counted[key] = frozenset(files), rows
        of_date: Counter[date] = Counter()
        for (batch, day), number in rows.items():
            if batch in batches:
                of_date[day] += number
        return dict(of_date)

    def _remove(self, layer: str, table_name: str, chosen: str, run_id: str) -> None:
        replace_rows(
            self.uri,
            quarantine_schema().empty_table(),
            predicate=f"layer = {sql_text(layer)} AND table_name = {sql_text(table_name)} AND ({chosen})",
            key=f"remove {new_batch()}",
            run_id=run_id,
        )


_DESCRIPTION = "Rows that could not go on, with their reason and their original text"
