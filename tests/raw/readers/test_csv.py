import codecs
import csv
import io
import json
import random
from collections import namedtuple
from pathlib import Path

import pytest

from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv
from lakehouse_assets.raw.readers import csv as reader
from lakehouse_assets.raw.readers import text
from lakehouse_assets.raw.readers.csv import read_csv, read_header
from lakehouse_assets.raw.readers.missing import MAX_NEW_COLUMNS
from tests.support.batches import settled

SPECTRUM = Path(__file__).parents[2] / "data" / "csv_spectrum"

Found = namedtuple("Found", "columns rows rejects rows_in")


def feed(*required, **written):
    return Feed("shop/things", columns=[SourceColumn(name, name) for name in required], format=Csv(**written))


ABC = feed("a", "b", "c")


def rejected(batches):
    return [r for b in batches for r in b.rejects.to_pylist()]


def read(*pieces, like=ABC):
    """All of a file at once: rows and rejects as tuples that begin with the row number."""
    batches = settled(read_csv(pieces, like))
    return Found(
        [c for c in batches[0].rows.column_names if c != "_row_number"],
        [(row.pop("_row_number"), *row.values()) for b in batches for row in b.rows.to_pylist()],
        sorted(((r["row_number"], r["rule"], r["payload"]) for r in rejected(batches)), key=lambda r: (r[0] or 0, *r[1:])),
        sum(b.rows_in for b in batches),
    )


def reasons(*pieces, like=ABC):
    return [r["reason"] for r in rejected(settled(read_csv(pieces, like)))]


WIDE = 'a,b,c\r\n1,"ß\r\n😀",3\r\n4,5,6\r\n'
WIDE_ROWS = [(2, "1", "ß\r\n😀", "3"), (4, "4", "5", "6")]

GOOD = {
    "plain": (b"a,b,c\n1,2,3\n4,5,6\n", [(2, "1", "2", "3"), (3, "4", "5", "6")]),
    "no line end at the end of the file": (b"a,b,c\n1,2,3", [(2, "1", "2", "3")]),
    "CRLF": (b"a,b,c\r\n1,2,3\r\n4,5,6\r\n", [(2, "1", "2", "3"), (3, "4", "5", "6")]),
    "CR": (b"a,b,c\r1,2,3\r4,5,6\r", [(2, "1", "2", "3"), (3, "4", "5", "6")]),
    "mixed line ends": (b"a,b,c\r\n1,2,3\n4,5,6\r7,8,9\n", [(2, "1", "2", "3"), (3, "4", "5", "6"), (4, "7", "8", "9")]),
    "delimiter within quotes": (b'a,b,c\n1,"2,2",3\n', [(2, "1", "2,2", "3")]),
    "LF within quotes": (b'a,b,c\n1,"2\n2",3\n4,5,6\n', [(2, "1", "2\n2", "3"), (4, "4", "5", "6")]),
    "CRLF within quotes": (b'a,b,c\r\n1,"2\r\n2",3\r\n4,5,6\r\n', [(2, "1", "2\r\n2", "3"), (4, "4", "5", "6")]),
    "CR within quotes": (b'a,b,c\n1,"2\r2",3\n4,5,6\n', [(2, "1", "2\r2", "3"), (4, "4", "5", "6")]),
    "many lines within quotes": (b'a,b,c\n1,2,"3\n\n\n3"\n4,5,6\n', [(2, "1", "2", "3\n\n\n3"), (6, "4", "5", "6")]),
    "two fields over lines": (b'a,b,c\n"1\n1","2\n2",3\n4,5,6\n', [(2, "1\n1", "2\n2", "3"), (5, "4", "5", "6")]),
    "line ends at the end of quotes": (b'a,b,c\n1,2,"3\n"\n4,5,6\n', [(2, "1", "2", "3\n"), (4, "4", "5", "6")]),
    "doubled quotes": (b'a,b,c\n1,"say ""hi""",3\n', [(2, "1", 'say "hi"', "3")]),
    "only doubled quotes": (b'a,b,c\n1,"""",3\n', [(2, "1", '"', "3")]),
    "doubled quotes around a line end": (b'a,b,c\n1,"x""\n""y",3\n', [(2, "1", 'x"\n"y', "3")]),
    "a quote within an unquoted field": (b'a,b,c\n1,19" rack,3\n', [(2, "1", '19" rack', "3")]),
    "a quote at the end of an unquoted field": (b'a,b,c\n1,19",3\n4,5,6\n', [(2, "1", '19"', "3"), (3, "4", "5", "6")]),
    "blanks around fields": (b"a,b,c\n 1 , 2,3 \n", [(2, " 1 ", " 2", "3 ")]),
    "blank lines": (b"\na,b,c\n\n1,2,3\n\n\n4,5,6\n\n", [(4, "1", "2", "3"), (7, "4", "5", "6")]),
    "empty field is no value": (b"a,b,c\n1,,3\n", [(2, "1", None, "3")]),
    "quoted empty field is an empty text": (b'a,b,c\n1,"",3\n', [(2, "1", "", "3")]),
    "no value in any field": (b"a,b,c\n,,\n4,5,6\n", [(2, None, None, None), (3, "4", "5", "6")]),
    "words that other readers take for nothing": (b"a,b,c\nNULL,NaN,N/A\n", [(2, "NULL", "NaN", "N/A")]),
    "numbers as they are written": (b"a,b,c\n007,1.50,1e3\n", [(2, "007", "1.50", "1e3")]),
    "beyond ASCII": ("a,b,c\nß,日本,😀\n".encode(), [(2, "ß", "日本", "😀")]),
    "line ends of Unicode are text": ("a,b,c\n1,x\u2028y,z\x85\n".encode(), [(2, "1", "x\u2028y", "z\x85")]),
    "form feed is text": (b"a,b,c\n1,x\x0cy\x0b,3\n", [(2, "1", "x\x0cy\x0b", "3")]),
    "UTF-8 with a mark": (b"\xef\xbb\xbfa,b,c\n1,2,3\n", [(2, "1", "2", "3")]),
    "a quoted header": (b'"a","b","c"\n1,2,3\n', [(2, "1", "2", "3")]),
    "a header over two lines": (b'"a",b,"c\n"\n1,2,3\n', [(3, "1", "2", "3")]),
    "UTF-8 with a mark and a quoted header": (b'\xef\xbb\xbf"a",b,c\n1,2,3\n', [(2, "1", "2", "3")]),
    "UTF-16, little end first": (codecs.BOM_UTF16_LE + WIDE.encode("utf-16-le"), WIDE_ROWS),
    "UTF-16, big end first": (codecs.BOM_UTF16_BE + WIDE.encode("utf-16-be"), WIDE_ROWS),
}


