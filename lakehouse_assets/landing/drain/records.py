"""Writes a record as a line of JSON: its value as it came, and what Kafka has around it. Says what is wrong with one that is no row.

What a row needs beyond being a JSON object is up to raw and silver, which know the feed.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

MAX_RECORD_BYTES = 1_000_000
"""A larger record is no event."""

_KEPT_BYTES = 4_000_000
"""How much is kept of a record that is too large: in Base64 and with all that is around it, a line that raw reads."""

_PREFIX_BYTES = 5


class Record(NamedTuple):
    """A record as it came. `timestamp` is in milliseconds since 1970; None if it has none."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp: int | None


class Place(NamedTuple):
    """Where records are from, and the beginning of their lines."""

    topic: str
    topic_id: str
    partition: int

    @property
    def beginning(self) -> str:
        """What the lines of all records of the partition begin with."""
        return f'{{"topic": "{self.topic}", "topic_id": "{self.topic_id}", "partition": {self.partition}, "offset": '


def line(beginning: str, record: Record) -> tuple[bytes, bool]:
    """Return the line of a record, and whether it can be a row. `beginning` is that of its place."""
    around = (
        f"{beginning}{record.offset}, {_text('key', record.key)}, "
        f'"headers": {_headers(record.headers)}, "timestamp": {"null" if record.timestamp is None else record.timestamp}, '
    )
    fault = _fault(record)
    if fault is None:
        assert record.value is not None
        value = record.value
        if b"\n" in value or b"\r" in value:  # between its values, since in a text they are escaped
            value = value.replace(b"\n", b" ").replace(b"\r", b" ")
        return b'%b"value": %b}\n' % (around.encode(), value), True
    if len(around) > _KEPT_BYTES:
        around = f'{beginning}{record.offset}, "key": null, "headers": null, "timestamp": null, '
    value = record.value or b""
    kept = None if record.value is None else value[:_KEPT_BYTES]
    around += f'"fault": {json.dumps(fault)}, "size": {len(value)}, "sha256": "{hashlib.sha256(value).hexdigest()}", '
    return f'{around}{_text("text", kept)}, "value": null}}\n'.encode(), False


def lost_line(place: Place, first: int, end: int) -> bytes:
    """Return the line that stands for offsets that the broker has deleted before they were drained."""
    fault = (
        f"offsets {first} to {end - 1} were deleted by the broker before they were drained: its retention is shorter than the time "
        "in which nobody drained. Send what they held again, or restore it"
    )
    return f'{place.beginning}{first}, "last_offset": {end - 1}, "fault": {json.dumps(fault)}, "value": null}}\n'.encode()


def _fault(record: Record) -> str | None:
    """Return why a record can't be a row; None if it can."""
    value = record.value
    if value is None:
        return "the record has no value: it is a tombstone, and no event can be deleted by one"
    size = len(value) + len(record.key or b"") + sum(len(name) + len(v or b"") for name, v in record.headers)
    if size > MAX_RECORD_BYTES:
        return f"the record has more than {MAX_RECORD_BYTES:,} bytes"
    if not value.strip():
        return "the value is empty"
    if value[0] == 0 and len(value) >= _PREFIX_BYTES:
        schema = int.from_bytes(value[1:_PREFIX_BYTES], "big")
        return f"the value begins with the prefix of a schema registry (schema {schema}): have it sent as plain JSON"
    try:
        parsed = _DECODER.decode(value.decode())
    except UnicodeDecodeError as error:
        return f"the value is not UTF-8: byte 0x{value[error.start]:02X} at position {error.start + 1}"
    except json.JSONDecodeError as error:
        return f"the value is not JSON: {error.msg.removesuffix(' at')} at position {error.pos + 1}"
    except RecursionError:
        return "the value is not JSON that can be read: its objects and lists are nested too deep"
    if isinstance(parsed, dict):
        return None
    kind = "null" if parsed is None else "a list" if isinstance(parsed, list) else "a single value"
    return f"the value is {kind} in JSON, not an object"


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
"""Reads no number: only raw needs them, and reads them exactly."""

_quoted = json.JSONEncoder(ensure_ascii=False).encode


def _text(name: str, value: bytes | None) -> str:
    """Return a field with the text of some bytes; if they are no text, with their Base64 as `<name>_base64`."""
    if value is None:
        return f'"{name}": null'
    try:
        return f'"{name}": {_quoted(value.decode())}'
    except UnicodeDecodeError:
        return f'"{name}": null, "{name}_base64": "{base64.b64encode(value).decode()}"'


def _headers(headers: Sequence[tuple[str, bytes | None]]) -> str:
    fields = (f'{{"key": {_quoted(key)}, {_text("value", value)}}}' for key, value in headers)
    return f"[{', '.join(fields)}]"
