from datetime import date

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from lakehouse_assets.delta.tables import (
    ROWS_NOTE,
    DataFile,
    commit_files,
    compact,
    dates_predicate,
    last_commit,
    live_files,
    open_table,
    replace_rows,
    rows_note,
    sql_text,
    table_facts,
)
from lakehouse_assets.errors import PartitionGuardError

D1, D2, D3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)
TEXT = "it's"


@pytest.fixture
def uri(root):
    return root.table("raw", "notes")


def notes(*rows, **more):
    """A table of (date, text)."""
    days, texts = zip(*rows, strict=True) if rows else ((), ())
    columns = {"text": pa.array(texts, pa.string()), "_date": pa.array(days, pa.date32())}
    return pa.table(columns | {name: pa.array(values) for name, values in more.items()})


def put(uri, rows, *dates, key):
    return replace_rows(uri, rows, predicate=dates_predicate(dates), key=key, run_id="run-1")


def held(uri):
    """What a table holds, as sorted (date, text)."""
    table = open_table(uri).to_pyarrow_table()
    return sorted(zip(table["_date"].to_pylist(), table["text"].to_pylist(), strict=True))


def version(uri):
    return open_table(uri).version()


def test_there_is_no_table_before_the_first_write(uri):
    assert open_table(uri) is None


def test_the_first_write_makes_the_table(uri):
    put(uri, notes((D1, "a"), (D1, "b")), D1, key="1")
    assert held(uri) == [(D1, "a"), (D1, "b")]


def test_a_write_of_no_rows_makes_the_table(uri):
    put(uri, notes(), D1, key="1")
    assert held(uri) == []


def test_a_table_is_partitioned_by_date(uri):
    put(uri, notes((D1, "a")), D1, key="1")
    assert open_table(uri).metadata().partition_columns == ["_date"]


def test_exactly_the_partition_is_replaced(uri):
    put(uri, notes((D1, "a"), (D2, "b"), (D3, "c")), D1, D2, D3, key="1")
    put(uri, notes((D2, "B")), D2, key="2")
    assert held(uri) == [(D1, "a"), (D2, "B"), (D3, "c")]


def test_a_range_of_partitions_is_one_commit(uri):
    put(uri, notes(), D1, key="1")
    before = version(uri)
    put(uri, notes((D1, "a"), (D2, "b"), (D3, "c")), D1, D2, D3, key="2")
    assert version(uri) == before + 1


def test_a_partition_that_gets_no_rows_is_empty(uri):
    put(uri, notes((D1, "a"), (D2, "b")), D1, D2, key="1")
    put(uri, notes(), D1, key="2")
    assert held(uri) == [(D2, "b")]


def test_a_predicate_may_name_other_columns_too(uri):
    put(uri, notes((D1, "a"), (D1, "b"), (D2, "a")), D1, D2, key="1")
    replace_rows(uri, notes((D1, "a")), predicate=f"{dates_predicate([D1])} AND text IN ('a')", key="2", run_id="run-1")
    assert held(uri) == [(D1, "a"), (D1, "b"), (D2, "a")]


@pytest.mark.parametrize("standing", [notes((D1, "a")), None], ids=["into a table", "into no table"])
def test_a_row_outside_the_predicate_is_refused(uri, standing):
    if standing is not None:
        put(uri, standing, D1, key="1")
    with pytest.raises(PartitionGuardError, match="nothing was written"):
        put(uri, notes((D1, "A"), (D2, "B")), D1, key="2")


def test_a_row_without_a_date_is_refused(uri):
    with pytest.raises(PartitionGuardError, match="nothing was written"):
        put(uri, notes((None, "a")), D1, key="1")


def test_a_refused_write_leaves_no_commit(uri):
    put(uri, notes((D1, "a")), D1, key="1")
    before = version(uri)
    with pytest.raises(PartitionGuardError):
        put(uri, notes((D1, "A"), (D2, "B")), D1, key="2")
    assert version(uri) == before


def test_a_refusal_shows_no_value_of_a_row(uri):
    with pytest.raises(PartitionGuardError) as refused:
        put(uri, notes((D2, "secret")), D1, key="1")
    assert "secret" not in str(refused.value)


def test_a_stream_with_a_row_outside_the_predicate_is_refused(uri):
    with pytest.raises(PartitionGuardError):
        put(uri, notes((D2, "b")).to_reader(), D1, key="1")


def test_a_repetition_commits_nothing(uri):
    put(uri, notes((D1, "a")), D1, key="1")
    before = version(uri)
    put(uri, notes((D1, "a")), D1, key="1")
    assert version(uri) == before


def test_a_repetition_says_that_it_changed_nothing(uri):
    first = put(uri, notes((D1, "a")), D1, key="1")
    again = put(uri, notes((D1, "a")), D1, key="1")
    assert (first.changed, again.changed, again.version) == (True, False, first.version)


def test_an_older_key_is_written_again(uri):
    put(uri, notes((D1, "a")), D1, key="1")
    put(uri, notes((D1, "b")), D1, key="2")
    put(uri, notes((D1, "a")), D1, key="1")
    assert held(uri) == [(D1, "a")]


def test_a_commit_carries_its_key_and_run(uri):
    put(uri, notes((D1, "a")), D1, key="1")
    newest = open_table(uri).history(1)[0]
    assert (last_commit(uri)[1], newest["lakehouse.run_id"]) == ("1", "run-1")


