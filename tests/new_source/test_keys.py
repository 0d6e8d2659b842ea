"""Which columns identify a row, from a few rows."""

import pyarrow as pa

from lakehouse_assets.new_source.keys import FILE, keys_of


def rows(**columns):
    count = len(next(iter(columns.values())))
    return pa.table({FILE: [0] * count} | columns)


def test_an_empty_value_identifies_nothing():
    found = keys_of(rows(id=["1", "2", " "], code=["a", "b", "c"]), ["id", "code"], ["id", "code"])
    assert found.candidates == (("code",),)


def test_rows_of_two_files_are_told_apart_within_their_file():
    found = keys_of(pa.table({FILE: [0, 0, 1, 1], "id": ["1", "2", "2", "3"], "n": ["a", "b", "c", "d"]}), ["id"], ["id"])
    assert (found.candidates, found.across_files, found.repeated) == ((("id",),), False, 0)
