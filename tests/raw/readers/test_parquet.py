"""Parquet: the outcomes of docs/what-arrives.md."""

import io
import subprocess
import sys
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Parquet
from lakehouse_assets.raw.readers import packed, parquet
from lakehouse_assets.raw.readers.formats import read_header, read_rows
from tests.support.batches import settled

DAY = date(2026, 1, 1)


def feed(*required):
    return Feed("shop/things", [SourceColumn(name, name) for name in required], format=Parquet())


def written(table, **options):
    buffer = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), buffer, **options)
    return buffer.getvalue()


def read(data, like=None, piece=10**9):
    pieces = (data[n : n + piece] for n in range(0, len(data), piece))
    batches = settled(read_rows(pieces, like or feed(), "a", len(data), DAY))
    return [row for b in batches for row in b.rows.to_pylist()], [reject for b in batches for reject in b.rejects.to_pylist()]


def entry(data, like=None):
    rows, [reject] = read(data, like)
    assert (rows, reject["row_number"]) == ([], None)
    return reject


UUID = uuid.UUID("5fbeb63c-d321-464d-aca2-f9bb3cb8c8fd")
VALUES = {
    "int": ([-5, 2**63 - 1], pa.int64(), ["-5", "9223372036854775807"]),
    "unsigned": ([2**64 - 1], pa.uint64(), ["18446744073709551615"]),
    "double": ([1.5, 0.1 + 0.2, 100.0], pa.float64(), ["1.5", "0.30000000000000004", "100"]),
    "long double": (
        [1e10, 12345678901.25, None, 1e15, -(2.0**53), 1e15 + 0.5, 1e20, float("nan")],
        pa.float64(),
        ["10000000000", "12345678901.25", None, "1000000000000000", "-9007199254740992", "1000000000000000.5", "1e+20", "nan"],
    ),
    "long doubles in a list": ([[1e15, None, 0.5]], pa.list_(pa.float64()), ["[1000000000000000,null,0.5]"]),
    "not finite": ([float("nan"), float("-inf")], pa.float64(), ["nan", "-inf"]),
    "float": ([1.1], pa.float32(), ["1.1"]),
    "decimal": ([Decimal("1.10"), Decimal("-0.00")], pa.decimal128(38, 2), ["1.10", "0.00"]),
    "small decimal": ([Decimal("1E-9"), Decimal(7)], pa.decimal128(38, 10), ["0.0000000010", "7.0000000000"]),
    "large decimal": ([Decimal("9" * 40)], pa.decimal256(60, 0), ["9" * 40]),
    "boolean": ([True, False], pa.bool_(), ["true", "false"]),
    "text": (["ü😀\n", "", "NULL"], pa.string(), ["ü😀\n", "", "NULL"]),
    "large text": (["x"], pa.large_string(), ["x"]),
    "text as bytes": ([b"ab", "ü".encode()], pa.binary(), ["ab", "ü"]),
    "bytes": ([b"\xff\x00"], pa.binary(), ["0xff00"]),
    "bytes of one length": ([b"\xff\x01"], pa.binary(2), ["0xff01"]),
    "uuid": ([UUID.bytes], pa.uuid(), [str(UUID)]),
    "dictionary": (["u", "v", "u"], pa.dictionary(pa.int32(), pa.string()), ["u", "v", "u"]),
    "date": ([date(1, 1, 1), date(9999, 12, 31)], pa.date32(), ["0001-01-01", "9999-12-31"]),
    "timestamp without zone": (
        [datetime(2026, 1, 5, 10), datetime(2026, 1, 5, 10, 0, 0, 120000)],
        pa.timestamp("us"),
        ["2026-01-05 10:00:00", "2026-01-05 10:00:00.12"],
    ),
    "timestamp with zone": (
        [datetime(2026, 1, 5, 10, tzinfo=UTC)],
        pa.timestamp("ms", "Europe/Paris"),
        ["2026-01-05 10:00:00Z"],
    ),
    "nanoseconds": ([1, 10**9], pa.timestamp("ns"), ["1970-01-01 00:00:00.000000001", "1970-01-01 00:00:01"]),
    "time": ([time(10, 30), time(10, 30, 0, 500)], pa.time64("us"), ["10:30:00", "10:30:00.0005"]),
    "duration": ([timedelta(seconds=5)], pa.duration("s"), ["5"]),
    "nothing": ([None], pa.null(), [None]),
    "list": ([[1, None], [], None], pa.list_(pa.int64()), ["[1,null]", "[]", None]),
    "list view": ([[1, None], [], None, [2]], pa.list_view(pa.int64()), ["[1,null]", "[]", None, "[2]"]),
    "list view within a struct": ([{"a": [1]}], pa.struct([("a", pa.list_view(pa.int64()))]), ['{"a":[1]}']),
    "struct": (
        [{"a": Decimal("1.10"), "b": 'say "hi"'}, None, {"a": None, "b": None}],
        pa.struct([("a", pa.decimal128(5, 2)), ("b", pa.string())]),
        ['{"a":1.10,"b":"say \\"hi\\""}', None, '{"a":null,"b":null}'],
    ),
    "map": ([[("k", 1), ("l", None)], [], None], pa.map_(pa.string(), pa.int64()), ['{"k":1,"l":null}', "{}", None]),
    "map of numbers": ([[(1, True)]], pa.map_(pa.int32(), pa.bool_()), ['{"1":true}']),
    "nested within nested": (
        [[{"on": date(2026, 1, 5), "f": float("inf"), "l": [[1.5]]}], None],
        pa.list_(pa.struct([("on", pa.date32()), ("f", pa.float64()), ("l", pa.list_(pa.list_(pa.float64())))])),
        ['[{"on":"2026-01-05","f":"inf","l":[[1.5]]}]', None],
    ),
}


