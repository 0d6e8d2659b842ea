"""Dagster's SQLite event storage with connections that stay open: an event takes 2 ms instead of 12 (Dagster 1.13.27).

A run of the whole graph writes some 1,000 events, and two more for each table and date of its range. While `events_in_batches`, they
are stored together. Dagster opens a new connection for each event and waits for the disk each time. In
SQLite's write-ahead mode, which Dagster uses, `synchronous = NORMAL` loses no stored event when a process is killed, and only the
newest ones when the machine loses power; tables and ledger don't depend on events. `dagster.yaml` names this class; PostgreSQL's
storage doesn't need it.
"""

import os
import sqlite3
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import dagster as dg
import sqlalchemy
from dagster import EventLogEntry
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageMetadata, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event

_BUSY_SECONDS = 30
"""How long a write waits for another process. The same as in Dagster's storage."""

_OPEN_SHARDS = 16
"""How many databases stay open. Each run has its own database file; the webserver and the daemon read many."""


_BATCH_SIZE = "DAGSTER_EVENT_BATCH_SIZE"
"""The environment variable in which Dagster looks for the number of events that are stored together; without it, each is alone."""

_MOST_IN_A_BATCH = 1_000

_INDEXED = ASSET_EVENTS | ASSET_CHECK_EVENTS | EVENT_TYPE_TO_PIPELINE_RUN_STATUS.keys()
"""The events that the index has too, so that they are found without knowing the run."""

_CHECKS = AssetCheckExecutionsTable.c

_FULFILLED = (
    AssetCheckExecutionsTable.update()
    .where(
        _CHECKS.asset_key == sqlalchemy.bindparam("of_asset"),
        _CHECKS.check_name == sqlalchemy.bindparam("of_check"),
        _CHECKS.run_id == sqlalchemy.bindparam("of_run"),
        _CHECKS.partition.is_(None),
    )
    .values(
        {
            name: sqlalchemy.bindparam(name)
            for name in (
                "execution_status",
                "evaluation_event",
                "evaluation_event_timestamp",
                "evaluation_event_storage_id",
                "materialization_event_storage_id",
            )
        }
    )
)
"""Puts the result of a check in the place of its plan."""


@contextmanager
def events_in_batches(instance: dg.DagsterInstance) -> Iterator[None]:
    """Let an instance store events together for as long as the block runs, unless the user says otherwise.

    Those of this process wait until somebody reads events through this instance, at the latest until the block ends. Other
    processes see them from then on; if this one is killed, those that wait are lost.
    """
    storage = instance.event_log_storage
    if _BATCH_SIZE in os.environ or not isinstance(storage, QuickSqliteEventLogStorage):
        yield
        return
    os.environ[_BATCH_SIZE] = str(_MOST_IN_A_BATCH)
    try:
        with storage.collecting():
            yield
    finally:
        del os.environ[_BATCH_SIZE]


