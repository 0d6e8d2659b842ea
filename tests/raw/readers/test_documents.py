"""JSON documents: the outcomes of docs/what-arrives.md, and that their rows are those of JSON Lines."""

import json
import random
from datetime import date

import pytest

from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Json
from lakehouse_assets.raw.readers import documents, text
from lakehouse_assets.raw.readers.formats import read_header, read_rows
from lakehouse_assets.raw.readers.jsonl import MAX_NESTING, read_jsonl
from tests.support.batches import settled

ROWS = [{"a": 1.10, "b": {"c": [1, "x"]}}, {"a": None, "d": 'say "hi" {[\\'}, {"a": "ü😀", "b": [], "e": True}]
RECORDS = b",\n ".join(json.dumps(row, ensure_ascii=False).encode() for row in ROWS)
LINES = b"\n".join(json.dumps(row, ensure_ascii=False).encode() for row in ROWS)


@pytest.fixture(autouse=True)
def _short_start(monkeypatch):
    """The start of a file is not most of it, so that small pieces are pieces of it."""
    monkeypatch.setattr(text, "START", 40)


def feed(*required, **form):
    return Feed("shop/things", [SourceColumn(name, name) for name in required], format=Json(**form))


def read(data, like=None, piece=10**9, **form):
    """The rows without what is NULL, and the rejects without what all have."""
    pieces = (data[n : n + piece] for n in range(0, len(data), piece))
    batches = settled(read_jsonl(pieces, like or feed(**form)))
    rows = [{k: v for k, v in row.items() if v is not None} for b in batches for row in b.rows.to_pylist()]
    return rows, [reject for b in batches for reject in b.rejects.to_pylist()]


def numbers(rows):
    return [row["_row_number"] for row in rows]


DOCUMENTS = {
    "an array": (b"[" + RECORDS + b"]", None),
    "an array over lines": (b"\xef\xbb\xbf\n[\n" + RECORDS + b"\n]\n", None),
    "an array in UTF-16": ("\ufeff".encode("utf-16-le") + (b"[" + RECORDS + b"]").decode().encode("utf-16-le"), None),
    "an envelope": (b'{"total": 3, "results": [' + RECORDS + b'], "links": {"next": [null]}}', "results"),
    "an envelope within one": (b'{"x": [{"items": 1}], "data": {"n": "}", "items": [' + RECORDS + b"]}}", "data.items"),
    "a plain array where there may be an envelope": (b"[" + RECORDS + b"]", "results"),
    "pages": (b'{"results": [%b]}\n{"results": []}{"results": null} {"results": [%b, %b]}', "results"),
    "an array of pages": (b'[{"p": 1, "results": [%b]}, {"results": [%b, %b]}]', "results"),
    "objects one after the other": (json.dumps(ROWS[0], indent=1).encode() + b"\n" + b"\n".join(LINES.split(b"\n")[1:]), None),
}


def made(data):
    return data % tuple(LINES.split(b"\n")) if b"%b" in data else data


@pytest.mark.parametrize(("data", "records"), DOCUMENTS.values(), ids=DOCUMENTS)
@pytest.mark.parametrize("piece", [1, 3, 10**9])
def test_a_document_has_the_rows_of_the_same_records_in_lines(data, records, piece):
    assert read(made(data), records=records, piece=piece) == read(LINES)
    assert read(LINES)[0][0] == {"a": "1.1", "b": '{"c":[1,"x"]}', "_row_number": 1}


def test_a_number_is_as_it_is_written():
    assert read(b'[{"a":1.10,"b":[1E+3]}]')[0] == [{"a": "1.10", "b": "[1E+3]", "_row_number": 1}]


@pytest.mark.parametrize("data", [b'{"a":\n1}', b'{\n  "a": 1\n}\n', b'{"a": 1}'])
def test_one_object_is_one_row(data):
    assert read(data) == ([{"a": "1", "_row_number": 1}], [])


def test_an_object_in_place_of_a_list_is_its_only_record():
    assert read(b'{"ticket": {"a": 1}}', records="ticket") == ([{"a": "1", "_row_number": 1}], [])


