"""Statistics in commits: bounds that no reader is misled by."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse_assets.delta.duck import connect, files_with_keys, read_footers
from lakehouse_assets.delta.statistics import TEXT_LENGTH, Chunk, bounds, statistics_json
from lakehouse_assets.delta.tables import DataFile, commit_files, ensure_table, live_files, open_table
from lakehouse_assets.store.root import Root

DAY = date(2026, 1, 1)
LAST = "\U0010ffff"

HOSTILE = {
    "text": (pa.string(), ["", "a\\xE2'\"\n\x00", "x" * 200, "zürich\x00q", LAST, None]),
    "long": (pa.string(), ["y" * 64 + tail for tail in ("", "a", "b", "\ud7ff", LAST, LAST * 2)]),
    "number": (pa.int64(), [-(2**63), 2**63 - 1, 0, None, 9007199254740993, -1]),
    "small": (pa.int32(), [-(2**31), 2**31 - 1, 0, 10, 9, None]),
    "price": (pa.decimal128(12, 2), [Decimal(v) for v in ("-9999999999.99", "9999999999.99", "0.00", "0.10", "-0.01", "1")]),
    "large": (pa.decimal128(38, 3), [Decimal(v) for v in ("-" + "9" * 35 + ".999", "1e34", "0", "1", "2", "0.001")]),
    "ratio": (pa.float64(), [float("nan"), float("inf"), float("-inf"), -0.0, 1e300, None]),
    "yes": (pa.bool_(), [True, False, None, True, False, None]),
    "on": (pa.date32(), [date(1, 1, 1), date(9999, 12, 31), date(1969, 12, 31), date(2026, 1, 1), None, date(2000, 2, 29)]),
    "at": (
        pa.timestamp("us", "UTC"),
        [
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(2026, 1, 1, 1, 1, 1, 123456, tzinfo=UTC),
            datetime(2026, 1, 1, 1, 1, 1, 123999, tzinfo=UTC),
            None,
            datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        ],
    ),
    "nothing": (pa.string(), [None] * 6),
    'we\'ird "name"': (pa.string(), ["v"] * 6),
}
UNKNOWN = ("long", "large", "ratio")
"""Columns of which some bounds are unknown."""
KNOWN = [name for name in HOSTILE if name not in UNKNOWN]


@pytest.fixture
def root(tmp_path):
    return Root.parse(str(tmp_path / "root"))


def committed(root, names):
    """A table with a file for each row of `HOSTILE`, and one with all rows in small row groups."""
    uri = root.table("silver", "hostile")
    schema = pa.schema([(name, HOSTILE[name][0]) for name in names])
    table = ensure_table(uri, schema.append(pa.field("_date", pa.date32())))
    rows = pa.table({name: HOSTILE[name][1] for name in names}, schema=schema)
    parts = {f"_date={DAY}/{n}.parquet": rows.slice(n, 1) for n in range(len(rows))} | {f"_date={DAY}/all.parquet": rows}
    for path, part in parts.items():
        Path(uri, path).parent.mkdir(exist_ok=True)
        parquet.write_table(part, f"{uri}/{path}", row_group_size=2)
    with connect(root) as connection:
        footers = read_footers(connection, [f"{uri}/{path}" for path in parts])
    files = [
        DataFile(path, Path(uri, path).stat().st_size, len(part), DAY, footers[f"{uri}/{path}"]) for path, part in parts.items()
    ]
    commit_files(table, files, [], key="1", run_id="run")
    return uri


@pytest.fixture
def uri(root):
    """A table with known bounds."""
    return committed(root, KNOWN)


def statistics(uri):
    """The statistics of the newest commit by path."""
    newest = max(Path(uri, "_delta_log").glob("*.json")).read_text().splitlines()
    return {e["add"]["path"]: json.loads(e["add"]["stats"]) for e in map(json.loads, newest) if "add" in e}


def test_a_file_s_statistics_span_its_row_groups(uri):
    result = statistics(uri)[f"_date={DAY}/all.parquet"]
    assert result["numRecords"] == 6
    assert (result["minValues"]["number"], result["maxValues"]["number"]) == (-(2**63), 2**63 - 1)
    assert (result["minValues"]["small"], result["maxValues"]["small"]) == (-(2**31), 2**31 - 1)
    assert (result["minValues"]["price"], result["maxValues"]["price"]) == (-9999999999.99, 9999999999.99)
    assert (result["minValues"]["on"], result["maxValues"]["on"]) == ("0001-01-01", "9999-12-31")
    assert (result["minValues"]["at"], result["maxValues"]["at"]) == ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z")
    assert (result["minValues"]["text"], result["maxValues"]["text"]) == ("", LAST)
    assert result["nullCount"] == {name: values.count(None) for name, (_, values) in HOSTILE.items() if name in KNOWN}
    assert "nothing" not in result["minValues"]


@pytest.mark.parametrize("names", [KNOWN, list(HOSTILE)])
def test_delta_rs_finds_each_value(root, names):
    table = open_table(committed(root, names))
    for name in names:
        values = HOSTILE[name][1]
        for value in {str(v): v for v in values if v is not None and v == v}.values():
            result = table.to_pyarrow_table(filters=[(name, "=", value)], columns=[name])
            # In the file with all rows, and in a file of its own.
            assert len(result) == 2 * values.count(value), (name, value)
        missing = pc.field(name).is_null(nan_is_null=False)
        assert table.to_pyarrow_dataset().count_rows(filter=missing) == 2 * values.count(None), name


@pytest.mark.parametrize("name", ["text", "number", "small", "on", "at"])
def test_the_files_with_a_key_are_among_those_that_may_have_it(uri, root, name):
    kind, values = HOSTILE[name]
    spark = {pa.string(): "string", pa.int64(): "bigint", pa.int32(): "int", pa.date32(): "date"}.get(kind, "timestamp")
    files = live_files(open_table(uri), [name])
    with connect(root) as connection:
        for value in (v for v in values if v is not None):
            connection.register("keys", pa.table({name: pa.array([value], kind)}))
            possible = files_with_keys(connection, "keys", {name: spark}, [file["bounds"] for file in files])
            holding = [
                bool(connection.execute(f"SELECT 1 FROM '{uri}/{file['path']}' SEMI JOIN keys USING (\"{name}\")").fetchall())
                for file in files
            ]
            assert all(may or not has for may, has in zip(possible, holding, strict=True)), value
            assert not all(possible)


def test_an_engine_finds_each_value(uri, spark):
    """Sail's own reader of Delta skips files by statistics; Spark reads the files that the log names."""
    rows = spark.read.format("delta").load(uri) if not spark.conf.get("spark.app.id", "") else spark.read.parquet(uri)
    assert rows.count() == 12
    for condition, count in (
        ("number = 9007199254740993", 2),
        ("price = -0.01", 2),
        ("small = 9", 2),
        ("`on` = DATE '9999-12-31'", 2),
        ("`at` = TIMESTAMP '2026-01-01 01:01:01.123999Z'", 2),
        ("`at` > TIMESTAMP '2026-01-01 01:01:01.1235Z'", 4),
        (f"text = '{'x' * 200}'", 2),
        ("nothing IS NULL", 12),
        ("yes", 4),
    ):
        assert rows.where(condition).count() == count, condition


