import logging
from datetime import date

import duckdb
import pandas
import polars
import pyarrow as pa
import pytest

from lakehouse_assets.delta.handlers import Source, Target, arrow_handlers
from lakehouse_assets.delta.tables import open_table
from lakehouse_assets.errors import PartitionGuardError

D1, D2, D3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)

# How a type is made from an Arrow table, and an Arrow table from it.
TYPES = {
    pa.Table: (lambda table: table, lambda rows: rows),
    pa.RecordBatchReader: (lambda table: table.to_reader(), lambda rows: rows.read_all()),
    polars.DataFrame: (polars.from_arrow, lambda rows: rows.to_arrow()),
    pandas.DataFrame: (lambda table: table.to_pandas(), lambda rows: pa.Table.from_pandas(rows, preserve_index=False)),
    duckdb.DuckDBPyRelation: (lambda table: duckdb.connect().from_arrow(table), lambda rows: rows.to_arrow_table()),
}


class Notes:
    """The table raw/notes, written and read as one type."""

    def __init__(self, root, kind):
        self.root = root
        self.handler = next(h for h in arrow_handlers() if h.handles(kind))
        self.make, self.unmake = TYPES[kind]
        self.writes = 0

    def write(self, table, *dates):
        self.writes += 1
        target = Target(self.root, "raw", "notes", dates, f"run-{self.writes}", logging.getLogger("test"))
        return self.handler.write(self.make(table), target)

    def read(self, *dates, columns=None):
        return self.unmake(self.handler.read(Source(self.root, "raw", "notes", dates or None, columns)))

    def held(self, *dates):
        """The rows of some dates, or all, as sorted (date, text)."""
        rows = self.read(*dates)
        return sorted(zip(rows.column("_date").to_pylist(), rows.column("text").to_pylist(), strict=True))

    def version(self):
        return open_table(self.root.table("raw", "notes")).version()


@pytest.fixture(params=TYPES, ids=lambda kind: f"{kind.__module__.split('.')[0]}-{kind.__name__}")
def table(request, root):
    return Notes(root, request.param)


def notes(*rows):
    """An Arrow table of (date, text)."""
    days, texts = zip(*rows, strict=True) if rows else ((), ())
    return pa.table({"text": pa.array(texts, pa.string()), "_date": pa.array(days, pa.date32())})


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: f"{kind.__module__.split('.')[0]}-{kind.__name__}")
def test_each_type_has_one_handler(kind):
    assert sum(h.handles(kind) for h in arrow_handlers()) == 1


def test_a_subclass_has_the_handler_of_its_base():
    kind = type("Orders", (pandas.DataFrame,), {})
    assert [h.type_name for h in arrow_handlers() if h.handles(kind)] == ["pandas.core.frame.DataFrame"]


@pytest.mark.parametrize("annotation", [int, list, None, "pandas.DataFrame", list[int]], ids=str)
def test_other_annotations_have_no_handler(annotation):
    assert not any(h.handles(annotation) for h in arrow_handlers())


def test_what_was_written_is_read_back(table):
    table.write(notes((D1, "a"), (D1, "b")), D1)
    assert table.held() == [(D1, "a"), (D1, "b")]


def test_one_partition_is_read(table):
    table.write(notes((D1, "a"), (D2, "b"), (D3, "c")), D1, D2, D3)
    assert table.held(D2) == [(D2, "b")]


def test_a_range_of_partitions_is_read(table):
    table.write(notes((D1, "a"), (D2, "b"), (D3, "c")), D1, D2, D3)
    assert table.held(D1, D2) == [(D1, "a"), (D2, "b")]


def test_a_partition_that_was_never_written_has_no_rows(table):
    table.write(notes((D1, "a")), D1)
    assert table.held(D3) == []


def test_only_the_columns_named_are_read(table):
    table.write(notes((D1, "a")), D1)
    assert table.read(D1, columns=["text"]).column_names == ["text"]


def test_exactly_the_partitions_of_the_run_are_replaced(table):
    table.write(notes((D1, "a"), (D2, "b")), D1, D2)
    table.write(notes((D2, "B")), D2)
    assert table.held() == [(D1, "a"), (D2, "B")]


def test_rows_that_were_read_can_be_written(table):
    table.write(notes((D1, "a"), (D2, "b")), D1, D2)
    table.write(table.read(D1), D1)
    assert table.held() == [(D1, "a"), (D2, "b")]


def test_a_range_of_partitions_is_one_commit(table):
    table.write(notes((D1, "a")), D1)
    before = table.version()
    table.write(notes((D1, "A"), (D2, "B"), (D3, "C")), D1, D2, D3)
    assert table.version() == before + 1


def test_a_row_outside_the_run_s_partitions_is_refused(table):
    table.write(notes((D1, "a")), D1)
    with pytest.raises(PartitionGuardError, match="nothing was written"):
        table.write(notes((D1, "A"), (D2, "B")), D1)


def test_a_refused_write_changes_nothing(table):
    table.write(notes((D1, "a")), D1)
    with pytest.raises(PartitionGuardError):
        table.write(notes((D1, "A"), (D2, "B")), D1)
    assert table.held() == [(D1, "a")]


def test_rows_without_a_date_column_are_refused(table):
    with pytest.raises(PartitionGuardError, match=r"raw/notes have no column _date .* Its columns are text\."):
        table.write(notes((D1, "a")).drop_columns(["_date"]), D1)


def test_a_table_that_was_never_written_is_missed_by_name(table):
    with pytest.raises(FileNotFoundError, match="There is no table raw/notes yet"):
        table.read(D1)


def test_a_write_of_no_rows_empties_the_partition(table):
    table.write(notes((D1, "a"), (D2, "b")), D1, D2)
    table.write(notes(), D1)
    assert table.held() == [(D2, "b")]


def test_the_same_step_of_the_same_run_is_no_second_commit(root):
    handler = next(h for h in arrow_handlers() if h.handles(pa.Table))
    target = Target(root, "raw", "notes", [D1], "run-1", logging.getLogger("test"))
    first, again = handler.write(notes((D1, "a")), target), handler.write(notes((D1, "a")), target)
    assert (again.commit.changed, again.commit.version) == (False, first.commit.version)


VALUES = {
    "number": pa.array([1, None], pa.int64()),
    "amount": pa.array([1.5, None], pa.float64()),
    "flag": pa.array([True, None], pa.bool_()),
    "day": pa.array([D1, None], pa.date32()),
    "words": pa.array([["a", "b"], None], pa.list_(pa.string())),
}


@pytest.mark.parametrize("column", VALUES)
@pytest.mark.parametrize("kind", [k for k in TYPES if k is not pandas.DataFrame], ids=lambda kind: kind.__name__)
def test_values_and_their_absence_survive(root, kind, column):
    table = Notes(root, kind)
    table.write(pa.table({column: VALUES[column], "_date": pa.array([D1, D1], pa.date32())}), D1)
    assert table.read(D1).column(column).to_pylist() == VALUES[column].to_pylist()
