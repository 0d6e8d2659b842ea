"""What tests share: a lakehouse in a folder of its own, over one Spark server for the whole session."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lakehouse_assets.automation.jobs import LAKEHOUSE_JOB
from lakehouse_assets.automation.plan import Plan, make_plan
from lakehouse_assets.automation.requests import rows_runs
from lakehouse_assets.automation.sensors import run_tags
from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.engine.session import Engine
from lakehouse_assets.serving.query import query
from lakehouse_assets.settings import Settings
from lakehouse_assets.storage.ledger import Ledger, PartitionRecord
from lakehouse_assets.storage.tables import open_table
from lakehouse_assets.systems import all_entities

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Lakehouse:
    """A root in a folder of its own, with the entities that the test is about."""

    settings: Settings
    entities: list[Entity]
    engine: Engine

    def land(self, entity: str, day: str, name: str, text: str | bytes) -> None:
        """Drop a file into landing."""
        file = Path(self.settings.root.path("landing", entity, day, name))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)

    def remove(self, entity: str, day: str, name: str) -> None:
        """Take a file out of landing."""
        Path(self.settings.root.path("landing", entity, day, name)).unlink()

    def plan(self) -> Plan:
        return make_plan(self.settings, self.entities)

    def definitions(self) -> dg.Definitions:
        return build_definitions(self.settings, entities=self.entities, engine=self.engine)

    def build(self) -> dict[str, str]:
        """Bring raw and silver up to date with landing; the errors by step."""
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

    def rows(self, table: str, columns: str = "*", order: str = "ALL") -> list[dict[str, Any]]:
        """The rows of a table such as `silver.crm_customers`."""
        found = query(self.settings.root, f"SELECT {columns} FROM {table} ORDER BY {order}")
        return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]

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


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    engine = Engine(Settings().engine_config)
    yield engine
    engine.stop_session()


@pytest.fixture(scope="session")
def spark(engine: Engine):
    return engine.session()


@pytest.fixture
def lakehouse(tmp_path: Path, engine: Engine) -> Lakehouse:
    """All source systems over an empty root."""
    return Lakehouse(Settings(lakehouse_root=str(tmp_path / "lakehouse")), all_entities(), engine)


@pytest.fixture
def make_lakehouse(tmp_path: Path, engine: Engine):
    """A maker of lakehouses with entities of the test's own, each with a root of its own."""
    made: list[Lakehouse] = []

    def make(*entities: Entity) -> Lakehouse:
        made.append(Lakehouse(Settings(lakehouse_root=str(tmp_path / f"root{len(made)}")), list(entities), engine))
        return made[-1]

    return make
