"""What the log says a partition holds."""

import shutil
from datetime import date

import pyarrow as pa

from lakehouse_assets.books.records import contents, table_id
from lakehouse_assets.delta.tables import dates_predicate, forget_open_tables, open_table, replace_rows

D1 = date(2026, 1, 1)


def put(uri, text):
    rows = pa.table({"text": [text], "_date": pa.array([D1], pa.date32())})
    replace_rows(uri, rows, predicate=dates_predicate([D1]), key=text, run_id="run")


def test_a_table_that_was_put_back_has_other_contents_at_the_same_version(root, tmp_path):
    uri = root.table("raw", "notes")
    put(uri, "first")
    shutil.copytree(uri, tmp_path / "copy")
    put(uri, "then")
    before = open_table(uri)
    held_before = contents(root, "raw", "notes", before)
    shutil.rmtree(uri)
    shutil.copytree(tmp_path / "copy", uri)
    forget_open_tables()  # as each pass does
    put(uri, "instead")
    after = open_table(uri)
    assert (table_id(after), after.version()) == (table_id(before), before.version())
    assert contents(root, "raw", "notes", after) != held_before
    assert contents(root, "raw", "notes", before) == held_before
