"""Reads JSON Lines: one object a line, its keys as columns. One broken line never costs a good one.

A value that is no object and no list becomes its text: numbers exactly as they are written, `true` and `false`, NULL for null and for a
key that a line lacks. Objects and lists become compact JSON. A row's number is its line, the first being 1.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.feeds import Feed, Json
from lakehouse_assets.contracts.provenance import ROW
from lakehouse_assets.raw.readers.batch import SAMPLE_ROWS, Batch, Reject, refused, rejects_table
from lakehouse_assets.raw.readers.missing import has_too_many_columns, lacks_columns, rename_advice
from lakehouse_assets.raw.readers.text import Text, decoded

if TYPE_CHECKING:
    import pyarrow as pa

MAX_NESTING = 100
"""Levels of objects and lists within a row. A limit of its own, so that it doesn't depend on what Python's stack has room for."""

_BATCH_ROWS = 50_000
_BATCH_BYTES = 16 * 1024 * 1024
_BATCH_VALUES = 2_000_000
_KNOWN_SHAPES = 10_000
_ROWS_FOR_THE_COLUMNS = 10_000


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


class _NotARowError(ValueError):
    """A line that is no JSON object, and why."""


@dataclass(frozen=True)
class _Row:
    number: int
    line: bytes
    fields: tuple[str, ...]
    values: list[str | None]


@dataclass(frozen=True)
class _NamedRow:
    number: int
    names: list[str]
    values: list[str | None]


def read_jsonl(pieces: Iterable[bytes], feed: Feed) -> Iterator[Batch]:
    """The rows of a file in JSON Lines, in batches, in the order of the file.

    A file of which no line is a row or no row has a required column, or whose rows have too many keys, is refused as a whole. Blank
    lines and a lone `null` (which Kafka sends behind a delete) are no rows.
    """
    text = decoded(pieces, "utf-8")
    found = _Found()
    namer = _Namer(feed)
    fields: dict[str, str] = {}
    beginning: list[str] = []
    count, first_fault = 0, ""
    too_many: str | None = None
    for item in _rows(text, feed):
        count += 1
        if len(beginning) < SAMPLE_ROWS:
            beginning.append(item.payload if isinstance(item, Reject) else text.shown(item.line))
        if isinstance(item, Reject):
            if count == 1 and text.is_binary:
                yield refused("file_is_text", text.binary_reason, beginning, 1)
                return
            first_fault = first_fault or f"line {item.row_number}: {item.reason}"
            found.add(item, len(item.payload))
        elif too_many is None:
            too_many = has_too_many_columns(feed, len(item.fields))
            if too_many is None:
                names = namer.names(item.fields)
                fields.update(zip(names, item.fields, strict=True))
                too_many = has_too_many_columns(feed, len(fields))
                found.add(_NamedRow(item.number, names, item.values), len(item.line), len(fields))
        if too_many is not None:
            found = _Found()  # from here on rows are only counted
    if too_many is not None:
        yield refused("file_has_few_new_columns", too_many, beginning, count)
    elif count and not found.has_rows:
        yield refused("file_is_json", f"no line of the file is a JSON object: {first_fault}", beginning, count)
    elif count and feed.missing(fields):
        reason = lacks_columns(feed, fields) + rename_advice(feed, list(fields.values()), fields)
        yield refused("file_has_required_columns", reason, beginning, count)
    else:
        yield from found.batches()


def read_keys(pieces: Iterable[bytes], feed: Feed) -> list[str]:
    """The columns of a file under their names in the raw table, as far as its first rows show them; none where they are too many."""
    namer = _Namer(feed)
    names: dict[str, None] = {}
    for count, item in enumerate(_rows(decoded(pieces, "utf-8"), feed)):
        if isinstance(item, _Row):
            if has_too_many_columns(feed, max(len(item.fields), len(names))):
                return []
            names.update(dict.fromkeys(namer.names(item.fields)))
        if count >= _ROWS_FOR_THE_COLUMNS:
            break
    return [] if has_too_many_columns(feed, len(names)) else list(names)


class _Found:
    """Rows and rejects, as Arrow as soon as there are many. None goes on before the last line has shown which columns the file has."""

    def __init__(self) -> None:
        self.has_rows = False
        self._done: list[Batch] = []
        self._rows: list[_NamedRow] = []
        self._rejects: list[Reject] = []
        self._bytes = 0

    def add(self, item: _NamedRow | Reject, size: int, columns: int = 0) -> None:
        if isinstance(item, Reject):
            self._rejects.append(item)
        else:
            self._rows.append(item)
            self.has_rows = True
        self._bytes += size
        count = len(self._rows) + len(self._rejects)
        if count >= _BATCH_ROWS or self._bytes >= _BATCH_BYTES or len(self._rows) * columns >= _BATCH_VALUES:
            self._finish()

    def batches(self) -> list[Batch]:
        if self._rows or self._rejects or not self._done:
            self._finish()
        return self._done

    def _finish(self) -> None:
        self._done.append(Batch(_table(self._rows), rejects_table(self._rejects)))
        self._rows, self._rejects, self._bytes = [], [], 0


class _Namer:
    """Gives keys their names in the raw table, once for all rows of the same keys."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._known: dict[tuple[str, ...], list[str]] = {}

    def names(self, fields: tuple[str, ...]) -> list[str]:
        if fields not in self._known:
            if len(self._known) >= _KNOWN_SHAPES:
                self._known.clear()
            self._known[fields] = self._feed.names_of(fields)
        return self._known[fields]


