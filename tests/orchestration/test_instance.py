"""The Dagster instance that the lakehouse creates: its settings, and what happens to runs whose process was killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, nullcontext
from pathlib import Path

import dagster as dg
import pytest
import yaml

from lakehouse_assets.hooks.event_storage import QuickSqliteEventLogStorage, events_in_batches
from lakehouse_assets.orchestration.instance import PROCESS_TAG, close_killed_runs, open_instance, prepare_home
from lakehouse_assets.settings import Settings
from lakehouse_assets.store.root import Root


@pytest.fixture
def root(tmp_path):
    return Root.parse(str(tmp_path / "root"))


@pytest.fixture
def instance(tmp_path, root):
    with open_instance(tmp_path / "home", root) as instance:
        yield instance


def schemas(home):
    """What SQLite knows of each database of an instance."""
    results = {}
    for file in home.rglob("*.db"):
        with closing(sqlite3.connect(file)) as database:
            results[str(file.relative_to(home))] = sorted(database.execute("SELECT type, name, sql FROM sqlite_master"))
    return results


def test_a_new_instance_has_copies_of_empty_databases(tmp_path, root):
    cache = tmp_path / "cache"
    with open_instance(tmp_path / "one", root, cache) as instance:
        instance.add_run(dg.DagsterRun("lakehouse", "a-run"))
    for file in cache.rglob("*.db"):
        with closing(sqlite3.connect(file)) as database:
            database.execute("CREATE TABLE mark (x)")
    made = {file: file.read_bytes() for file in cache.rglob("*.db")}
    with open_instance(tmp_path / "two", root, cache) as instance:
        assert instance.get_runs() == []
        instance.add_run(dg.DagsterRun("lakehouse", "another"))
        instance.report_run_failed(instance.get_run_by_id("another"), "for a test")
        assert [e.dagster_event.event_type_value for e in instance.all_logs("another")] == ["PIPELINE_FAILURE"]
    marked = [file for file, result in schemas(tmp_path / "two").items() if any(name == "mark" for _, name, _ in result)]
    assert sorted(marked) == ["history/runs.db", "history/runs/index.db", "schedules/schedules.db"]
    assert {file: file.read_bytes() for file in cache.rglob("*.db")} == made
    with open_instance(tmp_path / "one", root, cache) as instance:
        assert [run.run_id for run in instance.get_runs()] == ["a-run"]


def test_the_copies_are_what_dagster_creates(tmp_path, root):
    for home, cache in (("copied", tmp_path / "cache"), ("created", None)):
        open_instance(tmp_path / home, root, cache).dispose()
    assert schemas(tmp_path / "copied") == schemas(tmp_path / "created") != {}


def test_an_instance_with_a_storage_of_its_own_gets_no_copies(tmp_path, root):
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(f"storage:\n  sqlite:\n    base_dir: {tmp_path / 'elsewhere'}\n")
    open_instance(home, root, tmp_path / "cache").dispose()
    assert not (tmp_path / "cache").exists()
    assert not (home / "history").exists()


def test_an_instance_is_created_where_the_cache_cannot_be_used(tmp_path, root):
    (tmp_path / "cache").write_text("no folder")
    with open_instance(tmp_path / "home", root, tmp_path / "cache") as instance:
        assert instance.get_runs() == []


def test_crashed_runs_are_noticed_retried_once_and_their_slots_freed(instance):
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 1
    assert instance.run_retries_retry_on_asset_or_op_failure is False
    assert instance.get_settings("run_monitoring")["free_slots_after_run_end_seconds"] > 0


def test_a_pool_has_one_slot(instance):
    pools = instance.get_concurrency_config().pool_config
    assert (pools.default_pool_limit, pools.pool_granularity.value) == (1, "op")


@pytest.mark.worlds("sail-folder")
def test_every_table_has_a_pool(lakehouse):
    assets = lakehouse.definitions().resolve_asset_graph()
    pools = {
        key.to_user_string(): assets.get(key).pools for key in assets.get_all_asset_keys() if assets.get(key).is_materializable
    }
    assert all(pools.values())
    for name, result in pools.items():
        assert result == {"gold" if name.startswith("gold/") else name}


def test_logs_of_steps_go_to_the_bucket_where_the_root_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    monkeypatch.delenv("AWS_REGION", raising=False)
    prepare_home(tmp_path, Root.parse("s3://bucket/some/prefix"))
    text = (tmp_path / "dagster.yaml").read_text()
    logs = yaml.safe_load(text)["compute_logs"]["config"]
    assert (logs["bucket"], logs["prefix"]) == ("bucket", "some/prefix/dagster/compute-logs")
    assert (logs["region"], logs["endpoint_url"]) == ("us-east-1", "http://127.0.0.1:9000")
    assert "a secret" not in text


def test_logs_go_where_the_data_lie(tmp_path, monkeypatch):
    """The endpoint for S3 also applies to logs."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000")
    prepare_home(tmp_path, Root.parse("s3://bucket/!prefix"))
    logs = yaml.safe_load((tmp_path / "dagster.yaml").read_text())["compute_logs"]["config"]
    assert (logs["endpoint_url"], logs["prefix"]) == ("http://127.0.0.1:9000", "!prefix/dagster/compute-logs")


