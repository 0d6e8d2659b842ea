"""Incidents that Dagster's history shows, and rounds of alerts where Dagster takes them: in the sensor and in a process that stays."""

import threading
from datetime import timedelta
from types import SimpleNamespace

import dagster as dg
import pytest
from pydantic import SecretStr

from lakehouse_assets.alerts.incidents import Found, Incident, Kind
from lakehouse_assets.alerts.telling import Pace
from lakehouse_assets.errors import BrokerAwayError
from lakehouse_assets.orchestration import alerts
from lakehouse_assets.orchestration.alerts import Automation, alerts_sensors, failed_checks, failed_runs, failed_ticks, lags
from lakehouse_assets.orchestration.follow import Follower
from lakehouse_assets.orchestration.instance import open_instance
from lakehouse_assets.systems.orders import EVENTS
from tests.support.lakehouse import QUIET, Lakehouse
from tests.support.receivers import web_hook
from tests.support.things import entity

SECRET = "S3CR3T"
KEY = dg.AssetKey(["silver", "x"])
CHECK = dg.AssetCheckKey(KEY, "sound")


@dg.asset(
    key=KEY,
    partitions_def=dg.DailyPartitionsDefinition("2026-01-01"),
    check_specs=[dg.AssetCheckSpec("sound", asset=KEY, blocking=True)],
)
def silver__x(context: dg.AssetExecutionContext):
    if "broken" in context.run.tags:
        raise ValueError(f"jo@example.com {SECRET}")
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed="unsound" not in context.run.tags)])


@dg.asset_sensor(asset_key=KEY, name="watches")
def watches():
    return None


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run(instance, day, **tags):
    job = dg.Definitions(assets=[silver__x]).resolve_implicit_global_asset_job_def()
    options = {"instance": instance, "partition_key": day, "tags": tags, "raise_on_error": False, "run_config": QUIET}
    return job.execute_in_process(asset_selection=[KEY], **options).run_id


def test_a_table_that_failed_is_an_incident_until_it_is_materialized_on_that_date(instance):
    assert list(failed_runs(instance, None)) == []
    run(instance, "2026-01-01")
    runs = [run(instance, "2026-01-01", broken="yes") for _ in range(2)]
    run(instance, "2026-01-02")
    [incident] = failed_runs(instance, "http://ui:3000/")
    assert (incident.kind, incident.place) == (Kind.failed_run, "silver.x")
    assert incident.what == f"run {runs[1][:8]} of 2026-01-01 failed: an unknown fault: ValueError. 2 runs failed."
    assert incident.link == f"http://ui:3000/runs/{runs[1]}"
    assert SECRET not in repr(incident)
    run(instance, "2026-01-01")
    assert list(failed_runs(instance, None)) == []


def test_a_blocking_check_whose_newest_result_failed_is_an_incident(instance):
    repository = dg.Definitions(assets=[silver__x], sensors=[watches]).get_repository_def()
    automation = Automation.of_repository(repository)
    assert automation == Automation((CHECK,), frozenset({"watches"}))
    run(instance, "2026-01-01", unsound="yes")
    [incident] = failed_checks(instance, automation.checks, "http://ui:3000")
    assert (incident.place, incident.what, incident.link) == (
        "silver.x",
        "the check sound failed.",
        "http://ui:3000/assets/silver/x?view=checks",
    )
    run(instance, "2026-01-01")
    assert list(failed_checks(instance, automation.checks, None)) == []


@pytest.mark.parametrize(
    ("statuses", "fails"), [("FF", True), ("SFF", True), ("FS", True), ("FK", False), ("F", True), ("", False)]
)
def test_a_sensor_that_is_on_fails_if_its_last_two_ticks_did(statuses, fails):
    names = {"F": "FAILURE", "S": "STARTED", "K": "SKIPPED"}
    ticks = [SimpleNamespace(status=SimpleNamespace(value=names[s]), timestamp=n) for n, s in enumerate(statuses)]
    state = SimpleNamespace(
        is_running=True, instigator_name="gold", selector_id="s", instigator_type=SimpleNamespace(value="SENSOR"), origin=None
    )
    off, gone = (SimpleNamespace(**{**vars(state), **changed}) for changed in ({"is_running": False}, {"instigator_name": "old"}))
    instance = SimpleNamespace(
        all_instigator_state=lambda: [state, off, gone],
        supports_batch_tick_queries=True,
        get_batch_ticks=lambda ids, limit: {"s": ticks},
    )
    found = list(failed_ticks(instance, {"gold"}, None))
    assert [incident.place for incident in found] == (["gold"] if fails else [])


