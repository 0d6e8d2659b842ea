"""Reads JSON: lines of one object each, or documents of them; their keys as columns. A broken line never costs a good one.

Scalars become text: numbers exactly as written, `true` and `false`. Null, and a key that a line lacks, is NULL. Objects and lists
become compact JSON. A row's number is its line, or its number among the records of the file's documents, from 1.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from lakehouse_assets.contracts.dialects import Dialect
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.formats import Json
from lakehouse_assets.contracts.provenance import DIALECT, ROW
from lakehouse_assets.raw.readers.batch import SAMPLE_ROWS, Batch, RefusedFileError, Reject, rejects_table
from lakehouse_assets.raw.readers.dialects import NoDialectError, UnreadableRecordError, in_dialect
from lakehouse_assets.raw.readers.documents import Record, is_document, records
from lakehouse_assets.raw.readers.missing import has_too_many_columns, lacks_columns, rename_advice
from lakehouse_assets.raw.readers.text import Text, decoded

if TYPE_CHECKING:
    import pyarrow as pa

MAX_NESTING = 100
"""Levels of objects and lists within a row: a fixed limit, independent of the size of Python's stack."""

_OF_A_DIALECT = "row_is_of_a_dialect"
_READABLE = "record_is_readable"

_BATCH_ROWS = 50_000
_BATCH_BYTES = 16 * 1024 * 1024
_BATCH_VALUES = 2_000_000
_MAX_KNOWN_SHAPES = 10_000
_HEADER_ROWS = 10_000


class _Number(str):
    """The text of a number, exactly as written."""

    __slots__ = ()


class _NotARowError(ValueError):
    """A line is not a JSON object; the message says why."""


# There is one of each for each row of a file: a named tuple is made in a quarter of the time of a frozen dataclass.
class _Row(NamedTuple):
    number: int
    line: bytes
    dialect: Dialect | None
    fields: tuple[str, ...]
    values: list[str | None]


class _NamedRow(NamedTuple):
    number: int
    names: list[str]
    values: list[str | None]


def read_jsonl(pieces: Iterable[bytes], feed: Feed) -> Iterator[Batch]:
    """Yield the rows of a JSON Lines file, in batches, in the order of the file.

    Blank lines and a lone `null` (which Kafka sends after a delete) are not rows.

    Raises:
        RefusedFileError: no line is a row, no row has a required column, or the rows have too many keys. That may show after the
            first batches.
    """
    text = decoded(pieces, "utf-8")
    buffer = _Buffer()
    namer = _Namer(feed)
    fields: dict[str, str] = {}
    of_dialect: dict[str, tuple[Dialect | None, dict[str, str]]] = {}
    beginning: list[str] = []
    count, first_fault, has_unreadable = 0, None, False
    too_many: str | None = None
    latest: list[str] = []
    for item in _rows(text, feed):
        count += 1
        if len(beginning) < SAMPLE_ROWS:
            beginning.append(item.payload if isinstance(item, Reject) else text.shown(item.line))
        if isinstance(item, Reject):
            if count == 1 and text.is_binary:
                raise RefusedFileError("file_is_text", text.binary_reason, beginning)
            if item.rule != _READABLE:  # such a record is as agreed: a file of nothing else is no fault of the file
                first_fault = first_fault or item
            has_unreadable = has_unreadable or item.rule == _READABLE
            buffer.add(item, len(item.payload))
        elif too_many is None:
            too_many = has_too_many_columns(feed, len(item.fields))
            if too_many is None:
                names = namer.names(item)
                if names is not latest:  # most rows have the keys of the row before
                    latest = names
                    fields.update(zip(names, item.fields, strict=True))
                    too_many = has_too_many_columns(feed, len(fields))
                    if item.dialect is not None:
                        of_dialect.setdefault(item.dialect.name, (item.dialect, {}))[1].update(
                            zip(names, item.fields, strict=True)
                        )
                buffer.add(_named(item, names), len(item.line), len(fields))
        if too_many is not None:
            buffer = _Buffer()  # from here on, only count rows
        elif buffer.is_full:
            yield buffer.batch()
    if too_many is not None:
        raise RefusedFileError("file_has_few_new_columns", too_many, beginning, count)
    if first_fault is not None and not buffer.has_rows and not has_unreadable:
        fault = f"row {first_fault.row_number}: {first_fault.reason}"
        if first_fault.rule == _OF_A_DIALECT:
            raise RefusedFileError("file_is_of_a_dialect", f"no row of the file is in a dialect: {fault}", beginning, count)
        raise RefusedFileError("file_is_json", f"no row of the file is a JSON object: {fault}", beginning, count)
    for dialect, known in of_dialect.values() if feed.dialects else [(None, fields)]:
        if count and feed.missing(known, dialect):
            reason = lacks_columns(feed, known, dialect) + rename_advice(feed, list(known.values()), known, dialect)
            raise RefusedFileError("file_has_required_columns", reason, beginning, count)
    yield buffer.batch()


