import json
import random
from collections import namedtuple
from datetime import date
from typing import get_args

import pytest

from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Format, Json
from lakehouse_assets.raw.readers import jsonl as reader
from lakehouse_assets.raw.readers import text
from lakehouse_assets.raw.readers.formats import READERS, read_header, read_rows
from lakehouse_assets.raw.readers.jsonl import MAX_NESTING, read_jsonl, read_keys
from lakehouse_assets.raw.readers.missing import MAX_NEW_COLUMNS
from tests.support.batches import settled

DAY = date(2026, 1, 1)
Found = namedtuple("Found", "rows rejects rows_in")


def feed(*required, **written):
    return Feed("shop/things", columns=[SourceColumn(name, name) for name in required], format=Json(**written))


ANY = feed()


def rejected(batches):
    return [r for b in batches for r in b.rejects.to_pylist()]


def read(*pieces, like=ANY):
    """All of a file at once: rows as dictionaries without what is NULL, rejects as tuples that begin with the row number."""
    batches = settled(read_jsonl(pieces, like))
    return Found(
        [{k: v for k, v in row.items() if v is not None} for b in batches for row in b.rows.to_pylist()],
        sorted(((r["row_number"], r["rule"], r["payload"]) for r in rejected(batches)), key=lambda r: (r[0] or 0, *r[1:])),
        sum(b.rows_in for b in batches),
    )


def reasons(*pieces, like=ANY):
    return [r["reason"] for r in rejected(settled(read_jsonl(pieces, like)))]


def value(text):
    """What the raw table holds for a value of JSON."""
    [batch] = read_jsonl([b'{"a":%b}\n' % text.encode()], ANY)
    assert batch.rejects.num_rows == 0
    return batch.rows["a"].to_pylist()[0]


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ('"x"', "x"),
        ('""', ""),
        ('"1"', "1"),
        ("1", "1"),
        ("-0", "-0"),
        ("1.50", "1.50"),
        ("1E+3", "1E+3"),
        ("1e999999", "1e999999"),
        ("12345678901234567890.123456789", "12345678901234567890.123456789"),
        ("9" * 5000, "9" * 5000),
        ("true", "true"),
        ("false", "false"),
        ("null", None),
        ('"null"', "null"),
        ("[]", "[]"),
        ("{}", "{}"),
        ('[ 1, 1.50 , "1", null, true ]', '[1,1.50,"1",null,true]'),
        ('{ "x" : { "y" : [ 1.0 ] } }', '{"x":{"y":[1.0]}}'),
        ('{"b": 1, "a": 2}', '{"b":1,"a":2}'),
        ('["\\u00fc", "ü", "\\"", "\\n"]', '["ü","ü","\\"","\\n"]'),
        ('"\\u00fc\\n\\ud83d\\ude00"', "ü\n😀"),
        ('"line\\u2028end"', "line\u2028end"),
    ],
    ids=lambda text: str(text)[:30],
)
def test_a_value_is_its_text_and_nested_values_are_compact_json(text, held):
    assert value(text) == held


def test_keys_are_columns_under_their_snake_case_names():
    assert read(b'{"CustomerID":1,"Full Name":"Ann"}\n').rows == [{"customer_id": "1", "full_name": "Ann", "_row_number": 1}]


def test_the_columns_are_those_of_all_rows_and_what_a_row_lacks_is_null():
    [batch] = read_jsonl([b'{"a":1}\n{"b":2}\n{"c":3,"a":4}\n'], ANY)
    assert batch.rows.to_pylist() == [
        {"a": "1", "b": None, "c": None, "_row_number": 1},
        {"a": None, "b": "2", "c": None, "_row_number": 2},
        {"a": "4", "b": None, "c": "3", "_row_number": 3},
    ]


def test_keys_that_get_the_same_name_are_told_apart():
    assert read(b'{"a":1,"A":2,"a ":3}\n').rows == [{"a": "1", "a_2": "2", "a_3": "3", "_row_number": 1}]


