"""A store that fails in every way a store can, in front of two machines: nothing lost, nothing doubled, and whoever fails says so.

`pytest -m soak -s` runs 500 rounds and tells how it goes; the usual run takes a few of them. `docs/faults.md` tells which fault is
tested where.
"""

import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import botocore.exceptions
import duckdb
import obstore.exceptions
import pyarrow as pa
import pyspark.errors
import pytest
from deltalake.exceptions import DeltaError

from lakehouse_assets.contracts.system import Catalog, SilverTable
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.delta.duck import enable_s3
from lakehouse_assets.delta.tables import IDEMPOTENCY_KEY, ensure_table, forget_open_tables, open_table
from lakehouse_assets.engine.server import port_answers
from lakehouse_assets.engine.session import Engine
from lakehouse_assets.errors import LakehouseError
from lakehouse_assets.gold.models import Model, stale_models
from lakehouse_assets.gold.publish import open_tables
from lakehouse_assets.orchestration.sync import sync
from lakehouse_assets.reconcile.plan import make_plan
from lakehouse_assets.services.service import free_port
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.root import Root
from lakehouse_assets.upkeep.maintain import maintain
from tests.support.fault_proxy import ALWAYS, Fault, FaultProxy, Rule
from tests.support.lakehouse import Lakehouse
from tests.support.steps import build_gold
from tests.support.store_faults import CATEGORIES, CUSTOMERS, check_no_trace, missing_files
from tests.support.things import DATES, Shop, entity

pytestmark = pytest.mark.worlds("sail-minio")

PASS_SECONDS = 600
"""A pass that takes longer hangs, however busy the machine."""

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


def two_modes() -> list[SilverTable]:
    """A table that keeps the newest row of a key, and one that keeps its history."""
    return [entity("upsert", "things"), entity("history", "versions")]


GOLD = Model("things", "marts", ("shop_things",), (), "checksum", (("shop_things", None),), "Things")


@dataclass
class Machine:
    """A process with a Dagster instance of its own, which reaches the store by the proxy and makes passes over any root it is told."""

    environment: dict[str, str]
    home: Path

    def __post_init__(self) -> None:
        self._works = False
        self.home.mkdir()
        self._said = self.home / "said.txt"
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_work, args=(self.environment, self.home, self._said, theirs), daemon=True)
        self._process.start()

    def start_pass(self, root: str) -> None:
        """Begin a pass over a root."""
        if self._works:
            self._pipe.recv()  # of a test that has failed before it heard of this
        self._pipe.send(root)
        self._works = True

    def end_pass(self) -> list[str]:
        """Wait for the pass; what it failed of, if the store's faults may be the cause of that. Nothing that it said is a trace."""
        assert self._pipe.poll(PASS_SECONDS), "the pass hangs"
        message, unclean = self._pipe.recv()
        self._works = False
        assert unclean == [], unclean
        check_no_trace("\n".join([*message, self._said.read_text()]))
        return message

    def make_pass(self, root: str) -> list[str]:
        """A whole pass."""
        self.start_pass(root)
        return self.end_pass()

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


def _work(environment: dict[str, str], home: Path, said: Path, pipe: Connection) -> None:
    os.environ.update(environment)
    with said.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    engine = Engine(Settings(lakehouse_engine="sail").engine_config)
    engine.session()
    while root := pipe.recv():
        messages: list[str] = []
        unclean: list[str] = []
        settings = Settings(lakehouse_root=root, lakehouse_engine="sail", dagster_home=home / "dagster")
        for step in (partial(_rows, settings, engine), partial(_gold, settings.root)):
            failed: list[str] = []
            try:
                failed = step()
            except STORE_ERRORS as error:
                failed = [f"{type(error).__name__}: {str(error).splitlines()[0]}"]
            except BaseException as error:  # noqa: BLE001 - the test wants to hear of it, whatever it is
                unclean.append(f"{type(error).__name__}: {error}")
            messages += failed
            unclean += [error for error in failed if not _may_come_of_the_store(error)]
        pipe.send((messages, unclean))


