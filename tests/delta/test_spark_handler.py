"""A Spark DataFrame through its handler: the engine writes the files, delta-rs commits them."""

import logging
from datetime import date

import pytest

from lakehouse_assets.delta.handlers import ArrowHandler, Source, SparkHandler, Target, arrow_handlers
from lakehouse_assets.delta.tables import open_table, table_facts
from lakehouse_assets.errors import PartitionGuardError
from lakehouse_assets.store.root import Root

D1, D2, D3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)


@pytest.fixture
def root(tmp_path):
    return Root.parse(str(tmp_path / "root"))


@pytest.fixture
def handler(engine):
    return SparkHandler(engine.session)


def frame(spark, *rows):
    return spark.createDataFrame(list(rows), "id int, name string, _date date")


def target(root, *dates, run_id="run"):
    return Target(root, "silver", "things", dates, run_id, logging.getLogger("test"))


def read(handler, root, *dates, columns=None):
    rows = handler.read(Source(root, "silver", "things", dates or None, columns)).collect()
    return sorted(tuple(row) for row in rows)


def test_a_range_is_one_commit_and_reads_back_by_partition_and_column(spark, handler, root):
    handler.write(frame(spark, (1, "a", D1), (2, "b", D2)), target(root, D1, D2))
    assert open_table(root.table("silver", "things")).version() == 1
    assert read(handler, root) == [(1, "a", D1), (2, "b", D2)]
    assert read(handler, root, D2, columns=["id"]) == [(2,)]


def test_exactly_the_partitions_of_the_run_are_replaced(spark, handler, root):
    handler.write(frame(spark, (1, "a", D1), (2, "b", D2)), target(root, D1, D2))
    handler.write(frame(spark, (3, "c", D2)), target(root, D2, run_id="next"))
    assert read(handler, root) == [(1, "a", D1), (3, "c", D2)]


def test_a_partition_without_rows_is_emptied(spark, handler, root):
    handler.write(frame(spark, (1, "a", D1), (2, "b", D2)), target(root, D1, D2))
    handler.write(frame(spark).where("id IS NOT NULL"), target(root, D1, run_id="next"))
    assert read(handler, root) == [(2, "b", D2)]


@pytest.mark.parametrize("stray", [D3, None])
def test_a_row_outside_the_partitions_of_the_run_is_refused_and_nothing_written(spark, handler, root, stray):
    handler.write(frame(spark, (1, "a", D1)), target(root, D1))
    before = table_facts(open_table(root.table("silver", "things")))
    with pytest.raises(PartitionGuardError, match="2026-01-01"):
        handler.write(frame(spark, (2, "b", D1), (3, "c", stray)), target(root, D1, run_id="next"))
    assert table_facts(open_table(root.table("silver", "things"))) == before
    assert [path for path, _ in root.files("silver/things") if path.endswith(".parquet")] != []
    assert len([path for path, _ in root.files("silver/things") if path.endswith(".parquet")]) == before.files


def test_a_repeated_step_is_no_second_commit(spark, handler, root):
    for _ in range(2):
        handler.write(frame(spark, (1, "a", D1)), target(root, D1))
    assert open_table(root.table("silver", "things")).version() == 1


def test_what_spark_wrote_polars_and_duckdb_read(spark, handler, root):
    handler.write(frame(spark, (1, "a", D1)), target(root, D1))
    by_name = {h.type_name: h for h in arrow_handlers() if isinstance(h, ArrowHandler)}
    source = Source(root, "silver", "things", [D1], ["id", "name"])
    assert by_name["polars.dataframe.frame.DataFrame"].read(source).rows() == [(1, "a")]
    assert by_name["_duckdb.DuckDBPyRelation"].read(source).fetchall() == [(1, "a")]