@given(st.lists(st.text(min_size=0, max_size=3).map(lambda text: "k" * (TEXT_LENGTH - 1) + text), min_size=1))
def test_cut_texts_are_bounds(texts):
    encoded = sorted(texts, key=lambda text: text.encode("utf-8", "surrogatepass"))
    pair = bounds([Chunk(1, 0, encoded[0][: TEXT_LENGTH + 1], encoded[-1][: TEXT_LENGTH + 1])], "string")
    assert pair is None or all(pair[0] <= text <= pair[1] for text in texts)


def chunk(least, greatest, rows=10, nulls=0):
    return Chunk(rows, nulls, least, greatest)


@pytest.mark.parametrize(
    ("kind", "chunks", "expected"),
    [
        ("bigint", [chunk("9", "10"), chunk("-5", "7")], ("-5", "10")),
        ("decimal(12,2)", [chunk("9.50", "10.00"), chunk("-5.00", "100.00")], ("-5.00", "100.00")),
        ("string", [chunk("9", "b"), chunk("10", "a")], ("10", "b")),
        ("bigint", [chunk("1", "2"), chunk(None, None, nulls=10)], ("1", "2")),
        ("bigint", [chunk("1", "2"), chunk(None, None, nulls=9)], None),
        ("bigint", [chunk("1", "2"), chunk(None, None, nulls=None)], None),
        ("bigint", [chunk(None, None, nulls=10)], None),
        ("bigint", [], None),
        ("date", [chunk("0044-03-15 (BC)", "2026-01-01")], None),
        ("date", [chunk("2026-01-01", "12026-01-05")], None),
        ("date", [chunk("-infinity", "infinity")], None),
        (
            "timestamp",
            [chunk("2026-01-01 10:00:00+00", "2026-01-01 10:00:00.5+00")],
            ("2026-01-01 10:00:00+00", "2026-01-01 10:00:00.5+00"),
        ),
        ("double", [chunk("-10.0", "2.0"), chunk("-9.5", "1e+300")], ("-10.0", "1e+300")),
        ("double", [chunk("1.0", "inf")], None),
        ("double", [chunk("nan", "nan")], None),
        ("boolean", [chunk("false", "true")], ("false", "true")),
        ("binary", [chunk("a", "b")], None),
        ("string", [chunk("a", "x" * TEXT_LENGTH + LAST)], None),
        ("string", [chunk("a", "x" * TEXT_LENGTH + "y")], ("a", "x" * TEXT_LENGTH + LAST)),
    ],
)
def test_bounds_are_known_or_left_out(kind, chunks, expected):
    assert bounds(chunks, kind) == expected


