"""A store that fails in every way a store can, in front of two machines: nothing is lost, nothing is doubled, and whoever fails says so.

`pytest -m soak` runs 500 rounds; the usual run takes a few of them. `docs/faults.md` tells which fault is tested where.
"""

import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import uuid4

import botocore.exceptions
import duckdb
import obstore.exceptions
import pyspark.errors
import pytest
from deltalake.exceptions import DeltaError

from lakehouse_assets.contracts.system import Entity
from lakehouse_assets.engine.session import Engine
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.settings import Settings
from lakehouse_assets.storage.root import Root
from lakehouse_assets.storage.tables import live_files, open_table
from tests.conftest import Lakehouse
from tests.silver.test_oracle import DATES, Shop, entity
from tests.support.fault_proxy import STALE_SECONDS, Fault, FaultProxy, Rule

pytestmark = pytest.mark.worlds("sail-minio")

PASS_SECONDS = 240
"""A pass that takes longer hangs."""

STORE_ERRORS = (
    LakehouseError,
    DeltaError,
    OSError,
    duckdb.Error,
    obstore.exceptions.BaseError,
    pyspark.errors.PySparkException,
    botocore.exceptions.BotoCoreError,
    botocore.exceptions.ClientError,
)
"""What a pass may fail of where its store does. All else, such as a KeyError or a panic, is a fault of the pass."""


def entities() -> list[Entity]:
    """A table that keeps the newest row of a key, and one that keeps its history."""
    return [entity("upsert", "things"), entity("history", "versions")]


@dataclass
class Machine:
    """A process of its own, which reaches the store by the proxy and makes passes over whatever root it is told."""

    environment: dict[str, str]

    def __post_init__(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_work, args=(self.environment, theirs), daemon=True)
        self._process.start()

    def start_pass(self, root: str) -> None:
        """Begin a pass over a root."""
        self._pipe.send(root)

    def end_pass(self) -> list[str]:
        """Wait for the pass; what it failed of, if the store's faults may be the cause of that."""
        assert self._pipe.poll(PASS_SECONDS), "the pass hangs"
        told, unclean = self._pipe.recv()
        assert unclean == [], unclean
        return told

    def make_pass(self, root: str) -> list[str]:
        """A whole pass."""
        self.start_pass(root)
        return self.end_pass()

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


def _work(environment: dict[str, str], pipe: Connection) -> None:
    os.environ.update(environment)
    engine = Engine(Settings(lakehouse_engine="sail").engine_config)
    engine.session()
    while root := pipe.recv():
        told: list[str] = []
        unclean: list[str] = []
        lakehouse = Lakehouse(Settings(lakehouse_root=root, lakehouse_engine="sail"), entities(), engine)
        for one in lakehouse.entities:
            try:
                if dates := sorted({day for table in lakehouse.plan_of(one).tables for day in table.dates}):
                    lakehouse.materialize(one, dates)
            except STORE_ERRORS as error:
                told.append(f"{type(error).__name__}: {error}")
            except BaseException as error:  # noqa: BLE001 - the test wants to hear of it, whatever it is
                unclean.append(f"{type(error).__name__}: {error}")
        pipe.send((told, unclean))


@dataclass
class Store:
    """A store behind a proxy, and machines that reach it by that way alone."""

    proxy: FaultProxy
    machines: list[Machine]
    """Two."""


@pytest.fixture(scope="module")
def store(stores) -> Iterator[Store]:
    environment = stores("minio")
    with FaultProxy(environment["AWS_ENDPOINT_URL"]) as proxy:
        through = {name: value for name, value in environment.items() if name != "LAKEHOUSE_ROOT"} | {"AWS_ENDPOINT_URL": proxy.url}
        machines = [Machine(through) for _ in range(2)]
        yield Store(proxy, machines)
        for machine in machines:
            machine.end()


