"""Old runs are deleted from Dagster's history; the status of assets and the last failed tries are kept."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from lakehouse_assets.orchestration.instance import open_instance
from lakehouse_assets.orchestration.run_history import Purged, purge_runs
from lakehouse_assets.reconcile.runs import DIFFERENCE_TAG
from lakehouse_assets.store.root import Root

KEY = dg.AssetKey(["raw", "x"])
CHECK = dg.AssetCheckKey(KEY, "sound")
LATER = datetime.now(UTC) + timedelta(days=1)


@dg.asset(
    key=KEY,
    partitions_def=dg.DailyPartitionsDefinition("2026-01-01"),
    check_specs=[dg.AssetCheckSpec("sound", asset=KEY)],
)
def x(context: dg.AssetExecutionContext):
    if "broken" in context.run.tags:
        raise ValueError("broken")
    context.log_event(dg.AssetObservation(KEY, metadata={"rows": 9}))
    return dg.MaterializeResult(metadata={"run": context.run_id}, check_results=[dg.AssetCheckResult(passed=True)])


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def instance(home, tmp_path):
    with open_instance(home, Root.parse(str(tmp_path / "root"))) as instance:
        yield instance


def run(instance, day, **tags):
    return dg.materialize([x], instance=instance, partition_key=day, tags=tags, raise_on_error=False).run_id


def logs(home: Path) -> set[str]:
    return {file.name.removesuffix(".db") for file in (home / "history" / "runs").glob("*.db")} - {"index"}


def test_a_run_goes_with_its_files_unless_the_state_of_a_partition_rests_on_it(instance, home):
    old, newer, other = run(instance, "2026-01-01"), run(instance, "2026-01-01"), run(instance, "2026-01-02")
    checked = instance.event_log_storage.get_latest_asset_check_execution_by_key([CHECK])[CHECK]
    assert purge_runs(instance, datetime.now(UTC) - timedelta(days=1)) == Purged(0, 0)
    assert logs(home) == {old, newer, other}
    assert purge_runs(instance, LATER) == Purged(1, 2)
    assert {r.run_id for r in instance.get_runs()} == {newer, other}
    assert logs(home) == set()
    assert not any((home / "storage" / run_id).exists() for run_id in (old, newer, other))
    assert instance.get_materialized_partitions(KEY) == {"2026-01-01", "2026-01-02"}
    for day, run_id in (("2026-01-01", newer), ("2026-01-02", other)):
        chosen = dg.AssetRecordsFilter(asset_key=KEY, asset_partitions=[day])
        [record] = instance.fetch_materializations(chosen, limit=9).records
        assert record.asset_materialization.metadata["run"].value == run_id
    assert instance.event_log_storage.get_latest_asset_check_execution_by_key([CHECK])[CHECK] == checked
    assert instance.fetch_observations(KEY, limit=1).records
    assert purge_runs(instance, LATER) == Purged(0, 0)


def test_the_last_try_in_vain_stays_and_a_run_that_goes_on(instance, home):
    first, last = (run(instance, "2026-01-01", broken="yes", **{DIFFERENCE_TAG: "a"}) for _ in range(2))
    resolved = [
        run(instance, "2026-01-02", broken="yes", **{DIFFERENCE_TAG: "b"}),
        run(instance, "2026-01-02", **{DIFFERENCE_TAG: "b"}),
    ]
    running = instance.create_run_for_job(dg.job(name="nothing")(lambda: None), status=dg.DagsterRunStatus.STARTED).run_id
    assert purge_runs(instance, LATER) == Purged(2, 1)
    assert {r.run_id for r in instance.get_runs()} == {last, resolved[1], running}
    assert logs(home) & {first, last, *resolved} == {last}


def test_an_instance_that_is_left_leaves_no_write_ahead_files(home, tmp_path):
    with open_instance(home, Root.parse(str(tmp_path / "root"))) as instance:
        run_id = run(instance, "2026-01-01")
    assert logs(home) == {run_id}
    assert list((home / "history" / "runs").glob("*-wal")) == []
