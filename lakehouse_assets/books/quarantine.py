"""Quarantine: rejected rows, with the reason and their original text. A Delta table, `quarantine/rows`.

A step adds its entries as batches with unique names before it commits its table. A batch counts while the ledger's record of its
partition names it. So quarantine, table and ledger stay consistent, even if a step is killed or overtaken in between. A batch
that no record names is removed by the step that replaced it, or by upkeep.
"""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.delta.duck import connect, rows_of_layout, rows_of_schema
from lakehouse_assets.delta.tables import append_rows, file_paths, newest_table, paths_by_partition, replace_rows, sql_text
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


def quarantine_schema() -> "pa.Schema":
    """The columns of an entry: a row, or a file that was refused as a whole.

    For a row, `payload` is the original text, `rows` is 1, and `item_number` is 0 unless the row is an item of another row. For a
    file, or a whole part of it, `payload` is its beginning, `rows` its number of rows, and `row_number` NULL. `place` is the sheet, or
    the path within the document, that raw was reading; else NULL.
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
            ("place", pa.string()),
        ]
    )


_BYTES_AT_ONCE = 32 * 1024 * 1024
"""How many bytes of rows are gathered before they are written."""


def new_batch() -> str:
    """A name for rows that are quarantined together. It begins with the time, by which upkeep skips batches of running steps."""
    return f"{_milliseconds(time.time())}-{secrets.token_hex(4)}"


def _milliseconds(seconds: float) -> str:
    return f"{int(seconds * 1000):012x}"


_counted: dict[tuple[str, str, str], dict[str, dict[tuple[str, date], int]]] = {}
"""By quarantine URI, layer and table: the files that this process has counted, and their rows by batch and date."""


@dataclass(frozen=True)
class Quarantine:
    """Reads, adds and removes the quarantined rows of a root."""

    root: Root

    @property
    def uri(self) -> str:
        """The URI of the Delta table."""
        return self.root.path("quarantine", "rows")

    def add(self, rows: "pa.Table", run_id: str) -> None:
        """Add rows, each with the name of its batch."""
        if rows.num_rows:
            append_rows(self.uri, rows, run_id=run_id, partition_by=("layer", "table_name"), description=_DESCRIPTION)

    @contextmanager
    def adding(self, run_id: str) -> Iterator["Callable[[pa.Table], None]"]:
        """Add many rows, each with the name of its batch: the block gets the function that takes them, in pieces.

        They are written whenever some have gathered, and at the end of the block, so that memory stays bounded.
        """
        import pyarrow as pa

        waiting: list[pa.Table] = []
        size = 0

        def write() -> None:
            nonlocal size
            if waiting:
                self.add(pa.concat_tables(waiting), run_id)
            waiting.clear()
            size = 0

        def take(rows: "pa.Table") -> None:
            nonlocal size
            waiting.append(rows)
            size += rows.nbytes
            if size >= _BYTES_AT_ONCE:
                write()

        yield take
        write()

    def remove(self, layer: str, table_name: str, batches: Collection[str], run_id: str) -> None:
        """Remove batches that no record names any more."""
        if batches:
            self._remove(layer, table_name, f"batch IN ({', '.join(sql_text(b) for b in sorted(batches))})", run_id)

    def remove_unnamed(self, before: float) -> None:
        """Remove batches that no record names and that are older than `before` (epoch seconds): leftovers of killed steps."""
        named = {batch for record in Ledger(self.root).read().values() for batch in record.batches}
        table = newest_table(self.uri)
        if table is None:
            return
        with connect(self.root) as connection:
            entries = self.entries(connection)
            batches_by_table = connection.execute(f"SELECT DISTINCT layer, table_name, batch FROM ({entries})").fetchall()
        unnamed: dict[tuple[str, str], set[str]] = {}
        for layer, table_name, batch in batches_by_table:
            if batch not in named and (batch or "") < _milliseconds(before):
                unnamed.setdefault((layer, table_name), set()).add(batch or "")
        # A table of an older layout has no column `batch`, so no record names any of its entries.
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
        """SQL for all entries, or those of a table or of some batches. An entry of an older layout is one row without a batch."""
        table = newest_table(self.uri)
        partition = {k: v for k, v in {"layer": layer, "table_name": table_name}.items() if v is not None}
        files = [] if table is None else file_paths(table, self.uri, **partition)
        entries = f"SELECT * REPLACE (coalesce(rows, 1) AS rows) FROM ({rows_of_schema(connection, files, quarantine_schema())})"
        if batches is None:
            return entries
        return (
            f"{entries} WHERE batch IN ({', '.join(sql_text(b) for b in sorted(batches))})"
            if batches
            else f"{entries} WHERE FALSE"
        )

    def read(self, layer: str, table_name: str, batches: Collection[str]) -> "pa.Table":
        """The entries of some batches of a table."""
        if not batches:
            return quarantine_schema().empty_table()
        with connect(self.root) as connection:
            names = ", ".join(quarantine_schema().names)
            entries = self.entries(connection, layer, table_name, batches)
            return connection.execute(f"SELECT {names} FROM ({entries})").to_arrow_table()

    def counted(self, layer: str, table_name: str, batches: Collection[str]) -> dict[date, int]:
        """How many rows of some batches of a table are in quarantine, by date, counted in the quarantine table itself."""
        return self.counted_by_table({(layer, table_name): batches})[layer, table_name]

    def counted_by_table(self, batches: Mapping[tuple[str, str], Collection[str]]) -> dict[tuple[str, str], dict[date, int]]:
        """Do the same as `counted` for several tables, by layer and name, with one query."""
        counts: dict[tuple[str, str], Counter[date]] = {key: Counter() for key in batches}
        for key, rows in self._rows([key for key, names in batches.items() if names]).items():
            for (batch, day), number in rows.items():
                if batch in batches[key]:
                    counts[key][day] += number
        return {key: dict(rows_by_date) for key, rows_by_date in counts.items()}

    def rows_by_batch(self, layer: str, table_name: str) -> Mapping[tuple[str, date], int]:
        """How many rows of a table are in quarantine, by batch and date."""
        return self._rows([(layer, table_name)]).get((layer, table_name), {})

    def _rows(self, tables: Collection[tuple[str, str]]) -> dict[tuple[str, str], Counter[tuple[str, date]]]:
        """The rows in quarantine by table, then by batch and date. A process reads each file only once, all files in one query."""
        table = newest_table(self.uri) if tables else None
        if table is None:
            return {}
        by_table = paths_by_partition(table, self.uri, "layer", "table_name")
        live = {key: by_table.get(key, []) for key in tables}
        known = {key: _counted.get((self.uri, *key), {}) for key in tables}
        counts = {key: {file: dict(known[key].get(file, {})) for file in files} for key, files in live.items()}
        table_of = {file: key for key, files in live.items() for file in files if file not in known[key]}
        if table_of:
            with connect(self.root) as connection:
                types = {"batch": "VARCHAR", "date": "DATE", "rows": "BIGINT"}
                entries = rows_of_layout(sorted(table_of), types, path_column="_path")
                query = f"SELECT _path, batch, date, sum(coalesce(rows, 1)) FROM ({entries}) WHERE batch IS NOT NULL GROUP BY ALL"
                for path, batch, day, number in connection.execute(query).fetchall():
                    counts[table_of[path]][path][batch, day] = int(number)
        _counted.update({(self.uri, *key): files for key, files in counts.items()})
        return {key: sum(map(Counter, files.values()), Counter()) for key, files in counts.items()}

    def _remove(self, layer: str, table_name: str, condition: str, run_id: str) -> None:
        """Remove the entries of a table that meet a condition."""
        replace_rows(
            self.uri,
            quarantine_schema().empty_table(),
            predicate=f"layer = {sql_text(layer)} AND table_name = {sql_text(table_name)} AND ({condition})",
            key=f"remove {new_batch()}",
            run_id=run_id,
        )


_DESCRIPTION = "Rows that could not go on, with their reason and their original text"