@pytest.mark.parametrize("unknown", [[Chunk(3, 0, None, None)], [Chunk(3, None, "1", "2")]])
def test_statistics_are_of_all_columns_or_none(unknown):
    # delta-rs would find no row by the column without bounds.
    known = [Chunk(3, 0, "1", "2")]
    types = {"id": "long", "other": "long"}
    assert json.loads(statistics_json(3, {"id": known, "other": unknown}, types)) == {"numRecords": 3}
    assert json.loads(statistics_json(3, {"id": known, "not in the table": unknown}, {"id": "long"})) == {
        "numRecords": 3,
        "minValues": {"id": 1},
        "maxValues": {"id": 2},
        "nullCount": {"id": 0},
    }


def test_a_file_of_which_nothing_is_known_has_its_rows():
    assert json.loads(statistics_json(3, None, {"id": "long"})) == {"numRecords": 3}


def test_a_column_that_a_file_lacks_is_null_in_all_its_rows():
    assert json.loads(statistics_json(3, {}, {"id": "long"})) == {
        "numRecords": 3,
        "minValues": {},
        "maxValues": {},
        "nullCount": {"id": 3},
    }


def test_duckdb_s_texts_are_those_that_are_understood(tmp_path, root):
    """A release of DuckDB that writes moments in another way would leave them without bounds."""
    file = str(tmp_path / "a.parquet")
    duckdb.sql("SELECT TIMESTAMPTZ '2026-01-01 10:00:00.5+00' AS at, DATE '2026-01-01' AS day").write_parquet(file)
    with connect(root) as connection:
        footer = read_footers(connection, [file])[file]
    assert bounds(footer["at"], "timestamp") == ("2026-01-01 10:00:00.5+00", "2026-01-01 10:00:00.5+00")
    assert bounds(footer["day"], "date") == ("2026-01-01", "2026-01-01")