def _evaluation(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a check that say by which event it was planned or evaluated."""
    return {
        "evaluation_event": row["event"],
        "evaluation_event_timestamp": row["timestamp"],
        "evaluation_event_storage_id": number,
    }


class QuickSqliteEventLogStorage(SqliteEventLogStorage):
    """Keeps the connections to the most recently used databases open."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._tables: set[str] = set()
        self._asset_columns: set[str] = set()
        self._collects = False
        self._collected: deque[EventLogEntry] = deque()
        self._storing = threading.RLock()
        """Held while collected events are stored, and while somebody reads."""
        self._is_storing = False
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Create the storage from its configuration in `dagster.yaml`. Called by Dagster."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Store events only when somebody reads, as long as the block runs."""
        self._collects = True
        try:
            yield
        finally:
            self._collects = False
            self._store_collected()

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event, or keep it for later."""
        if self._collects:
            self._collected.append(event)
        else:
            super().store_event(event)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store the events of one run, or keep them for later."""
        if self._collects:
            self._collected.extend(events)
        else:
            self._store(events)

    def _store_collected(self) -> None:
        """Store the events that wait. If this thread is at it already, it is about to open a database for them."""
        with self._storing:
            if self._is_storing or not self._collected:
                return
            self._is_storing = True
            try:
                by_run: dict[str, list[EventLogEntry]] = {}
                while self._collected:  # other threads may add some meanwhile
                    entry = self._collected.popleft()
                    by_run.setdefault(entry.run_id, []).append(entry)
                for of_run in by_run.values():
                    self._store(of_run)
            finally:
                self._is_storing = False

    def _store(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of one run: in one transaction of its database, and in one of the index, which has those of assets too."""
        if not events:
            return
        rows = [self._event_to_row(entry) for entry in events]
        with self.run_connection(events[0].run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        indexed = [(entry, row) for entry, row in zip(events, rows, strict=True) if entry.dagster_event_type in _INDEXED]
        if not indexed:
            return
        with self.index_transaction() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), [row for _, row in indexed])
            # The transaction holds the lock of the database, so these are the newest rows, in their order.
            newest: int = connection.execute(sqlalchemy.select(sqlalchemy.func.max(SqlEventLogStorageTable.c.id))).scalar_one()
            first = newest - len(indexed) + 1
            of_assets = {first + n: entry for n, (entry, _) in enumerate(indexed) if entry.dagster_event_type in ASSET_EVENTS}
            if of_assets:
                self._store_asset_event_tags(connection, list(of_assets.values()), list(of_assets))
            # An asset has one row, which the last event of a kind determines.
            last = {(e.get_dagster_event().asset_key, e.dagster_event_type): (number, e) for number, e in of_assets.items()}
            for number, entry in last.values():
                self._store_asset_event(connection, entry, number)
            others = self._store_checks(connection, [(first + n, *event) for n, event in enumerate(indexed)])
        for number, entry in others:
            self.store_asset_check_event(entry, number)

    def _store_checks(
        self, connection: Connection, indexed: Sequence[tuple[int, EventLogEntry, Mapping[str, Any]]]
    ) -> list[tuple[int, EventLogEntry]]:
        """Store what events of a run, with their number in the index and their row, say of checks. Returns those that had no plan."""
        planned, others = [], []
        for number, entry, row in indexed:
            if entry.dagster_event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
                plan = entry.get_dagster_event().asset_check_planned_data
                planned.append(
                    {
                        "asset_key": plan.asset_key.to_string(),
                        "check_name": plan.check_name,
                        "run_id": entry.run_id,
                        "partition": None,
                        "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
                        **_evaluation(number, row),
                    }
                )
        if planned:
            connection.execute(AssetCheckExecutionsTable.insert(), planned)
        for number, entry, row in indexed:
            if entry.dagster_event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                continue
            result = entry.get_dagster_event().asset_check_evaluation_data
            status, target = AssetCheckExecutionRecordStatus, result.target_materialization_data
            values = {
                "of_asset": result.asset_key.to_string(),
                "of_check": result.check_name,
                "of_run": entry.run_id,
                "execution_status": (status.SUCCEEDED if result.passed else status.FAILED).value,
                "materialization_event_storage_id": target.storage_id if target else None,
                **_evaluation(number, row),
            }
            if result.partition is not None or not connection.execute(_FULFILLED, values).rowcount:
                others.append((number, entry))
        return others

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._storing:
            self._store_collected()
            with self._open(shard) as connection:
                yield connection

    @contextmanager
    def _open(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                if not self._created_like_index(shard):
                    self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _created_like_index(self, shard: str) -> bool:
        """Create the database of a run with the tables of the index, which takes Dagster a quarter of a second.

        Returns whether it did: not if the database exists, or another process is about to create it.
        """
        file, index = Path(self.path_for_shard(shard)), Path(self.path_for_shard(INDEX_SHARD_NAME))
        if file.exists() or not index.exists():
            return False
        version, own = "alembic_version", [*SqlEventLogStorageMetadata.tables]
        with closing(sqlite3.connect(index, timeout=_BUSY_SECONDS)) as read:
            created = read.execute("SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid").fetchall()
            versions = read.execute(f"SELECT version_num FROM {version}").fetchall()
        made = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None)
        with closing(made), suppress(sqlite3.OperationalError):
            made.execute("PRAGMA journal_mode = WAL")
            made.execute("BEGIN EXCLUSIVE")
            for table, sql in created:
                if table in (*own, version):
                    made.execute(sql)
            made.executemany(f"INSERT INTO {version} VALUES (?)", versions)
            made.execute("COMMIT")
            return True
        return False

    def dispose(self) -> None:
        """Close all connections. SQLite then merges its write-ahead files, up to 4 MB per run, into the databases."""
        with self._db_lock:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()
        super().dispose()

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