def read_keys(pieces: Iterable[bytes], feed: Feed) -> list[str]:
    """Return the columns of a file's first rows under their names in the raw table; none if there are too many."""
    namer = _Namer(feed)
    names: dict[str, None] = {}
    for count, item in enumerate(_rows(decoded(pieces, "utf-8"), feed)):
        if isinstance(item, _Row):
            if has_too_many_columns(feed, max(len(item.fields), len(names))):
                return []
            names.update(dict.fromkeys(namer.names(item)))
            if item.dialect is not None and item.dialect.omits_nulls:
                names.update(dict.fromkeys(feed.column_names))  # what it leaves out is null, not missing
        if count >= _HEADER_ROWS:
            break
    return [] if has_too_many_columns(feed, len(names)) else list(names)


class _Buffer:
    """Collects rows and rejects, and converts them to Arrow in batches."""

    def __init__(self) -> None:
        self.has_rows = False
        """Whether a row was ever added."""
        self._rows: list[_NamedRow] = []
        self._rejects: list[Reject] = []
        self._bytes = self._values = 0

    def add(self, item: _NamedRow | Reject, size: int, columns: int = 0) -> None:
        """Add a row or reject of `size` bytes; `columns` is the number of the file's columns so far."""
        if isinstance(item, Reject):
            self._rejects.append(item)
        else:
            self._rows.append(item)
            self._values = len(self._rows) * columns
            self.has_rows = True
        self._bytes += size

    @property
    def is_full(self) -> bool:
        """Whether it is time for a batch."""
        count = len(self._rows) + len(self._rejects)
        return count >= _BATCH_ROWS or self._bytes >= _BATCH_BYTES or self._values >= _BATCH_VALUES

    def batch(self) -> Batch:
        """Return what was collected since the last batch, maybe nothing."""
        batch = Batch(_table(self._rows), rejects_table(self._rejects))
        self._rows, self._rejects, self._bytes, self._values = [], [], 0, 0
        return batch


