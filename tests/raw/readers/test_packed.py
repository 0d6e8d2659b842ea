import gzip
import json
import random
from datetime import date

import pyarrow as pa
import pytest

from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Json
from lakehouse_assets.raw.readers import packed
from lakehouse_assets.raw.readers.batch import RefusedFileError
from lakehouse_assets.raw.readers.formats import read_header, read_rows
from tests.support.batches import settled


def zst(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


DAY = date(2026, 1, 1)
CODECS = {".gz": gzip.compress, ".zst": zst}
COLUMNS = [SourceColumn("a", ""), SourceColumn("b", "")]
AS_CSV = Feed("shop/things", COLUMNS, format=Csv())
AS_JSON = Feed("shop/things", COLUMNS, format=Json())
ROWS = [{"a": str(n), "b": f"text {n}"} for n in range(1_000)]
CSV = b"a,b\n" + b"".join(f"{r['a']},{r['b']}\n".encode() for r in ROWS)
JSON = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def read(data: bytes, name: str, feed: Feed = AS_CSV, piece: int = 1_000):
    batches = list(read_rows((data[n : n + piece] for n in range(0, len(data), piece)), feed, name, len(data), DAY))
    return [{key: row[key] for key in "ab"} for batch in batches for row in batch.rows.to_pylist()]


def refusal(data: bytes, name: str, feed: Feed = AS_CSV) -> dict:
    with pytest.raises(RefusedFileError) as error:
        read(data, name, feed)
    [entry] = error.value.batch.rejects.to_pylist()
    assert entry["row_number"] is None
    return entry


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_packed_file_is_read_by_its_name(suffix, piece):
    pack = CODECS[suffix]
    assert read(pack(CSV), f"a.csv{suffix}", piece=piece) == ROWS
    assert read(pack(JSON), f"A.JSONL{suffix.upper()}", AS_JSON, piece) == ROWS
    assert read_header([pack(CSV)], AS_CSV, f"a{suffix}", 100, DAY) == ["a", "b"]
    assert read_header([pack(JSON)], AS_JSON, f"a{suffix}", 100, DAY) == ["a", "b"]


@pytest.mark.parametrize("suffix", CODECS)
def test_a_packed_file_may_have_several_members_and_an_encoding(suffix):
    pack = CODECS[suffix]
    assert read(pack(CSV[:700]) + pack(b"") + pack(CSV[700:]), f"a{suffix}") == ROWS
    assert read(pack(CSV.decode().encode("utf-16")), f"a{suffix}") == ROWS


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("left", [1, 5, 100, 1_500])
def test_a_packed_file_that_is_cut_off_is_refused_as_a_whole(suffix, left):
    entry = refusal(CODECS[suffix](CSV)[:-left], f"a{suffix}")
    assert (entry["rule"], entry["rows"]) == ("file_unpacks", 1)
    assert entry["reason"].startswith("the file is cut off: it can't be unpacked with ")


@pytest.mark.parametrize("suffix", CODECS)
def test_what_is_not_packed_or_damaged_is_refused_as_a_whole(suffix):
    good = CODECS[suffix](CSV)
    for data in (CSV, random.Random(1).randbytes(1_000), good + b"more", good[:10] + b"?" * 20 + good[30:]):
        assert "the file is damaged: it can't be unpacked with" in refusal(data, f"a{suffix}")["reason"]
        assert read_header([data], AS_CSV, f"a{suffix}", 100, DAY) in ([], ["a", "b"])


@pytest.mark.parametrize("suffix", CODECS)
def test_a_packed_file_of_no_bytes_is_an_empty_file(suffix):
    assert refusal(b"", f"a{suffix}")["rule"] == "file_has_header"
    assert refusal(CODECS[suffix](b""), f"a{suffix}")["rule"] == "file_has_header"


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("line", [b"1,2\n", b"1,2"], ids=["lines", "no lines"])
def test_a_file_that_unpacks_to_too_much_is_refused_as_a_whole_with_the_limit(suffix, line, monkeypatch):
    monkeypatch.setattr(packed, "ALWAYS_ALLOWED", 1_000_000)
    data = CODECS[suffix](b"a,b\n" + line * 2_000_000)
    entry = refusal(data, f"a{suffix}")
    assert (entry["rule"], entry["rows"]) == ("file_has_bounded_size", 1)
    limit = max(1_000_000, 200 * len(data))
    assert f"unpacks to more than {limit:,} bytes; allowed are 200 times its size" in entry["reason"]


def test_a_file_that_unpacks_to_less_than_is_always_allowed_is_read_whatever_its_ratio():
    data = zst(b"a,b\n" + b"1,2\n" * 200_000)
    assert len(data) * 200 < 800_000
    assert len(read(data, "a.zst")) == 200_000


def test_an_error_of_the_store_is_not_taken_for_one_of_the_file():
    def pieces():
        yield gzip.compress(CSV)[:100]
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError):
        list(read_rows(pieces(), AS_CSV, "a.gz", 100, DAY))


def test_a_binary_file_under_another_name_says_how_packed_files_are_known():
    [batch] = settled(read_rows([b"\0" + gzip.compress(CSV)], AS_CSV, "a.csv", 100, DAY))
    assert "which may be packed with gzip or zstd" in batch.rejects["reason"][0].as_py()
