"""Complete deliveries that a person has accepted although they shrank too much. A Delta table, `ops/accepted`.

A delivery is accepted exactly as it landed: one that is sent again with other bytes is checked again.
"""

from dataclasses import dataclass
from datetime import date

from lakehouse_assets.delta.duck import connect, parquet
from lakehouse_assets.delta.tables import append_rows, file_paths, newest_table
from lakehouse_assets.store.root import Root


@dataclass(frozen=True)
class AcceptedDeliveries:
    """Reads and adds the accepted deliveries of a root."""

    root: Root

    @property
    def uri(self) -> str:
        """The URI of the Delta table."""
        return self.root.path("ops", "accepted")

    def read(self) -> set[tuple[str, date, str]]:
        """For each: the feed (its raw table), the date, and the fingerprint of the raw partition."""
        table = newest_table(self.uri)
        files = [] if table is None else file_paths(table, self.uri)
        if not files:
            return set()
        with connect(self.root) as connection:
            return set(connection.execute(f"SELECT feed, date, fingerprint FROM {parquet(files)}").fetchall())

    def add(self, feed: str, day: date, fingerprint: str) -> None:
        """Accept a delivery."""
        import pyarrow as pa

        schema = pa.schema([("feed", pa.string()), ("date", pa.date32()), ("fingerprint", pa.string())])
        row = pa.table([[feed], [day], [fingerprint]], schema=schema)
        append_rows(self.uri, row, run_id="accept", partition_by=("feed",), description="Deliveries that were accepted by hand")