@pytest.mark.parametrize(("data", "rows"), GOOD.values(), ids=GOOD.keys())
def test_every_row_of_a_sound_file_is_read(data, rows):
    assert read(data).rows == rows


@pytest.mark.parametrize("data", [d for d, _ in GOOD.values()], ids=GOOD.keys())
def test_nothing_of_a_sound_file_is_refused(data):
    assert read(data).rejects == []


BROKEN = {
    "too few fields": (b"a,b,c\n1,2,3\n4,5\n7,8,9\n", [(3, "row_has_all_fields", "4,5")]),
    "too many fields": (b"a,b,c\n1,2,3\n4,5,6,6\n7,8,9\n", [(3, "row_has_all_fields", "4,5,6,6")]),
    "text behind a closing quote": (b'a,b,c\n1,2,3\n4,"5"5,6\n7,8,9\n', [(3, "row_is_csv", '4,"5"5,6')]),
    "blank behind a closing quote": (b'a,b,c\n1,2,3\n4,"5" ,6\n7,8,9\n', [(3, "row_is_csv", '4,"5" ,6')]),
    "a quote opened and never closed": (b'a,b,c\n1,2,3\n4,"5,6\n7,8,9\n', [(3, "row_is_csv", '4,"5,6')]),
    "a quote opened and never closed on the last line": (b'a,b,c\n1,2,3\n7,8,9\n4,"5,6', [(4, "row_is_csv", '4,"5,6')]),
    "a byte that is not UTF-8": (b"a,b,c\n1,2,3\n4,\xff5,6\n7,8,9\n", [(3, "row_is_utf8", "4,\\xff5,6")]),
    "half a character of UTF-8": (b"a,b,c\n1,2,3\n4,5,\xc3\n7,8,9\n", [(3, "row_is_utf8", "4,5,\\xc3")]),
    "a byte that is not UTF-8 within quotes": (b'a,b,c\n1,2,3\n4,"5\n\xff",6\n7,8,9\n', [(3, "row_is_utf8", '4,"5\n\\xff",6')]),
    "too few fields, one over lines": (b'a,b,c\n1,2,3\n4,"5\n5"\n7,8,9\n', [(3, "row_has_all_fields", '4,"5\n5"')]),
    "a NUL": (b"a,b,c\n1,2,3\n4,\x005,6\n7,8,9\n", [(3, "row_has_no_nul", "4,\\x005,6")]),
    "a line of NULs at the end of the file": (b"a,b,c\n1,2,3\n7,8,9\n\0\0\0", [(4, "row_has_no_nul", "\\x00" * 3)]),
    "several at once": (
        b'a,b,c\n1,2,3\n4,5\n4,\xff,6\n4,"5"5,6\n4,"5,6\n7,8,9\n',
        [
            (3, "row_has_all_fields", "4,5"),
            (4, "row_is_utf8", "4,\\xff,6"),
            (5, "row_is_csv", '4,"5"5,6'),
            (6, "row_is_csv", '4,"5,6'),
        ],
    ),
}


