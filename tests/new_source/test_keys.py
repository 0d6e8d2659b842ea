"""Which columns identify a row, from a few rows."""

import pyarrow as pa
import pytest

from lakehouse_assets.new_source.keys import FILE, keys_of
from lakehouse_assets.new_source.meaning import own_ids


def rows(**columns):
    count = len(next(iter(columns.values())))
    return pa.table({FILE: [0] * count} | columns)


def test_an_empty_value_identifies_nothing():
    result = keys_of(rows(id=["1", "2", " "], code=["a", "b", "c"]), ["id", "code"], ["id", "code"])
    assert result.candidates == (("code",),)


def test_rows_of_two_files_are_told_apart_within_their_file():
    result = keys_of(pa.table({FILE: [0, 0, 1, 1], "id": ["1", "2", "2", "3"], "n": ["a", "b", "c", "d"]}), ["id"], ["id"])
    assert (result.candidates, result.across_files, result.repeated) == ((("id",),), False, 0)


def test_a_column_that_is_unique_in_few_rows_gives_way_to_a_pair_unless_it_is_the_entity_s_own():
    few = rows(order_id=["1", "1"], sku=["a", "b"])
    names = ["order_id", "sku"]
    assert keys_of(few, names, names).candidates == (("order_id", "sku"), ("sku",))
    assert keys_of(few, names, ["sku", "order_id"], ["sku"]).candidates == (("sku",),)
    many = rows(order_id=["1"] * 100, sku=[str(n) for n in range(100)])
    assert keys_of(many, names, names).candidates == (("sku",),)


@pytest.mark.parametrize(
    ("entity", "own"),
    [
        ("order_items", []),
        ("orders", ["order_id"]),
        ("products", ["sku"]),
        ("product_variants", ["sku"]),
    ],
)
def test_an_article_s_number_is_an_article_s_own(entity, own):
    assert own_ids(["order_id", "sku", "qty"], entity) == own
