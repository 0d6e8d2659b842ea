"""The rule by which rows of a key stand, as SQL in DuckDB, against plain Python, for many small histories."""

from dataclasses import replace

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse_assets.contracts.contract import Column, Contract
from lakehouse_assets.silver.winners import in_duckdb, resolve_winners
from tests.support.oracle import Row, expected

UPSERT = Contract(
    table="things",
    description="",
    owner="team:t",
    key=("key",),
    sequence="at",
    deleted="deletes",
    columns=(Column("key", "string", ""), Column("at", "int", ""), Column("value", "string", "")),
)
HISTORY = replace(UPSERT, mode="history")

_duckdb = duckdb.connect()

rows = st.lists(
    st.tuples(
        st.sampled_from("AB"),
        st.none() | st.integers(0, 4),
        st.none() | st.sampled_from("xyz"),
        st.booleans(),
        st.sampled_from(["2026-01-01", "2026-01-02", "2026-01-03"]),
        st.sampled_from(["a.csv", "b.csv"]),
    ),
    max_size=14,
).map(lambda found: [Row(*row, number) for number, row in enumerate(found)])


def settled(contract: Contract, given_rows: list[Row]) -> dict[tuple[str, str, int], tuple[object, ...]]:
    names = ("key", "at", "value", "_deleted", "_date", "_source_file", "_row_number", "_item_number", "_source_feed")
    columns = list(
        zip(*((r.key, r.at, r.value, r.deletes, r.date, r.file, r.number, 0, "things") for r in given_rows), strict=True)
    )
    types = (pa.string(), pa.int32(), pa.string(), pa.bool_(), pa.string(), pa.string(), pa.int64(), pa.int64(), pa.string())
    landed = pa.table([pa.array(c, t) for c, t in zip(columns or [()] * 9, types, strict=True)], names=names)
    sql = "landed"
    for projection in resolve_winners(contract):
        sql = f"(SELECT *, {', '.join(f'{in_duckdb(e)} AS {n}' for n, e in projection.items())} FROM {sql})"
    until = "_valid_to" if contract.mode == "history" else "NULL"
    with _duckdb.cursor() as connection:
        connection.register("landed", landed)
        result = connection.execute(f'SELECT _date, _source_file, _row_number, key, "at", value, {until} FROM {sql} WHERE _live')
        return {row[:3]: row[3:] for row in result.fetchall()}


@given(rows)
@settings(max_examples=200, deadline=None)
def test_an_upsert_keeps_what_the_oracle_keeps(given_rows):
    assert settled(UPSERT, given_rows) == expected(given_rows, "upsert").standing


@given(rows)
@settings(max_examples=400, deadline=None)
def test_a_history_has_the_versions_of_the_oracle(given_rows):
    assert settled(HISTORY, given_rows) == expected(given_rows, "history").standing