@pytest.mark.parametrize(("data", "rejects"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_row_is_refused_with_its_number_rule_and_text(data, rejects):
    assert read(data).rejects == rejects


@pytest.mark.parametrize("data", [d for d, _ in BROKEN.values()], ids=BROKEN.keys())
def test_a_broken_row_costs_no_good_one(data):
    assert [row[1:] for row in read(data).rows] == [("1", "2", "3"), ("7", "8", "9")]


@pytest.mark.parametrize("data", [d for d, _ in [*GOOD.values(), *BROKEN.values()]], ids=[*GOOD, *BROKEN])
def test_rows_in_is_rows_and_rejects(data):
    outcome = read(data)
    assert outcome.rows_in == len(outcome.rows) + len(outcome.rejects)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a,b,c\n1,2\n", "expected 3 fields, found 2"),
        (b"a,b,c\n1,2,3,4\n", "expected 3 fields, found 4"),
        (b'a,b,c\n1,"2"x,3\n', "text follows a closing quote within a field"),
        (b'a,b,c\n1,"2,3\n', "a quote is opened and never closed"),
        (b"a,b,c\n1,2,\xff\n", "byte 0xFF at position 5 of the row is not UTF-8"),
        (b"a,b,c\n1,\0,3\n", "byte 0x00 at position 3 of the row is not text"),
    ],
)
def test_the_reason_says_what_is_wrong_with_the_row(data, reason):
    assert reasons(data) == [reason]


def test_a_file_of_broken_rows_only_yields_no_row():
    assert read(b"a,b,c\n1\n2\n").rows == []


UNCLOSED = {"first": b'"1,2,3', "middle": b'1,"2,3', "last": b'1,2,"3'}
BEHIND = {
    "plain lines": (b"4,5,6\n7,8,9\n", [("4", "5", "6"), ("7", "8", "9")]),
    "a quoted first field": (b'"4",5,6\n7,8,9\n', [("4", "5", "6"), ("7", "8", "9")]),
    "a quoted middle field": (b'4,"5",6\n7,8,9\n', [("4", "5", "6"), ("7", "8", "9")]),
    "a quoted last field": (b'4,5,"6"\n7,8,9\n', [("4", "5", "6"), ("7", "8", "9")]),
    "all fields quoted": (b'"4","5","6"\n"7","8","9"\n', [("4", "5", "6"), ("7", "8", "9")]),
    "an empty quoted field": (b'4,"",6\n7,8,9\n', [("4", "", "6"), ("7", "8", "9")]),
    "a doubled quote": (b'4,"5""5",6\n7,8,9\n', [("4", '5"5', "6"), ("7", "8", "9")]),
    "a field over lines": (b'4,"5\n5",6\n7,8,9\n', [("4", "5\n5", "6"), ("7", "8", "9")]),
    "blank lines": (b"\n4,5,6\n\n7,8,9\n", [("4", "5", "6"), ("7", "8", "9")]),
}


@pytest.mark.parametrize("line", UNCLOSED.values(), ids=UNCLOSED.keys())
@pytest.mark.parametrize(("behind", "rows"), BEHIND.values(), ids=BEHIND.keys())
def test_a_quote_that_is_never_closed_costs_its_own_line_only(line, behind, rows):
    assert [row[1:] for row in read(b"a,b,c\n" + line + b"\n" + behind).rows] == rows


@pytest.mark.parametrize("second", UNCLOSED.values(), ids=[f"then {c}" for c in UNCLOSED])
@pytest.mark.parametrize("first", UNCLOSED.values(), ids=UNCLOSED.keys())
def test_two_quotes_that_are_never_closed_cost_two_lines(first, second):
    assert [row[0] for row in read(b"a,b,c\n" + first + b"\n4,5,6\n" + second + b"\n7,8,9\n").rows] == [3, 5]


@pytest.mark.parametrize("line", [UNCLOSED["first"], UNCLOSED["last"]], ids=["first", "last"])
def test_an_inch_mark_further_on_does_not_close_a_quote_where_the_fields_would_not_fit(line):
    assert [row[0] for row in read(b"a,b,c\n" + line + b'\n4,5,6\n7,19",9\n').rows] == [3, 4]