class _Namer:
    """Maps keys to their names in the raw table, once for all rows with the same keys."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._known: dict[tuple[str | None, tuple[str, ...]], list[str]] = {}

    def names(self, row: _Row) -> list[str]:
        shape = (row.dialect.name if row.dialect else None, row.fields)
        if shape not in self._known:
            if len(self._known) >= _MAX_KNOWN_SHAPES:
                self._known.clear()
            self._known[shape] = self._feed.names_of(row.fields, row.dialect)
        return self._known[shape]


def _named(row: _Row, names: list[str]) -> _NamedRow:
    """Return a row with the names of its fields in the raw table, and its dialect as one more column."""
    if row.dialect is None:
        return _NamedRow(row.number, names, row.values)
    return _NamedRow(row.number, [*names, DIALECT], [*row.values, row.dialect.name])


def _rows(text: Text, feed: Feed) -> Iterator[_Row | Reject]:
    """Yield a row or a reject for each line or record; skip blank lines and `null`."""
    form = feed.format
    assert isinstance(form, Json), "the reader is chosen by the format"
    for record in records(text, form) if is_document(text.start, form) else _lines(text):
        if isinstance(record, Reject):
            yield record
            continue
        line = record.line.strip(b" \t\r\n")
        if not line:
            continue
        if (fault := text.fault(line)) is not None:
            yield Reject(record.number, *fault, text.shown(line), place=record.path)
            continue
        try:
            row = _object(line, form)
            if row is None:
                continue
            dialect, fields = in_dialect(row, feed.dialects) if feed.dialects else (None, row.items())
            yield _Row(record.number, line, dialect, tuple(name for name, _ in fields), _texts(fields, line))
        except NoDialectError as error:
            yield Reject(record.number, _OF_A_DIALECT, str(error), text.shown(line), place=record.path)
        except UnreadableRecordError as error:
            yield Reject(record.number, _READABLE, str(error), text.shown(line), place=record.path)
        except _NotARowError as error:
            yield Reject(record.number, "row_is_json", str(error), text.shown(line), place=record.path)


def _lines(text: Text) -> Iterator[Record]:
    lines = (line for block in text.blocks(line_ends=b"\n") for line in block.removesuffix(b"\n").split(b"\n"))
    return (Record(number, None, line) for number, line in enumerate(lines, start=1))


def _object(line: bytes, form: Json) -> dict[str, Any] | None:
    """Parse the row of a line; None for `null`."""
    try:
        value = _DECODER.decode(line.decode())
    except json.JSONDecodeError as error:
        raise _NotARowError(f"the row is not JSON: {error.msg.removesuffix(' at')} at position {error.pos + 1}") from None
    except RecursionError:
        raise _too_deep() from None
    if isinstance(value, dict) and form.unwrap is not None:
        value = value.get(form.unwrap, value)
    if value is None or isinstance(value, dict):
        return value
    kind = "list" if isinstance(value, list) else "single value"
    raise _NotARowError(f"the row holds a JSON {kind}, not an object")


def _with_distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make the dict of a JSON object; refuse repeated keys."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        repeated = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise _NotARowError(f"the key {json.dumps(repeated[:100])} appears twice in one object")
    return fields


def _refused_constant(name: str) -> None:
    raise _NotARowError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    parse_int=_Number, parse_float=_Number, parse_constant=_refused_constant, object_pairs_hook=_with_distinct_keys
)


def _too_deep() -> _NotARowError:
    return _NotARowError(f"objects and lists are nested more than {MAX_NESTING} deep")


def _texts(fields: Iterable[tuple[str, Any]], line: bytes) -> list[str | None]:
    """Convert the values of a line to the texts that the raw table stores."""
    texts = [value if value is None or isinstance(value, str) else _compact(value, 1) for _, value in fields]
    if b"\\u" in line:  # half a character can only come of an escape, because the line itself is UTF-8
        for text in filter(None, texts):
            _refuse_half_characters(text)
    return texts


def _compact(value: Any, depth: int) -> str:
    """Write a value as compact JSON, with numbers exactly as in the source."""
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
    return _ENCODER.encode(value) if isinstance(value, str) else _CONSTANTS[value]


_ENCODER = json.JSONEncoder(ensure_ascii=False)
_CONSTANTS = {True: "true", False: "false", None: "null"}


def _refuse_half_characters(text: str) -> None:
    """Refuse a text that can't be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _NotARowError(f"\\u{ord(text[error.start]):04x} is half a character") from None


def _table(rows: list[_NamedRow]) -> "pa.Table":
    """Convert rows to Arrow: a column for each name, NULL where a row lacks it."""
    import pyarrow as pa

    columns: dict[str, list[str | None]] = {}
    count = 0
    for names, alike in groupby(rows, key=lambda row: row.names):
        lists = [row.values for row in alike]
        for name, values in zip(names, zip(*lists, strict=True), strict=True):
            column = columns.setdefault(name, [])
            column.extend(repeat(None, count - len(column)))
            column.extend(values)
        count += len(lists)
    for column in columns.values():
        column.extend(repeat(None, count - len(column)))
    arrays = {name: pa.array(column, pa.string()) for name, column in columns.items()}
    return pa.table({**arrays, ROW: pa.array([row.number for row in rows], pa.int64())})
