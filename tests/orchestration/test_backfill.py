"""Backfills as the UI starts them: through GraphQL, run by the daemon's own code, with their status by date."""

import asyncio
import logging

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import InProcessTestWorkspaceLoadTarget, create_test_daemon_workspace_context, instance_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.backfill import execute_backfill_iteration
from dagster_graphql.schema import create_schema

from lakehouse_assets.delta.tables import open_table
from lakehouse_assets.orchestration.jobs import RANGE_END_TAG, RANGE_START_TAG
from tests.support.orders import ORDERS, csv

pytestmark = pytest.mark.worlds("sail-folder")

RAW, SILVER = dg.AssetKey(["raw", "shop_orders"]), dg.AssetKey(["silver", "shop_orders"])
DAYS = [f"2026-01-0{n}" for n in range(1, 6)]
GOOD, BAD = csv(("A", 1, 10)), csv(("B", 1, 9_999_999))
"""A total of a million and more breaks the contract's `fail` rule."""

LOCATION = """
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.settings import Settings
from tests.support.orders import ORDERS

defs = build_definitions(Settings(lakehouse_root={root!r}, lakehouse_engine={engine!r}), catalog=Catalog.from_tables([ORDERS]))
"""

LAUNCH = """mutation ($params: LaunchBackfillParams!) {
    launchPartitionBackfill(backfillParams: $params) { ... on LaunchBackfillSuccess { backfillId } ... on Error { message } }
}"""

SHOWN = """query ($key: AssetKeyInput!) {
    assetNodeOrError(assetKey: $key) { ... on AssetNode { assetPartitionStatuses {
        ... on TimePartitionStatuses { ranges { startKey endKey status } } } } }
}"""


@pytest.fixture
def shop(make_lakehouse):
    shop = make_lakehouse(ORDERS)
    for n, day in enumerate(DAYS[:4]):
        shop.land("shop/orders", day, "orders.csv", csv((f"K{n}", 1, 10)))
    return shop


@pytest.fixture
def dagster(shop, tmp_path):
    """A workspace like the webserver's and the daemon's. Runs are executed in this process, before the call returns."""
    location = tmp_path / "location.py"
    location.write_text(LOCATION.format(root=shop.settings.lakehouse_root, engine=shop.settings.lakehouse_engine))
    origin = LoadableTargetOrigin(python_file=str(location), attribute="defs", working_directory=str(tmp_path))
    launcher = {"module": "dagster._core.launcher.sync_in_memory_run_launcher", "class": "SyncInMemoryRunLauncher"}
    coordinator = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
    with (
        instance_for_test(overrides={"run_launcher": launcher, "run_coordinator": coordinator}) as instance,
        create_test_daemon_workspace_context(
            InProcessTestWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin)), instance
        ) as workspace,
    ):
        yield workspace


def ask(dagster, query, **variables):
    request = create_schema().execute_async(query, context_value=dagster.create_request_context(), variables=variables)
    done = asyncio.run(request)
    assert not done.errors, done.errors
    return done.data


def backfill(dagster, days):
    """Do what the button "Materialize" and then the daemon do for a range of dates. Returns the runs."""
    keys = [{"path": list(key.path)} for key in (RAW, SILVER)]
    done = ask(dagster, LAUNCH, params={"partitionNames": days, "assetSelection": keys})["launchPartitionBackfill"]
    for _ in range(3):  # requests runs, sees how they ended, and closes the backfill
        assert [e for e in execute_backfill_iteration(dagster, logging.getLogger("backfill")) if e] == []
    assert dagster.instance.get_backfill(done["backfillId"]).status.value.startswith("COMPLETED")
    return dagster.instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": done["backfillId"]}))


def shown(dagster, key):
    """Return the status that the UI shows, by date."""
    result = ask(dagster, SHOWN, key={"path": list(key.path)})["assetNodeOrError"]["assetPartitionStatuses"]["ranges"]
    return {day: span["status"] for span in result for day in DAYS if span["startKey"] <= day <= span["endKey"]}


def commits(shop):
    """Return the number of commits of each table since it was created."""
    return {layer: open_table(shop.settings.root.table(layer, "shop_orders")).version() for layer in ("raw", "silver")}