def test_a_quote_that_closes_beyond_the_longest_record_costs_its_own_line_only():
    lines = reader.MAX_LINES_PER_RECORD
    data = b'a,b,c\n1,"2,3\n' + b"4,5,6\n" * lines + b'7",8,9\n'
    assert len(read(data).rows) >= lines


def test_a_field_over_as_many_lines_as_are_allowed_is_read():
    lines = reader.MAX_LINES_PER_RECORD
    assert [row[0] for row in read(b'a,b,c\n1,"' + b"x\n" * lines + b'",3\n').rows] == [2]


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n\r\n", b"  \n", b"\xef\xbb\xbf"], ids=repr)
def test_a_file_without_a_header_is_refused_as_a_whole(data):
    assert [r[:2] for r in read(data).rejects] == [(None, "file_has_header")]


def test_no_pieces_at_all_are_an_empty_file():
    assert [r[:2] for r in read().rejects] == [(None, "file_has_header")]


@pytest.mark.parametrize("data", [b"a,b,c", b"a,b,c\n", b"a,b,c\r\n\r\n"], ids=repr)
def test_a_file_with_a_header_only_has_no_rows_and_no_rejects(data):
    assert read(data) == Found(["a", "b", "c"], [], [], 0)


def entry(*pieces, like=ABC):
    """The one entry that a file is which is refused as a whole, and that nothing else is left of it."""
    [batch] = settled(read_csv(pieces, like))
    assert (batch.rows.num_rows, batch.rows.column_names) == (0, ["_row_number"])
    [reject] = batch.rejects.to_pylist()
    assert (reject.pop("row_number"), reject.pop("place"), batch.rows_in) == (None, None, reject["rows"])
    return reject


def test_a_file_that_lacks_a_required_column_is_one_entry_with_the_number_of_its_rows_and_its_beginning():
    reject = entry(b"a,c\n" + b"".join(b'%d,"x\ny"\n' % n for n in range(1_000)))
    reason = "the file lacks the required column b"
    payload = "a,c\n" + "\n".join(f'{n},"x\ny"' for n in range(5))
    assert reject == {"rule": "file_has_required_columns", "reason": reason, "payload": payload, "rows": 1_000}


def test_the_beginning_of_a_file_that_is_kept_is_short():
    assert len(entry(b"a,c\n" + b"".join(b"%d,%b\n" % (n, b"x" * 9_000) for n in range(10)))["payload"]) < 11_000


@pytest.mark.parametrize("text", [b"How to read these files: see the wiki\n\nAsk Ann.\n", b"a;b;c;d\n1;2;3;4\n5;6;7;8\n"])
def test_a_file_that_is_refused_brings_no_columns(text):
    assert entry(text)["rule"] == "file_has_required_columns"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "shift_jis"])
@pytest.mark.parametrize("seed", range(5))
def test_a_binary_file_is_one_entry_that_counts_as_one_row(encoding, seed):
    data = random.Random(seed).randbytes(300_000)
    reject = entry(*(data[n : n + 4096] for n in range(0, len(data), 4096)), like=feed("a", encoding=encoding))
    assert (reject["rule"], reject["rows"]) == ("file_is_text", 1)
    assert reject["reason"].startswith("the file is not text: byte 0x00 is at position ")


def test_a_nul_in_a_row_makes_no_binary_file():
    assert entry(b"a,c\n1,\x00\n2,3\n")["rule"] == "file_has_required_columns"
    assert read(b"a,b,c\n1,\x00,3\n2,3,4\n").rows == [(3, "2", "3", "4")]


@pytest.mark.parametrize("names", ["distinct", "one"])
def test_a_file_with_more_columns_than_a_table_should_get_is_refused_as_a_whole(names):
    more = [f"x{n}" if names == "distinct" else "x" for n in range(20_000)]
    reject = entry(",".join(["a", "b", "c", *more]).encode() + b"\n" + b",".join([b"1"] * 20_003) + b"\n")
    assert (reject["rule"], reject["rows"]) == ("file_has_few_new_columns", 1)
    assert reject["reason"].startswith("the file has more than 500 columns that the feed does not declare; ")
    assert read_header([",".join(["a", "b", "c", *more]).encode()], ABC) == []


def test_a_file_may_have_as_many_columns_more_as_are_allowed():
    header = ",".join(["a", "b", "c", *(f"x{n}" for n in range(MAX_NEW_COLUMNS))]).encode()
    assert len(read(header + b"\n").columns) == 3 + MAX_NEW_COLUMNS
    assert entry(header + b",y\n")["rule"] == "file_has_few_new_columns"