@pytest.mark.worlds("sail-folder")
def test_a_topic_far_ahead_and_one_that_can_not_be_asked_are_incidents(make_lakehouse, monkeypatch):
    lakehouse = make_lakehouse(EVENTS)
    settings = lakehouse.settings.model_copy(update={"lakehouse_alert_lag": 10, "kafka_bootstrap_servers": "k:9092"})
    without = settings.model_copy(update={"kafka_bootstrap_servers": None})
    assert lags(without, lakehouse.catalog) == Found((), frozenset({Kind.lag}))
    monkeypatch.setattr(alerts, "topic_lags", lambda *_: {"orders": 11, "others": 10})
    [incident] = lags(settings, lakehouse.catalog).incidents
    assert (incident.detail, "11 offsets of the topic orders" in incident.what) == ("orders", True)
    monkeypatch.setattr(alerts, "topic_lags", _away)
    [incident] = lags(settings, lakehouse.catalog).incidents
    assert incident.what == "how far it is ahead of landing is unknown: BrokerAwayError."
    told = lags(settings, lakehouse.catalog, {"drain_orders_order_events"})
    assert (told.incidents, told.kinds) == ((), frozenset())


def _away(*_):
    raise BrokerAwayError(SECRET)


@pytest.fixture
def resident(world, engine, tmp_path, monkeypatch):
    """A lakehouse of one table, with an instance, and a web hook that gets its alerts."""
    monkeypatch.chdir(tmp_path)
    with web_hook() as hook:
        settings = world.settings().model_copy(
            update={
                "lakehouse_alert_urls": SecretStr(f"json://{hook.host}/{SECRET}"),
                "lakehouse_alert_settle_seconds": 0.0,
                "lakehouse_cache": tmp_path / "cache",
            }
        )
        lakehouse = Lakehouse(settings, [entity("upsert")], engine)
        monkeypatch.setattr("lakehouse_assets.alerts.rounds.pace_of", _without_gaps)
        with open_instance(settings.dagster_home, settings.root) as instance:
            yield SimpleNamespace(lakehouse=lakehouse, instance=instance, hook=hook, settings=settings)


def _without_gaps(settings):
    return Pace(timedelta(0), None, timedelta(0))


@pytest.mark.worlds("sail-folder")
def test_a_process_that_stays_tells_of_a_refused_partition_once_and_when_it_is_mended(resident):
    said = []
    lakehouse, hook = resident.lakehouse, resident.hook
    follower = Follower(
        resident.settings,
        lakehouse.catalog,
        lakehouse.definitions(),
        resident.instance,
        threading.Event(),
        said.append,
        said.append,
    )
    automation = Automation.of(lakehouse.definitions())

    def take_pass(row):
        lakehouse.land("shop/things", "2026-01-01", "a.csv", f"id,changed,said,op,sent\n{row}\n")
        follower.take_pass()
        follower.alert(automation)

    take_pass("1,1,fatal,u,x")
    [text] = hook.texts
    assert text.startswith("New: A partition is refused\n- silver.shop_things: 2026-01-01 is not built")
    assert "A run failed" not in text  # the same, less exactly
    follower.alert(automation)
    take_pass("1,1,sound,u,x")
    follower.alert(automation)
    assert [text.splitlines()[0] for text in hook.texts] == ["New: A partition is refused", "Over: A partition is refused"]
    assert SECRET not in str(said)


@pytest.mark.worlds("sail-folder", "sail-minio")
def test_the_sensor_tells_of_a_pass_that_failed_and_of_a_store_that_is_away(resident, monkeypatch):
    lakehouse, hook = resident.lakehouse, resident.hook
    without = resident.settings.model_copy(update={"lakehouse_alert_urls": None})
    assert alerts_sensors(without, lakehouse.catalog) == []
    [sensor] = alerts_sensors(resident.settings, lakehouse.catalog)
    repository = lakehouse.definitions().get_repository_def()
    assert sensor.name in {s.name for s in repository.sensor_defs}

    def tick():
        context = dg.build_sensor_context(resident.instance, repository_def=repository)
        return sensor(context).skip_message

    assert tick() == "There is nothing to tell."
    with monkeypatch.context() as patch:
        patch.setattr(alerts, "found_now", _broken)
        assert tick() == f"Alert to json-1: [lakehouse] New: The store can't be used: {resident.settings.root.uri}"
    tick()
    assert tick().startswith("Alert to json-1: [lakehouse] Over: The store can't be used")
    assert tick() == "There is nothing to tell."
    stale = Found((Incident(Kind.stale, "silver.x", "is stale."),), frozenset({Kind.stale}))
    monkeypatch.setattr(alerts, "found_now", lambda *_: stale)
    assert tick() == "Alert to json-1: [lakehouse] New: A table is stale: silver.x"
    assert tick() == "There is nothing to tell."
    assert SECRET not in str(hook.texts)


def _broken(*_):
    raise OSError(SECRET)
