"""A process that stays: each drop is built by a pass, whatever fails in between, and its end loses nothing."""

import threading
import time
from dataclasses import replace
from datetime import timedelta

import dagster as dg
import pytest

from lakehouse_assets.contracts.contract import Rule
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.errors import UnreadableError
from lakehouse_assets.orchestration import follow, loaded_code
from lakehouse_assets.orchestration.follow import Ending, Follower
from lakehouse_assets.orchestration.instance import open_instance
from lakehouse_assets.reconcile.plan import make_plan
from lakehouse_assets.reconcile.runs import DIFFERENCE_TAG
from lakehouse_assets.serving.query import query
from lakehouse_assets.settings import Settings
from tests.support.group import DATES, ORDERS, ORDERS_FEED, START, Group

pytestmark = pytest.mark.worlds("sail-folder")

FATAL = Rule("value_not_fatal", "value IS NULL OR value <> 'fatal'", "fail", "A value is not fatal.")
STRICT = replace(ORDERS, contract=replace(ORDERS.contract, rules=(*ORDERS.contract.rules, FATAL)))


class Resident:
    """A follower over a root of its own, with what it has reported."""

    def __init__(self, folder, engine, *tables):
        self.group = Group(folder, engine.session)
        self.settings = Settings(lakehouse_root=str(folder), lakehouse_engine="sail", lakehouse_start_date=START)
        self.catalog = Catalog.from_tables(tables)
        self.engine, self.reports, self.said = engine, [], []
        self.stop = threading.Event()
        self.settings.dagster_home.mkdir(parents=True, exist_ok=True)
        self.instance = open_instance(self.settings.dagster_home, self.settings.root)

    def start(self, progress=print):
        definitions = build_definitions(self.settings, catalog=self.catalog, engine=self.engine)
        return Follower(
            self.settings, self.catalog, definitions, self.instance, self.stop, self.said.append, self.reports.append, progress
        )

    def land(self, day, name, key, said="x"):
        self.group.land(ORDERS_FEED, DATES[day], name, [{"id": key, "at": 1, "said": said, "op": "u"}])

    def keys(self):
        return [key for (key,) in query(self.settings.root, "SELECT thing_id FROM silver.shop_orders ORDER BY 1").fetchall()]