def _rows(settings: Settings, engine: Engine) -> list[str]:
    """Raw and silver, as `lakehouse sync` builds them; the errors."""
    settings.dagster_home.mkdir(exist_ok=True)
    definitions = build_definitions(settings, catalog=Catalog.from_tables(two_modes()), engine=engine)
    result = sync(
        settings,
        Catalog.from_tables(two_modes()),
        make_plan(settings, Catalog.from_tables(two_modes())),
        definitions,
        lambda line: None,
    )
    return [*(table.error for table in result.tables if table.error), *result.failed_checks]


def _gold(root: Root) -> list[str]:
    """A model over silver, where it is due, as the gold asset builds those of dbt."""
    forget_open_tables()
    if stale_models([GOLD], open_tables(root, [GOLD]).records, ""):
        with tempfile.TemporaryDirectory() as folder:
            build_gold(root, [GOLD], ["things"], Path(folder, "run.duckdb"), partial(_things, root))
    return []


def _things(root: Root, database: Path, selected: Collection[str]) -> set[str]:
    with duckdb.connect(str(database)) as connection:
        enable_s3(connection, root)
        connection.execute('CREATE TABLE gold.things AS SELECT thing_id, "at", value, _date FROM silver.shop_things')
    return set(selected)


def _may_come_of_the_store(error: str) -> bool:
    """Whether an error that a pass tells is one of the store, or a sentence."""
    name = re.match(r"(?:\w+\.)*(\w+): ", error)
    return name is None or not name[1].endswith(("Error", "Exception")) or name[1] in _names_below(STORE_ERRORS)


def _names_below(classes: Iterable[type]) -> set[str]:
    return {name for cls in classes for name in (cls.__name__, *_names_below(cls.__subclasses__()))}


@dataclass
class Store:
    """A store behind a proxy, and machines that reach it by that way alone."""

    proxy: FaultProxy
    machines: list[Machine]
    """Two."""


@pytest.fixture
def store(the_store) -> Iterator[Store]:
    """The store as it is without faults, whatever the test before has left."""
    the_store.proxy.calm()
    yield the_store
    the_store.proxy.calm()


@pytest.fixture(scope="module")
def the_store(stores, tmp_path_factory) -> Iterator[Store]:
    environment = stores("minio")
    with FaultProxy(environment["AWS_ENDPOINT_URL"]) as proxy:
        through = {name: value for name, value in environment.items() if name != "LAKEHOUSE_ROOT"} | {
            "AWS_ENDPOINT_URL": proxy.url
        }
        homes = tmp_path_factory.mktemp("machines")
        machines = [Machine(through, homes / f"machine {number}") for number in (1, 2)]
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
        return cls(lakehouse, [Shop(lakehouse, one, chance, fatal=0) for one in two_modes()])

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
            shop.built = {
                day: [row for (of, _), result in sorted(shop.landed.items()) if of == day for row in result] for day in DATES
            }
            shop.check()
            table = shop.entity.name
            raw = self.lakehouse.rows(
                f"(SELECT _date::VARCHAR AS d, _source_file AS f, count(*) AS n FROM raw.{table} GROUP BY ALL)"
            )
            landed = {(day.isoformat(), name): len(rows) for (day, name), rows in shop.landed.items() if rows}
            assert {(row["d"], row["f"]): row["n"] for row in raw} == landed
            assert self.lakehouse.rows(f"(FROM raw.{table} WHERE _row_number IS NULL)") == []
            for layer in ("raw", "silver"):
                assert [r for r in self.lakehouse.records(layer, table).values() if not r.adds_up] == []
        model, silver = (
            self.lakehouse.rows(table, 'thing_id, "at", value, _date') for table in ("gold.things", "silver.shop_things")
        )
        assert model == silver
        assert [r for r in self.lakehouse.records("gold", "things").values() if not r.adds_up] == []
        place = "layer, table_name, date, source_file, row_number"
        assert self.lakehouse.rows(f"(SELECT {place} FROM quarantine.rows GROUP BY ALL HAVING count(*) > 1)") == []
        assert missing_files(self.lakehouse.settings.root) == []


@pytest.fixture
def two_tables(make_lakehouse) -> Callable[[object], TwoTables]:
    """Makes roots with both tables, each with chances of its own."""
    return lambda seed: TwoTables.over(make_lakehouse(*two_modes()), random.Random(repr(seed)))


