"""Quarantine: rows that could not go on, with their reason and their original text. A Delta table, `quarantine/rows`.

A step adds its rows as batches with names of their own, before it commits its table. They count once the ledger's record of their
partition names the batch, and no more once it names another. So quarantine, table and ledger can't come apart, whoever is killed or
overtaken in between; what no record names is taken out by the step that made it so, or by upkeep.
"""

import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from lakehouse_assets.storage.duck import connect, parquet
from lakehouse_assets.storage.ledger import Ledger
from lakehouse_assets.storage.root import Root
from lakehouse_assets.storage.tables import append_rows, file_paths, newest_table, replace_rows, sql_text

if TYPE_CHECKING:
    import pyarrow as pa


def quarantine_schema() -> "pa.Schema":
    """`layer`, `table_name`, `date`, `source_file`, `row_number`, `rule`, `reason`, `payload` (original text), `run_id`, `batch`."""
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
        ]
    )


def new_batch() -> str:
    """A name for rows that are put into quarantine at once. It begins with the time: upkeep leaves alone what somebody may work on."""
    return f"{_milliseconds(time.time())}-{secrets.token_hex(4)}"


def _milliseconds(seconds: float) -> str:
    return f"{int(seconds * 1000):012x}"


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
            found = connection.execute(
                f"SELECT DISTINCT layer, table_name, batch FROM {parquet(file_paths(table, self.uri))}"
            ).fetchall()
        unnamed: dict[tuple[str, str], set[str]] = {}
        for layer, table_name, batch in found:
            if batch not in named and (batch or "") < _milliseconds(before):
                unnamed.setdefault((layer, table_name), set()).add(batch or "")
        for (layer, table_name), batches in unnamed.items():
            listed = ", ".join(sql_text(b) for b in sorted(batches))
            self._remove(layer, table_name, f"COALESCE(batch, '') IN ({listed})", "maintain")

    def counted(self, layer: str, table_name: str, batches: Collection[str]) -> dict[date, int]:
        """How many rows of some batches of a table lie in quarantine, by date, counted in the quarantine table itself."""
        table = newest_table(self.uri)
        files = [] if table is None or not batches else file_paths(table, self.uri, layer=layer, table_name=table_name)
        if not files:
            return {}
        wanted = ", ".join(sql_text(batch) for batch in sorted(batches))
        with connect(self.root) as connection:
            counted = connection.execute(f"SELECT date, count(*) FROM {parquet(files)} WHERE batch IN ({wanted}) GROUP BY date")
            return dict(counted.fetchall())

    def _remove(self, layer: str, table_name: str, chosen: str, run_id: str) -> None:
        replace_rows(
            self.uri,
            quarantine_schema().empty_table(),
            predicate=f"layer = {sql_text(layer)} AND table_name = {sql_text(table_name)} AND ({chosen})",
            key=f"remove {new_batch()}",
            run_id=run_id,
        )


_DESCRIPTION = "Rows that could not go on, with their reason and their original text"
