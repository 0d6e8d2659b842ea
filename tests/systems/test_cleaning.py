"""What silver functions share."""

from lakehouse_assets.systems.cleaning import with_columns


def test_a_column_may_have_any_name(spark):
    rows = spark.createDataFrame([("a",)], "code string")
    [row] = with_columns(rows, raw="UPPER(code)", columns="code", self="'me'").collect()
    assert row.asDict() == {"code": "a", "raw": "A", "columns": "a", "self": "me"}
