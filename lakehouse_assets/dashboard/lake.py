"""What the pages read: the tables of one state of the lakehouse, opened once and kept until the next state."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.books.manifest import Manifests
from lakehouse_assets.books.records import table_id
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.delta.duck import new_connection
from lakehouse_assets.delta.tables import newest_table
from lakehouse_assets.serving.query import Tables, lock, open_views
from lakehouse_assets.serving.versions import Versions
from lakehouse_assets.store.root import Root

if TYPE_CHECKING:
    import duckdb

BOOKS: Tables = {("ops", "partitions"), ("ops", "runs"), ("quarantine", "rows")}
"""The tables that every lakehouse has, empty or not."""

SYSTEMS = "dashboard.systems"
"""A table with the `system` of each raw and silver table (`layer`, `table_name`)."""


@dataclass(frozen=True)
class State:
    """What tells one state of a lakehouse from the next: the version of its ledger, and the number of its manifest.

    `published` is when gold was last published (UTC), and `behind` are the gold tables whose newest build failed.
    """

    ledger: str
    manifest: int
    published: datetime | None
    behind: frozenset[str]


def current_state(root: Root) -> State:
    """Return the state of the lakehouse. Reads one small object and the end of the ledger's log."""
    ledger, manifest = newest_table(Ledger(root).uri), Manifests(root).newest()
    return State(
        f"{table_id(ledger)}/{ledger.version()}" if ledger is not None else "",
        manifest.number if manifest else 0,
        manifest.time if manifest else None,
        manifest.behind if manifest else frozenset(),
    )


def existing_tables(root: Root) -> Tables:
    """Return the tables of raw, silver and gold that there are, and those of superseded rows."""
    found = {(layer, name) for layer in ("raw", "silver", "gold") for name in root.table_names(layer)}
    return found | {("superseded", name) for layer, name in found if layer == "silver"}


def open_lake(root: Root, catalog: Catalog, tables: Collection[tuple[str, str]]) -> "duckdb.DuckDBPyConnection":
    """Open some tables, which must exist, as `lakehouse query` does: gold by its manifest. The connection can only read.

    The ledger is read once and held in memory, as each page asks it several times.
    """
    connection = new_connection(root)
    # What can't be read at its version is read at its newest, which the next pass mends; a query on the command line says so.
    open_views(connection, root, {*tables}, Versions(root, None, lambda _: None))
    if ("ops", "partitions") in tables:
        connection.execute("CREATE TABLE ops.held AS SELECT * EXCLUDE (sources) FROM ops.partitions")
        connection.execute("DROP VIEW ops.partitions")
        connection.execute("ALTER TABLE ops.held RENAME TO partitions")
    schema = SYSTEMS.partition(".")[0]
    connection.execute(f"CREATE SCHEMA {schema}")
    connection.execute(f"CREATE TABLE {SYSTEMS} (layer VARCHAR, table_name VARCHAR, system VARCHAR)")
    rows = [("raw", feed.table, feed.system) for feed in catalog.feeds]
    rows += [("silver", table.name, table.system) for table in catalog.tables]
    if rows:
        connection.executemany(f"INSERT INTO {SYSTEMS} VALUES (?, ?, ?)", rows)
    lock(connection, root)
    return connection