@pytest.mark.parametrize(("values", "kind", "texts"), VALUES.values(), ids=VALUES)
def test_a_value_becomes_its_text_without_loss(values, kind, texts):
    # More rows than a batch has, so that batches are slices.
    table = pa.table({"v": pa.array(values, kind)})
    many = pa.concat_tables([table] * 20)
    rows, rejects = read(written(many, row_group_size=7))
    assert ([row["v"] for row in rows], rejects) == (texts * 20, [])
    assert [row["_row_number"] for row in rows] == list(range(1, len(rows) + 1))


def test_a_timestamp_of_old_writers_has_the_year_it_is_of():
    """Nanoseconds, which INT96 has, end in 1677 and 2262."""
    moments = [datetime(1, 1, 1), datetime(1677, 1, 1), datetime(2026, 1, 5, 10, 0, 0, 5), datetime(9999, 12, 31)]
    data = written({"v": pa.array(moments, pa.timestamp("us"))}, use_deprecated_int96_timestamps=True)
    assert [row["v"] for row in read(data)[0]] == [
        "0001-01-01 00:00:00",
        "1677-01-01 00:00:00",
        "2026-01-05 10:00:00.000005",
        "9999-12-31 00:00:00",
    ]


def test_text_that_is_not_utf_8_is_shown_in_hex():
    texts = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ok", b"\xff"]).buffers())
    assert [row["v"] for row in read(written({"v": texts}, use_dictionary=False))[0]] == ["ok", "0xff"]


def test_columns_have_their_names_of_the_raw_table_and_may_be_read_alone():
    data = written({"Customer ID": [1], "Name": ["Ann"]})
    assert read(data, feed("customer_id"))[0] == [{"customer_id": "1", "name": "Ann", "_row_number": 1}]
    assert read_header([data], feed(), "a", 1, DAY) == ["customer_id", "name"]


def test_a_file_without_rows_has_its_columns():
    data = written({"id": pa.array([], pa.int64())})
    [batch] = settled(read_rows([data], feed("id"), "a", len(data), DAY))
    assert (batch.rows.column_names, batch.rows_in) == (["id", "_row_number"], 0)


def test_a_missing_column_refuses_the_file_and_counts_its_rows():
    reject = entry(written({"a": [1, 2], "c": ["x", "y"]}), feed("a", "b"))
    assert (reject["rule"], reject["rows"], reject["payload"]) == ("file_has_required_columns", 2, "a\nc")
    assert "lacks the required column b and has instead: c" in reject["reason"]


def test_too_many_columns_refuse_the_file():
    assert entry(written({f"c{n}": [1] for n in range(600)}))["rule"] == "file_has_few_new_columns"


@pytest.mark.parametrize("left", [1, 4, 9, 300])
def test_a_file_that_is_cut_off_is_refused_as_a_whole(left):
    reject = entry(written({"a": list(range(1_000))})[:-left])
    assert (reject["rule"], reject["rows"]) == ("file_is_parquet", 1)
    assert "cut off, damaged or encrypted" in reject["reason"]


