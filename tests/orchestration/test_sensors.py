"""The sensors: which runs they request, and when they don't."""

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import dagster as dg
import pytest
from obstore.exceptions import GenericError

from lakehouse_assets.contracts.contract import Rule
from lakehouse_assets.errors import AuditError, ContractError
from lakehouse_assets.orchestration import sensors
from lakehouse_assets.orchestration.instance import open_instance
from lakehouse_assets.orchestration.jobs import LAKEHOUSE_JOB, RANGE_END_TAG, RANGE_START_TAG
from lakehouse_assets.raw import assets
from lakehouse_assets.reconcile import faults, plan
from lakehouse_assets.reconcile.runs import DIFFERENCE_TAG
from lakehouse_assets.reconcile.scan import ScanBudget
from lakehouse_assets.silver import build
from tests.support.declare import feed_of, with_feed, with_function
from tests.support.recorded import FIRST, land, say_built, settings_from_first
from tests.support.recorded import LOCATIONS as ENTITY

LOCATIONS = "CID,CNTRY\nAW-1,DE\n"

pytestmark = pytest.mark.worlds("sail-folder")
"""What a sensor asks for depends on the books and on landing; the ways of a run look at both kinds of store."""


@pytest.fixture
def instance(lakehouse):
    with open_instance(lakehouse.settings.dagster_home, lakehouse.settings.root) as instance:
        yield instance


def tick(lakehouse, instance):
    """Evaluate all sensors once. Returns the run requests, or the reasons to skip."""
    requests, reasons = [], []
    definitions = lakehouse.definitions()
    for name in [*(f"arrivals_{system}" for system in lakehouse.catalog.systems), "gold"]:
        with dg.build_sensor_context(instance=instance) as context:
            found = definitions.resolve_sensor_def(name).evaluate_tick(context)
        requests += found.run_requests or []
        reasons.append(found.skip_message or "")
    return requests or "\n".join(reasons)


def all_agree(lakehouse, instance):
    """Whether the sensor of each system, and that of gold, says that there is nothing to do."""
    told = tick(lakehouse, instance)
    return isinstance(told, str) and told.count(" agree.") == len(lakehouse.catalog.systems) + 1


