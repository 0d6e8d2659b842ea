"""Dagster's SQLite event storage with connections that stay open: an event takes 2 ms instead of 12 (Dagster 1.13.27).

A run of the whole graph writes some 400 events, and two more for each table and date of its range; these are stored in batches
(`events_in_batches`). Dagster opens a new connection for each event and waits for the disk each time. In
SQLite's write-ahead mode, which Dagster uses, `synchronous = NORMAL` loses no event when a process is killed, and only the newest
ones when the machine loses power; tables and ledger don't depend on events. `dagster.yaml` names this class; PostgreSQL's storage
doesn't need it.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import sqlalchemy
from dagster import EventLogEntry
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import ASSET_EVENTS
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event

_BUSY_SECONDS = 30
"""How long a write waits for another process. The same as in Dagster's storage."""

_OPEN_SHARDS = 16
"""How many databases stay open. Each run has its own database file; the webserver and the daemon read many."""


_BATCH_SIZE = "DAGSTER_EVENT_BATCH_SIZE"
"""The environment variable in which Dagster looks for the number of events that are stored together; without it, each is alone."""

_MOST_IN_A_BATCH = 1_000


@contextmanager
def events_in_batches() -> Iterator[None]:
    """Let Dagster store events of many dates of a table together, for as long as the block runs, unless the user says otherwise."""
    if _BATCH_SIZE in os.environ:
        yield
        return
    os.environ[_BATCH_SIZE] = str(_MOST_IN_A_BATCH)
    try:
        yield
    finally:
        del os.environ[_BATCH_SIZE]


class QuickSqliteEventLogStorage(SqliteEventLogStorage):
    """Keeps the connections to the most recently used databases open."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._tables: set[str] = set()
        self._asset_columns: set[str] = set()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Create the storage from its configuration in `dagster.yaml`. Called by Dagster."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def dispose(self) -> None:
        """Close all connections. SQLite then merges its write-ahead files, up to 4 MB per run, into the databases."""
        with self._db_lock:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()
        super().dispose()

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store the events of one run: those of assets in two transactions, rather than in two or three for each."""
        of_assets = []
        for entry in events:
            if entry.is_dagster_event and entry.dagster_event_type in ASSET_EVENTS:
                of_assets.append(entry)
            else:
                self.store_event(entry)
        if not of_assets:
            return
        rows = [self._event_to_row(e) for e in of_assets]
        with self.run_connection(of_assets[0].run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        with self.index_transaction() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
            # The transaction holds the lock of the database, so these are the newest rows, in their order.
            newest: int = connection.execute(sqlalchemy.select(sqlalchemy.func.max(SqlEventLogStorageTable.c.id))).scalar_one()
            numbered = dict(enumerate(of_assets, start=newest - len(of_assets) + 1))
            self._store_asset_event_tags(connection, list(numbered.values()), list(numbered))
            # An asset has one row, which the last event of a kind determines.
            last = {(e.get_dagster_event().asset_key, e.dagster_event_type): (number, e) for number, e in numbered.items()}
            for number, entry in last.values():
                self._store_asset_event(connection, entry, number)

    def delete_events(self, run_id: str) -> None:
        """Delete the events of a run and their file: SQLite would not shrink it."""
        super().delete_events(run_id)
        self.delete_log(run_id)

    def delete_log(self, run_id: str) -> bool:
        """Delete the event file of a run, if any. Events that assets and checks depend on are kept: they are in the index too."""
        file = Path(self.path_for_shard(run_id))
        existed = file.exists()
        with self._db_lock:
            if (engine := self._engines.pop(run_id, None)) is not None:
                engine.dispose()
            self._initialized_dbs.discard(run_id)
            for suffix in ("", "-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)
        return existed

    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table. A positive answer is cached: Dagster asks at each event, with a new connection."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        if column_name not in self._asset_columns and super()._has_asset_key_col_on_connection(conn, column_name):
            self._asset_columns.add(column_name)
        return column_name in self._asset_columns

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        """Store one planned evaluation per check and run, since a check has one result.

        Dagster plans one for each date of the run, and the others would never be fulfilled.
        """
        planned = event.dagster_event
        assert planned is not None, "planned evaluations are Dagster events"
        plan = planned.asset_check_planned_data
        unpartitioned = AssetCheckEvaluationPlanned(asset_key=plan.asset_key, check_name=plan.check_name, partitions_subset=None)
        single = event._replace(dagster_event=planned._replace(event_specific_data=unpartitioned))
        super()._store_asset_check_evaluation_planned(single, event_id)

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            engine = create_engine(self.conn_string_for_shard(shard), connect_args={"timeout": _BUSY_SECONDS})
            event.listen(engine, "connect", _relax_disk_sync)
            self._engines[shard] = engine
            if len(self._engines) > _OPEN_SHARDS:
                self._engines.popitem(last=False)[1].dispose()
        self._engines.move_to_end(shard)
        return self._engines[shard]


def _relax_disk_sync(connection: Any, record: Any) -> None:
    del record
    connection.execute("PRAGMA synchronous = NORMAL")