def test_a_row_that_is_long_is_kept_with_its_head_its_tail_and_its_length():
    row = "ä" + "x" * 5_000_000 + "ä"
    [reject] = rejected(read_csv([b"a,b,c\n", row.encode(), b"\n1,2,3\n"], ABC))
    assert reject["payload"].startswith("äxxx")
    assert reject["payload"].endswith("xxxä")
    assert " of 5,000,004 bytes are left out …]" in reject["payload"]
    assert len(reject["payload"]) < 11_000


def test_a_long_row_is_not_cut_within_a_character():
    [reject] = rejected(read_csv([b"a,b,c\nx", "😀".encode() * 5_000, b"\n"], ABC))
    assert "\\x" not in reject["payload"]


@pytest.mark.parametrize("encoding", ["UTF-8", "utf8", "U8", "utf_8"])
def test_an_encoding_has_many_names_and_one_check(encoding):
    outcome = read(b"a,b,c\n1,\xff,3\n4,5,6\n", like=feed("a", encoding=encoding))
    assert (outcome.rows, outcome.rejects) == ([(3, "4", "5", "6")], [(2, "row_is_utf8", "1,\\xff,3")])


UNDEFINED = {
    "cp1252": ("cp1252", b"1,\x81,3", "row_is_cp1252", "byte 0x81 at position 3 of the row is not cp1252", "1,\\x81,3"),
    "cp1252 under another name": ("windows-1252", b"\x9d,2,3", "row_is_cp1252", "byte 0x9D at position 1", "\\x9d,2,3"),
    "ASCII": ("ascii", "1,é,3".encode(), "row_is_ascii", "byte 0xC3 at position 3", "1,\\xc3\\xa9,3"),
    "Greek": ("iso8859-7", b"1,2,\xff", "row_is_iso8859_7", "byte 0xFF at position 5", "1,2,\\xff"),
    "Shift JIS": ("shift_jis", b"1,\x85\x20,3", "row_is_shift_jis", "byte 0x85 at position 3", "1,\\x85"),
    "Shift JIS, cut": ("shift_jis", b"1,2,3\x85", "row_is_shift_jis", "byte 0x85 at position 6", "1,2,3\\x85"),
}


@pytest.mark.parametrize(("encoding", "row", "rule", "reason", "payload"), UNDEFINED.values(), ids=UNDEFINED.keys())
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_byte_that_the_encoding_does_not_define_costs_its_row_and_no_other(encoding, row, rule, reason, payload, size):
    like = feed("a", "b", "c", encoding=encoding)
    data = b"a,b,c\n7,8,9\n" + row
    pieces = [data[n : n + size] for n in range(0, len(data), size)]
    outcome = read(*pieces, like=like)
    assert outcome.rows == [(2, "7", "8", "9")]
    [(number, broken, text)] = outcome.rejects
    assert (number, broken) == (3, rule)
    assert text.startswith(payload)
    assert reasons(*pieces, like=like)[0].startswith(reason)


def test_half_a_character_of_utf_16_costs_its_row_and_no_other():
    data = codecs.BOM_UTF16_LE + "a,b,c\n1,".encode("utf-16-le") + b"\x41\xd8" + ",3\n4,5,6\n".encode("utf-16-le")
    outcome = read(data)
    assert (outcome.rows, [r[:2] for r in outcome.rejects]) == ([(3, "4", "5", "6")], [(2, "row_is_utf_16_le")])


RENAMED = (
    "; if one of these is a missing one renamed, add the new name to that column in the feed: "
    "SourceColumn(..., also=('new name',))"
)
TEN = ", ".join(f"x{n}" for n in range(10))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"a,c", "the file lacks the required column b"),
        (b"c,", "the file lacks the required columns a, b"),
        (b"c,Bee", "the file lacks the required columns a, b and has instead: Bee" + RENAMED),
        (b"a,c,d,e", "the file lacks the required column b and has instead: d, e" + RENAMED),
        (
            b"a,c," + b",".join(b"x%d" % n for n in range(12)),
            f"the file lacks the required column b and has instead: {TEN} and 2 more" + RENAMED,
        ),
    ],
)
def test_the_reason_names_the_columns_that_are_missing(header, reason):
    assert reasons(header + b"\n1,3\n") == [reason]


def test_a_file_that_lacks_a_required_column_and_has_no_rows_is_refused_by_its_header():
    assert read(b"a,c\n").rejects == [(None, "file_has_required_columns", "a,c")]


