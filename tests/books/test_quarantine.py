from datetime import date

import pyarrow as pa
import pytest

from lakehouse_assets.books.ledger import Ledger, PartitionRecord
from lakehouse_assets.books.quarantine import Quarantine, new_batch, quarantine_schema
from lakehouse_assets.delta.tables import open_table

D1, D2 = date(2026, 1, 1), date(2026, 1, 2)


def refused(*rows, table="notes", batch="b1"):
    """Quarantine rows from (date, file, row number)."""
    return pa.Table.from_pylist(
        [
            {
                "layer": "raw",
                "table_name": table,
                "date": day,
                "source_file": file,
                "row_number": number,
                "rule": "row_has_all_fields",
                "reason": "expected 3 fields, found 2",
                "payload": "a,b",
                "run_id": "run-1",
                "batch": batch,
                "rows": 1,
            }
            for day, file, number in rows
        ],
        schema=quarantine_schema(),
    )


def put(root, *rows, table="notes", batch="b1"):
    Quarantine(root).add(refused(*rows, table=table, batch=batch), "run-1")


def held(root, table="notes"):
    """What lies in quarantine for a table, as sorted (date, file, row number)."""
    rows = open_table(Quarantine(root).uri).to_pyarrow_table().to_pylist()
    return sorted((r["date"], r["source_file"], r["row_number"]) for r in rows if r["table_name"] == table)


def version(root):
    return open_table(Quarantine(root).uri).version()


def test_rows_lie_in_quarantine(root):
    put(root, (D1, "a.csv", 2), (D1, "it's.csv", None))
    assert held(root) == [(D1, "a.csv", 2), (D1, "it's.csv", None)]


def test_rows_are_added_to_those_that_lie_there(root):
    put(root, (D1, "a.csv", 2))
    put(root, (D1, "a.csv", 2), batch="b2")
    assert len(held(root)) == 2


def test_a_quarantine_without_rows_is_not_made(root):
    put(root)
    assert open_table(Quarantine(root).uri) is None


def test_a_batch_is_taken_out(root):
    put(root, (D1, "a.csv", 2))
    put(root, (D1, "a.csv", 3), batch="b2")
    Quarantine(root).remove("raw", "notes", ["b1"], "run-2")
    assert held(root) == [(D1, "a.csv", 3)]


def test_batches_of_other_tables_stay(root):
    put(root, (D1, "a.csv", 2), table="letters")
    put(root, (D1, "a.csv", 3))
    Quarantine(root).remove("raw", "notes", ["b1"], "run-2")
    assert held(root, "letters") == [(D1, "a.csv", 2)]


def test_no_batch_to_take_out_is_no_commit(root):
    put(root, (D1, "a.csv", 2))
    before = version(root)
    Quarantine(root).remove("raw", "notes", [], "run-2")
    assert version(root) == before


def test_rows_of_the_named_batches_are_counted_by_date(root):
    put(root, (D1, "a.csv", 2), (D1, "b.csv", 2), (D2, "a.csv", 2))
    put(root, (D1, "a.csv", 9), batch="b2")
    put(root, (D1, "a.csv", 2), table="letters")
    quarantine = Quarantine(root)
    assert quarantine.counted("raw", "notes", ["b1"]) == {D1: 2, D2: 1}
    assert quarantine.counted("raw", "notes", ["b1", "b2"]) == {D1: 3, D2: 1}
    assert quarantine.counted("raw", "notes", []) == {}


def test_there_is_nothing_to_count_before_the_first_row(root):
    assert Quarantine(root).counted("raw", "notes", ["b1"]) == {}


def test_a_file_that_was_refused_as_a_whole_counts_with_all_its_rows(root):
    result = refused((D1, "a.csv", 2), (D1, "b.csv", None))
    result = result.set_column(result.schema.get_field_index("rows"), "rows", pa.array([1, 600_000], pa.int64()))
    Quarantine(root).add(result, "run-1")
    assert Quarantine(root).counted("raw", "notes", ["b1"]) == {D1: 600_001}


def test_entries_from_before_rows_were_counted_are_a_row_each(root):
    Quarantine(root).add(refused((D1, "a.csv", 2), (D1, "b.csv", 2)).drop_columns(["rows"]), "run-1")
    assert Quarantine(root).counted("raw", "notes", ["b1"]) == {D1: 2}
    put(root, (D2, "a.csv", 2))
    assert Quarantine(root).counted("raw", "notes", ["b1"]) == {D1: 2, D2: 1}


def test_entries_of_no_batch_count_for_nothing(root):
    Quarantine(root).add(refused((D1, "a.csv", 2)).drop_columns(["rows", "batch"]), "run-1")
    assert Quarantine(root).counted("raw", "notes", ["b1"]) == {}
    Quarantine(root).remove_unnamed(before=2_000_000_000_000)
    assert held(root) == []


@pytest.mark.parametrize(("moment", "left"), [(0, ["a.csv", "b.csv"]), (2_000_000_000_000, ["a.csv"])], ids=["young", "old"])
def test_what_no_record_names_goes_once_it_is_old(root, moment, left):
    named, unnamed = new_batch(), new_batch()
    put(root, (D1, "a.csv", 2), batch=named)
    put(root, (D1, "b.csv", 2), batch=unnamed)
    record = PartitionRecord("raw", "notes", D1, 1, 0, 1, 0, 1, "run-1", "f1", batches=[named])
    Ledger(root).record("raw", ["notes"], lambda known: [record], "run-1")
    Quarantine(root).remove_unnamed(before=moment)
    assert [file for _, file, _ in held(root)] == left
