"""The IO manager inside Dagster: the annotation picks the handler, runs cover partitions and ranges."""

from datetime import date

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame

from lakehouse_assets.delta.handlers import ArrowHandler, SparkHandler, Written, arrow_handlers
from lakehouse_assets.errors import AuditError, EngineLostError
from lakehouse_assets.materialization.io_manager import DeltaIOManager
from lakehouse_assets.materialization.partitions import daily_partitions
from lakehouse_assets.materialization.reporting import reporting_refused, step_target
from lakehouse_assets.store.root import Root

PARTITIONS = daily_partitions(date(2026, 1, 1))
COMMON = {"partitions_def": PARTITIONS, "backfill_policy": dg.BackfillPolicy.single_run()}


@dg.asset(key=["raw", "numbers"], **COMMON)
def numbers(context: dg.AssetExecutionContext) -> pa.Table:
    days = [date.fromisoformat(key) for key in context.partition_keys]
    return pa.table({"n": pa.array([d.day for d in days], pa.int64()), "_date": pa.array(days, pa.date32())})


@dg.asset(key=["silver", "doubled"], ins={"numbers": dg.AssetIn(key=["raw", "numbers"])}, **COMMON)
def doubled(numbers: DataFrame) -> DataFrame:
    return numbers.selectExpr("n * 2 AS n", "_date")


@dg.asset(key=["gold", "from_polars"], ins={"doubled": dg.AssetIn(key=["silver", "doubled"])}, **COMMON)
def from_polars(doubled: pl.DataFrame) -> pl.DataFrame:
    return doubled.with_columns(n=pl.col("n") + 1)


@dg.asset(
    key=["gold", "from_pandas"], ins={"doubled": dg.AssetIn(key=["silver", "doubled"], metadata={"columns": ["_date"]})}, **COMMON
)
def from_pandas(doubled: pd.DataFrame) -> pd.DataFrame:
    assert list(doubled.columns) == ["_date"]
    return doubled.assign(n=7)


@dg.asset(key=["gold", "stray"], **COMMON)
def stray() -> pa.Table:
    return pa.table({"_date": pa.array([date(2026, 5, 5)], pa.date32())})


@pytest.fixture
def materialize(tmp_path, engine):
    root = Root.parse(str(tmp_path / "root"))
    manager = DeltaIOManager(root, [SparkHandler(engine.session), *arrow_handlers()])

    def run(*assets, **chosen):
        with dg.DagsterInstance.ephemeral() as instance:
            return dg.materialize([*assets], resources={"io_manager": manager}, instance=instance, raise_on_error=False, **chosen)

    run.root = root
    return run


def rows(root, layer, table):
    from lakehouse_assets.serving.query import query

    return query(root, f"SELECT n, _date::VARCHAR FROM {layer}.{table} ORDER BY ALL").fetchall()


def test_each_annotation_has_its_handler(materialize):
    done = materialize(numbers, doubled, from_polars, from_pandas, partition_key="2026-01-04")
    assert done.success
    assert rows(materialize.root, "gold", "from_polars") == [(9, "2026-01-04")]
    assert rows(materialize.root, "gold", "from_pandas") == [(7, "2026-01-04")]


def test_a_range_is_one_commit_a_table_and_tells_row_counts_by_partition(materialize):
    tags = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-03"}
    done = materialize(numbers, doubled, tags=tags)
    assert done.success
    assert rows(materialize.root, "silver", "doubled") == [(2, "2026-01-01"), (4, "2026-01-02"), (6, "2026-01-03")]
    messages = [
        (m.partition, m.metadata["dagster/partition_row_count"].value, m.metadata["delta_version"].value)
        for m in done.asset_materializations_for_node("silver__doubled")
    ]
    assert messages == [("2026-01-01", 1, 1), ("2026-01-02", 1, 1), ("2026-01-03", 1, 1)]


def test_rows_outside_the_partition_of_the_run_fail_the_step_with_a_clear_sentence(materialize):
    done = materialize(stray, partition_key="2026-01-01")
    [event] = done.get_step_failure_events()
    assert "lie outside the partitions of the run" in event.step_failure_data.error.cause.message