def _rows(text: Text, feed: Feed) -> Iterator[_Row | Reject]:
    form = feed.format
    assert isinstance(form, Json), "the reader is chosen by the format"
    for number, line in enumerate(_lines(text.pieces), start=1):
        line = line.strip(b" \t\r\n")
        if not line:
            continue
        if (fault := text.fault(line)) is not None:
            yield Reject(number, *fault, text.shown(line))
            continue
        try:
            found = _object(line, form)
            if found is None:
                continue
            yield _Row(number, line, tuple(found), [_text(v) for v in found.values()])
        except _NotARowError as error:
            yield Reject(number, "row_is_json", str(error), text.shown(line))


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest: list[bytes] = []
    for piece in pieces:
        first, *more = piece.split(b"\n")
        rest.append(first)
        for following in more:
            yield b"".join(rest)
            rest = [following]
    yield b"".join(rest)


def _object(line: bytes, form: Json) -> dict[str, Any] | None:
    """The row that a line holds; None where it holds no row."""
    try:
        found = json.loads(
            line.decode(),
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refused_constant,
            object_pairs_hook=_with_distinct_keys,
        )
    except json.JSONDecodeError as error:
        raise _NotARowError(f"the line is no JSON: {error.msg.removesuffix(' at')} at position {error.pos + 1}") from None
    except RecursionError:
        raise _too_deep() from None
    if isinstance(found, dict) and form.unwrap is not None:
        found = found.get(form.unwrap, found)
    if found is None or isinstance(found, dict):
        return found
    kind = "list" if isinstance(found, list) else "single value"
    raise _NotARowError(f"the line holds a JSON {kind}, not an object")


def _with_distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise _NotARowError(f"the key {json.dumps(twice[:100])} stands twice in one object")
    return found


def _refused_constant(name: str) -> None:
    raise _NotARowError(f"{name} is not JSON")


def _too_deep() -> _NotARowError:
    return _NotARowError(f"objects and lists are nested more than {MAX_NESTING} deep")


def _text(value: Any) -> str | None:
    """A value of a row as the raw table holds it."""
    if value is None:
        return None
    return _storable(value if isinstance(value, str) else _compact(value, 1))


def _compact(value: Any, depth: int) -> str:
    if depth > MAX_NESTING:
        raise _too_deep()
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(k)}:{_compact(v, depth + 1)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_compact(v, depth + 1) for v in value) + "]"
    if isinstance(value, _Number):
        return value
    return _quoted(value)


def _quoted(value: str | bool | None) -> str:
    return json.dumps(value, ensure_ascii=False)


def _storable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _NotARowError(f"\\u{ord(text[error.start]):04x} is half a character") from None
    return text


def _table(rows: list[_NamedRow]) -> "pa.Table":
    import pyarrow as pa

    columns: dict[str, list[str | None]] = {}
    for place, row in enumerate(rows):
        for name, value in zip(row.names, row.values, strict=True):
            column = columns.setdefault(name, [])
            column.extend([None] * (place - len(column)))
            column.append(value)
    for column in columns.values():
        column.extend([None] * (len(rows) - len(column)))
    arrays = {name: pa.array([None if v is None else str(v) for v in column], pa.string()) for name, column in columns.items()}
    return pa.table({**arrays, ROW: pa.array([row.number for row in rows], pa.int64())})