def test_a_backfill_over_a_range_is_one_run_and_one_commit_a_table(shop, dagster):
    [run] = backfill(dagster, DAYS)
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert (run.tags[RANGE_START_TAG], run.tags[RANGE_END_TAG]) == (DAYS[0], DAYS[-1])
    assert commits(shop) == {"raw": 1, "silver": 1}
    assert shown(dagster, SILVER) == dict.fromkeys(DAYS, "MATERIALIZED")


def test_a_choice_with_a_gap_is_a_run_for_each_piece(shop, dagster):
    runs = backfill(dagster, [DAYS[0], DAYS[1], DAYS[3]])
    ranges = {(run.tags[RANGE_START_TAG], run.tags[RANGE_END_TAG]) for run in runs}
    assert ranges == {(DAYS[0], DAYS[1]), (DAYS[3], DAYS[3])}
    assert shown(dagster, SILVER) == dict.fromkeys((DAYS[0], DAYS[1], DAYS[3], DAYS[4]), "MATERIALIZED")


def test_where_a_date_is_refused_the_others_are_shown_as_materialized(shop, dagster):
    shop.land("shop/orders", DAYS[1], "orders.csv", BAD)
    [run] = backfill(dagster, DAYS)
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert commits(shop) == {"raw": 1, "silver": 1}
    published = [day for day in DAYS if day != DAYS[1]]
    assert dagster.instance.get_materialized_partitions(SILVER) == set(published)
    assert shown(dagster, RAW) == dict.fromkeys(DAYS, "MATERIALIZED")
    assert shown(dagster, SILVER) == {**dict.fromkeys(published, "MATERIALIZED"), DAYS[1]: "FAILED"}
    assert DAYS[1] in failure(dagster, run)
    values = metadata(dagster, DAYS[0])
    assert (values["dagster/partition_row_count"].value, values["rows_in"].value, values["delta_version"].value) == (1, 1, 1)


def test_the_same_backfill_again_builds_what_is_due_and_no_more(shop, dagster):
    shop.land("shop/orders", DAYS[1], "orders.csv", BAD)
    [first] = backfill(dagster, DAYS)
    shop.land("shop/orders", DAYS[1], "orders.csv", GOOD)
    [second] = backfill(dagster, DAYS)
    assert second.status == dg.DagsterRunStatus.SUCCESS
    assert shown(dagster, SILVER) == dict.fromkeys(DAYS, "MATERIALIZED")
    built_by = {day.isoformat(): record.run_id for (_, _, day), record in shop.records("silver", "shop_orders").items()}
    assert built_by == {DAYS[0]: first.run_id, DAYS[1]: second.run_id, DAYS[2]: first.run_id, DAYS[3]: first.run_id}
    before = commits(shop)
    backfill(dagster, DAYS)
    assert commits(shop) == before
    values = metadata(dagster, DAYS[1])
    assert values["committed"].value is False
    assert (values["rows_in"].value, values["rows_out"].value) == (1, 1)  # the live numbers, although this run built nothing


def failure(dagster, run):
    [event] = dagster.instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    return event.event_log_entry.dagster_event.step_failure_data.error.cause.message


def metadata(dagster, day, key=SILVER):
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[day])
    [record] = dagster.instance.fetch_materializations(wanted, limit=1).records
    return record.asset_materialization.metadata


def test_dates_on_which_nothing_landed_are_not_missing(shop, dagster):
    """If a raw date is missing or failed, the dialog says that silver can't be materialized."""
    backfill(dagster, DAYS[:2])
    for key in (RAW, SILVER):
        assert shown(dagster, key) == dict.fromkeys((*DAYS[:2], DAYS[4]), "MATERIALIZED")
    shop.land("shop/orders", DAYS[4], "orders.csv", BAD)
    backfill(dagster, DAYS[2:])
    assert shown(dagster, SILVER) == {**dict.fromkeys(DAYS, "MATERIALIZED"), DAYS[4]: "FAILED"}


@pytest.mark.parametrize("key", [RAW, SILVER])
def test_a_date_on_which_nothing_landed_shows_no_number_of_the_table_as_its_own(key, dagster):
    backfill(dagster, DAYS)
    values = metadata(dagster, DAYS[4], key)
    assert values["dagster/partition_row_count"].value == 0
    assert not {"dagster/row_count", "bytes", "files", "files_loaded", "partitions_built"} & values.keys()
    [observed] = dagster.instance.fetch_observations(key, limit=1).records
    assert observed.asset_observation.metadata["dagster/row_count"].value == 4