class Lost(ArrowHandler):
    """Its engine goes away the first time."""

    def __init__(self):
        super().__init__("pyarrow.lib.Table", lambda rows: rows, lambda reader: reader.read_all())
        self.losses = {"read": 1, "write": 1}

    def lose(self, what):
        self.losses[what] -= 1
        if self.losses[what] >= 0:
            raise EngineLostError("gone")

    def write(self, rows, target):
        self.lose("write")
        return super().write(rows, target)

    def read(self, source):
        self.lose("read")
        return super().read(source)


@dg.asset(key=["silver", "same"], ins={"numbers": dg.AssetIn(key=["raw", "numbers"])}, **COMMON)
def same(numbers: pa.Table) -> pa.Table:
    return numbers


def test_a_step_whose_engine_goes_away_runs_again(tmp_path):
    manager = DeltaIOManager(Root.parse(str(tmp_path / "root")), [Lost()])
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([numbers, same], partition_key="2026-01-04", resources={"io_manager": manager}, instance=instance)
    assert [e.step_key for e in done.all_events if e.is_step_up_for_retry] == ["raw__numbers", "silver__same"]


@pytest.fixture
def refuse(tmp_path):
    """A run over three dates of which the step refuses some; what Dagster knows of it."""
    root = Root.parse(str(tmp_path / "root"))
    [handler] = [h for h in arrow_handlers() if h.handles(pa.Table)]

    def run(*refused, tells=True):
        @dg.asset(key=["silver", "strict"], **COMMON)
        def strict(context: dg.AssetExecutionContext) -> None:
            target = step_target(context, root, layer="silver", name="strict", description=None)
            kept = [d for d in target.dates if d not in refused]
            rows = pa.table({"n": pa.array([d.day for d in kept], pa.int64()), "_date": pa.array(kept, pa.date32())})
            with reporting_refused(context, target):
                commit = handler.write(rows, target).commit
                by_date = {day: {"said": f"of {day}"} for day in target.dates}
                written = Written(commit, {"said": "of all"}, by_date) if tells else None
                raise AuditError("some were refused", refused=refused, written=written)

        tags = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-03"}
        with dg.DagsterInstance.ephemeral() as instance:
            done = dg.materialize([strict], instance=instance, raise_on_error=False, tags=tags)
            [event] = done.get_step_failure_events()
            assert event.step_failure_data.error.cause.message.strip().endswith("AuditError: some were refused")
            records = instance.fetch_materializations(strict.key, limit=10).records
            assert instance.get_materialized_partitions(strict.key) == {r.partition_key for r in records}
            return {r.partition_key: {k: m.value for k, m in r.asset_materialization.metadata.items()} for r in records}

    return run


def test_a_step_of_its_own_whose_engine_goes_away_runs_again(tmp_path):
    root, tries = Root.parse(str(tmp_path / "root")), []

    @dg.asset(key=["silver", "own"], **COMMON)
    def own(context: dg.AssetExecutionContext) -> None:
        with reporting_refused(context, step_target(context, root, layer="silver", name="own", description=None)):
            tries.append(1)
            if len(tries) == 1:
                raise EngineLostError("gone")

    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([own], partition_key="2026-01-04", instance=instance)
    assert [e.step_key for e in done.all_events if e.is_step_up_for_retry] == ["silver__own"]


def test_of_a_range_of_which_dates_were_refused_the_others_count_as_materialized(refuse):
    known = refuse(date(2026, 1, 2))
    assert set(known) == {"2026-01-01", "2026-01-03"}
    message = known["2026-01-03"]
    assert (message["said"], message["dagster/partition_row_count"], message["committed"]) == ("of 2026-01-03", 1, True)


def test_where_all_dates_were_refused_none_counts(refuse):
    assert refuse(date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)) == {}


def test_where_the_error_tells_nothing_of_what_was_written_no_date_counts(refuse):
    assert refuse(date(2026, 1, 2), tells=False) == {}