def test_keys_never_take_the_lakehouse_s_own_names():
    assert read(b'{"_date":1,"_row_number":2,"":3}\n').rows == [{"date": "1", "row_number": "2", "column": "3", "_row_number": 1}]


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1}\n{"a":2}\n',
        b'{"a":1}\n{"a":2}',
        b'{"a":1}\r\n{"a":2}\r\n',
        b' {"a":1} \n\t{ "a" : 2 }\t\n',
        b'\xef\xbb\xbf{"a":1}\n{"a":2}\n',
        '\ufeff{"a":1}\n{"a":2}\n'.encode("utf-16-le"),
        '\ufeff{"a":1}\n{"a":2}\n'.encode("utf-16-be"),
    ],
    ids=repr,
)
def test_every_row_of_a_sound_file_is_read(data):
    assert read(data) == Found([{"a": "1", "_row_number": 1}, {"a": "2", "_row_number": 2}], [], 2)


def test_blank_lines_and_a_lone_null_are_no_rows():
    assert read(b'\n{"a":1}\n  \nnull\n null \n{"a":2}\n\n') == Found(
        [{"a": "1", "_row_number": 2}, {"a": "2", "_row_number": 6}], [], 2
    )


@pytest.mark.parametrize("data", [b"", b"\n\n", b"null\n", b"\xef\xbb\xbf"], ids=repr)
def test_a_file_without_rows_has_none_and_is_not_refused(data):
    assert read(data, like=feed("a")) == Found([], [], 0)


BROKEN = {
    "no JSON": ("row_is_json", b"hello", "the row is not JSON: Expecting value at position 1"),
    "cut off": ("row_is_json", b'{"a":', "the row is not JSON: Expecting value at position 6"),
    "two objects": ("row_is_json", b'{"a":1}{"a":2}', "the row is not JSON: Extra data at position 8"),
    "single quotes": (
        "row_is_json",
        b"{'a':1}",
        "the row is not JSON: Expecting property name enclosed in double quotes at position 2",
    ),
    "a list": ("row_is_json", b'[{"a":1}]', "the row holds a JSON list, not an object"),
    "a number": ("row_is_json", b"1", "the row holds a JSON single value, not an object"),
    "a text": ("row_is_json", b'"a"', "the row holds a JSON single value, not an object"),
    "NaN": ("row_is_json", b'{"a":NaN}', "NaN is not JSON"),
    "Infinity": ("row_is_json", b'{"a":[-Infinity]}', "-Infinity is not JSON"),
    "a key twice": ("row_is_json", b'{"a":1,"a":1}', 'the key "a" appears twice in one object'),
    "a key twice within a value": ("row_is_json", b'{"a":[{"b":1,"b":2}]}', 'the key "b" appears twice in one object'),
    "half a character": ("row_is_json", b'{"a":"\\ud83d"}', "\\ud83d is half a character"),
    "half a character within a value": ("row_is_json", b'{"a":["\\ude00"]}', "\\ude00 is half a character"),
    "a control character": ("row_is_json", b'{"a":"\x01"}', "the row is not JSON: Invalid control character at position 7"),
    "a byte that is not UTF-8": ("row_is_utf8", b'{"a":"\xff"}', "byte 0xFF at position 7 of the row is not UTF-8"),
}


