"""Rows of a source system through its silver function and its rules."""

from datetime import date

from tests.support.declare import audited, feed_of


def clean(spark, entity, *rows, day=date(2026, 1, 31)):
    """The audited rows of an entity, in the order of the input; each input row is a dict of source columns."""
    names = [c.name.lower() for c in feed_of(entity).columns]
    schema = ", ".join(f"{n} string" for n in names) + ", _source_file string, _row_number bigint, _date date"
    data = [(*(row.get(n) for n in names), "f.csv", number, day) for number, row in enumerate(rows, 2)]
    found = audited(spark.createDataFrame(data, schema), entity).orderBy("_row_number").collect()
    return [row.asDict() for row in found]