def test_an_object_without_the_key_of_the_records_is_a_row():
    assert read(b'[{"a": 1}, {"results": [{"a": 2}]}]', records="results")[0] == [
        {"a": "1", "_row_number": 1},
        {"a": "2", "_row_number": 2},
    ]
    [reject] = read(b'{"code": "invalid_credentials"}', feed("a", records="results"))[1]
    assert reject["rule"] == "file_has_required_columns"


@pytest.mark.parametrize("data", [b"[]", b'{"results": []}', b'{"results": null}'])
def test_a_document_without_records_has_no_rows(data):
    assert read(data, feed("a", records="results")) == ([], [])


@pytest.mark.parametrize("piece", [1, 10**9])
@pytest.mark.parametrize(
    "broken", [b"[1]", b"1234", b'"x"', b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":[1}}', b'{"a":"\xff"}', b'{"a" 1}']
)
def test_a_broken_record_costs_only_itself_and_says_where_it_is(broken, piece):
    data = b'{"results": [{"a":1}, ' + broken + b', {"a":3}]} {"results": [' + broken + b"]}"
    rows, rejects = read(data, records="results", piece=piece)
    assert numbers(rows) == [1, 3]
    assert [(r["row_number"], r["place"]) for r in rejects] == [(2, "$.results[1]"), (4, "page 2: $.results[0]")]
    assert {r["rule"] for r in rejects} <= {"row_is_json", "row_is_utf8"}


def test_null_in_a_list_is_no_row():
    assert numbers(read(b'[{"a":1}, null, {"a":2}]')[0]) == [1, 3]


CUT = b'{"total": 2, "results": [{"a": "x"}, {"a": {"b": "y]"}}], "more": 1}'


@pytest.mark.parametrize("end", range(CUT.index(b"}") + 1, len(CUT)))
@pytest.mark.parametrize("piece", [1, 10**9])
def test_of_a_document_that_is_cut_off_the_records_before_load_and_one_entry_names_the_byte(end, piece):
    rows, [cut] = read(CUT[:end], records="results", piece=piece)
    whole = 2 if end >= CUT.index(b"}}") + 2 else 1
    assert numbers(rows) == list(range(1, whole + 1))
    assert (cut["row_number"], cut["rule"], cut["rows"]) == (whole + 1, "document_is_complete", 1)
    assert cut["reason"].startswith(f"the document is cut off at byte {end}: ")
    assert cut["place"].startswith("$")


def test_a_document_that_is_cut_off_in_its_first_record_is_refused_as_a_whole():
    rows, [entry] = read(b'[{"a": 1, "b')
    assert (rows, entry["rule"], entry["row_number"]) == ([], "file_is_json", None)
    assert "cut off at byte 12" in entry["reason"]


@pytest.mark.parametrize(
    ("data", "byte"),
    [(b'[{"a":1} {"a":2}]', 10), (b'[{"a":1},]', 10), (b'[{"a":1}] x', 11), (b'[{"a":1}}', 9), (b'[{"a":1}:2]', 9)],
)
def test_what_is_broken_between_records_ends_the_document(data, byte):
    rows, [reject] = read(data)
    assert numbers(rows) == [1]
    assert (reject["rule"], reject["row_number"]) == ("document_is_complete", 2)
    assert reject["reason"].startswith(f"the document is broken at byte {byte}: ")


@pytest.mark.parametrize("piece", [1, 10**9])
def test_records_that_are_given_twice_in_an_envelope_are_not_lost_silently(piece):
    rows, [reject] = read(b'{"results": [{"a":1}], "results": [{"a":2}]}', records="results", piece=piece)
    assert (numbers(rows), reject["rule"], reject["place"]) == ([1], "document_is_complete", "$")
    assert "the key results appears twice in one object" in reject["reason"]
    assert reject["payload"].startswith(' "results": [{"a"')


def test_the_payload_of_a_broken_document_begins_with_the_object_that_is_broken():
    rows, [reject] = read(b'[{"results": [{"a":1}]}, {"a": 1, [5], "results": [{"a":2}]}]', records="results")
    assert numbers(rows) == [1]
    assert reject["reason"] == "the document is broken at byte 35: a key is missing"
    assert reject["payload"] == '{"a": 1, [5], "results": [{"a":2}]}]'


@pytest.mark.parametrize("data", [b'{"\\ud800x":1}\n', b'[{"\\ud800x":1}]', b'{"results":{"\\ud800x":1}}'])
def test_half_a_character_in_a_key_can_be_named_in_a_reason(data):
    [reject] = read(data, feed("a", records="results"))[1]
    assert (reject["rule"], "\\ud800x" in reject["reason"]) == ("file_has_required_columns", True)


def test_a_record_that_is_too_long_ends_the_document(monkeypatch):
    monkeypatch.setattr(documents, "MAX_LINE_BYTES", 1_000)
    data = b'[{"a":1},{"a":"' + b"x" * 50_000 + b'"},{"a":3}]'
    rows, [reject] = read(data, piece=100)
    assert numbers(rows) == [1]
    assert "what begins at byte 10 has more than" in reject["reason"]


@pytest.mark.parametrize("depth", [MAX_NESTING + 1, 300_000])
def test_a_record_that_is_nested_too_deeply_costs_only_itself(depth):
    data = b'[{"a":1},{"a":' + b"[" * depth + b"]" * depth + b'},{"a":3}]'
    rows, [reject] = read(data)
    assert (numbers(rows), reject["reason"]) == ([1, 3], f"objects and lists are nested more than {MAX_NESTING} deep")


LINES_ALTHOUGH = [b'{"a":1}\n[{"a":2}]\n{"a":3}', b'{"a":1\n{"a":2}\n{"a":3}', b'{"a":1}\n"a"\n', b'{"a": "cut\n\n{"a":2}\n']


@pytest.mark.parametrize("data", LINES_ALTHOUGH)
def test_lines_stay_lines_whatever_is_broken_in_them(data):
    rows, rejects = read(data)
    assert {r["rule"] for r in rejects} == {"row_is_json"}
    assert len(rows) + len(rejects) == len([line for line in data.split(b"\n") if line])
    assert all(r["place"] is None for r in rejects)


@pytest.mark.parametrize("seed", range(20))
def test_random_records_are_those_of_the_json_module(seed):
    chance = random.Random(seed)

    def value(depth):
        kind = chance.randrange(6 if depth < 9 else 4)
        if kind == 4:
            return [value(depth + 1) for _ in range(chance.randrange(4))]
        if kind == 5:
            return {chance.choice('ab"{ü') + str(n): value(depth + 1) for n in range(chance.randrange(4))}
        return ["".join(chance.choices('a"\\{}[],: ü', k=5)), chance.randrange(99), None, chance.random() < 0.5][kind]

    rows = [{"id": n, "v": value(0)} for n in range(30)]
    envelope = {"before": value(0), "rows": rows, "after": value(0)}
    data = json.dumps(envelope, indent=chance.choice([None, 1]), ensure_ascii=chance.random() < 0.5).encode()
    lines = "\n".join(json.dumps(row) for row in rows).encode()
    assert read(data, records="rows", piece=chance.randrange(1, 50)) == read(lines)


def test_the_columns_of_a_document_can_be_read_alone():
    assert read_header([b'{"results": [{"Full Name": 1}, {"b": 2}]}'], feed(records="results"), "a", 30, date(2026, 1, 1)) == [
        "full_name",
        "b",
    ]


def test_a_long_document_is_held_in_pieces(monkeypatch):
    """No more is held than a record and a piece."""
    held = []
    more = documents._Source._more

    def watched(self):
        read = more(self)
        held.append(len(self._data))
        return read

    monkeypatch.setattr(documents._Source, "_more", watched)
    data = b"[" + b",".join([b'{"a":"%b"}' % (b"x" * 90)] * 10_000) + b"]"
    batches = read_rows(
        (data[n : n + 4_096] for n in range(0, len(data), 4_096)), feed("a"), "a.json", len(data), date(2026, 1, 1)
    )
    assert sum(batch.rows.num_rows for batch in batches) == 10_000
    assert max(held) < 4 * 8_192
