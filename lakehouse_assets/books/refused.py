"""Partitions that were refused because of their data or contract. A Delta table, `ops/refused`.

A refusal counts as long as the same build would change the same contents. That is what its fingerprint stands for: in gold that
of the model, in silver that of the change (see `silver/fingerprints.py`). It changes with a file, the contract, the code, or the
table. No table depends on refusals: they only tell sensors what not to request again.
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
    """Reads and writes the refusals of a root."""

    root: Root

    @property
    def uri(self) -> str:
        """The URI of the Delta table."""
        return self.root.path("ops", "refused")

    def read(self) -> Refusals:
        """The newest refusal of each refused partition."""
        table = newest_table(self.uri)
        files = [] if table is None else file_paths(table, self.uri)
        if not files:
            return {}
        with connect(self.root) as connection:
            rows = connection.execute(f"SELECT layer, table_name, date, fingerprint, reason FROM {parquet(files)}").fetchall()
        return {(layer, name, day, fingerprint): reason for layer, name, day, fingerprint, reason in rows}

    def record(self, layer: str, table_name: str, refused: Mapping[date, str], reason: str, run_id: str) -> None:
        """Record refused partitions by date, with their fingerprints. Replaces their earlier refusals."""
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