@pytest.fixture
def resident(tmp_path, engine, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Resident(tmp_path / "root", engine, STRICT)
    yield made
    made.instance.dispose()


def test_a_pass_builds_what_has_landed_and_is_silent_if_nothing_has(resident):
    follower = resident.start()
    for number in range(2):
        resident.land(0, f"{number}", f"k{number}")
        assert follower.take_pass().succeeded
    assert resident.keys() == ["k0", "k1"]
    assert not follower.take_pass().is_worth_a_line
    assert [(report.files, report.number) for report in resident.reports] == [(1, None), (1, None)]
    assert resident.reports[0].to_json()["tables"][0]["table"] == "shop_orders"
    assert "1 file, 2 tables in " in resident.reports[0].sentence()


def test_what_was_refused_is_tried_once_and_holds_back_nothing(resident):
    follower = resident.start()
    resident.land(0, "a", "k0", "fatal")
    assert not follower.take_pass().succeeded
    resident.land(1, "a", "k1")
    assert follower.take_pass().succeeded
    assert resident.keys() == ["k1"]
    assert not follower.take_pass().is_worth_a_line
    resident.land(0, "a", "k0")  # corrected
    assert follower.take_pass().succeeded
    assert resident.keys() == ["k0", "k1"]


def test_a_fault_of_the_moment_is_tried_again_after_a_pause(resident, monkeypatch):
    follower = resident.start()
    resident.land(0, "a", "k0")
    with monkeypatch.context() as patch:
        patch.setattr("lakehouse_assets.raw.assets.load_partitions", _broken)
        assert "connection reset" in follower.take_pass().sentence()
    waiting = follower.take_pass()
    assert waiting.result.runs == []
    assert "try 2 is due at" in waiting.result.waiting[0]
    monkeypatch.setattr("lakehouse_assets.reconcile.faults.FIRST_PAUSE", timedelta(0))
    assert follower.take_pass().succeeded
    assert resident.keys() == ["k0"]


def _broken(*_, **__):
    raise OSError("connection reset")


def test_a_pass_that_can_not_be_made_is_reported_and_the_next_ones_come_ever_later(resident, monkeypatch):
    follower = resident.start()
    resident.land(0, "a", "k0")
    pauses = []
    with monkeypatch.context() as patch:
        patch.setattr(follow, "make_follow_plan", _unreadable)
        for _ in range(3):
            assert follower.take_pass().error == "landing can't be read: the disk has an error there (EIO)."
            pauses.append(round(follower._not_before - time.monotonic()))
    assert pauses == [5, 10, 20]
    assert follower.take_pass().succeeded
    assert follower._not_before == 0
    assert resident.keys() == ["k0"]


def _unreadable(*_):
    raise UnreadableError("landing", "the disk has an error there (EIO)")


def test_a_stop_ends_the_run_after_the_step_in_hand_and_the_next_process_goes_on_at_once(resident):
    resident.land(0, "a", "k0")
    stopped = resident.start(progress=lambda text: resident.stop.set() if text.startswith("Building") else None).take_pass()
    steps = {t.table: t.error for t in stopped.result.tables if t.layer == "raw"}
    assert steps == {"shop_orders": None}
    assert not stopped.succeeded
    [run] = resident.instance.get_runs()
    assert (run.status, run.tags[DIFFERENCE_TAG]) == (dg.DagsterRunStatus.FAILURE, "")
    assert [t.layer for t in make_plan(resident.settings, resident.catalog).tables][:1] == ["silver"]
    resident.stop.clear()
    assert resident.start().take_pass().succeeded
    assert resident.keys() == ["k0"]
    resident.stop.set()
    resident.land(1, "a", "k1")
    assert resident.start().take_pass().result.runs == []  # nothing is begun any more


def test_a_feed_that_was_loaded_just_now_rests(resident):
    resident.catalog = Catalog.from_tables([replace(STRICT, inputs=(_every(STRICT.inputs[0]), *STRICT.inputs[1:]))])
    follower = resident.start()
    resident.land(0, "a", "k0")
    follower.take_pass()
    resident.land(0, "b", "k1")
    assert not follower.take_pass().is_worth_a_line
    assert resident.keys() == ["k0"]


def _every(given):
    return replace(given, feed=replace(given.feed, every=timedelta(hours=1)))


def test_it_follows_until_it_is_stopped_or_its_code_has_changed(resident, tmp_path):
    resident.land(0, "a", "k0")
    endings = []
    thread = threading.Thread(target=lambda follower: endings.append(follower.follow()), args=(resident.start(),))
    thread.start()
    _until(lambda: len(resident.reports) == 1)
    resident.land(0, "b", "k1")
    _until(lambda: len(resident.reports) == 2)
    assert resident.keys() == ["k0", "k1"]
    (tmp_path / ".env").write_text("LAKEHOUSE_TIMEZONE=Europe/Paris\n")
    resident.land(0, "c", "k2")
    thread.join(30)
    assert endings == [Ending.changed]
    resident.stop.set()
    assert resident.start().follow() is Ending.stopped
    assert len(resident.reports) == 2


def _until(holds):
    deadline = time.monotonic() + 180
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_code_of_any_kind_that_changes_is_noticed(resident, tmp_path, monkeypatch):
    project = tmp_path / "dbt"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text("name: own\n")
    systems = tmp_path / "own_systems"
    systems.mkdir()
    (systems / "__init__.py").write_text("")
    settings = Settings(
        lakehouse_root=str(tmp_path / "root"),
        lakehouse_dbt_project=project,
        lakehouse_systems=f"lakehouse_assets.systems,{systems}",
    )
    states = [loaded_code.code_state(settings)]
    assert loaded_code.code_state(settings) == states[0]
    for file in (systems / "shop.py", project / "models" / "a.sql", tmp_path / ".env"):
        file.write_text("x")
        states.append(loaded_code.code_state(settings))
    assert len(set(states)) == 4


def test_a_process_that_has_grown_starts_again(resident, monkeypatch):
    resident.land(0, "a", "k0")
    monkeypatch.setattr(follow, "_MOST_GROWTH", 0.5)
    assert resident.start().follow() is Ending.grown
    assert resident.keys() == ["k0"]