def storm(store: Store, tables: TwoTables, chance: random.Random, seed: object, rounds: int) -> int:
    """Rounds of: files arrive, both machines make a pass over a faulty store, one makes another over a sound one, and all stands.

    How many passes failed.
    """
    failed = 0
    for number in range(rounds):
        tables.arrive(chance.randint(1, 3))
        store.proxy.storm((seed, number), 0.01 * 30 ** chance.random())  # 1 to 30 %
        for machine in store.machines:
            machine.start_pass(tables.root)
        failed += sum(bool(machine.end_pass()) for machine in store.machines)
        store.proxy.calm()
        assert chance.choice(store.machines).make_pass(tables.root) == []
        tables.check()
    return failed


SHARE = {1: 1}
"""Seeds and rounds of the usual run."""

SOAK_SEED, SOAK_ROUNDS = int(os.environ.get("SOAK_SEED", "100")), int(os.environ.get("SOAK_ROUNDS", "500"))
"""Set these in the environment for some of the rounds, or for others."""

ROUNDS_OF_A_SEED = 10
SOAK = {
    SOAK_SEED + n // ROUNDS_OF_A_SEED: min(ROUNDS_OF_A_SEED, SOAK_ROUNDS - n) for n in range(0, SOAK_ROUNDS, ROUNDS_OF_A_SEED)
}


@pytest.mark.parametrize("seed", [*SHARE, *(pytest.param(seed, marks=pytest.mark.soak) for seed in SOAK)])
def test_two_machines_over_a_faulty_store_lose_nothing_and_double_nothing(seed, store, two_tables):
    before, began, rounds = store.proxy.counts.copy(), time.monotonic(), (SOAK | SHARE)[seed]
    failed = storm(store, two_tables(seed), random.Random(seed), seed, rounds)
    counts = store.proxy.counts - before
    assert counts
    spoiled = ", ".join(f"{count} {fault.name}" for fault, count in sorted(counts.items()))
    report = f"seed {seed}: {rounds} rounds, {time.monotonic() - began:.0f} s, {failed} failed passes, spoiled: {spoiled}"
    print(report, flush=True)  # noqa: T201 - for whoever watches an hour of it


LOST = {"500 after": Fault.ERROR_AFTER, "lost reply": Fault.LOST_REPLY}

COMMITS = {
    "raw": ("raw/shop_things", 0, "lost reply"),
    "silver": ("silver/shop_things", 0, "500 after"),
    "quarantine": ("quarantine/rows", 0, "500 after"),
    "gold": ("gold/things", 0, "lost reply"),
    # A pass commits to the ledger five times, of which raw and silver of either table are the first four.
    "the first of the ledger": ("ops/partitions", 0, "500 after"),
    "the second of the ledger": ("ops/partitions", 1, "lost reply"),
    "the fourth of the ledger": ("ops/partitions", 3, "500 after"),
}
"""By name: the table, how many of its commits in a pass go well before, and what befalls the next."""

ALL_TABLES = ["raw", "silver", "quarantine", "gold", "the first of the ledger"]


@pytest.mark.parametrize(
    ("earlier", "names"),
    [
        pytest.param(1, ALL_TABLES, id="one of each table"),
        *(pytest.param(1, [name], id=f"{name}, on top", marks=pytest.mark.soak) for name in COMMITS),
        *(pytest.param(0, [name], id=f"{name}, at first", marks=pytest.mark.soak) for name in ("raw", "silver", "quarantine")),
    ],
)
def test_commits_of_which_nobody_hears_count_once_and_keep_their_files(earlier, names, store, two_tables):
    tables, machine = two_tables(tuple(names)), store.machines[0]
    for _ in range(earlier):
        tables.arrive(6)
        assert machine.make_pass(tables.root) == []
    tables.arrive(6)
    # The commit that makes an empty table is version 0 and another matter: whoever repeats it finds the table there.
    store.proxy.rules = [
        Rule(LOST[fault], "PUT", rf"/{table}/_delta_log/0*[1-9]\d*\.json$", skip=skip)
        for table, skip, fault in (COMMITS[name] for name in names)
    ]
    rules = list(store.proxy.rules)
    machine.make_pass(tables.root)
    store.proxy.calm()
    assert [rule.times for rule in rules] == [0] * len(names)
    assert missing_files(tables.lakehouse.settings.root) == []
    for name in ("raw.shop_things", "silver.shop_things"):
        tables.lakehouse.rows(name)
    assert machine.make_pass(tables.root) == []
    tables.check()
    assert repeated_commits(tables.lakehouse.settings.root, "raw", "silver", "gold") == []