def damaged_group(data: bytes, group: int) -> bytes:
    column = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(group).column(0)
    end = column.data_page_offset + column.total_compressed_size
    return data[: end - 40] + bytes(byte ^ 0xFF for byte in data[end - 40 : end - 20]) + data[end - 20 :]


def test_a_corrupt_page_costs_the_rows_of_its_row_group_only():
    data = written({"a": list(range(30)), "b": ["x"] * 30}, row_group_size=10, write_page_checksum=True, use_dictionary=False)
    rows, [reject] = read(damaged_group(data, 1))
    assert [row["_row_number"] for row in rows] == [*range(1, 11), *range(21, 31)]
    assert [row["a"] for row in rows] == [*map(str, range(10)), *map(str, range(20, 30))]
    assert (reject["rule"], reject["row_number"], reject["rows"]) == ("row_group_is_readable", None, 10)
    assert reject["place"] == "row group 1"
    assert "rows 11 to 20 are lost" in reject["reason"]


READING = """
import sys
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.formats import Parquet
from lakehouse_assets.raw.readers.parquet import read_parquet
for batch in read_parquet([sys.stdin.buffer.read()], Feed("shop/things", [], format=Parquet())):
    print(*batch.rejects.column("rule").to_pylist())
"""


def test_a_flipped_bit_in_the_directory_does_not_end_the_process():
    """pyarrow aborts where it is asked for such a column."""
    data = bytearray(written({"id": ["1", None]}, store_schema=False))
    data[162] ^= 32
    done = subprocess.run([sys.executable, "-c", READING], input=bytes(data), capture_output=True, check=False)
    assert (done.returncode, done.stdout.decode().split()) == (0, ["row_group_is_readable"]), done.stderr.decode()[-500:]


def test_a_damaged_dictionary_costs_the_rows_of_its_row_group_only():
    """A flipped bit in a page that says which value of the dictionary each row has: it is read, and leads nowhere."""
    values = ["a", "b", "c"] * 10
    data = written({"v": pa.array(values)}, row_group_size=15, compression="none", store_schema=False)
    column = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0)
    broken = bytearray(data)
    broken[column.dictionary_page_offset + column.total_compressed_size - 1] ^= 0xFF
    rows, [reject] = read(bytes(broken))
    assert ([row["v"] for row in rows], reject["rule"], reject["rows"]) == (values[15:], "row_group_is_readable", 15)


def test_a_file_that_unpacks_to_too_much_is_refused_as_a_whole(monkeypatch):
    monkeypatch.setattr(packed, "ALWAYS_ALLOWED", 100_000)
    monkeypatch.setattr(parquet, "_BATCH_ROWS", 1_000)
    reject = entry(written({"a": ["x" * 100] * 100_000}))
    assert reject["rule"] == "file_has_bounded_size"
    assert f"allowed are {packed.MOST_TIMES} times its size" in reject["reason"]


def test_a_long_value_that_is_repeated_takes_no_memory():
    """As one of 20 MB in each of 10,000 rows, which are a few bytes in a dictionary."""
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), ["x" * 20_000_000])
    reject = entry(written({"a": repeated}))
    assert (reject["rule"], "10,000 values of one column take" in reject["reason"]) == ("file_has_bounded_size", True)


def test_a_long_value_that_is_repeated_within_structs_takes_no_memory(monkeypatch):
    monkeypatch.setattr(parquet, "_MOST_BATCH_BYTES", 1_000_000)
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), ["x" * 20_000])
    reject = entry(written({"a": pa.StructArray.from_arrays([repeated], ["b"])}, store_schema=False))
    assert (reject["rule"], "100 values of one column take" in reject["reason"]) == ("file_has_bounded_size", True)


def test_a_list_of_many_equal_items_is_refused_before_it_is_read(monkeypatch):
    """Its items take no bytes in the file: a billion of them are a few kilobytes."""
    monkeypatch.setattr(packed, "ALWAYS_ALLOWED", 100_000)
    monkeypatch.setattr(packed, "MOST_TIMES", 1)
    monkeypatch.setattr(parquet, "_batches", None)
    data = written({"a": pa.ListArray.from_arrays([0, 10_000], pa.array([0] * 10_000, pa.int8()))})
    assert entry(data)["rule"] == "file_has_bounded_size"


def test_long_lists_become_text_a_few_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(parquet, "_BATCH_BYTES", 100_000)
    data = written({"a": [[0] * 1_000] * 20})
    batches = settled(read_rows([data], feed(), "a", len(data), DAY))
    assert (sum(b.rows_in for b in batches), max(b.rows_in for b in batches)) == (20, 3)
