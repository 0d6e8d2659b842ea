"""Reads JSON Lines: one object a line, its keys as columns. One broken line never costs a good one.

A value that is no object and no list becomes its text: numbers exactly as they are written, `true` and `false`, NULL for null and for a
key that a line lacks. Objects and lists become compact JSON. A row's number is its line, the first being 1.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.contract import Json, RawContract
from lakehouse_assets.raw.batch import Batch, Reject
from lakehouse_assets.raw.missing import lacks_columns, rename_advice
from lakehouse_assets.raw.text import fault_of_utf8, shown, utf8

if TYPE_CHECKING:
    import pyarrow as pa

MAX_NESTING = 100
"""Levels of objects and lists within a row. A limit of its own, so that it doesn't depend on what Python's stack has room for."""

_BATCH_ROWS = 100_000
_BATCH_BYTES = 64 * 1024 * 1024
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
    fields: list[str]
    names: list[str]
    values: list[str | None]


def read_jsonl(pieces: Iterable[bytes], contract: RawContract) -> Iterator[Batch]:
    """The rows of a file in JSON Lines, in batches, in the order of the file.

    A file of which no row has a required column yields all its rows as rejects. Blank lines and a lone `null` (which Kafka
    sends behind a delete) are no rows.
    """
    rows: list[_Row] = []
    rejects: list[Reject] = []
    fields: dict[str, str] = {}
    size = 0

    def batch() -> Batch:
        found = Batch(_table(rows), rejects.copy(), len(rows) + len(rejects))
        rows.clear()
        rejects.clear()
        return found

    for item in _rows(pieces, contract):
        if isinstance(item, Reject):
            rejects.append(item)
            continue
        rows.append(item)
        size += len(item.line)
        fields.update(zip(item.names, item.fields, strict=True))
        # No row goes on before it is sure that the file has all required columns.
        if (len(rows) >= _BATCH_ROWS or size >= _BATCH_BYTES) and not contract.missing(fields):
            yield batch()
            size = 0
    if rows and contract.missing(fields):
        reason = lacks_columns(contract, fields) + rename_advice(contract, list(fields.values()), fields)
        rejects += [Reject(row.number, "file_has_required_columns", reason, shown(row.line)) for row in rows]
        rows.clear()
    yield batch()


def read_keys(pieces: Iterable[bytes], contract: RawContract) -> list[str]:
    """The columns of a file under their names in the raw table, as far as its first rows show them."""
    names: dict[str, None] = {}
    for count, item in enumerate(_rows(pieces, contract)):
        if isinstance(item, _Row):
            names.update(dict.fromkeys(item.names))
        if count >= _ROWS_FOR_THE_COLUMNS:
            break
    return list(names)


def _rows(pieces: Iterable[bytes], contract: RawContract) -> Iterator[_Row | Reject]:
    form = contract.format
    assert isinstance(form, Json), "the reader is chosen by the format"
    names_of: dict[tuple[str, ...], list[str]] = {}
    for number, line in enumerate(_lines(utf8(pieces, "utf-8")), start=1):
        line = line.strip(b" \t\r\n")
        if not line:
            continue
        if (fault := fault_of_utf8(line)) is not None:
            yield Reject(number, "row_is_utf8", fault, shown(line))
            continue
        try:
            found = _object(line, form)
            if found is None:
                continue
            fields = tuple(found)
            if fields not in names_of:
                names_of[fields] = contract.names_of(fields)
            yield _Row(number, line, list(fields), names_of[fields], [_text(v) for v in found.values()])
        except _NotARowError as error:
            yield Reject(number, "row_is_json", str(error), shown(line))


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
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _NotARowError(f"the key {json.dumps(twice)} stands twice in one object")
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


def _table(rows: list[_Row]) -> "pa.Table":
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
    return pa.table({**arrays, "_row_number": pa.array([row.number for row in rows], pa.int64())})
