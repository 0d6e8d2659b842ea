"""Splits JSON documents into records, as a stream. Each record's bytes go to the reader of JSON Lines: one way to read an object.

No JSON library for Python streams, says at which byte a document is cut off, and leaves numbers as they are written; so this finds
where records begin and end, and nothing else. What is within a record need not be JSON here: its reader refuses it. What is broken
between records, or never closed, ends the file: nothing behind it can be told apart.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from lakehouse_assets.contracts.dialects import NUMBER
from lakehouse_assets.contracts.formats import Json
from lakehouse_assets.raw.readers.batch import Reject
from lakehouse_assets.raw.readers.text import MAX_LINE_BYTES, Text

_BLANK = re.compile(rb"[ \t\r\n]*+")
_STRING = rb'"(?:[^"\\]|\\.)*+"'
_SCALAR = re.compile(rb'(?s:%b|[^\[\]{}",: \t\r\n]++)' % _STRING)
_KEY = re.compile(rb"(?s:(%b)[ \t\r\n]*+:[ \t\r\n]*+)" % _STRING)
_BETWEEN_MEMBERS = re.compile(rb"[ \t\r\n,]*+")
_TOKEN = re.compile(rb'(?s:%b|[\[\]{}"])' % _STRING)


def _balanced(depth: int) -> re.Pattern[bytes]:
    """Return the pattern of an object or list with up to `depth` levels within it. Possessive, so that no input makes it slow."""
    within = rb'[^\[\]{}"]++|' + _STRING
    pattern = rb"[\[{](?:%b)*+[\]}]" % within
    for _ in range(depth):
        pattern = rb"[\[{](?:%b|%b)*+[\]}]" % (within, pattern)
    return re.compile(rb"(?s:%b)" % pattern)


_COMMON = _balanced(5)
"""Finds the end of nearly all records in one step. `_end` finds that of the rest."""


class Record(NamedTuple):
    """A record: its number among those of the file, from 1, its path in the document (None in lines), and its bytes."""

    number: int
    path: str | None
    line: bytes


class _BrokenError(Exception):
    """The documents can't be split further; the message says why."""


def is_document(start: bytes, form: Json) -> bool:
    """Whether a JSON file is made of documents, judged by its first bytes. If not, each of its lines is an object.

    A list is a document. An object is one if it goes on below its first line, with anything but another object.
    """
    text = start.lstrip()
    if not text.startswith(b"{"):
        return text.startswith(b"[")
    first, _, others = text.partition(b"\n")
    return form.records is not None or (_end(first, 0) is None and bool(others.strip()) and not others.lstrip().startswith(b"{"))


def records(text: Text, form: Json) -> Iterator[Record | Reject]:
    """Yield the records of a file's documents. The last item is a reject if a document is broken or cut off."""
    source = _Source(text.pieces)
    keys = tuple(key.encode() for key in form.records.split(".")) if form.records else ()
    number = 0
    pages = 0
    try:
        while (first := source.peek()) is not None:
            pages += 1
            if first not in b"[{":
                raise source.broken("neither an object nor a list begins")
            page = "$" if pages == 1 else f"page {pages}: $"
            for path, line in _values(source, page, keys):
                number += 1
                yield Record(number, path, line)
    except _BrokenError as error:
        shown = text.shown(source.rest())
        yield Reject(number + 1, "document_is_complete", str(error), shown, place=source.path)


