"""Which raw columns a silver table's columns are made from, by the plans of its functions."""

from typing import Any

import pytest

from lakehouse_assets.engine.sail import Sail
from lakehouse_assets.hooks.spark_plan import plan_of
from lakehouse_assets.silver.lineage import _lineage, plan_lineage
from lakehouse_assets.systems import catalog


@pytest.fixture(scope="module")
def session():
    pytest.importorskip("pysail")
    from pyspark.sql import SparkSession

    with Sail().connecting() as url:
        yield SparkSession.builder.remote(url).getOrCreate()


@pytest.fixture(scope="module")
def rows(session):
    return session.createDataFrame([], "id string, Price string, items string")


def made(rows: Any) -> dict[str, list[str]]:
    return {name: sorted(sources) for name, sources in plan_lineage(plan_of(rows), ["id", "Price", "items"]).items()}


def test_expressions_in_sql_and_in_python_are_followed(rows):
    from pyspark.sql import functions as F

    found = rows.selectExpr("*", "CAST(price AS INT) * 2 AS twice").withColumn("both", F.concat("id", F.expr("UPPER(twice)")))
    assert made(found.withColumnRenamed("both", "label").where("items IS NOT NULL").selectExpr("label", "1 AS one")) == {
        "label": ["Price", "id"],
        "one": [],
    }


def test_items_of_a_list_come_from_the_list(rows):
    found = rows.selectExpr("id", "POSEXPLODE(FROM_JSON(items, 'array<string>')) AS (place, item)")
    assert made(found.selectExpr("item AS text", "TRANSFORM(SPLIT(item, ','), id -> id || 'x') AS parts")) == {
        "text": ["items"],
        "parts": ["items"],
    }


def test_both_sides_of_a_join_are_followed(rows):
    other = rows.selectExpr("id", "price AS theirs")
    assert made(rows.select("id", "items").join(other, "id")) == {"id": ["id"], "items": ["items"], "theirs": ["Price"]}


def test_every_column_of_every_table_is_made_from_something(session):
    """But for constants: a feed's own currency or city."""
    tables = catalog().tables
    bare = {
        f"{table.name}.{column.name}"
        for table in tables
        for lineage in [_lineage(table, session)]
        for column in table.contract.table_columns
        if column.name not in lineage
    }
    assert {name.rpartition(".")[2] for name in bare} == {"currency", "city"}