@pytest.mark.parametrize(("rule", "line", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_line_is_refused_with_its_number_and_text_and_costs_no_good_one(rule, line, reason):
    data = b'{"a":1}\n' + line + b'\n{"a":3}\n'
    outcome = read(data)
    assert outcome.rejects == [(2, rule, line.decode(errors="backslashreplace"))]
    assert [row["a"] for row in outcome.rows] == ["1", "3"]
    assert outcome.rows_in == 3
    assert reasons(data) == [reason]


@pytest.mark.parametrize("depth", [MAX_NESTING + 1, 5_000, 500_000])
@pytest.mark.parametrize("opened", ["list", "object"])
def test_a_line_that_is_nested_too_deeply_is_refused(depth, opened):
    start, end = (b"[", b"]") if opened == "list" else (b'{"x":', b"}")
    data = b'{"a":' + start * depth + b"1" + end * depth + b'}\n{"a":2}\n'
    assert reasons(data) == [f"objects and lists are nested more than {MAX_NESTING} deep"]
    assert read(data).rows == [{"a": "2", "_row_number": 2}]


def test_a_line_that_is_nested_as_deeply_as_is_allowed_is_read():
    nested = "[" * MAX_NESTING + "]" * MAX_NESTING
    assert value(nested) == nested


def entry(*pieces, like=ANY):
    """The one entry that a file is which is refused as a whole, and that nothing else is left of it."""
    [batch] = settled(read_jsonl(pieces, like))
    assert (batch.rows.num_rows, batch.rows.column_names) == (0, ["_row_number"])
    [reject] = batch.rejects.to_pylist()
    assert (reject.pop("row_number"), reject.pop("place"), batch.rows_in) == (None, None, reject["rows"])
    return reject


def test_a_file_of_which_no_row_has_a_required_column_is_refused_as_a_whole():
    reject = entry(b'{"a":1}\n{"a":2,"x":3}\nnull\n{"a":3}\n', like=feed("a", "b"))
    assert reject.pop("reason").startswith("the file lacks the required column b")
    assert reject == {"rule": "file_has_required_columns", "payload": '{"a":1}\n{"a":2,"x":3}\n{"a":3}', "rows": 3}


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_file_with_a_new_key_in_each_row_is_refused_as_a_whole(monkeypatch, size):
    monkeypatch.setattr(reader, "_BATCH_ROWS", size)
    reject = entry(b"".join(b'{"id":1,"key %d":2}\n' % n for n in range(15_000)), like=feed("id"))
    assert (reject["rule"], reject["rows"]) == ("file_has_few_new_columns", 15_000)
    assert reject["reason"].startswith("the file has more than 500 columns that the feed does not declare; ")


def test_a_row_with_more_keys_than_a_table_should_get_columns_refuses_its_file():
    wide = json.dumps({f"{'aA'[n % 2]}{n // 2}": n for n in range(30_000)}).encode()
    assert entry(b'{"id":1}\n' + wide, like=feed("id"))["rows"] == 2
    assert read_keys([wide], feed("id")) == []


def test_a_file_may_have_as_many_keys_more_as_are_allowed():
    rows = [{"id": 1, f"k{n}": 2} for n in range(MAX_NEW_COLUMNS)]
    assert len(read(*(json.dumps(r).encode() + b"\n" for r in rows), like=feed("id")).rows) == MAX_NEW_COLUMNS


def test_a_file_of_which_no_line_is_a_row_is_refused_as_a_whole():
    reject = entry(b"id,name\n1,Ann\n2,Bob\n", like=feed("id"))
    assert reject == {
        "rule": "file_is_json",
        "reason": "no row of the file is a JSON object: row 1: the row is not JSON: Expecting value at position 1",
        "payload": "id,name\n1,Ann\n2,Bob",
        "rows": 3,
    }


@pytest.mark.parametrize("seed", range(5))
def test_a_binary_file_is_one_entry_that_counts_as_one_row(seed):
    reject = entry(random.Random(seed).randbytes(300_000), like=feed("id"))
    assert (reject["rule"], reject["rows"]) == ("file_is_text", 1)


def test_the_reason_names_what_is_missing_and_what_is_there_instead():
    [reason] = reasons(b'{"a":1,"Bee":2}\n', like=feed("a", "b"))
    assert reason.startswith("the file lacks the required column b and has instead: Bee; ")


def test_one_row_that_has_a_required_column_is_enough():
    assert len(read(b'{"a":1}\n{"b":null}\n', like=feed("a", "b")).rows) == 2


def test_a_broken_line_beside_missing_columns_is_counted_with_the_file():
    assert (entry(b'{"a":1}\n[]\n', like=feed("b"))["rows"], read(b'{"a":1}\n[]\n').rejects) == (
        2,
        [(2, "row_is_json", "[]")],
    )


def test_a_column_may_go_by_another_name_in_some_rows():
    like = Feed("shop/things", columns=(SourceColumn("city", "", also=("town",)),), format=Json())
    assert read(b'{"city":"Ulm"}\n{"Town":"Bonn"}\n', like=like).rows == [
        {"city": "Ulm", "_row_number": 1},
        {"city": "Bonn", "_row_number": 2},
    ]


WRAPPED = feed("a", unwrap="payload")


def test_what_is_wrapped_is_unwrapped_and_what_is_not_is_read_as_it_is():
    data = b'{"schema":{"type":"struct"},"payload":{"a":1}}\n{"a":2}\n{"payload":{"a":3}}\n'
    assert [row["a"] for row in read(data, like=WRAPPED).rows] == ["1", "2", "3"]


def test_a_wrapped_null_is_no_row():
    assert read(b'{"schema":null,"payload":null}\n', like=WRAPPED) == Found([], [], 0)


def test_a_wrapped_value_that_is_no_object_is_refused():
    assert reasons(b'{"a":1}\n{"payload":[1]}\n', like=WRAPPED) == ["the row holds a JSON list, not an object"]


def test_without_the_option_a_payload_is_a_column():
    assert read(b'{"payload":{"a":1}}\n').rows == [{"payload": '{"a":1}', "_row_number": 1}]


NASTY = (
    '{"a":"ü😀","b":[1.50]}\r\n\n[]\n{"a":"\\ud800"}\nnull\n{"a":"x\\ny"}\n{"a":1,"a":2}\n{"c":{}}'.encode() + b'\n\xff\n{"a":3'
)


@pytest.mark.parametrize("cut", range(len(NASTY) + 1))
def test_the_result_does_not_depend_on_where_a_piece_ends(cut):
    assert read(NASTY[:cut], NASTY[cut:]) == read(NASTY)


def test_the_nasty_file_is_read_as_it_should_be():
    outcome = read(NASTY)
    assert [row["_row_number"] for row in outcome.rows] == [1, 6, 8]
    assert [reject[0] for reject in outcome.rejects] == [3, 4, 7, 9, 10]


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("like", [ANY, feed("c"), feed("z")], ids=["any", "late column", "missing column"])
def test_the_result_does_not_depend_on_the_size_of_batches(monkeypatch, size, like):
    whole = read(NASTY, like=like)
    monkeypatch.setattr(reader, "_BATCH_ROWS", size)
    assert read(NASTY, like=like) == whole


def test_a_batch_holds_no_more_than_its_size(monkeypatch):
    monkeypatch.setattr(reader, "_BATCH_ROWS", 2)
    assert [b.rows_in for b in read_jsonl([b'{"a":1}\n' * 5], ANY)] == [2, 2, 1]


def test_a_line_that_is_too_long_to_be_one_refuses_its_file(monkeypatch):
    monkeypatch.setattr(text, "MAX_LINE_BYTES", 2_000_000)
    assert entry(b'{"a":1}\n', b'{"a":"', *[b"x" * 100_000] * 50, b'"}')["rule"] == "file_has_lines"


@pytest.mark.parametrize("seed", range(20))
def test_what_a_json_writer_writes_is_read_back(seed):
    chance = random.Random(seed)
    rows = [{key: "".join(chance.choices('a"\\\n\r\t ü😀{}[],:', k=8)) for key in "abc"} for _ in range(20)]
    data = "".join(json.dumps(row, ensure_ascii=chance.random() < 0.5) + "\n" for row in rows).encode()
    assert [{k: v for k, v in row.items() if k in "abc"} for row in read(data).rows] == rows


def test_the_columns_alone_can_be_read():
    assert read_keys([b'{"a":1}\nnull\n[]\n{"Full Name":2,"a":1}\n'], ANY) == ["a", "full_name"]


def test_the_format_of_the_contract_decides_how_a_file_is_read():
    csv = Feed("shop/things", columns=(), format=Csv())
    assert [b.rows.column_names for b in read_rows([b"x,y\n1,2\n"], csv, "a", 8, DAY)] == [["x", "y", "_row_number"]]
    assert [b.rows.column_names for b in read_rows([b'{"x":1}\n'], ANY, "a", 8, DAY)] == [["x", "_row_number"]]
    assert (read_header([b"x,y\n"], csv, "a", 4, DAY), read_header([b'{"x":1}'], ANY, "a", 7, DAY)) == (["x", "y"], ["x"])


def test_every_format_has_a_reader():
    assert set(READERS) == set(get_args(Format))