def test_a_new_column_is_added(uri):
    put(uri, notes((D1, "a")), D1, key="1")
    put(uri, notes((D2, "b"), stars=[5]), D2, key="2")
    table = open_table(uri).to_pyarrow_table().sort_by("_date")
    assert table.column("stars").to_pylist() == [None, 5]


def test_rows_may_lack_a_column_of_the_table(uri):
    put(uri, notes((D1, "a"), stars=[5]), D1, key="1")
    put(uri, notes((D2, "b")), D2, key="2")
    table = open_table(uri).to_pyarrow_table().sort_by("_date")
    assert table.column("stars").to_pylist() == [5, None]


def test_facts_come_from_the_log(uri):
    put(uri, notes((D1, "a"), (D1, "b"), (D2, "c")), D1, D2, key="1")
    facts = table_facts(open_table(uri))
    assert (facts.rows, facts.files, facts.rows_by_date) == (3, 2, {D1: 2, D2: 1})


def test_live_files_are_those_of_the_newest_version(uri):
    put(uri, notes((D1, "a"), (D2, "b")), D1, D2, key="1")
    put(uri, notes(), D1, key="2")
    assert [(f["date"], f["num_records"]) for f in live_files(open_table(uri))] == [(D2, 1)]


def test_a_text_with_a_quote_is_a_sound_literal(uri):
    put(uri, notes((D1, TEXT)), D1, key="1")
    replace_rows(uri, notes((D1, TEXT)), predicate=f"text = {sql_text(TEXT)}", key="2", run_id="r")
    assert held(uri) == [(D1, TEXT)]


def written_file(uri, name, *texts):
    """A Parquet file below the table's folder that no commit names."""
    from pathlib import Path

    import pyarrow.parquet as parquet

    file = Path(uri, name)
    parquet.write_table(pa.table({"text": pa.array(texts, pa.string())}), file)
    return DataFile(name, file.stat().st_size, len(texts), D1)


def test_files_are_made_part_of_a_table(uri):
    put(uri, notes((D2, "b")), D2, key="1")
    commit_files(open_table(uri), [written_file(uri, "new.parquet", "x", "y")], [], key="2", run_id="run-1")
    assert held(uri) == [(D1, "x"), (D1, "y"), (D2, "b")]


def test_files_are_exchanged_in_one_commit(uri):
    put(uri, notes((D1, "a")), D1, key="1")
    table = open_table(uri)
    before = table.version()
    commit_files(table, [written_file(uri, "new.parquet", "x")], live_files(table), key="2", run_id="run-1")
    assert (held(uri), version(uri)) == ([(D1, "x")], before + 1)


def test_a_commit_of_files_tells_its_version(uri):
    put(uri, notes((D1, "a")), D1, key="1")
    commit = commit_files(open_table(uri), [written_file(uri, "new.parquet", "x")], [], key="2", run_id="run-1")
    assert commit.version == version(uri)


def test_a_commit_of_files_carries_its_key(uri):
    put(uri, notes((D1, "a")), D1, key="1")
    commit_files(open_table(uri), [written_file(uri, "new.parquet", "x")], [], key="2", run_id="run-1")
    assert last_commit(uri)[1] == "2"


def test_files_are_refused_where_the_table_has_moved_on(uri):
    put(uri, notes((D1, "a")), D1, key="1")
    stale = open_table(uri)
    put(uri, notes((D1, "b")), D1, key="2")
    added, removed = [written_file(uri, "new.parquet", "x")], live_files(stale)
    with pytest.raises(CommitFailedError):
        commit_files(stale, added, removed, key="3", run_id="run-1")


def test_added_files_are_refused_where_the_table_has_moved_on(uri):
    put(uri, notes((D1, "a")), D1, key="1")
    stale = open_table(uri)
    put(uri, notes((D2, "b")), D2, key="2")
    added = [written_file(uri, "new.parquet", "x")]
    with pytest.raises(CommitFailedError):
        commit_files(stale, added, [], key="3", run_id="run-1")


def append_in_small_files(uri, times, noted_version=None):
    for _ in range(times):
        properties = CommitProperties(custom_metadata={ROWS_NOTE: "as they are", f"{ROWS_NOTE}.version": str(noted_version)})
        write_deltalake(uri, notes((D1, TEXT)), mode="append", partition_by=["_date"], commit_properties=properties)


def test_a_note_on_the_rows_outlasts_compaction(uri):
    append_in_small_files(uri, 3, noted_version=2)
    assert rows_note(DeltaTable(uri)) == "as they are"
    assert compact(DeltaTable(uri), run_id="upkeep").changed
    assert rows_note(DeltaTable(uri)) == "as they are"


def test_a_note_holds_for_its_own_version_alone(uri):
    append_in_small_files(uri, 2, noted_version=0)
    assert rows_note(DeltaTable(uri)) is None
    compact(DeltaTable(uri), run_id="upkeep")
    assert rows_note(DeltaTable(uri)) is None
    append_in_small_files(uri, 1, noted_version=3)
    opened = DeltaTable(uri)
    assert rows_note(opened) == "as they are"
    append_in_small_files(uri, 1, noted_version=4)
    assert rows_note(opened) is None
