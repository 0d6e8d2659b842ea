"""A lakehouse over an empty root, as tests drive it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import uuid4

import dagster as dg
import obstore

from lakehouse_assets.books.ledger import Ledger, PartitionRecord
from lakehouse_assets.contracts.system import Catalog, SilverTable
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.delta.handlers import Target
from lakehouse_assets.delta.tables import open_table
from lakehouse_assets.engine.session import Engine
from lakehouse_assets.errors import AuditError
from lakehouse_assets.orchestration.jobs import LAKEHOUSE_JOB
from lakehouse_assets.orchestration.sensors import run_tags
from lakehouse_assets.raw.write import load_partitions
from lakehouse_assets.reconcile.plan import Plan, make_plan
from lakehouse_assets.reconcile.runs import rows_runs
from lakehouse_assets.serving.query import query
from lakehouse_assets.settings import Settings
from lakehouse_assets.silver.build import build_partitions
from lakehouse_assets.systems import crm, erp, finance
from tests.support.cluster import Cluster

BICYCLES = tuple(table for system in (crm, erp, finance) for table in system.SYSTEM.tables)
"""A whole lakehouse up to gold, for tests of the machinery: a further system costs these tests nothing."""

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


EVERY_WORLD = ("sail-folder", "spark-folder", "sail-minio", "sail-versitygw", "spark-minio", "cluster-minio")
"""The cluster is a standalone Spark cluster."""


@dataclass
class Lakehouse:
    """A root in a folder of its own, with the entities that the test is about."""

    settings: Settings
    tables: list[SilverTable]
    engine: Engine

    def land(self, entity: str, day: str, name: str, text: str | bytes) -> None:
        """Drop a file into landing."""
        content = text.encode() if isinstance(text, str) else text
        obstore.put(self.settings.root.store, f"landing/{entity}/{day}/{name}", content)

    def remove(self, entity: str, day: str, name: str) -> None:
        """Take a file out of landing."""
        obstore.delete(self.settings.root.store, f"landing/{entity}/{day}/{name}")

    def copy_landing(self, other: "Lakehouse") -> None:
        """Put all of the other's landing objects into this one's."""
        for path, _ in other.settings.root.files("landing"):
            obstore.put(self.settings.root.store, path, bytes(obstore.get(other.settings.root.store, path).bytes()))

    @property
    def catalog(self) -> Catalog:
        """The tables and their feeds."""
        return Catalog.from_tables(self.tables)

    def plan(self) -> Plan:
        return make_plan(self.settings, self.catalog)

    def plan_of(self, entity: SilverTable) -> Plan:
        """What is to be done for one entity."""
        return make_plan(self.settings, Catalog.from_tables([entity]))

    def definitions(self) -> dg.Definitions:
        return build_definitions(self.settings, catalog=self.catalog, engine=self.engine)

    def build(self) -> dict[str, str]:
        """Bring raw and silver up to date with landing, by the handlers alone; what was refused, by step."""
        planned = self.plan().of_layers("raw", "silver")
        errors = {}
        for table in self.catalog.by_partners():
            names = {table.name, *(feed.table for feed in table.feeds)}
            dates = sorted({day for t in planned if t.table in names for day in t.dates})
            if dates and (refused := self.materialize(table, dates)):
                errors[f"silver__{table.name}"] = refused
        return errors

    def build_by_dagster(self) -> dict[str, str]:
        """As `build`, by runs of Dagster, for tests of what it adds: it takes three times as long. The errors by step."""
        job = self.definitions().resolve_job_def(LAKEHOUSE_JOB)
        errors: dict[str, str] = {}
        with dg.DagsterInstance.ephemeral() as instance:
            for run in rows_runs(self.plan()):
                done = job.execute_in_process(
                    instance=instance,
                    run_config=QUIET,
                    asset_selection=[dg.AssetKey(list(key)) for key in run.keys],
                    tags=run_tags(run),
                    raise_on_error=False,
                )
                for event in done.get_step_failure_events():
                    error = event.step_failure_data.error
                    while error.cause is not None:
                        error = error.cause
                    errors[event.step_key] = error.message
        return errors

    def materialize(self, entity: SilverTable, dates: Sequence[date]) -> str | None:
        """Bring these partitions of raw and silver up to date by their handlers alone, without Dagster; what the audit refused."""
        self.build_raw(entity, dates)
        return self.build_silver(entity, dates)

    def build_raw(self, table: SilverTable, dates: Sequence[date]) -> None:
        """Bring these partitions of the table's feeds up to date."""
        root, run_id, log = self.settings.root, uuid4().hex, logging.getLogger("tests")
        for feed in table.feeds:
            load_partitions(feed, Target(root, "raw", feed.table, dates, run_id, log), self.settings.lakehouse_start_date)

    def build_silver(self, table: SilverTable, dates: Sequence[date]) -> str | None:
        """Bring these partitions of silver up to date; what was refused."""
        target = Target(self.settings.root, "silver", table.name, dates, uuid4().hex, logging.getLogger("tests"))
        try:
            build_partitions(table, self.engine.session, target)
        except AuditError as error:
            return str(error)
        return None

    def rows(self, table: str, columns: str = "*", order: str = "ALL") -> list[dict[str, Any]]:
        """The rows of a table such as `silver.crm_customers`."""
        rows = query(self.settings.root, f"SELECT {columns} FROM {table} ORDER BY {order}")
        return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]

    def accounts(self, layer: str, table: str) -> dict[str, tuple[int | None, int, int, int]]:
        """By date: rows in, out, quarantined, superseded."""
        return {
            key[2].isoformat(): (r.rows_in, r.rows_out, r.rows_quarantined, r.rows_superseded)
            for key, r in sorted(self.records(layer, table).items())
        }

    def records(self, layer: str, table: str) -> dict[tuple[str, str, date], PartitionRecord]:
        return Ledger(self.settings.root).read(layer, table)

    def versions(self) -> dict[str, int]:
        """The Delta version of every table that there is."""
        root = self.settings.root
        tables = [(layer, name) for layer in ("raw", "silver", "gold") for name in root.table_names(layer)]
        opened = {f"{layer}.{name}": open_table(root.table(layer, name)) for layer, name in tables}
        return {name: table.version() for name, table in opened.items() if table is not None}


@dataclass
class World:
    """An engine and a kind of root. While it is the one in use, this process's environment leads to its store."""

    name: str
    root: Callable[[], str]
    """A new empty root."""
    engine: str
    """What `LAKEHOUSE_ENGINE` says."""
    cluster: Cluster | None = None

    def settings(self, root: str | None = None, **more: Any) -> Settings:
        return Settings(lakehouse_root=root or self.root(), lakehouse_engine=self.engine, **more)
