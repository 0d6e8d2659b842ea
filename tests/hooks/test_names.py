"""Private names of other packages: they are there, they are used in hooks alone, and each has a plain way that serves without them."""

import importlib
import re
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
import yaml
from pyspark.sql import Window
from pyspark.sql import functions as F

import lakehouse_assets
from lakehouse_assets.engine import session as engine_session
from lakehouse_assets.errors import EngineLostError
from lakehouse_assets.hooks import jobs, names, process_end, spark_client
from lakehouse_assets.hooks.load_error import load_error
from lakehouse_assets.hooks.names import ALL_HOOKS, Hook
from lakehouse_assets.hooks.partition_status import show_as_built
from lakehouse_assets.hooks.run_launcher import AttentiveRunLauncher
from lakehouse_assets.hooks.spark_plan import is_row_by_row
from lakehouse_assets.hooks.step_context import add_partition_metadata, asset_description
from lakehouse_assets.orchestration.instance import prepare_home
from lakehouse_assets.orchestration.run_history import purge_runs

PACKAGE = Path(lakehouse_assets.__file__).parent


@pytest.mark.parametrize("hook", ALL_HOOKS, ids=lambda hook: hook.names[0])
def test_the_names_that_a_hook_uses_are_there(hook: Hook):
    installed = "" if hook.package == "Python" else f" {version(hook.package)}"
    assert hook.missing == [], f"{hook.package}{installed} has no {', '.join(hook.missing)}. Without: {hook.without}"


def test_all_hooks_are_listed():
    assert set(ALL_HOOKS) == {value for value in vars(names).values() if isinstance(value, Hook)}


def test_a_name_that_is_gone_is_missed():
    assert Hook("dagster", ("dagster:no_such_name", "dagster._core.no_such_module:x", "dagster:asset"), "").missing == [
        "dagster:no_such_name",
        "dagster._core.no_such_module:x",
    ]


def test_private_names_are_used_in_hooks_alone():
    packages = "dagster|dagster_dbt|dbt|pyspark|duckdb|deltalake|botocore|obstore"
    private = re.compile(rf"(?:from|import) (?:{packages})(?:\.\w+)*\._\w|\b_handle_error\b|_run_exitfuncs")
    users = {file.relative_to(PACKAGE).parts[0] for file in PACKAGE.rglob("*.py") if private.search(file.read_text())}
    assert users == {"hooks"}


class TestThePlainWays:
    """What happens once a name is gone."""

    @pytest.fixture(autouse=True)
    def _gone(self, monkeypatch):
        for hook in ALL_HOOKS:
            monkeypatch.setitem(hook.__dict__, "missing", ["gone"])

    def test_event_storage_is_dagster_s_own_and_runs_are_purged_all_the_same(self, tmp_path, root):
        prepare_home(tmp_path, root)
        assert "event_log_storage" not in yaml.safe_load((tmp_path / "dagster.yaml").read_text())
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            asset = dg.asset(name="x")(lambda: None)
            old, now = (dg.materialize([asset], instance=instance).dagster_run.run_id for _ in range(2))
            assert purge_runs(instance, _later()).runs == 1
            assert (instance.has_run(old), instance.has_run(now)) == (False, True)

    def test_empty_dates_show_as_missing(self):
        with dg.DagsterInstance.ephemeral() as instance:
            days = dg.DailyPartitionsDefinition("2026-01-01")
            show_as_built(instance, dg.AssetKey("x"), days, [])
            assert instance.get_materialized_partitions(dg.AssetKey("x")) == set()

    def test_a_wrong_setting_is_an_error_of_dagster_s(self):
        assert isinstance(load_error("LAKEHOUSE_ROOT: no"), dg.DagsterError)
        assert "LAKEHOUSE_ROOT: no" in str(load_error("LAKEHOUSE_ROOT: no"))

    def test_a_table_has_no_description_and_its_output_the_metadata(self):
        context = dg.build_output_context(asset_key=["raw", "x"])
        assert asset_description(context) is None
        add_partition_metadata(context, "2026-01-01", {"rows": 3})
        add_partition_metadata(context, "2026-01-02", {"rows": 4})
        assert {name: value.value for name, value in context.get_logged_metadata().items()} == {"rows": 3}

    def test_the_launcher_says_that_it_can_t_look(self):
        assert AttentiveRunLauncher().supports_check_run_worker_health is False

    def test_no_plan_is_known_to_be_row_by_row(self):
        assert not is_row_by_row(SimpleNamespace(_plan=None))

    def test_a_command_ends_as_python_does(self):
        with pytest.raises(SystemExit) as end:
            process_end.end_process(3)
        assert end.value.code == 3


def test_the_job_of_what_is_done_by_hand_has_its_known_name_where_dagster_does_not_tell(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(names.IMPLICIT_JOB.__dict__, "missing", ["gone"])
        assert importlib.reload(jobs).IMPLICIT_ASSET_JOB_NAME == "__ASSET_JOB"
    assert importlib.reload(jobs).IMPLICIT_ASSET_JOB_NAME == "__ASSET_JOB"


def test_a_client_without_the_hooked_method_raises_its_own_errors():
    class Client:
        pass

    spark_client.watch_errors(client := Client(), lambda error: pytest.fail("nobody can call this"))
    assert vars(client) == {}


def test_a_client_tells_of_each_error_first(monkeypatch):
    class Client:
        def _handle_error(self, error):
            raise KeyError("the client's own")

    seen = []
    spark_client.watch_errors(client := Client(), seen.append)
    with pytest.raises(KeyError):
        client._handle_error(ValueError("lost"))
    assert [str(error) for error in seen] == ["lost"]
    monkeypatch.setattr(engine_session, "engine_was_lost", lambda error: True)
    engine = engine_session.Engine(engine_session.EngineConfig("sc://localhost:1", None))
    with pytest.raises(EngineLostError):
        engine._notice_loss(ValueError("lost"))


@pytest.mark.worlds("sail-folder")
@pytest.mark.parametrize(
    ("by_itself", "made"),
    [
        (True, lambda rows: rows.selectExpr("*", "upper(id) AS up").where("n > 1").drop("n")),
        (True, lambda rows: rows.withColumn("up", F.transform(F.split("id", ","), F.upper)[0])),
        (False, lambda rows: rows.withColumn("place", F.row_number().over(Window.partitionBy("id").orderBy("n")))),
        (False, lambda rows: rows.selectExpr("*", "ROW_NUMBER() Over (ORDER BY n) AS place")),
        (False, lambda rows: rows.withColumn("most", F.expr("(SELECT 1)"))),
        (False, lambda rows: rows.distinct()),
        (False, lambda rows: rows.groupBy("id").count()),
        (False, lambda rows: rows.join(rows, "id")),
    ],
)
def test_a_plan_tells_whether_rows_depend_on_each_other(by_itself, made, engine):
    assert is_row_by_row(made(engine.session().createDataFrame([], "id string, n int"))) is by_itself


def _later():
    from datetime import UTC, datetime, timedelta

    return datetime.now(UTC) + timedelta(days=1)