def repeated_commits(root: Root, *layers: str) -> list[str]:
    """The idempotency keys that two commits of a table in a row have."""
    repeated = []
    for place, name in ((layer, name) for layer in layers for name in root.table_names(layer)):
        table = open_table(root.table(place, name))
        keys = [commit.get(IDEMPOTENCY_KEY) for commit in (table.history() if table else [])]
        repeated += [f"{place}/{name}: {key}" for key, before in pairwise(keys) if key and key == before]
    return repeated


@pytest.mark.parametrize("fault", LOST)
def test_a_table_of_whose_making_nobody_hears_is_there(fault, store, lakehouse, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.proxy.url)
    root = Settings(lakehouse_root=f"{lakehouse.settings.lakehouse_root}-made").root
    rule = Rule(LOST[fault], "PUT", r"/raw/things/_delta_log/0*\.json$")
    store.proxy.rules = [rule]
    forget_open_tables()
    table = ensure_table(root.table("raw", "things"), pa.schema([("_date", pa.date32())]))
    assert rule.times == 0
    assert table.version() == 0


@dataclass
class CommandLine:
    """`lakehouse` in processes of their own, by way of the proxy, over a root in which some categories have landed."""

    lakehouse: Lakehouse
    environment: dict[str, str]

    def sync(self) -> subprocess.CompletedProcess[str]:
        """A pass; it may fail, but not with a trace, and it doesn't hang."""
        with self.start("sync") as process:
            said = process.communicate(timeout=PASS_SECONDS)
        check_no_trace("".join(said))
        return subprocess.CompletedProcess(process.args, process.returncode, *said)

    def heal(self) -> None:
        """Build what the pass has left, over a sound store."""
        assert self.lakehouse.build() == {}
        assert self.lakehouse.plan().is_empty
        assert sorted(row["category"] for row in self.lakehouse.rows("silver.erp_product_categories")) == [
            "Accessories",
            "Components",
        ]

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command."""
        whole = [str(Path(sys.executable).with_name("lakehouse")), command]
        return subprocess.Popen(whole, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def command_line(store, lakehouse, tmp_path) -> CommandLine:
    lakehouse.land("erp/product_categories", "2026-01-01", "categories.csv", CATEGORIES)
    settings = {
        "LAKEHOUSE_ROOT": str(lakehouse.settings.lakehouse_root),
        "LAKEHOUSE_ENGINE": "sail",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
        "AWS_ENDPOINT_URL": store.proxy.url,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "NO_COLOR": "1",
    }
    return CommandLine(lakehouse, os.environ | settings)


@pytest.mark.parametrize("seed", [1])
def test_the_command_line_tells_of_a_faulty_store_without_a_trace(seed, store, command_line):
    """Gold included, which dbt builds in a process of its own."""
    command_line.lakehouse.land("crm/customers", "2026-01-01", "customers.csv", CUSTOMERS)
    before = store.proxy.counts.copy()
    store.proxy.storm(seed, 0.1)
    command_line.sync()
    store.proxy.calm()
    assert store.proxy.counts - before
    healed = command_line.sync()
    assert healed.returncode == 0, healed.stderr
    assert {"AW1", "AW2"} <= {row["customer_number"] for row in command_line.lakehouse.rows("gold.dim_customer")}
    command_line.heal()


def test_a_burst_of_throttling_is_waited_out(store, command_line):
    store.proxy.rules = [Rule(Fault.SLOW_DOWN, ".*", ".*", times=3, skip=skip) for skip in range(0, 60, 10)]
    done = command_line.sync()
    assert store.proxy.rules[0].times == 0
    assert done.returncode == 0, done.stderr
    assert command_line.lakehouse.plan().is_empty
    command_line.heal()


def test_throttling_without_end_is_told_in_a_sentence(store, command_line):
    store.proxy.rules = [Rule(Fault.SLOW_DOWN, ".*", ".*", times=ALWAYS)]
    began = time.monotonic()
    done = command_line.sync()
    assert done.returncode == 1
    assert "refused to list (SlowDown)" in done.stderr, done.stderr
    assert time.monotonic() - began < 60
    store.proxy.calm()
    command_line.heal()


@pytest.mark.parametrize(
    ("fault", "skip"),
    [(Fault.EXPIRED_403, 0), (Fault.EXPIRED_400, 20), pytest.param(Fault.EXPIRED_403, 40, marks=pytest.mark.soak)],
)
def test_credentials_that_expire_within_a_pass_are_named(fault, skip, store, command_line):
    store.proxy.rules = [Rule(fault, ".*", ".*", times=ALWAYS, skip=skip)]
    done = command_line.sync()
    assert done.returncode == 1
    assert "AWS_SESSION_TOKEN" in done.stderr + done.stdout, done.stderr + done.stdout
    assert missing_files(command_line.lakehouse.settings.root) == []
    store.proxy.calm()  # as renewed
    command_line.heal()


@pytest.mark.parametrize("skip", [0, 8])
def test_a_store_that_is_full_is_told_and_the_next_pass_heals(skip, store, command_line):
    store.proxy.rules = [Rule(Fault.FULL, "PUT|POST", ".*", times=ALWAYS, skip=skip)]
    done = command_line.sync()
    assert done.returncode == 1
    assert "XMinioStorageFull" in done.stderr + done.stdout, done.stderr + done.stdout
    assert missing_files(command_line.lakehouse.settings.root) == []
    store.proxy.calm()
    command_line.heal()


def test_a_sail_server_that_dies_while_it_writes_costs_its_step_alone(store, command_line):
    port = free_port(0)
    with sail_server(port, command_line.environment) as server:
        rule = Rule(Fault.RESET, "PUT|POST", r"/silver/.*\.parquet$", then=server.kill)
        store.proxy.rules = [rule]
        command_line.environment["LAKEHOUSE_ENGINE"] = f"sc://127.0.0.1:{port}"
        done = command_line.sync()
    store.proxy.calm()
    assert rule.times == 0
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr + done.stdout, done.stderr + done.stdout
    assert missing_files(command_line.lakehouse.settings.root) == []
    command_line.heal()


@pytest.mark.parametrize("skip", [1, 7])
def test_a_maintain_that_is_killed_costs_no_row(skip, store, command_line):
    lakehouse = command_line.lakehouse
    assert lakehouse.build() == {}
    lakehouse.land("erp/product_categories", "2026-01-01", "more.csv", CATEGORIES.replace("AC_BR", "CL_CA"))
    assert lakehouse.build() == {}
    tables = ("raw.erp_product_categories", "silver.erp_product_categories", "quarantine.rows")
    before = [lakehouse.rows(table) for table in tables]
    process: subprocess.Popen[str] | None = None
    started = threading.Event()

    def kill() -> None:
        started.wait()
        assert process is not None
        process.kill()

    rule = Rule(Fault.RESET, "PUT|POST|DELETE", ".*", skip=skip, then=kill)
    store.proxy.rules = [rule]
    process = command_line.start("maintain")
    started.set()
    with process:
        check_no_trace("".join(process.communicate(timeout=PASS_SECONDS)))
    store.proxy.calm()
    assert rule.times == 0
    assert process.returncode == -signal.SIGKILL
    assert missing_files(lakehouse.settings.root) == []
    assert [lakehouse.rows(table) for table in tables] == before
    assert lakehouse.build() == {}
    list(maintain(lakehouse.settings.root, timedelta(days=7)))
    assert [lakehouse.rows(table) for table in tables] == before


@contextmanager
def sail_server(port: int, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Sail in a process of its own."""
    command = [str(Path(sys.executable).with_name("sail")), "spark", "server", "--ip", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 30
        while not port_answers(port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        try:
            yield server
        finally:
            server.kill()
