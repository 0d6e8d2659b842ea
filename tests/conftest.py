"""What tests share: a lakehouse over an empty root, in each of the worlds in which it must give the same tables.

A world is an engine and a kind of root. `--world` picks some of them, such as `--world spark-folder --world sail-minio`.
"""

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import obstore
import pytest

from lakehouse_assets.automation.jobs import LAKEHOUSE_JOB
from lakehouse_assets.automation.plan import Plan, make_plan
from lakehouse_assets.automation.requests import rows_runs
from lakehouse_assets.automation.sensors import run_tags
from lakehouse_assets.contracts.system import Catalog, SilverTable
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.engine.server import port_answers
from lakehouse_assets.engine.session import Engine
from lakehouse_assets.errors import AuditError
from lakehouse_assets.raw.load import land
from lakehouse_assets.raw.publish import publish_landed
from lakehouse_assets.services.service import free_port
from lakehouse_assets.services.store import REGION, MinIO, ObjectStore, VersityGateway
from lakehouse_assets.serving.query import query
from lakehouse_assets.settings import Settings
from lakehouse_assets.silver.build import build_partitions
from lakehouse_assets.storage.handlers import Target
from lakehouse_assets.storage.ledger import Ledger, PartitionRecord
from lakehouse_assets.storage.tables import open_table
from lakehouse_assets.systems import catalog
from tests.cluster import Cluster

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


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
        return Catalog.of(self.tables)

    def plan(self) -> Plan:
        return make_plan(self.settings, self.catalog)

    def plan_of(self, entity: SilverTable) -> Plan:
        """What is to be done for one entity."""
        return make_plan(self.settings, Catalog.of([entity]))

    def definitions(self) -> dg.Definitions:
        return build_definitions(self.settings, catalog=self.catalog, engine=self.engine)

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

    def materialize(self, entity: SilverTable, dates: Sequence[date]) -> str | None:
        """Bring these partitions of raw and silver up to date by their handlers alone, without Dagster; what the audit refused."""
        root, run_id, log = self.settings.root, uuid4().hex, logging.getLogger("tests")
        for feed in entity.feeds:
            landed = land(feed, root, self.settings.lakehouse_start_date, dates, log)
            publish_landed(landed, Target(root, "raw", feed.table, dates, run_id, log))
        return self.build_silver(entity, dates)

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


WORLDS = ("spark-folder", "sail-folder", "sail-minio", "sail-versitygw")
SLOW_WORLDS = ("spark-minio", "cluster-minio")
"""For tests marked `in_every_world`, and for all where `--world` names them. The cluster is a standalone Spark cluster."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--world", action="append", choices=[*WORLDS, *SLOW_WORLDS], help="run only in these worlds")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "world" in metafunc.fixturenames:
        own = metafunc.definition.get_closest_marker("worlds")
        more = SLOW_WORLDS if metafunc.definition.get_closest_marker("in_every_world") else ()
        usual = own.args if own else (*WORLDS, *more)
        wanted = metafunc.config.getoption("world")
        worlds = [w for w in wanted if not own or w in own.args] if wanted else usual
        metafunc.parametrize("world", worlds, indirect=True, scope="session")


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


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], dict[str, str]]]:
    """Starts a store by name, once: the environment that leads to it, `LAKEHOUSE_ROOT` included."""
    started: dict[str, ObjectStore] = {}
    cache = Settings().lakehouse_cache.expanduser()

    def start(name: str) -> dict[str, str]:
        keys = {"access_key": f"test-{name}", "secret_key": "test-secret-of-this-session"}
        if name not in started:
            kind = {"minio": MinIO, "versitygw": VersityGateway}[name]
            started[name] = kind(tmp_path_factory.mktemp(name), free_port(0), cache / "programs", **keys)
            started[name].bucket = f"test-{name}"
            started[name].up(print)
        return {
            "LAKEHOUSE_ROOT": f"s3://test-{name}/{uuid4().hex[:8]}",
            "AWS_ENDPOINT_URL": started[name].url,
            "AWS_ACCESS_KEY_ID": keys["access_key"],
            "AWS_SECRET_ACCESS_KEY": keys["secret_key"],
            "AWS_REGION": REGION,
            "AWS_ALLOW_HTTP": "true",
        }

    yield start
    for store in started.values():
        store.down(print)


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    engine, place = request.param.split("-")
    with pytest.MonkeyPatch.context() as patch:
        if place == "folder":
            for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                patch.delenv(name, raising=False)
            yield World(request.param, lambda: str(tmp_path_factory.mktemp("root") / "lakehouse"), engine)
        else:
            stores = request.getfixturevalue("stores")
            for name, value in stores(place).items():
                if name != "LAKEHOUSE_ROOT":
                    patch.setenv(name, value)
            world = World(request.param, lambda: stores(place)["LAKEHOUSE_ROOT"], engine)
            if engine == "cluster":
                with Cluster(tmp_path_factory.mktemp("cluster")).running() as cluster:
                    yield replace(world, engine=cluster.url, cluster=cluster)
            elif request.param == "sail-versitygw":
                # A process knows one store for Sail, and this one may know MinIO already: so this is Sail as a remote server, too.
                with _sail_server() as url:
                    yield replace(world, engine=url)
            else:
                yield world


@contextmanager
def _sail_server() -> Iterator[str]:
    port = free_port(0)
    command = [str(Path(sys.executable).with_name("sail")), "spark", "server", "--ip", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not port_answers(port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"sc://127.0.0.1:{port}"
    finally:
        server.kill()  # it has nothing to lose, and where this process was started to ignore signals, its children do so too
        server.wait()


@pytest.fixture(scope="session")
def engine(world: World) -> Iterator[Engine]:
    engine = Engine(world.settings().engine_config)
    yield engine
    engine.stop_session()


@pytest.fixture
def spark(engine: Engine):
    return engine.session()  # asked each time, because a test may have stopped the one before


@pytest.fixture
def lakehouse(world: World, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lakehouse:
    """All source systems over an empty root."""
    monkeypatch.chdir(tmp_path)  # what is no data lies there, where the root is no folder
    return Lakehouse(world.settings(), list(catalog().tables), engine)


@pytest.fixture
def make_lakehouse(world: World, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A maker of lakehouses with entities of the test's own, each with a root of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *entities: Lakehouse(world.settings(), list(entities), engine)