def test_only_the_user_can_read_what_is_set(tmp_path, root):
    prepare_home(tmp_path, root)
    assert (tmp_path / "dagster.yaml").stat().st_mode & 0o777 == 0o600


def test_the_command_line_uses_the_instance_that_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "theirs"))
    assert Settings(lakehouse_root=str(tmp_path / "root")).dagster_home == tmp_path / "theirs"
    monkeypatch.delenv("DAGSTER_HOME")
    assert Settings(lakehouse_root=str(tmp_path / "root")).dagster_home == tmp_path / "root" / "dagster"


def test_opening_an_instance_leaves_the_environment_alone(instance):
    assert "DAGSTER_HOME" not in os.environ


def test_what_the_user_has_set_stays(tmp_path, root):
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    prepare_home(tmp_path, root)
    assert (tmp_path / "dagster.yaml").read_text() == "telemetry:\n  enabled: false\n"


def test_the_slot_of_a_killed_process_is_freed(instance):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    run = instance.create_run_for_job(
        dg.job(name="nothing")(lambda: None), tags={PROCESS_TAG: f"{os.uname().nodename}:{ended.pid}"}
    )
    instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.PIPELINE_START.value, "nothing"), run.run_id)
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default("raw/x")
    assert storage.claim_concurrency_slot("raw/x", run.run_id, "step").is_claimed
    close_killed_runs(instance)
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert storage.claim_concurrency_slot("raw/x", "another run", "step").is_claimed


def test_a_run_that_was_started_again_is_not_taken_for_the_killed_one(instance):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    tags = {
        PROCESS_TAG: f"{os.uname().nodename}:{ended.pid}",
        "dagster/parent_run_id": "the first",
        "dagster/root_run_id": "the first",
    }
    job = dg.job(name="nothing")(lambda: None)
    again = instance.create_run_for_job(
        job, tags=tags, status=dg.DagsterRunStatus.STARTED, parent_run_id="the first", root_run_id="the first"
    )
    close_killed_runs(instance)
    assert instance.get_run_by_id(again.run_id).status == dg.DagsterRunStatus.STARTED


def test_events_are_what_dagster_itself_reads(instance, tmp_path):
    assert isinstance(instance.event_log_storage, QuickSqliteEventLogStorage)

    @dg.asset(key=["raw", "x"])
    def x():
        return dg.MaterializeResult(metadata={"rows": 3})

    done = dg.materialize([x], instance=instance)
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as plain:
        assert not isinstance(plain.event_log_storage, QuickSqliteEventLogStorage)
        assert plain.get_latest_materialization_event(dg.AssetKey(["raw", "x"])).run_id == done.run_id
        ours = [e.get_dagster_event().event_type for e in instance.all_logs(done.run_id) if e.is_dagster_event]
        assert ours == [e.get_dagster_event().event_type for e in plain.all_logs(done.run_id) if e.is_dagster_event]


def test_the_plan_of_a_check_is_one_for_a_range_of_dates_and_is_fulfilled(instance):
    @dg.asset(
        key=["raw", "x"],
        partitions_def=dg.DailyPartitionsDefinition("2026-01-01"),
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec("sound", asset=["raw", "x"])],
    )
    def x():
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])

    tags = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-31"}
    assert dg.materialize([x], instance=instance, tags=tags).success
    history = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(["raw", "x"]), "sound"), 99
    )
    assert [(record.status.value, record.partition) for record in history] == [("SUCCEEDED", None)]
    assert len(instance.get_materialized_partitions(dg.AssetKey(["raw", "x"]))) == 31


