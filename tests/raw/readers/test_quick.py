"""The quick way of reading CSV makes the same of a file as the careful one, wherever its blocks end."""

from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv
from lakehouse_assets.raw.readers import csv as reader
from lakehouse_assets.raw.readers import text
from lakehouse_assets.raw.readers.csv import read_csv
from tests.support.batches import settled

ENDS = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r\n", b"\r", b"\n\n", b"\r\r\n", b"\n \n", b"\r\n\r\n", b""])
FIELDS = st.one_of(
    st.sampled_from([b"", b"1", b"x y", "ä😀".encode(), b"NULL", b"\x0b", b" "]),
    st.sampled_from(
        [b'"q"', b'"a,b"', b'"a\nb"', b'"', b'say "hi"', b'""', b"\xff", b"\xed\xa0\x80", b"\0", b"\xef\xbb\xbf", b"\t"]
    ),
)
SOUND = st.sampled_from([b"1,2,3\n", b"4,,6\n", b'1,"2,""2""",3\n', b'"1",2","3"\r\n', "ä,b,\n".encode(), b",,\n", b"7,8,9\r\n"])
BROKEN = st.builds(lambda fields, end: b",".join(fields) + end, st.lists(FIELDS, max_size=4), ENDS)
LINES = st.lists(st.one_of(SOUND, SOUND, SOUND, BROKEN), max_size=30).map(b"".join)
ENCODINGS = st.sampled_from(["utf-8", "utf-8", "latin-1", "cp1252", "utf-16-le"])


def made_of(data: bytes, encoding: str, block: int, piece: int, *, quick: bool):
    """All rows, rejects and the number of rows that came in; and in how many blocks the quick way was gone."""
    feed = Feed("shop/things", [SourceColumn(name, name) for name in "abc"], format=Csv(encoding=encoding))
    gone = 0
    parse = reader._parse_block

    def counted(*given):
        nonlocal gone
        rows = parse(*given) if quick else None
        gone += rows is not None
        return rows

    with patch.object(text, "_BLOCK_BYTES", block), patch.object(reader, "_parse_block", counted):
        batches = settled(read_csv((data[n : n + piece] for n in range(0, len(data), piece)), feed))
    rows = [row for batch in batches for row in batch.rows.to_pylist()]
    rejects = sorted((row for batch in batches for row in batch.rejects.to_pylist()), key=lambda r: r["row_number"] or 0)
    return (rows, rejects, sum(batch.rows_in for batch in batches)), gone


@settings(max_examples=400, deadline=None)
@given(data=LINES, encoding=ENCODINGS, block=st.integers(1, 80), piece=st.integers(1, 100), whole=st.booleans())
@example(data=b'1,"2",', encoding="utf-8", block=80, piece=100, whole=False)
@example(data=b"1,2\r3,4,5\n\n1,2,3\n", encoding="utf-8", block=80, piece=100, whole=False)
@example(data=b"1,2,3\r4,5,6\n\n7,8,9\n1,2\n", encoding="utf-8", block=80, piece=100, whole=False)
@example(data=b"1,2,3\n\xef\xbb\xbf4,5,6\n", encoding="utf-8", block=6, piece=100, whole=False)
def test_the_quick_way_makes_the_same_of_a_file_as_the_careful_one(data, encoding, block, piece, whole):
    data = b"a,b,c\n" + data
    if encoding == "utf-16-le":
        data = data.decode("latin-1").encode(encoding)
    careful, _ = made_of(data, encoding, 10_000, len(data), quick=False)
    quick, _ = made_of(data, encoding, 10_000 if whole else block, piece, quick=True)
    assert quick == careful


@pytest.mark.parametrize(
    ("data", "blocks"),
    [
        (b"1,2,3\n4,5,6\n" * 20, 1),
        (b"1,2,3\r\n4,5,6\r\n" * 20, 1),
        (b"1,2,3\n4,5,6", 2),
        ("ä,b,c\n".encode(), 1),
        (b'1,2,"3"\n"a,b",19" rack,""\n4,"say ""hi""",6', 2),
        (b'1,2,"3\n4",5,6\n', 0),
        (b'1,"2"2,3\n', 0),
        (b'1,"2,3\n', 0),
        (b"1,2\n", 0),
        (b"1,2,3\n\n1,2,3\n", 0),
        (b"1,2,\xff\n", 0),
        (b"1,2,\0\n", 0),
        (b"1,2,3\r4,5,6\n", 0),
    ],
)
def test_what_needs_no_care_goes_the_quick_way(data, blocks):
    assert made_of(b"a,b,c\n" + data, "utf-8", 10_000, 10_000, quick=True)[1] == blocks