def later(lakehouse, instance):
    """Evaluate all sensors once, with all pauses over."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "FIRST_PAUSE", timedelta(0))
        return tick(lakehouse, instance)


def run(lakehouse, instance, request):
    job = lakehouse.definitions().resolve_job_def(LAKEHOUSE_JOB)
    return job.execute_in_process(
        instance=instance, asset_selection=request.asset_selection, tags=request.tags, raise_on_error=False
    )


def test_nothing_is_asked_for_where_all_agrees(lakehouse, instance):
    assert all_agree(lakehouse, instance)


def test_folders_of_no_feed_are_named_where_all_agrees(lakehouse, instance):
    lakehouse.land("crm/typo", "2026-01-05", "a.csv", "id\n1\n")
    lakehouse.land("sap/orders", "2026-01-05", "a.csv", "id\n1\n")
    message = tick(lakehouse, instance)
    assert "landing/crm/typo/ is not loaded: no feed lands there" in message
    assert "landing/sap/ is not loaded: no feed lands there" in message


@pytest.mark.worlds("sail-folder", "sail-minio")
def test_many_files_are_one_run_over_a_range(lakehouse, instance):
    for day in ("2026-01-05", "2026-01-06", "2026-01-08"):
        lakehouse.land("erp/customer_locations", day, "loc.csv", LOCATIONS)
    [request] = tick(lakehouse, instance)
    assert (request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) == ("2026-01-05", "2026-01-08")
    assert {key.to_user_string() for key in request.asset_selection} == {
        "raw/erp_customer_locations",
        "silver/erp_customer_locations",
        "silver/erp_customer_location_versions",
    }


def test_dates_far_apart_are_runs_of_their_own(lakehouse, instance):
    for day in ("2026-01-05", "2026-06-01"):
        lakehouse.land("erp/customer_locations", day, "loc.csv", LOCATIONS)
    assert len(tick(lakehouse, instance)) == 2


def test_a_lost_or_repeated_tick_asks_for_the_same(lakehouse, instance):
    lakehouse.land("erp/customer_locations", "2026-01-05", "loc.csv", LOCATIONS)
    first, second = tick(lakehouse, instance), tick(lakehouse, instance)
    assert first[0].tags[DIFFERENCE_TAG] == second[0].tags[DIFFERENCE_TAG]


def test_the_run_that_was_asked_for_settles_it(lakehouse, instance):
    lakehouse.land("erp/customer_locations", "2026-01-05", "loc.csv", LOCATIONS)
    [request] = tick(lakehouse, instance)
    assert run(lakehouse, instance, request).success
    assert all_agree(lakehouse, instance)


@pytest.mark.worlds("sail-folder", "sail-minio")
def test_gold_follows_once_its_silver_tables_stand(lakehouse, instance):
    lakehouse.land("crm/products", "2026-01-05", "prd.csv", "prd_id,prd_key,prd_nm,prd_cost,prd_line,prd_start_dt,prd_end_dt\n")
    lakehouse.land("erp/product_categories", "2026-01-05", "cat.csv", "ID,CAT,SUBCAT,MAINTENANCE\nAC_BR,A,B,Yes\n")
    for request in tick(lakehouse, instance):
        assert run(lakehouse, instance, request).success
    [request] = tick(lakehouse, instance)
    assert {key.to_user_string() for key in request.asset_selection} == {"gold/bridge_product", "gold/dim_product"}


def failing(monkeypatch, error):
    """Let raw fail from now on."""

    def load(feed, target, start):
        raise error

    monkeypatch.setattr(assets, "load_partitions", load)


THROTTLED = GenericError("Generic S3 error: Server returned non-2xx status code: 503 Service Unavailable: SlowDown")


def test_a_fault_of_the_moment_is_tried_again_after_a_while(lakehouse, instance, monkeypatch):
    lakehouse.land("erp/customer_locations", "2026-01-05", "loc.csv", LOCATIONS)
    with monkeypatch.context() as patch:
        failing(patch, THROTTLED)
        for tries in (1, 2):
            [request] = later(lakehouse, instance)
            assert not run(lakehouse, instance, request).success
            message = tick(lakehouse, instance)
            assert f"try {tries + 1} is due at 2" in message
            assert "a fault of the moment: GenericError" in message
            failed = instance.get_runs(limit=1)[0]
            assert failed.tags["lakehouse/fault"] == f"moment: GenericError (run {failed.run_id[:8]})"
    [request] = later(lakehouse, instance)
    assert run(lakehouse, instance, request).success
    assert all_agree(lakehouse, instance)


def test_a_fault_of_the_data_is_not_tried_again_until_something_changes(lakehouse, instance, monkeypatch):
    lakehouse.land("erp/customer_locations", "2026-01-05", "loc.csv", LOCATIONS)
    failing(monkeypatch, AuditError("some rows are bad"))
    [request] = tick(lakehouse, instance)
    assert not run(lakehouse, instance, request).success
    for _ in range(2):
        assert "a fault of the data: AuditError" in later(lakehouse, instance)
    lakehouse.land("erp/customer_locations", "2026-01-05", "loc.csv", LOCATIONS + "AW-2,US\n")
    assert len(tick(lakehouse, instance)) == 1


def test_an_unknown_fault_is_tried_a_few_times(lakehouse, instance, monkeypatch):
    monkeypatch.setattr(faults, "UNKNOWN_TRIES", 2)
    lakehouse.land("erp/customer_locations", "2026-01-05", "loc.csv", LOCATIONS)
    failing(monkeypatch, KeyError("surprise"))
    for _ in range(2):
        [request] = later(lakehouse, instance)
        assert not run(lakehouse, instance, request).success
    assert "failed 2 times (an unknown fault: KeyError" in later(lakehouse, instance)


@pytest.mark.parametrize(
    ("end", "message"), [("report_run_failed", "the process has died"), ("report_run_canceled", "was cancelled")]
)
def test_a_run_waits_that_was_killed_and_one_that_was_cancelled(lakehouse, instance, end, message):
    lakehouse.land("erp/customer_locations", "2026-01-05", "loc.csv", LOCATIONS)
    [request] = tick(lakehouse, instance)
    job = lakehouse.definitions().resolve_job_def(LAKEHOUSE_JOB)
    ended = instance.create_run_for_job(job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED)
    assert "under way" in tick(lakehouse, instance)
    getattr(instance, end)(ended)
    by_hand = instance.create_run_for_job(
        lakehouse.definitions().resolve_job_def("system_erp"), status=dg.DagsterRunStatus.STARTED
    )
    assert "under way" in tick(lakehouse, instance)
    instance.delete_run(by_hand.run_id)
    assert message in tick(lakehouse, instance)
    again = later(lakehouse, instance)
    assert len(again) == 1 if end == "report_run_failed" else message in again
    lakehouse.land("erp/customer_locations", "2026-01-05", "loc.csv", LOCATIONS + "AW-2,US\n")
    assert len(tick(lakehouse, instance)) == 1


def test_a_run_that_settles_nothing_is_not_asked_for_at_every_tick(lakehouse, instance):
    lakehouse.land("erp/customer_locations", "2026-01-05", "loc.csv", LOCATIONS)
    [request] = tick(lakehouse, instance)
    job = lakehouse.definitions().resolve_job_def(LAKEHOUSE_JOB)
    done = instance.create_run_for_job(job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED)
    instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.PIPELINE_SUCCESS.value, job.name), done.run_id)
    assert "has not resolved it" in tick(lakehouse, instance)


class Ticks:
    """The sensor over many built dates, tick by tick with its cursor. Each tick lists the newest date and one old one."""

    def __init__(self, lakehouse, instance):
        self._lakehouse, self._instance = lakehouse, instance
        self._sensor = lakehouse.definitions().resolve_sensor_def("arrivals_erp")
        self.cursor = None

    def next(self):
        """Tick once. Returns the requested ranges."""
        with dg.build_sensor_context(instance=self._instance, cursor=self.cursor) as context:
            found = self._sensor.evaluate_tick(context)
        self.cursor = found.cursor
        self.requests = found.run_requests
        return [(r.tags[RANGE_START_TAG][-5:], r.tags[RANGE_END_TAG][-5:]) for r in found.run_requests or []]

    def start(self, request=0):
        """Start a run that the last tick requested."""
        job = self._lakehouse.definitions().resolve_job_def(LAKEHOUSE_JOB)
        tags = dict(self.requests[request].tags)
        return self._instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)


@pytest.fixture
def ticks(lakehouse, monkeypatch):
    """Ticks over ten dates, five days apart, each with its own run: 2025-01-01 to 2025-02-15."""
    monkeypatch.setattr(plan, "MAX_GAP_DAYS", 3)
    monkeypatch.setattr(sensors, "ScanBudget", partial(ScanBudget, newest_dates=1, objects=1))
    lakehouse.settings = settings_from_first(lakehouse)
    lakehouse.tables = [ENTITY]
    land(lakehouse, ENTITY, range(0, 50, 5))
    say_built(lakehouse, ENTITY)
    with open_instance(lakehouse.settings.dagster_home, lakehouse.settings.root) as instance:
        yield Ticks(lakehouse, instance)


def late(lakehouse, days=15):
    lakehouse.land(feed_of(ENTITY).landing, str(FIRST.replace(day=1 + days)), "late.csv", LOCATIONS)


LATE = [("01-16", "01-16")]


def test_a_late_file_of_an_old_date_is_found_when_its_turn_comes(lakehouse, ticks):
    late(lakehouse)
    assert [ticks.next() for _ in range(4)] == [[], [], [], LATE]


@pytest.mark.parametrize(
    "cursor", [None, "", "nonsense", "\0", "erp/customer_locations/", "zzz", "erp/customer_locations/2025-01-16"]
)
def test_whatever_the_cursor_says_a_late_file_is_found_in_a_round(lakehouse, ticks, cursor):
    late(lakehouse)
    ticks.cursor = cursor
    assert LATE in [ticks.next() for _ in range(9)]


def test_repeated_and_lost_ticks_ask_for_the_same(lakehouse, ticks):
    late(lakehouse)
    ticks.cursor = "erp/customer_locations/2025-01-16"
    assert ticks.next() == LATE
    [first] = ticks.requests
    assert ticks.next() == LATE
    assert [r.tags for r in ticks.requests] == [first.tags]


def test_a_turn_waits_for_the_run_that_settles_it(lakehouse, ticks):
    lakehouse.land(feed_of(ENTITY).landing, "2025-02-15", "new.csv", LOCATIONS)
    assert ticks.next() == [("02-15", "02-15")]
    run = ticks.start()
    late(lakehouse, days=5)
    assert [ticks.next() for _ in range(3)] == [[], [], []]
    ticks._instance.report_run_failed(run)
    assert ticks.next() == [("01-06", "01-06")]


def test_turns_in_which_nothing_differs_go_on_while_a_run_is_under_way(lakehouse, ticks):
    lakehouse.land(feed_of(ENTITY).landing, "2025-02-15", "new.csv", LOCATIONS)
    ticks.next()
    ticks.start()
    cursors = [ticks.next() or ticks.cursor for _ in range(3)]
    assert [cursor[-5:] for cursor in cursors] == ["01-11", "01-16", "01-21"]


def test_a_turn_whose_run_has_failed_holds_no_other_up(lakehouse, ticks):
    late(lakehouse)
    late(lakehouse, days=25)
    ticks.cursor = "erp/customer_locations/2025-01-16"
    assert ticks.next() == LATE
    ticks._instance.report_run_failed(ticks.start())
    assert [ticks.next() for _ in range(3)] == [[], [], [("01-26", "01-26")]]


def test_new_files_without_end_hold_no_turn_up(lakehouse, ticks):
    late(lakehouse)
    newest, found = ("02-15", "02-15"), []
    for number in range(4):
        lakehouse.land(feed_of(ENTITY).landing, "2025-02-15", f"{number}.csv", LOCATIONS + str(number))
        found.append(ticks.next())
    assert found == [[newest], [newest], [newest], [*LATE, newest]]


def test_a_failed_run_is_not_tried_again_because_another_date_has_its_turn(lakehouse, ticks):
    lakehouse.land(feed_of(ENTITY).landing, "2025-02-15", "bad.csv", LOCATIONS)
    late(lakehouse)
    assert ticks.next() == [("02-15", "02-15")]
    ticks._instance.report_run_failed(ticks.start())
    assert [ticks.next() for _ in range(3)] == [[], [], LATE]
    ticks._instance.report_run_failed(ticks.start())
    assert [ticks.next() for _ in range(10)] == [[]] * 10


def test_a_new_date_and_one_that_is_gone_are_found_at_once(lakehouse, ticks):
    ticks.cursor = "erp/customer_locations/2025-01-31"
    lakehouse.land(feed_of(ENTITY).landing, "2025-01-10", "a.csv", LOCATIONS)
    lakehouse.remove(feed_of(ENTITY).landing, "2025-01-21", "0.csv")
    (lakehouse.settings.root.local_folder / "landing" / feed_of(ENTITY).landing / "2025-01-21").rmdir()
    assert ticks.next() == [("01-10", "01-10"), ("01-21", "01-21")]


def test_files_on_many_old_dates_are_one_run_once_their_turn_has_come(lakehouse, ticks, monkeypatch):
    monkeypatch.setattr(sensors, "ScanBudget", partial(ScanBudget, newest_dates=1, objects=100))
    land(lakehouse, ENTITY, range(1, 50))
    [(first, last)] = ticks.next()
    assert (first, last) == ("01-02", "02-19")


PRODUCTS = "prd_id,prd_key,prd_nm,prd_cost,prd_line,prd_start_dt,prd_end_dt\n1,CO-RF-P1,Frame,12,R,2025-01-01,\n"
CATEGORIES = "ID,CAT,SUBCAT,MAINTENANCE\nAC_BR,A,B,Yes\n"


def tick_of(lakehouse, instance, name):
    """Evaluate one sensor once. Returns its run requests or its skip message."""
    with dg.build_sensor_context(instance=instance) as context:
        found = lakehouse.definitions().resolve_sensor_def(name).evaluate_tick(context)
    return found.run_requests or found.skip_message


def under_way(lakehouse, instance, system):
    """Create a run over all tables of a system that has not ended."""
    own = lakehouse.catalog.of_system(system)
    keys = [*(["raw", feed.table] for feed in own.feeds), *(["silver", table.name] for table in own.tables)]
    job = lakehouse.definitions().resolve_job_def(LAKEHOUSE_JOB)
    selection = frozenset(dg.AssetKey(key) for key in keys)
    return instance.create_run_for_job(job, asset_selection=selection, status=dg.DagsterRunStatus.STARTED)


def with_settings(lakehouse, **changes):
    lakehouse.settings = lakehouse.settings.model_copy(update=changes)
    return lakehouse


def test_files_without_pause_starve_neither_gold_nor_another_system(lakehouse, instance):
    """ERP files land before each tick, so raw and silver of the ERP never stop changing."""
    lakehouse.land("erp/product_categories", "2026-01-05", "cat.csv", CATEGORIES)
    built = []
    for number in range(4):
        lakehouse.land("erp/customer_locations", "2026-01-05", f"{number}.csv", f"CID,CNTRY\nAW-{number},DE\n")
        if number == 1:
            lakehouse.land("crm/products", "2026-01-05", "prd.csv", PRODUCTS)
        requests = tick(lakehouse, instance)
        assert requests, "a new file is requested at once"
        for request in requests:
            assert run(lakehouse, instance, request).success
            built.append((number, {key.to_user_string() for key in request.asset_selection}))
    assert (1, {"raw/crm_products", "silver/crm_products"}) in built
    assert any("gold/dim_product" in keys for number, keys in built if number <= 2)


def test_a_system_does_not_wait_for_another_one_s_run(lakehouse, instance):
    under_way(lakehouse, instance, "erp")
    for feed, text in (("crm/products", PRODUCTS), ("erp/product_categories", CATEGORIES)):
        lakehouse.land(feed, "2026-01-05", "a.csv", text)
    assert len(tick_of(lakehouse, instance, "arrivals_crm")) == 1
    assert "A run is under way" in tick_of(lakehouse, instance, "arrivals_erp")


def test_gold_waits_for_runs_of_raw_and_silver_and_no_longer_than_it_is_told_to(lakehouse, instance):
    for feed, text in (("crm/products", PRODUCTS), ("erp/product_categories", CATEGORIES)):
        lakehouse.land(feed, "2026-01-05", "a.csv", text)
    for system in ("crm", "erp"):
        [request] = tick_of(lakehouse, instance, f"arrivals_{system}")
        assert run(lakehouse, instance, request).success
    under_way(lakehouse, instance, "erp")
    assert "Gold waits for them until" in tick_of(lakehouse, instance, "gold")
    [request] = tick_of(with_settings(lakehouse, lakehouse_gold_waits_seconds=0), instance, "gold")
    assert run(lakehouse, instance, request).success
    assert "agree" in tick_of(lakehouse, instance, "gold")


def test_a_feed_is_asked_for_again_after_its_least_interval(lakehouse, instance):
    with_settings(lakehouse, lakehouse_least_interval_seconds=3600)
    lakehouse.land("erp/customer_locations", "2026-01-05", "a.csv", LOCATIONS)
    [request] = tick_of(lakehouse, instance, "arrivals_erp")
    assert run(lakehouse, instance, request).success
    lakehouse.land("erp/customer_locations", "2026-01-06", "b.csv", LOCATIONS)
    lakehouse.land("erp/product_categories", "2026-01-06", "a.csv", CATEGORIES)
    [request] = tick_of(lakehouse, instance, "arrivals_erp")
    assert {key.path[-1] for key in request.asset_selection} == {"erp_product_categories"}
    assert run(lakehouse, instance, request).success
    assert "erp/customer_locations was loaded less than 1:00:00 ago" in tick_of(lakehouse, instance, "arrivals_erp")
    lakehouse.tables = [
        with_feed(t, every=timedelta(0)) if t.name.startswith("erp_customer_location") else t for t in lakehouse.tables
    ]
    [request] = tick_of(lakehouse, instance, "arrivals_erp")
    assert {key.path[-1] for key in request.asset_selection} == {"erp_customer_locations", "erp_customer_location_versions"}


def test_a_partition_that_its_data_refuse_is_not_asked_for_until_they_change_and_keeps_no_other_back(lakehouse, instance):
    rule = Rule("country_exists", "country <> 'Nowhere'", "fail", "The country exists.")
    strict = replace(ENTITY, contract=replace(ENTITY.contract, rules=(rule,)))
    lakehouse.tables = [strict if table.name == ENTITY.name else table for table in lakehouse.tables]
    lakehouse.land("erp/customer_locations", "2026-01-05", "a.csv", "CID,CNTRY\nAW-1,Nowhere\n")
    lakehouse.land("erp/customer_locations", "2026-01-06", "a.csv", LOCATIONS)
    [request] = tick_of(lakehouse, instance, "arrivals_erp")
    assert not run(lakehouse, instance, request).success
    assert [row["CID"] for row in lakehouse.rows("silver.erp_customer_locations", 'customer_number AS "CID"')] == ["AW1"]
    for _ in range(2):
        message = tick_of(lakehouse, instance, "arrivals_erp")
        assert "silver/erp_customer_locations of 2026-01-05: refused. It is requested again once a file" in message
    for day in ("2026-01-04", "2026-01-07"):  # before and after the refused one
        lakehouse.land("erp/customer_locations", day, "a.csv", "CID,CNTRY\nAW-2,US\n")
    requests = tick_of(lakehouse, instance, "arrivals_erp")
    ranges = [(request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) for request in requests]
    assert ranges == [("2026-01-04", "2026-01-04"), ("2026-01-07", "2026-01-07")]
    assert all(run(lakehouse, instance, request).success for request in requests)
    lakehouse.land("erp/customer_locations", "2026-01-05", "a.csv", "CID,CNTRY\nAW-1,Somewhere\n")
    [request] = tick_of(lakehouse, instance, "arrivals_erp")
    assert request.tags[RANGE_START_TAG] == "2026-01-05"
    assert run(lakehouse, instance, request).success


def test_a_contract_that_can_not_be_kept_is_not_asked_for_until_it_changes(lakehouse, instance):
    broken = with_function(ENTITY, lambda raw: raw.selectExpr("*", "cid AS customer_number"))
    lakehouse.tables = [broken if table.name == ENTITY.name else table for table in lakehouse.tables]
    lakehouse.land("erp/customer_locations", "2026-01-05", "a.csv", LOCATIONS)
    [request] = tick_of(lakehouse, instance, "arrivals_erp")
    assert not run(lakehouse, instance, request).success
    assert "silver/erp_customer_locations of 2026-01-05: refused." in tick_of(lakehouse, instance, "arrivals_erp")
    lakehouse.tables = [ENTITY if table.name == ENTITY.name else table for table in lakehouse.tables]
    [request] = tick_of(lakehouse, instance, "arrivals_erp")
    assert run(lakehouse, instance, request).success


def test_what_was_refused_and_built_in_the_end_is_built_again_where_its_table_is_lost(lakehouse, instance):
    lakehouse.land("erp/customer_locations", "2026-01-05", "a.csv", LOCATIONS)
    [request] = tick_of(lakehouse, instance, "arrivals_erp")
    with pytest.MonkeyPatch.context() as patch:

        def judge(*args):
            raise ContractError("nobody can say why")

        patch.setattr(build, "judge", judge)
        assert not run(lakehouse, instance, request).success
    assert "refused" in tick_of(lakehouse, instance, "arrivals_erp")
    assert run(lakehouse, instance, request).success  # by hand
    assert "agree" in tick_of(lakehouse, instance, "arrivals_erp")
    shutil.rmtree(lakehouse.settings.root.local_folder / "silver" / "erp_customer_locations")
    [request] = tick_of(lakehouse, instance, "arrivals_erp")
    assert run(lakehouse, instance, request).success


def test_a_backfill_keeps_the_sensor_from_its_tables_and_not_for_ever(lakehouse, instance, monkeypatch):
    lakehouse.land("erp/customer_locations", "2026-01-05", "a.csv", LOCATIONS)
    job = lakehouse.definitions().resolve_implicit_global_asset_job_def()
    for table in ("erp_product_categories", "erp_customer_locations"):
        assert "agree" in tick_of(lakehouse, instance, "arrivals_crm")
        selection = frozenset([dg.AssetKey(["raw", table])])
        instance.create_run_for_job(job, asset_selection=selection, status=dg.DagsterRunStatus.STARTED)
    assert "A run is under way" in tick_of(lakehouse, instance, "arrivals_erp")
    lakehouse.land("crm/products", "2026-01-05", "prd.csv", PRODUCTS)
    assert len(tick_of(lakehouse, instance, "arrivals_crm")) == 1
    monkeypatch.setattr(sensors, "_MAX_MANUAL_WAIT", timedelta(0))
    assert len(tick_of(lakehouse, instance, "arrivals_erp")) == 1


def test_a_feed_that_never_stands_still_starves_nobody(lakehouse, instance, monkeypatch):
    """Ticks are 150 seconds apart. At each, a run over the CRM is under way, and a new file lands before it ends."""

    class Clock(datetime):
        passed = timedelta(0)

        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + cls.passed

    monkeypatch.setattr(sensors, "datetime", Clock)
    rule = Rule("country_exists", "country <> 'Nowhere'", "fail", "The country exists.")
    strict = replace(ENTITY, contract=replace(ENTITY.contract, rules=(rule,)))
    lakehouse.tables = [strict if table.name == ENTITY.name else table for table in lakehouse.tables]
    lakehouse.land("erp/product_categories", "2026-01-05", "a.csv", CATEGORIES)
    lakehouse.land("erp/customer_locations", "2026-01-05", "a.csv", "CID,CNTRY\nAW-1,Nowhere\n")
    asked, gold = [], []
    running = None
    for number in range(4):
        Clock.passed = timedelta(seconds=150 * number)
        lakehouse.land("crm/products", "2026-01-05", f"{number}.csv", PRODUCTS.replace("\n1,", f"\n{number},"))
        if number == 2:
            lakehouse.land("erp/product_categories", "2026-01-06", "b.csv", CATEGORIES)
        if running is not None:
            instance.report_run_canceled(running)
        for name in ("arrivals_crm", "arrivals_erp"):
            found = tick_of(lakehouse, instance, name)
            for request in found if isinstance(found, list) else []:
                done = run(lakehouse, instance, request)
                tables = {key.path[-1] for key in request.asset_selection}
                asked.append((number, sorted(tables), request.tags[RANGE_END_TAG], done.success))
        running = under_way(lakehouse, instance, "crm")
        found = tick_of(lakehouse, instance, "gold")
        for request in found if isinstance(found, list) else []:
            assert run(lakehouse, instance, request).success
            gold.append(number)
    assert [number for number, tables, *_ in asked if tables == ["crm_products"]] == list(range(4))
    erp_runs = [(number, *rest) for number, tables, *rest in asked if "crm_products" not in tables]
    assert erp_runs == [(0, "2026-01-05", False), (2, "2026-01-06", True)], "each file once, including the bad one"
    assert lakehouse.settings.lakehouse_gold_waits_seconds == 300
    assert gold[0] == 2
    assert len(gold) > 1
