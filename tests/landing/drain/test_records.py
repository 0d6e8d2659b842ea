"""A record as a line: what can be a row stays as it came, what can't says why."""

import base64
import json

import pytest

from lakehouse_assets.landing.drain.records import MAX_RECORD_BYTES, Place, Record, line, lost_line

PLACE = Place("orders", "AxeFudXxTwuFsvzLRYqtUQ", 3)


def written(value, **around):
    given = {"offset": 17, "key": b"k", "value": value, "headers": (), "timestamp": 1663130168334, **around}
    text, is_row = line(PLACE.beginning, Record(**given))
    assert text.endswith(b"}\n")
    assert text.count(b"\n") == 1
    return json.loads(text), is_row


def test_a_row_has_its_value_as_it_came_and_what_kafka_has_around_it():
    result, is_row = written(b'{"a": 1.50}', headers=[("source", b"x"), ("raw", b"\xff"), ("none", None)])
    assert is_row
    assert result == {
        "topic": "orders",
        "topic_id": "AxeFudXxTwuFsvzLRYqtUQ",
        "partition": 3,
        "offset": 17,
        "key": "k",
        "headers": [
            {"key": "source", "value": "x"},
            {"key": "raw", "value": None, "value_base64": base64.b64encode(b"\xff").decode()},
            {"key": "none", "value": None},
        ],
        "timestamp": 1663130168334,
        "value": {"a": 1.5},
    }
    assert b'"value": {"a": 1.50}}' in line(PLACE.beginning, Record(17, b"k", b'{"a": 1.50}', (), None))[0]


def test_a_value_over_several_lines_is_one_line():
    assert written(b'{\r\n "a": "x\\ny"\n}')[0]["value"] == {"a": "x\ny"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "the value is empty"),
        (b" \n", "the value is empty"),
        (b'{"a": 1', "not JSON"),
        (b'{"a": 1}, "offset": 5', "not JSON"),
        (b'{"a": 1}}\n{"topic": "x"', "not JSON"),
        (b"[1]", "a list in JSON"),
        (b"null", "null in JSON"),
        (b"7", "a single value"),
        (b'{"a": "\xff"}', "not UTF-8: byte 0xFF at position 8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"\0\0\0\0\x11{}", "schema registry (schema 17)"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a": "' + b"x" * MAX_RECORD_BYTES + b'"}', "more than 1,000,000 bytes"),
    ],
)
def test_what_can_be_no_row_says_why_and_keeps_its_bytes(value, reason):
    result, is_row = written(value)
    assert not is_row
    assert reason in result["fault"]
    assert result["value"] is None
    assert (result["topic"], result["partition"], result["offset"]) == ("orders", 3, 17)
    kept = base64.b64decode(result["text_base64"]) if "text_base64" in result else result["text"] and result["text"].encode()
    assert (kept or b"") == (value or b"")


def test_a_record_of_many_bytes_is_a_line_that_raw_reads():
    text, is_row = line(PLACE.beginning, Record(1, b"\xff" * 3_000_000, b"\xff" * 9_000_000, (), None))
    assert not is_row
    assert len(text) < 16 * 1024 * 1024
    assert json.loads(text)["size"] == 9_000_000


def test_offsets_that_are_gone_are_a_line_of_their_own():
    result = json.loads(lost_line(PLACE, 100, 250))
    assert (result["offset"], result["last_offset"], result["value"]) == (100, 249, None)
    assert "offsets 100 to 249 were deleted" in result["fault"]
