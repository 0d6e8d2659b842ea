"""What tests share: a lakehouse over an empty root, in the worlds in which it must give the same tables.

A world has two axes: an engine (sail, spark, a cluster) and a store (a folder, MinIO, versitygw). A test runs in the worlds that it is
about; `--world` picks others, such as `--world spark-folder --world sail-minio`.
"""

import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from filelock import FileLock
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from lakehouse_assets.engine import session
from lakehouse_assets.engine.server import port_answers
from lakehouse_assets.engine.session import Engine
from lakehouse_assets.gold.dbt_ahead import PLACE, listening, serving
from lakehouse_assets.services.service import free_port
from lakehouse_assets.services.store import REGION, MinIO, ObjectStore, VersityGateway
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.root import Root
from tests.support.cluster import Cluster
from tests.support.lakehouse import BICYCLES, EVERY_WORLD, Lakehouse, World

ENGINES = ("sail-folder", "spark-folder")
"""For tests that use an engine and no lakehouse: what silver computes is the same wherever its rows lie."""

ENGINES_AND_STORES = ("spark-folder", "sail-minio")
"""For tests that use a lakehouse: each engine once, each kind of store once."""


QUICK = tuple(
    f"tests/{path}"
    for path in (
        "contracts",
        "delta",
        "documentation",
        "gold/test_models.py",
        "gold/test_publish.py",
        "hooks",
        "materialization",
        "raw/readers",
        "raw/test_load.py",
        "reconcile",
        "silver/test_audit.py",
        "silver/test_history.py",
        "silver/test_upsert.py",
        "systems",
        "test_definitions.py",
    )
)
"""What the inner loop runs: each rule of each stage once, on Sail and a folder."""


FIXED_PORTS = ("tests/deploy/test_compose.py", "tests/services/test_stack.py")
"""Tests of whole stacks, whose ports are given."""

SLOWEST_FIRST = ("cluster-minio", "spark-minio", "", "spark-folder", "sail-minio", "sail-versitygw", "sail-folder")


MEMORY, ENOUGH_BYTES = Path("/dev/shm"), 4 * 2**30


def pytest_configure() -> None:
    """Keep compiled modules: each of some hundred processes that tests start would compile the package again.

    And keep all temporary files in memory, where there is room for them: the tests wait for the disk half of their time.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return
    can_run_programs = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    if can_run_programs and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


class ByFile(LoadFileScheduling):
    """Gives a process whole files.

    The cluster's tests, of whichever file, go to one process: it is started once. Those of the dashboard share a lakehouse.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/dashboard/"):
            return "tests/dashboard"
        return "cluster" if "[cluster-" in nodeid else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three processes for two cores: a quarter of the time, tests wait for servers and for processes that they start."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + cores // 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Used for `pytest -n`, whatever `--dist` says."""
    return ByFile(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--world", action="append", choices=EVERY_WORLD, help="run only in these worlds")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test in the worlds that it is about: those that its mark names, or else the axes that its fixtures use."""
    if "world" not in metafunc.fixturenames:
        return
    if own := metafunc.definition.get_closest_marker("worlds"):
        usual = own.args
    elif {"lakehouse", "make_lakehouse"} & set(metafunc.fixturenames):
        usual = ENGINES_AND_STORES
    else:
        usual = ENGINES
    wanted = metafunc.config.getoption("world") or (["sail-folder"] if metafunc.config.option.markexpr == "quick" else None)
    worlds = [w for w in wanted if own is None or w in own.args] if wanted else usual
    metafunc.parametrize("world", worlds, indirect=True, scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Group the tests by worlds, the slowest first, so that a process sets each world up once."""
    for item in items:
        if item.nodeid.startswith(QUICK) and _world(item) in ("", "sail-folder"):
            item.add_marker("quick")
    yield
    # pytest itself groups by the position of a world among a test's own worlds, which says little.
    items.sort(key=lambda item: (SLOWEST_FIRST.index(_world(item)), not item.nodeid.startswith(FIXED_PORTS)))


def _world(item: pytest.Item) -> str:
    """The world of a test; empty where it needs none, or where `--world` leaves it none."""
    world = item.callspec.params.get("world", "") if hasattr(item, "callspec") else ""
    return world if world in EVERY_WORLD else ""


@pytest.fixture(scope="module", autouse=True)
def _ports(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let only one process at a time run tests whose ports are given."""
    if not request.node.nodeid.startswith(FIXED_PORTS):
        yield
        return
    with FileLock(Path(tempfile.gettempdir(), "lakehouse-tests-ports.lock")):
        yield


@pytest.fixture(scope="session", autouse=True)
def _dbt() -> Iterator[None]:
    """Has dbt loaded once for all tests, when the first of them runs a command of it."""
    folders = Settings().gold_project.folders
    # Not below pytest's own folder, whose path can be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="dbt-") as place, pytest.MonkeyPatch.context() as patch:
        patch.setenv(PLACE, f"{place}/socket")
        with listening(f"{place}/socket") as listener:
            ends, end = socket.socketpair()
            loaded = threading.Thread(target=_load_dbt, args=(listener, ends, folders), daemon=True)
            loaded.start()
            yield
            end.close()
            loaded.join()


def _load_dbt(listener: socket.socket, ends: socket.socket, folders: Sequence[Path]) -> None:
    with ends:
        called, _, _ = select.select([listener, ends], [], [])
        if listener in called:
            with serving(listener, folders):
                select.select([ends], [], [])


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
def remote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets any engine count as one that is elsewhere, so that rows are looked up there."""

    class Everything:
        def __contains__(self, _: object) -> bool:
            return True

    monkeypatch.setattr(session, "_remote", Everything())


@pytest.fixture
def lakehouse(world: World, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lakehouse:
    """All source systems over an empty root."""
    monkeypatch.chdir(tmp_path)  # what is no data lies there, where the root is no folder
    return Lakehouse(world.settings(), list(BICYCLES), engine)


@pytest.fixture
def make_lakehouse(world: World, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A maker of lakehouses with entities of the test's own, each with a root of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *entities: Lakehouse(world.settings(), list(entities), engine)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A root in a folder of its own, empty."""
    return Root.parse(str(tmp_path / "lakehouse"))