def test_events_that_are_stored_in_batches_are_those_that_are_stored_one_by_one(tmp_path, root, monkeypatch):
    @dg.asset(
        key=["raw", "x"],
        partitions_def=dg.DailyPartitionsDefinition("2026-01-01"),
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec("sound", asset=["raw", "x"])],
    )
    def x():
        return dg.MaterializeResult(metadata={"rows": 3}, check_results=[dg.AssetCheckResult(passed=True)])

    tags = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-31"}
    key = dg.AssetKey(["raw", "x"])
    batches = []
    store = QuickSqliteEventLogStorage.store_event_batch
    monkeypatch.setattr(
        QuickSqliteEventLogStorage,
        "store_event_batch",
        lambda storage, events: batches.append(len(events)) or store(storage, events),
    )

    def stored(name, around):
        with open_instance(tmp_path / name, root) as instance:
            for _ in range(2):
                with around(instance):
                    run = dg.materialize([x], instance=instance, tags=tags).run_id
            events = [(e.event_log_entry.dagster_event_type, e.partition_key) for e in instance.get_records_for_run(run).records]
            result = instance.fetch_materializations(key, limit=99).records
            checks = instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(key, "sound"), 99)
            return (
                [(c.status.value, c.partition, c.run_id == run, c.event.dagster_event_type) for c in checks],
                sorted(map(str, events)),
                [(record.partition_key, record.run_id == run) for record in result],
                [(r.storage_id - result[-1].storage_id) for r in result],
                instance.get_latest_materialization_event(key).dagster_event.partition,
                instance.get_materialized_partitions(key),
                instance.get_asset_records([key])[0].asset_entry.last_run_id == run,
                len(instance.get_event_tags_for_asset(key)),
            )

    assert stored("one", lambda _: nullcontext()) == stored("batches", events_in_batches)
    assert batches == [32, 31, 32, 31]
    assert "DAGSTER_EVENT_BATCH_SIZE" not in os.environ


@pytest.mark.worlds("sail-folder")
def test_a_pass_killed_in_a_step_does_not_hold_up_the_next(lakehouse, tmp_path):
    for number in range(1, 28):
        rows = "".join(f"AW-{number:02}{n:05},DE\n" for n in range(20_000))
        lakehouse.land("erp/customer_locations", f"2026-01-{number:02}", "loc.csv", "CID,CNTRY\n" + rows)
    settings = lakehouse.settings
    environment = {**os.environ, "LAKEHOUSE_ROOT": settings.root.uri, "LAKEHOUSE_ENGINE": "sail"}
    command = [str(Path(sys.executable).with_name("lakehouse")), "sync"]
    killed = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    with open_instance(settings.dagster_home, settings.root) as instance:
        deadline = time.monotonic() + 60
        while not instance.event_log_storage.get_concurrency_info("raw/erp_customer_locations").active_run_ids:
            assert time.monotonic() < deadline
            assert killed.poll() is None
            time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(lakehouse.rows("silver.erp_customer_locations")) == 27 * 20_000


def test_events_wait_until_somebody_reads(instance, tmp_path):
    index = tmp_path / "home" / "history" / "runs" / "index.db"

    def stored():
        with closing(sqlite3.connect(index)) as database:
            return database.execute("SELECT count(*) FROM event_logs").fetchone()[0]

    def event(number):
        return dg.AssetMaterialization("x", metadata={"number": number})

    before = stored()
    with events_in_batches(instance):
        for number in range(3):
            instance.report_runless_asset_event(event(number))
        waiting = stored() - before
        newest = instance.get_latest_materialization_event(dg.AssetKey("x"))
        assert newest.asset_materialization.metadata["number"].value == 2
        assert (waiting, stored() - before) == (0, 3)
        instance.report_runless_asset_event(event(3))
    assert stored() - before == 4


def test_the_database_of_a_run_is_what_dagster_creates(instance, tmp_path):
    made = []
    for name in ("ours", "dagster's"):
        made.append(instance.event_log_storage.path_for_shard(name))
        if name == "ours":
            instance.all_logs(name)
        else:
            instance.event_log_storage._initdb(instance.event_log_storage._engine(name))
    result = schemas(tmp_path / "home")
    ours, dagsters = (result[str(Path(file).relative_to(tmp_path / "home"))] for file in made)
    assert ours == dagsters != []
    for question in ("SELECT * FROM alembic_version", "PRAGMA journal_mode"):
        answers = []
        for file in made:
            with closing(sqlite3.connect(file)) as database:
                answers.append(database.execute(question).fetchall())
        assert answers[0] == answers[1] != []


def test_a_file_of_the_first_version_names_the_event_storage_where_it_is_now(tmp_path, root):
    prepare_home(tmp_path, root)
    config = tmp_path / "dagster.yaml"
    former = config.read_text().replace("lakehouse_assets.hooks.event_storage", "lakehouse_assets.automation.event_storage")
    config.write_text(former + "# mine\n")
    with open_instance(tmp_path, root) as instance:
        assert isinstance(instance.event_log_storage, QuickSqliteEventLogStorage)
    assert config.read_text() == former.replace("lakehouse_assets.automation.", "lakehouse_assets.hooks.") + "# mine\n"
    assert config.stat().st_mode & 0o777 == 0o600