@dataclass
class TwoTables:
    """Both tables of a root, as they land and as they must stand. It looks at the store directly, not by the proxy."""

    lakehouse: Lakehouse
    shops: list[Shop] = field(default_factory=list)

    @classmethod
    def over(cls, lakehouse: Lakehouse, chance: random.Random) -> "TwoTables":
        return cls(lakehouse, [Shop(lakehouse, one, chance, fatal=0) for one in entities()])

    @property
    def root(self) -> str:
        return self.lakehouse.settings.lakehouse_root

    def arrive(self, files: int) -> None:
        """Files come, change and vanish."""
        for shop in self.shops:
            for _ in range(files):
                shop.arrive()

    def check(self) -> None:
        """What stands is what plain Python makes of landing; nothing is left to do; no file of a table is missing."""
        assert self.lakehouse.plan().is_empty
        for shop in self.shops:
            shop.built = {day: [row for (of, _), found in sorted(shop.landed.items()) if of == day for row in found] for day in DATES}
            shop.check()
            table = shop.entity.table
            raw = self.lakehouse.rows(f"(SELECT _date::VARCHAR AS d, _source_file AS f, count(*) AS n FROM raw.{table} GROUP BY ALL)")
            landed = {(day.isoformat(), name): len(rows) for (day, name), rows in shop.landed.items() if rows}
            assert {(row["d"], row["f"]): row["n"] for row in raw} == landed
            assert self.lakehouse.rows(f"(FROM raw.{table} WHERE _row_number IS NULL)") == []
            for layer in ("raw", "silver"):
                assert [r for r in self.lakehouse.records(layer, table).values() if r.is_begun or not r.adds_up] == []
        assert missing_files(self.lakehouse.settings.root) == []


def missing_files(root: Root) -> list[str]:
    """The files that a table names and that are gone."""
    there = {path for path, _ in root.files("")}
    tables = [(layer, name) for layer in ("raw", "silver", "ops", "quarantine") for name in root.table_names(layer)]
    opened = ((layer, name, open_table(root.table(layer, name))) for layer, name in tables)
    named = (f"{layer}/{name}/{file['path']}" for layer, name, table in opened if table is not None for file in live_files(table))
    return [path for path in named if path not in there]


@pytest.fixture
def two_tables(lakehouse) -> Callable[[object], TwoTables]:
    """Makes roots with both tables, each with chances of its own."""

    def make(seed: object) -> TwoTables:
        settings = lakehouse.settings.model_copy(update={"lakehouse_root": f"{lakehouse.settings.lakehouse_root}{uuid4().hex[:6]}"})
        return TwoTables.over(Lakehouse(settings, entities(), lakehouse.engine), random.Random(repr(seed)))

    return make


def storm(store: Store, tables: TwoTables, chance: random.Random, seed: object, rounds: int) -> None:
    """Rounds of: files arrive, both machines make a pass over a faulty store, one makes another over a sound one, and all stands."""
    for number in range(rounds):
        tables.arrive(chance.randint(1, 3))
        store.proxy.storm((seed, number), chance.uniform(0.01, 0.3))
        for machine in store.machines:
            machine.start_pass(tables.root)
        for machine in store.machines:
            machine.end_pass()
        store.proxy.calm()
        failed = chance.choice(store.machines).make_pass(tables.root)
        assert failed == []
        tables.check()


SHARE = {1: 3, 2: 3}
"""Seeds and rounds of the usual run."""

SOAK = {seed: 10 for seed in range(100, 150)}


@pytest.mark.parametrize("seed", [*SHARE, *(pytest.param(seed, marks=pytest.mark.soak) for seed in SOAK)])
def test_two_machines_over_a_faulty_store_lose_nothing_and_double_nothing(seed, store, two_tables, record_property):
    before, began = store.proxy.counts.copy(), time.monotonic()
    storm(store, two_tables(seed), random.Random(seed), seed, (SHARE | SOAK)[seed])
    for fault, count in (store.proxy.counts - before).items():
        record_property(fault.name, count)
    record_property("seconds", round(time.monotonic() - began))
