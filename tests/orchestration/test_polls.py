"""Polls in Dagster: an asset upstream of raw, on a schedule that is off, and nothing else that changes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from lakehouse_assets.contracts.contract import Column, Contract
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.polls import OpendatasoftPoll
from lakehouse_assets.contracts.system import Input, SilverTable
from lakehouse_assets.orchestration.jobs import LAKEHOUSE_JOB
from lakehouse_assets.systems.cleaning import with_columns
from tests.support.portal import serving, status

pytestmark = pytest.mark.worlds("sail-folder")

POLL = OpendatasoftPoll(setting="TESTS", dataset="stations", order_by="number", minutes=15, attempts=1)
FEED = Feed("bikes/stations", (SourceColumn("number", "Number"),), format=POLL.lands, poll=POLL)
KEY = "a-key-that-nobody-may-see"
LANDING, RAW = dg.AssetKey(["landing", "bikes_stations"]), dg.AssetKey(["raw", "bikes_stations"])


def clean(raw):
    return with_columns(raw, number="TRIM(number)")


STATIONS = SilverTable(
    Contract(
        table="bikes_stations",
        description="Stations.",
        owner="team:mobility",
        key=("number",),
        columns=(Column("number", "int", "Number"),),
    ),
    (Input(FEED, clean),),
)


@pytest.fixture
def polled(make_lakehouse):
    return make_lakehouse(STATIONS)


@pytest.fixture
def portal(monkeypatch):
    monkeypatch.setenv("TESTS_API_KEY", KEY)
    with serving("stations", [{"number": number} for number in range(120)]) as served:
        monkeypatch.setenv("TESTS_URL", served.url)
        yield served


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def run_schedule(lakehouse, instance, name="poll_bikes_stations"):
    """Run what the schedule requests."""
    definitions = lakehouse.definitions()
    schedule = definitions.resolve_schedule_def(name)
    job = definitions.resolve_job_def(schedule.job_name)
    return job.execute_in_process(instance=instance, raise_on_error=False)


def test_a_schedule_that_is_off_polls_the_feed_in_its_interval(polled):
    schedule = polled.definitions().resolve_schedule_def("poll_bikes_stations")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("*/15 * * * *", "UTC")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def test_raw_is_downstream_of_the_poll_and_its_job_does_not_poll(polled):
    definitions = polled.definitions()
    graph = definitions.resolve_asset_graph()
    assert graph.get(RAW).parent_keys == {LANDING}
    assert graph.get(LANDING).partitions_def is None
    assert LANDING not in definitions.resolve_job_def(LAKEHOUSE_JOB).asset_layer.executable_asset_keys


def test_a_feed_without_a_poll_has_neither_asset_nor_schedule(make_lakehouse):
    dropped = make_lakehouse(replace(STATIONS, inputs=(Input(replace(FEED, poll=None), clean),)))
    definitions = dropped.definitions()
    assert LANDING not in definitions.resolve_asset_graph().materializable_asset_keys
    assert not definitions.schedules


def test_a_poll_lands_and_the_sensor_loads_it(polled, portal, instance):
    done = run_schedule(polled, instance)
    assert done.success
    [event] = done.asset_materializations_for_node("landing__bikes_stations")
    shown = {name: value.value for name, value in event.metadata.items()}
    slot = POLL.slot(datetime.now(UTC))
    assert shown["path"] in {
        f"landing/bikes/stations/{t:%Y-%m-%d}/{t:%Y-%m-%dT%H-%MZ}.json" for t in (slot, slot - timedelta(minutes=15))
    }
    assert (shown["is_new"], shown["dagster/row_count"], shown["requests"]) == (True, 120, 2)

    with dg.build_sensor_context(instance=instance) as context:
        [request] = polled.definitions().resolve_sensor_def("arrivals_bikes").evaluate_tick(context).run_requests
    assert {key.to_user_string() for key in request.asset_selection} == {"raw/bikes_stations", "silver/bikes_stations"}
    assert polled.build_by_dagster() == {}
    assert polled.rows("silver.bikes_stations", "count(*) AS rows, max(number) AS last") == [{"rows": 120, "last": 119}]
    assert KEY not in events_text(instance, done.run_id)


def test_a_poll_that_fails_says_why_without_its_key(polled, portal, instance):
    portal.faults = {0: status(503)}
    done = run_schedule(polled, instance)
    assert not done.success
    text = events_text(instance, done.run_id)
    assert "stations at 127.0.0.1 answers with status 503. Given up after 1 requests; nothing was landed." in text
    assert KEY not in text
    assert polled.plan().is_empty


def events_text(instance, run_id):
    """All that Dagster has kept of a run."""
    return "\n".join(str(record.event_log_entry) for record in instance.get_records_for_run(run_id).records)
