"""Quarantine: rows that could not go on, with their reason and their original text. A Delta table, `quarantine/rows`."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from lakehouse_assets.storage.duck import connect, parquet
from lakehouse_assets.storage.root import Root
from lakehouse_assets.storage.tables import file_paths, files_predicate, newest_table, replace_rows, sql_date, sql_text

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 10_000


def quarantine_schema() -> "pa.Schema":
    """`layer`, `table_name`, `date`, `source_file`, `row_number`, `rule`, `reason`, `payload` (original text), `run_id`, `rows`.

    `rows` is 1 for a row. A file that was refused as a whole is one entry, with the number of its rows and no `row_number`.
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
            ("rows", pa.int64()),
        ]
    )


def quarantined_in(files: Sequence[str]) -> str:
    """SQL for the entries in data files of the quarantine. In files from before there was `rows`, each entry is one row."""
    paths = ", ".join(sql_text(path) for path in files)
    read = f"read_parquet([{paths}], hive_partitioning = true, union_by_name = true)"
    return (
        "(SELECT * REPLACE (coalesce(rows, 1) AS rows) "
        f"FROM (SELECT CAST(NULL AS BIGINT) AS rows WHERE FALSE UNION ALL BY NAME FROM {read}))"
    )


@dataclass(frozen=True)
class Quarantine:
    """Reads and replaces quarantined rows below a root."""

    root: Root

    @property
    def uri(self) -> str:
        """Where the Delta table lies."""
        return self.root.path("quarantine", "rows")

    def replace(
        self,
        layer: str,
        table_name: str,
        rows: "pa.Table",
        *,
        dates: Iterable[date],
        run_id: str,
        files_by_date: Mapping[date, set[str] | None] | None = None,
    ) -> None:
        """Put `rows` in place of those that the table's partitions had in quarantine, in one commit.

        With `files_by_date` only the rows of those files are replaced (of all files of a date where it has None). Where there is
        nothing to take out or put in, nothing is committed.
        """
        if files_by_date is None:
            chosen = f"date IN ({', '.join(sql_date(d) for d in sorted(dates))})"
        else:
            chosen = files_predicate(files_by_date, "date", "source_file")
        if rows.num_rows == 0 and not self._any_stands(layer, table_name, chosen):
            return
        predicate = f"layer = {sql_text(layer)} AND table_name = {sql_text(table_name)} AND ({chosen or 'FALSE'})"
        key = hashlib.sha256(predicate.encode())
        for start in range(0, rows.num_rows, _ROWS_AT_ONCE):
            without_run = rows.slice(start, _ROWS_AT_ONCE).drop_columns(["run_id"]).to_pylist()
            key.update(repr(without_run).encode(errors="surrogatepass"))
        replace_rows(
            self.uri,
            rows,
            predicate=predicate,
            key=key.hexdigest()[:16],
            run_id=run_id,
            partition_by=("layer", "table_name"),
            description="Rows that could not go on, with their reason and their original text",
        )

    def by_date(self, layer: str, table_name: str) -> dict[date, int]:
        """How many rows of a table lie in quarantine now, by date, counted in the quarantine table itself."""
        files = self._files(layer, table_name)
        if not files:
            return {}
        with connect(self.root) as connection:
            found = connection.execute(f"SELECT date, sum(rows) FROM {quarantined_in(files)} GROUP BY date").fetchall()
            return {day: int(rows) for day, rows in found}

    def _any_stands(self, layer: str, table_name: str, chosen: str) -> bool:
        files = self._files(layer, table_name)
        if not files or not chosen:
            return False
        with connect(self.root) as connection:
            return bool(connection.execute(f"SELECT 1 FROM {parquet(files)} WHERE {chosen} LIMIT 1").fetchone())

    def _files(self, layer: str, table_name: str) -> list[str]:
        table = newest_table(self.uri)
        return [] if table is None else file_paths(table, self.uri, layer=layer, table_name=table_name)
