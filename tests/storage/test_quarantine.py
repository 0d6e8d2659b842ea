from datetime import date

import pyarrow as pa
import pytest

from lakehouse_assets.errors import PartitionGuardError
from lakehouse_assets.serving.query import query
from lakehouse_assets.storage.quarantine import Quarantine, quarantine_schema
from lakehouse_assets.storage.tables import open_table

D1, D2 = date(2026, 1, 1), date(2026, 1, 2)


def refused(*rows, layer="raw", table="notes", run_id="run-1"):
    """Quarantine rows from (date, file, row number)."""
    return pa.Table.from_pylist(
        [
            {
                "layer": layer,
                "table_name": table,
                "date": day,
                "source_file": file,
                "row_number": number,
                "rule": "row_has_all_fields",
                "reason": "expected 3 fields, found 2",
                "payload": "a,b",
                "run_id": run_id,
                "rows": 1,
            }
            for day, file, number in rows
        ],
        schema=quarantine_schema(),
    )


def put(root, *rows, dates, files=None, table="notes", run_id="run-1"):
    found = refused(*rows, table=table, run_id=run_id)
    Quarantine(root).replace("raw", table, found, dates=dates, run_id=run_id, files_by_date=files)


def held(root, table="notes"):
    """What lies in quarantine for a table, as sorted (date, file, row number)."""
    rows = open_table(Quarantine(root).uri).to_pyarrow_table().to_pylist()
    return sorted((r["date"], r["source_file"], r["row_number"]) for r in rows if r["table_name"] == table)


def version(root):
    return open_table(Quarantine(root).uri).version()


def test_rows_lie_in_quarantine(root):
    put(root, (D1, "a.csv", 2), dates=[D1])
    assert held(root) == [(D1, "a.csv", 2)]


def test_rows_without_a_number_lie_in_quarantine(root):
    put(root, (D1, "a.csv", None), dates=[D1])
    assert held(root) == [(D1, "a.csv", None)]


def test_rows_of_the_dates_are_replaced(root):
    put(root, (D1, "a.csv", 2), (D2, "b.csv", 2), dates=[D1, D2])
    put(root, (D2, "b.csv", 3), dates=[D2])
    assert held(root) == [(D1, "a.csv", 2), (D2, "b.csv", 3)]


def test_rows_of_a_date_that_has_none_now_are_taken_out(root):
    put(root, (D1, "a.csv", 2), (D2, "b.csv", 2), dates=[D1, D2])
    put(root, dates=[D1])
    assert held(root) == [(D2, "b.csv", 2)]


def test_rows_of_the_files_are_replaced(root):
    put(root, (D1, "a.csv", 2), (D1, "b.csv", 2), dates=[D1])
    put(root, (D1, "a.csv", 3), dates=[D1], files={D1: {"a.csv"}})
    assert held(root) == [(D1, "a.csv", 3), (D1, "b.csv", 2)]


def test_rows_of_a_file_that_has_none_now_are_taken_out(root):
    put(root, (D1, "a.csv", 2), (D1, "b.csv", 2), dates=[D1])
    put(root, dates=[D1], files={D1: {"a.csv"}})
    assert held(root) == [(D1, "b.csv", 2)]


def test_a_file_of_the_same_name_under_another_date_is_another_file(root):
    put(root, (D1, "a.csv", 2), (D2, "a.csv", 2), dates=[D1, D2])
    put(root, dates=[D1, D2], files={D1: {"a.csv"}})
    assert held(root) == [(D2, "a.csv", 2)]


def test_a_file_s_name_may_hold_a_quote(root):
    put(root, (D1, "it's.csv", 2), dates=[D1])
    put(root, (D1, "it's.csv", 3), dates=[D1], files={D1: {"it's.csv"}})
    assert held(root) == [(D1, "it's.csv", 3)]


def test_rows_of_other_tables_stay(root):
    put(root, (D1, "a.csv", 2), dates=[D1], table="letters")
    put(root, (D1, "a.csv", 3), dates=[D1])
    put(root, dates=[D1])
    assert held(root, "letters") == [(D1, "a.csv", 2)]


def test_a_row_of_a_file_that_is_not_replaced_is_refused(root):
    with pytest.raises(PartitionGuardError):
        put(root, (D1, "b.csv", 2), dates=[D1], files={D1: {"a.csv"}})


def test_a_quarantine_without_rows_is_not_made(root):
    put(root, dates=[D1])
    assert open_table(Quarantine(root).uri) is None


def test_nothing_is_committed_where_a_table_has_no_rows_and_gets_none(root):
    put(root, (D1, "a.csv", 2), dates=[D1], table="letters")
    before = version(root)
    put(root, dates=[D1])
    assert version(root) == before


def test_nothing_is_committed_where_a_date_has_no_rows_and_gets_none(root):
    put(root, (D1, "a.csv", 2), dates=[D1])
    before = version(root)
    put(root, dates=[D2])
    assert version(root) == before


def test_nothing_is_committed_where_a_file_has_no_rows_and_gets_none(root):
    put(root, (D1, "a.csv", 2), dates=[D1])
    before = version(root)
    put(root, dates=[D1], files={D1: {"b.csv"}})
    assert version(root) == before


def test_nothing_is_committed_where_the_same_rows_come_again(root):
    put(root, (D1, "a.csv", 2), dates=[D1])
    before = version(root)
    put(root, (D1, "a.csv", 2), dates=[D1])
    assert version(root) == before


def test_nothing_is_committed_where_another_run_brings_the_same_rows(root):
    put(root, (D1, "a.csv", 2), dates=[D1])
    before = version(root)
    put(root, (D1, "a.csv", 2), dates=[D1], run_id="run-2")
    assert version(root) == before


def test_rows_are_counted_by_date(root):
    put(root, (D1, "a.csv", 2), (D1, "b.csv", 2), (D2, "a.csv", 2), dates=[D1, D2])
    assert Quarantine(root).by_date("raw", "notes") == {D1: 2, D2: 1}


def test_rows_of_another_table_are_not_counted(root):
    put(root, (D1, "a.csv", 2), dates=[D1], table="letters")
    assert Quarantine(root).by_date("raw", "notes") == {}


def test_there_is_nothing_to_count_before_the_first_row(root):
    assert Quarantine(root).by_date("raw", "notes") == {}


def test_a_file_that_was_refused_as_a_whole_counts_with_all_its_rows(root):
    found = refused((D1, "a.csv", 2), (D1, "b.csv", None))
    found = found.set_column(found.schema.get_field_index("rows"), "rows", pa.array([1, 600_000], pa.int64()))
    Quarantine(root).replace("raw", "notes", found, dates=[D1], run_id="run-1")
    assert Quarantine(root).by_date("raw", "notes") == {D1: 600_001}


def test_entries_from_before_rows_were_counted_are_a_row_each(root):
    old = refused((D1, "a.csv", 2), (D1, "b.csv", 2)).drop_columns(["rows"])
    Quarantine(root).replace("raw", "notes", old, dates=[D1], run_id="run-1")
    assert Quarantine(root).by_date("raw", "notes") == {D1: 2}
    assert query(root, "SELECT rows FROM quarantine.rows").fetchall() == [(1,), (1,)]
    put(root, (D2, "a.csv", 2), dates=[D2])
    assert Quarantine(root).by_date("raw", "notes") == {D1: 2, D2: 1}
    assert query(root, "SELECT sum(rows) FROM quarantine.rows").fetchall() == [(3,)]