@pytest.mark.parametrize(
    "header", [b'"a,b,c', b"a,b,\xffc", b'"a"x,b,c'], ids=["unclosed quote", "not UTF-8", "text behind a quote"]
)
def test_every_row_behind_a_broken_header_is_accounted_for(header):
    reject = entry(header + b"\n1,2,3\n4,5,6\n")
    assert (reject["rule"], reject["rows"]) == ("file_has_header", 3)


def test_required_columns_are_known_by_their_snake_case_names():
    assert read(b"Customer ID\n1\n", like=feed("CustomerID")).rows == [(2, "1")]


@pytest.mark.parametrize("field", ["CustomerID", "customer_id", "CUSTOMERID", "customerid", "Customer ID", " customer-id "])
def test_case_blanks_and_underscores_make_no_other_column(field):
    assert read(f"{field}\n1\n".encode(), like=feed("CustomerID")).columns == ["customer_id"]


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (b"city,a", ["city", "a"]),
        (b"Town,a", ["city", "a"]),
        (b"a,place", ["a", "city"]),
        (b"place,town", ["place", "city"]),
        (b"town,city", ["town", "city"]),
        (b"town,Town", ["city", "town_2"]),
    ],
    ids=repr,
)
def test_a_column_is_known_by_its_other_names_where_its_own_is_missing(header, columns):
    like = Feed("shop/things", columns=(SourceColumn("city", "", also=("TOWN", "place")),))
    assert read(header + b"\n1,2\n", like=like).columns == columns


def test_a_field_that_is_one_column_of_the_contract_is_not_taken_for_another():
    like = Feed("shop/things", columns=(SourceColumn("a_1", ""), SourceColumn("a1", "")))
    assert reasons(b"a1,x\n1,2\n", like=like)[0].startswith("the file lacks the required column a_1 and has instead: x")


def test_a_file_may_lack_a_column_that_is_not_required():
    like = Feed("shop/things", columns=(SourceColumn("a", ""), SourceColumn("b", "", required=False)))
    assert read(b"a\n1\n", like=like) == Found(["a"], [(2, "1")], [], 1)


def test_columns_may_stand_in_any_order():
    assert read(b"c,a,b\n3,1,2\n").columns == ["c", "a", "b"]


def test_columns_that_nobody_asked_for_are_read():
    assert read(b"a,b,c,d\n1,2,3,4\n").rows == [(2, "1", "2", "3", "4")]


def test_repeated_headers_are_told_apart():
    assert read(b"a,b,c,A,a\n1,2,3,4,5\n") == Found(["a", "b", "c", "a_2", "a_3"], [(2, "1", "2", "3", "4", "5")], [], 1)


def test_header_fields_without_a_name_are_columns():
    assert read(b"a,b,c,,\n1,2,3,4,5\n").columns == ["a", "b", "c", "column", "column_2"]


@pytest.mark.parametrize(
    ("field", "name"), [("007", "007"), ("1.50", "1_50"), ("2026", "2026"), ("2026-01-31", "2026_01_31"), ("true", "true")]
)
def test_header_fields_that_look_like_values_keep_their_text(field, name):
    assert read(f"a,b,c,{field}\n1,2,3,4\n".encode()).columns[3] == name


def test_header_fields_never_take_the_lakehouse_s_own_names():
    assert read(b"a,b,c,_row_number,_date\n1,2,3,4,5\n").columns == ["a", "b", "c", "row_number", "date"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "^", "]"])
def test_the_delimiter_is_the_contract_s(delimiter):
    data = f'a{delimiter}b{delimiter}c\n1{delimiter}"x{delimiter}y"{delimiter}3,3\n'.encode()
    assert read(data, like=feed("a", "b", "c", delimiter=delimiter)).rows == [(2, "1", f"x{delimiter}y", "3,3")]


def test_a_row_of_tabs_is_a_row_without_values_where_the_delimiter_is_a_tab():
    assert read(b"a\tb\tc\n\t\t\n", like=feed("a", "b", "c", delimiter="\t")).rows == [(2, None, None, None)]


def test_a_file_in_the_encoding_of_the_contract_is_read():
    assert read("a,b,c\n1,ß€,3\n".encode("cp1252"), like=feed("a", "b", "c", encoding="cp1252")).rows == [(2, "1", "ß€", "3")]


def test_a_mark_overrules_the_encoding_of_the_contract():
    assert read("\ufeffa,b,c\n1,ß,3\n".encode(), like=feed("a", "b", "c", encoding="latin-1")).rows == [(2, "1", "ß", "3")]


