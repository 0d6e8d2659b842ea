"""What was refused by its data or its contract, and what would have been built. A Delta table, `ops/refused`.

It counts for as long as the same would be built in place of the same. The fingerprint says so: that of the model in gold, that of the
change in silver (see `silver/fingerprints.py`). Once a file, the contract or the code changes, or the table, it is another one.
Nothing in the tables depends on it: it says what sensors need not ask for again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import uuid4

from lakehouse_assets.delta.duck import connect, parquet
from lakehouse_assets.delta.tables import file_paths, newest_table, replace_rows, sql_date, sql_text
from lakehouse_assets.store.root import Root

Refusals = dict[tuple[str, str, date, str], str]
"""The reasons by layer, table, date and fingerprint."""


@dataclass(frozen=True)
class RefusedPartitions:
    """Reads and writes refusals below a root."""

    root: Root

    @property
    def uri(self) -> str:
        """Where the Delta table lies."""
        return self.root.path("ops", "refused")

    def read(self) -> Refusals:
        """All refusals; of each partition the newest."""
        table = newest_table(self.uri)
        files = [] if table is None else file_paths(table, self.uri)
        if not files:
            return {}
        with connect(self.root) as connection:
            rows = connection.execute(f"SELECT layer, table_name, date, fingerprint, reason FROM {parquet(files)}").fetchall()
        return {(layer, name, day, fingerprint): reason for layer, name, day, fingerprint, reason in rows}

    def record(self, layer: str, table_name: str, refused: Mapping[date, str], reason: str, run_id: str) -> None:
        """Record partitions that were refused, with their fingerprints, in place of what stood of them."""
        import pyarrow as pa

        if not refused:
            return
        columns = {
            "layer": [layer] * len(refused),
            "table_name": [table_name] * len(refused),
            "date": list(refused),
            "fingerprint": list(refused.values()),
            "reason": [reason] * len(refused),
            "run_id": [run_id] * len(refused),
        }
        schema = pa.schema([(name, pa.date32() if name == "date" else pa.string()) for name in columns])
        days = ", ".join(sql_date(day) for day in sorted(refused))
        replace_rows(
            self.uri,
            pa.table(columns, schema=schema),
            predicate=f"layer = {sql_text(layer)} AND table_name = {sql_text(table_name)} AND date IN ({days})",
            key=uuid4().hex,
            run_id=run_id,
            partition_by=("layer", "table_name"),
            description="What was refused by its data or contract, and what it would have been built from",
        )