def _values(source: "_Source", path: str, keys: tuple[bytes, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield the path and bytes of the records in the value that begins here: a list of records or envelopes, or one of these."""
    source.path = path
    if source.peek() != b"[":
        yield from _object(source, path, keys)
        return
    source.skip(1)
    if source.peek() != b"]":
        yield from _items(source, path, keys)
    source.expect(b"]")


def _items(source: "_Source", path: str, keys: tuple[bytes, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield the records of a list, up to its end."""
    index = 0
    while index == 0 or source.passes(b","):
        source.path = f"{path}[{index}]"
        if keys and source.peek() == b"{":
            yield from _object(source, source.path, keys)
        else:
            yield source.path, source.take()
        source.path = path
        index += 1


def _object(source: "_Source", path: str, keys: tuple[bytes, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield the records of an envelope; the object itself if it is none, as it lacks the first of the keys."""
    if not keys:
        yield path, source.take()
        return
    if keys[0] == NUMBER.encode() and (first := source.key(1)) is not None and first[0].isdigit():
        yield from _numbered(source, path)
        return
    source.path = path
    offset = 1
    while (member := source.key(offset)) is not None:
        key, value = member
        if key == keys[0]:
            source.skip(value)
            inner = f"{path}.{key.decode(errors='backslashreplace')}"
            if source.peek() == b"n":  # null: an empty page
                source.take()
            elif source.peek() in (b"[", b"{"):
                yield from _values(source, inner, keys[1:])
            else:
                source.path = inner
                yield inner, source.take()
            source.path = path
            _leave(source, key)
            return
        offset = source.after_value(value)
    yield path, source.take()


def _numbered(source: "_Source", path: str) -> Iterator[tuple[str, bytes]]:
    """Yield the members of an object keyed by number, each as an object of its own, for a dialect to unwrap."""
    source.path = path
    source.expect(b"{")
    while (member := source.key(0)) is not None:
        key, value = member
        source.path = f"{path}.{key.decode(errors='backslashreplace')}"
        source.skip(value)
        yield source.path, b'{"%b":%b}' % (key, source.take())
        source.path = path
        if not source.passes(b","):
            break
    source.expect(b"}")


def _leave(source: "_Source", key: bytes) -> None:
    """Skip what follows the records in their envelope, which were under this key."""
    while source.passes(b","):
        if (member := source.key(0)) is None:
            raise source.broken("a key is missing")
        if member[0] == key:  # whose records would be lost
            raise source.broken(f"the key {key.decode(errors='backslashreplace')} appears twice in one object")
        source.skip(member[1])
        source.take()
    source.expect(b"}")


class _Source:
    """The text of a file, of which no more is held than the record that is being read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.path = "$"
        """Where the source is in its document."""
        self._pieces = pieces
        self._data = b""
        self._at = 0
        self._before = 0
        """How many bytes were let go."""

    def peek(self) -> bytes | None:
        """Return the next byte that is not blank, and stop before it; None at the end of the file."""
        while True:
            blank = _BLANK.match(self._data, self._at)
            assert blank is not None, "it matches nothing, too"
            self._at = blank.end()
            if self._at < len(self._data):
                return self._data[self._at : self._at + 1]
            if not self._more():
                return None

    def skip(self, count: int) -> None:
        """Go on by so many bytes, which were read."""
        self._at += count

    def passes(self, byte: bytes) -> bool:
        """Skip a byte, if it is next."""
        is_there = self.peek() == byte
        self.skip(is_there)
        return is_there

    def expect(self, byte: bytes) -> None:
        """Skip a byte.

        Raises:
            _BrokenError: another one follows.
        """
        if not self.passes(byte):
            missing = f"{byte.decode()!r} is missing"
            raise self.cut_off(missing) if self.peek() is None else self.broken(missing)

    def take(self) -> bytes:
        """Return the bytes of the value that begins here, and go on behind it.

        Raises:
            _BrokenError: none begins, or it doesn't end.
        """
        self.peek()
        end = self.after_value(0)
        value = self._data[self._at : self._at + end]
        self.skip(end)
        return value

    def after_value(self, offset: int) -> int:
        """Return the offset behind the value that begins at an offset."""
        while (end := _end(self._data, self._at + offset)) is None or (end == len(self._data) and self._data[-1] not in b'"]}'):
            # A number may go on in the next piece.
            if not self._more():
                if end is None:
                    is_begun = self._data[self._at + offset : self._at + offset + 1] in (b"", b'"', b"{", b"[")
                    raise self.cut_off("a value does not end") if is_begun else self.broken("a value is missing")
                break
        return end - self._at

    def key(self, offset: int) -> tuple[bytes, int] | None:
        """Return the next key of an object, without quotes, and the offset of its value; None if the object ends."""
        while True:
            blank = _BETWEEN_MEMBERS.match(self._data, self._at + offset)
            assert blank is not None, "it matches nothing, too"
            start = blank.end()
            if (match := _KEY.match(self._data, start)) and match.end() < len(self._data):
                return match.group(1)[1:-1], match.end() - self._at
            if self._data[start : start + 1] == b"}":
                return None
            if self._data[start : start + 1] not in (b'"', b""):
                raise self.broken("a key is missing", start - self._at)
            if not self._more():
                raise self.cut_off("an object does not end")

    def broken(self, what: str, offset: int = 0) -> _BrokenError:
        """Return the error for what is wrong at an offset from here."""
        return _BrokenError(f"the document is broken at byte {self._before + self._at + offset + 1:,}: {what}")

    def cut_off(self, what: str) -> _BrokenError:
        """Return the error for what begins here and does not end."""
        begin, end = self._before + self._at + 1, self._before + len(self._data)
        if end - begin >= MAX_LINE_BYTES:
            return _BrokenError(f"what begins at byte {begin:,} has more than {MAX_LINE_BYTES // 1024**2} MiB: {what}")
        return _BrokenError(
            f"the document is cut off at byte {end:,}: {what} (from byte {begin:,} on), unless a quote or bracket is missing there"
        )

    def rest(self) -> bytes:
        """Return what was read and not taken, at most the longest record."""
        return self._data[self._at :]

    def _more(self) -> bool:
        """Read on, and let go of what was taken; False at the end of the file, or if the record is too long."""
        if len(self._data) - self._at > MAX_LINE_BYTES:
            return False
        pieces, size = [self._data[self._at :]], 0
        # As much again, so that no record is looked at over and over.
        while size <= len(pieces[0]) and (piece := next(self._pieces, None)) is not None:
            pieces.append(piece)
            size += len(piece)
        self._data, self._before, self._at = b"".join(pieces), self._before + self._at, 0
        return size > 0


def _end(data: bytes, start: int) -> int | None:
    """Return the position behind the value that begins at `start`; None if it isn't complete."""
    if data[start : start + 1] not in (b"{", b"["):
        scalar = _SCALAR.match(data, start)
        return scalar.end() if scalar else None
    if common := _COMMON.match(data, start):
        return common.end()
    depth = 0
    for token in _TOKEN.finditer(data, start):
        if token.group() == b'"':  # a text that does not end yet
            return None
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(token.group(), 0)
        if depth == 0:
            return token.end()
    return None