@pytest.mark.parametrize(("delimiter", "shown"), [(";", "';'"), ("\t", "'\\t'"), ("|", "'|'")])
@pytest.mark.parametrize("quote", ["", '"'], ids=["plain", "quoted"])
def test_a_file_with_another_delimiter_is_refused_as_a_whole_with_a_reason_that_says_so(delimiter, shown, quote):
    data = "".join(delimiter.join(f"{quote}{f}{quote}" for f in row) + "\n" for row in ("abc", "123", "456")).encode()
    message = f"its fields are separated by {shown}, not ','; have it sent as agreed, or put format=Csv(delimiter={shown}) into"
    outcome = read(data)
    assert (outcome.rows, {reason for reason in reasons(data) if message not in reason}) == ([], set())
    assert entry(data)["rows"] == (3 if quote else 2)


def test_a_comma_where_another_delimiter_was_agreed_is_told_too():
    assert "its fields are separated by ',', not ';'" in reasons(b"a,b,c\n1,2,3\n", like=feed("a", "b", "c", delimiter=";"))[0]


@pytest.mark.parametrize(("encoding", "named"), [("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be")])
def test_utf_16_without_a_mark_is_refused_as_a_whole_and_read_where_the_contract_names_it(encoding, named):
    data = "a,b,c\n1,ß,3\n".encode(encoding)
    assert read(data).rows == []
    assert {r.split("; ")[1] for r in reasons(data)} == {
        f"a file in UTF-16 without a byte order mark is read with format=Csv(encoding={named!r}) in its feed"
    }
    assert read(data, like=feed("a", "b", "c", encoding=named)).rows == [(2, "1", "ß", "3")]


def test_a_header_that_is_not_utf_8_says_how_another_encoding_is_read():
    [first, *_] = reasons("a,b,c,straße\n1,2,3,4\n".encode("latin-1"))
    assert first.endswith(
        "; a file in another encoding is read with its name in the feed, such as format=Csv(encoding='latin-1')"
    )


def test_rows_of_another_encoding_are_refused_one_by_one_where_the_contract_does_not_name_it():
    outcome = read("a,b,c\n1,ß,3\n4,5,6\n".encode("latin-1"))
    assert (outcome.rows, outcome.rejects) == ([(3, "4", "5", "6")], [(2, "row_is_utf8", "1,\\xdf,3")])


def test_all_of_a_file_whose_header_is_broken_is_refused_for_that():
    assert {r[1] for r in read(b'a,b,"c\n1,2\n\xff\n').rejects} == {"file_has_header"}


def test_a_header_with_a_field_longer_than_any_header_is_broken():
    assert [r[:2] for r in read(b"x" * 200_000 + b"\n1\n").rejects] == [(None, "file_has_header")]


def test_a_decimal_comma_without_quotes_costs_its_row_and_within_quotes_is_text():
    outcome = read(b'a,b,c\n1,2,3,5\n1,2,"3,5"\n')
    assert (outcome.rows, outcome.rejects) == ([(3, "1", "2", "3,5")], [(2, "row_has_all_fields", "1,2,3,5")])


def test_a_delimiter_at_the_end_of_each_line_is_a_column_without_values():
    assert read(b"a,b,c,\n1,2,3,\n") == Found(["a", "b", "c", "column"], [(2, "1", "2", "3", None)], [], 1)


def test_a_file_of_one_column_is_read():
    assert read(b'a\n1\n"2\n2"\n3\n', like=feed("a")).rows == [(2, "1"), (3, "2\n2"), (5, "3")]


def test_a_field_of_several_megabytes_is_read():
    assert [len(row[2]) for row in read(b'a,b,c\n1,"' + b"x" * 3_000_000 + b'",3\n').rows] == [3_000_000]


@pytest.mark.parametrize("end", [b"", b"\n4,5,6\n"], ids=["the last", "with others behind it"])
def test_a_line_that_is_too_long_to_be_one_refuses_its_file(end, monkeypatch):
    monkeypatch.setattr(text, "MAX_LINE_BYTES", 2_000_000)
    pieces = [b"a,b,c\n1,2,3\n", *[b"x" * 100_000] * 50, end]
    assert rejected(settled(read_csv(pieces, ABC)))[0]["rule"] == "file_has_lines"
    assert entry(*[b"\0" * 100_000] * 50)["rule"] == "file_is_text"
    wide = entry(*["x€".encode("cp1252") * 50_000] * 50, like=feed("a", encoding="cp1252"))
    assert wide["payload"].startswith("x€x€")


def test_a_broken_row_far_down_a_long_file_has_its_number():
    lines = 60_000
    assert read(b"a,b,c\n" + b"1,a text of some length to fill the buffers,3\n" * lines + b"4,5\n").rejects[0][0] == lines + 2


# Quoted CRLF, multi-byte characters, broken rows of each kind, a CR, a blank line, no line end at the end of the file.
NASTY = 'a,b,c\r\n1,"ä\r\n""😀""",3\r\n4,"5,6\n7,8\r\n\n"x"y,8,9\r4,5,"6"\r\n7,\n"",,""'.encode().replace(b"7,8\r", b"7,8,\xff\r")


@pytest.mark.parametrize("cut", range(len(NASTY) + 1))
def test_the_result_does_not_depend_on_where_a_piece_ends(cut):
    assert read(NASTY[:cut], NASTY[cut:]) == read(NASTY)


def test_the_result_is_the_same_when_every_byte_is_a_piece():
    assert read(*(NASTY[i : i + 1] for i in range(len(NASTY)))) == read(NASTY)


def test_the_nasty_file_is_read_as_it_should_be():
    outcome = read(NASTY)
    assert outcome.rows == [(2, "1", 'ä\r\n"😀"', "3"), (8, "4", "5", "6"), (10, "", None, "")]


UTF16 = NASTY.replace(b"\xff", b"ff").decode().encode("utf-16")


@pytest.mark.parametrize("cut", range(len(UTF16) + 1))
def test_the_result_does_not_depend_on_where_a_piece_of_utf_16_ends(cut):
    assert read(UTF16[:cut], UTF16[cut:]) == read(UTF16)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("data", [NASTY, b"a,b,c\n" + b"1,2,3\n4,5\n" * 5], ids=["nasty", "ragged"])
def test_the_result_does_not_depend_on_the_size_of_batches(monkeypatch, data, size):
    whole = read(data)
    monkeypatch.setattr(reader, "_BATCH_RECORDS", size)
    assert read(data) == whole


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("data", [b"a\n1\n2\n3\n4\n", b'"x"y\n"x"y\n'], ids=["missing columns", "no header"])
def test_what_a_file_without_a_sound_header_is_refused_for_does_not_depend_on_the_size_of_batches(monkeypatch, data, size):
    whole = read(data)
    monkeypatch.setattr(reader, "_BATCH_RECORDS", size)
    assert read(data) == whole


def test_a_batch_holds_no_more_bytes_than_its_size(monkeypatch):
    monkeypatch.setattr(reader, "_BATCH_BYTES", 8)
    assert [b.rows_in for b in read_csv([b"a,b,c\n1,2,3\n4,5\n6,7,8\n"], ABC)] == [2, 1]


def test_a_batch_holds_no_more_than_its_size(monkeypatch):
    monkeypatch.setattr(reader, "_BATCH_RECORDS", 2)
    assert [b.rows_in for b in read_csv([b"a,b,c\n1,2,3\n4,5\n6,7,8\n"], ABC)] == [2, 1]


@pytest.mark.parametrize("seed", range(40))
def test_what_a_csv_writer_writes_is_read_back(seed):
    chance = random.Random(seed)
    rows = [tuple("".join(chance.choices('ab",;\n\r ä', k=chance.randrange(8))) for _ in "abc") for _ in range(20)]
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator=chance.choice(["\n", "\r\n", "\r"]))
    writer.writerows([("a", "b", "c"), *rows])
    assert [row[1:] for row in read(out.getvalue().encode()).rows] == rows


def test_the_header_alone_can_be_read():
    assert read_header([b"Customer ID,Na", b"me\n1,2\n"], ABC) == ["customer_id", "name"]


@pytest.mark.parametrize("data", [b"", b'"a\n1\n'], ids=["empty file", "broken header"])
def test_a_file_without_a_sound_header_has_no_columns(data):
    assert read_header([data], ABC) == []


def spectrum(name):
    """The rows of a pair's CSV as read here, and what its JSON says; both as lists of values."""
    expected = json.loads((SPECTRUM / f"{name}.json").read_bytes())
    rows = read((SPECTRUM / f"{name}.csv").read_bytes(), like=feed()).rows
    return [list(row[1:]) for row in rows], [list(e.values()) for e in (expected if isinstance(expected, list) else [expected])]


@pytest.mark.parametrize("name", sorted(f.stem for f in SPECTRUM.glob("*.csv") if f.stem != "location_coordinates"))
def test_csv_spectrum_is_read_as_its_json_says(name):
    rows, expected = spectrum(name)
    assert rows == expected


def test_csv_spectrum_s_coordinates_are_read_as_its_json_says_but_for_the_phone_number_that_differs_there():
    [[_, *result]], [[_, *expected]] = spectrum("location_coordinates")
    assert result == expected


def test_csv_spectrum_is_whole():
    assert len(list(SPECTRUM.glob("*.csv"))) == len(list(SPECTRUM.glob("*.json"))) == 12
