"""Reads CSV tolerantly: a broken row never costs a good one.

Blocks of lines that need no care go to Arrow as they are: text without NULs, each line a record with the right number of fields.
All others are split into records here, because the parsers of DuckDB and Arrow let an unclosed quote swallow everything after it; Arrow
then parses the records. A record's number is the line on which it starts, as in an editor: the header's is 1.
"""

import codecs
import csv
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.formats import Csv
from lakehouse_assets.contracts.provenance import ROW
from lakehouse_assets.raw.readers.batch import SAMPLE_ROWS, Batch, RefusedFileError, Reject, rejects_table, with_dialect
from lakehouse_assets.raw.readers.missing import Header, has_too_many_columns, header_of
from lakehouse_assets.raw.readers.text import MAX_LINE_BYTES, Text, decoded

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.csv import InvalidRow

MAX_LINES_PER_RECORD = 200
"""A quoted field may span lines; if it spans more than this, its quote counts as never closed."""

_BATCH_RECORDS = 100_000
_BATCH_BYTES = 32 * 1024 * 1024
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_LINE_END = re.compile(rb"\r\n?|\n")
_OTHER_DELIMITERS = (",", ";", "\t", "|")

Record = tuple[int, bytes]
"""The line number on which a record starts, and its text without the line end."""


def read_csv(pieces: Iterable[bytes], feed: Feed) -> Iterator[Batch]:
    """Yield the rows of a CSV file, in batches, in the order of the file.

    Raises:
        RefusedFileError: the header is missing or broken, lacks a required column, or has too many columns; or the file has no lines.
            Of a feed whose files have no header line: the file is binary.
    """
    form = _csv(feed)
    text = decoded(pieces, form.encoding)
    grammar = _Grammar(form.delimiter)
    reader = _RecordReader(text, grammar)
    if form.headers:
        header = _declared_header(feed, text)
        reader.fields = len(header.names)
    else:
        first = reader.next()
        if first is None:
            raise RefusedFileError("file_has_header", "the file is empty: it has no header")
        header, fault = _header(first, feed, text)
        if fault is not None:
            raise _refusal(fault, first, reader, text, form)
    good: list[Record] = []
    rejects: list[Reject] = []
    size, yielded = 0, False

    def batch() -> Batch:
        nonlocal size, yielded
        yielded = True
        rows = with_dialect(_parse(good, header.names, form, rejects, text), header.dialect)
        result = Batch(rows, rejects_table(rejects))
        good.clear()
        rejects.clear()
        size = 0
        return result

    while True:
        if (block := reader.next_block()) is not None:
            if (rows := _parse_block(block, reader.line, header.names, form, grammar)) is not None:
                if good or rejects:
                    yield batch()
                yielded = True
                yield Batch(with_dialect(rows, header.dialect), rejects_table([]))
                reader.pass_over(rows.num_rows)
                continue
            reader.open(block)
        item = reader.next()
        if item is None:
            break
        if isinstance(item, Reject):
            rejects.append(item)
            size += len(item.payload)
        else:
            good.append(item)
            size += len(item[1])
        if len(good) + len(rejects) >= _BATCH_RECORDS or size >= _BATCH_BYTES:
            yield batch()
    if good or rejects or not yielded:
        yield batch()


def read_header(pieces: Iterable[bytes], feed: Feed) -> list[str]:
    """Return the columns of a CSV file under their names in the raw table; none if its header can't be read.

    Raises:
        RefusedFileError: the file has no lines.
    """
    form = _csv(feed)
    text = decoded(pieces, form.encoding)
    if form.headers:
        return _declared_header(feed, text).planned(feed)
    first = _RecordReader(text, _Grammar(form.delimiter)).next()
    return [] if first is None else _header(first, feed, text)[0].planned(feed)


def _refusal(fault: Reject, first: Record | Reject, reader: "_RecordReader", text: Text, form: Csv) -> RefusedFileError:
    """Return the refusal of a file for its header: count its rows, and show the first of them below the header."""
    beginning = [fault.payload]
    if fault.rule == "file_is_text" or text.unmarked_utf16 is not None:
        return RefusedFileError(fault.rule, fault.reason, beginning)
    # A broken first line may not be a header, so it counts as a row.
    rows = 1 if isinstance(first, Reject) else 0
    while True:
        if len(beginning) > SAMPLE_ROWS and (block := reader.next_block()) is not None:
            if b'"' not in block and form.delimiter.strip():
                lines = block.splitlines()
                rows += sum(map(bool, map(bytes.strip, lines)))
                reader.pass_over(len(lines))
                continue
            reader.open(block)
        if (item := reader.next()) is None:
            return RefusedFileError(fault.rule, fault.reason, beginning, rows)
        rows += 1
        if len(beginning) <= SAMPLE_ROWS:
            beginning.append(item.payload if isinstance(item, Reject) else text.shown(item[1]))


class _Grammar:
    """The regular expressions of a record, for one delimiter."""

    def __init__(self, delimiter: str) -> None:
        self.delimiter = delimiter.encode()
        d = re.escape(self.delimiter)
        # Possessive, so that no hostile line makes the match slow. A quote within an unquoted field is literal.
        value = rb'(?:"(?:[^"]|"")*+"|(?!")[^%b\r\n]*+)' % d
        self.complete = re.compile(rb"%b(?:%b%b)*+\Z" % (value, d, value))
        self.open = re.compile(rb'(?:%b%b)*+"(?:[^"]|"")*+\Z' % (value, d))
        on_a_line = rb'(?:"(?:[^"\r\n]|"")*+"|(?!")[^%b\r\n]*+)' % d
        record = rb"%b(?:%b%b)*+" % (on_a_line, d, on_a_line)
        self.line_by_line = re.compile(rb"(?:%b\r?\n)*+(?:%b)?\Z" % (record, record))
        """Lines that are each a record."""
        self._value = re.compile(rb"%b(?:%b|\Z)" % (value, d))

    def fields(self, text: bytes) -> int:
        """Count the fields of a complete record."""
        count, position = 0, 0
        while match := self._value.match(text, position):
            count, position = count + 1, match.end()
            if not match.group().endswith(self.delimiter) or position > len(text):
                break
        return count

    def is_blank(self, text: bytes) -> bool:
        """Whether a line is blank. A record of empty fields is not."""
        return not text.strip() and self.delimiter not in text


class _RecordReader:
    """Reads records, and reads lines again after an unclosed quote. Between two records it may hand out a block of lines."""

    def __init__(self, text: Text, grammar: _Grammar) -> None:
        self.line = 1
        """The number of the next line that no block or record has taken, nor looked at."""
        self._text = text
        self._blocks = _with_first_line_alone(text.blocks(line_ends=b"\r\n"))
        self._lines: Iterator[bytes] = iter(())
        self._ahead: bytes | None = None
        self._grammar = grammar
        self._waiting: deque[tuple[int, bytes]] = deque()
        self.fields: int | None = None
        """How many fields the header has, once it is known."""

    def next_block(self) -> bytes | None:
        """Return the next block, if all lines before it were read; None if not, or at the end. `open` or `pass_over` follows."""
        if self._waiting:
            return None
        if self._ahead is None:
            self._ahead = next(self._lines, None)
        return next(self._blocks, None) if self._ahead is None else None

    def pass_over(self, lines: int) -> None:
        """Count the lines of a block that was read elsewhere."""
        self.line += lines

    def open(self, block: bytes) -> None:
        """Read the lines of a block next."""
        self._lines = iter(block.splitlines(keepends=True))

    def next(self) -> Record | Reject | None:
        """Return the next record, a reject, or None at the end of the file."""
        while (line := self._next_line()) is not None:
            number, text = line[0], line[1].rstrip(b"\r\n")
            if not self._grammar.is_blank(text):
                item = self._record(number, line[1], text)
                if self.fields is None and not isinstance(item, Reject):
                    self.fields = self._grammar.fields(item[1])
                return item
        return None

    def _next_line(self) -> tuple[int, bytes] | None:
        return self._waiting.popleft() if self._waiting else self._unseen_line()

    def _unseen_line(self) -> tuple[int, bytes] | None:
        """Return the next line that was not looked at yet, with its number; None at the end of the file."""
        line = self._ahead if self._ahead is not None else next(self._lines, None)
        self._ahead = None
        while line is None:
            if (block := next(self._blocks, None)) is None:
                return None
            self.open(block)
            line = next(self._lines, None)
        self.line += 1
        return self.line - 1, line

    def _record(self, number: int, line: bytes, text: bytes) -> Record | Reject:
        """Return the record that starts on a line, joined with the next lines if a quote is open."""
        if b'"' not in text:
            return self._valid(number, text)
        if self._grammar.complete.match(text):
            return self._valid(number, text)
        if not self._grammar.open.match(text):
            return Reject(number, "row_is_csv", "text follows a closing quote within a field", self._text.shown(text))
        return self._joined(number, line)

    def _joined(self, number: int, first: bytes) -> Record | Reject:
        """Read a record whose first line has an open quote.

        Joins lines until they make a record with as many fields as the header. If none does, and good rows are between this line
        and the one that seems to close the quote, the quote was a typing error and costs only its own line.
        """
        lines = [first]
        size, quotes = len(first), first.count(b'"')
        misfit: tuple[int, bytes] | None = None
        for index in range(MAX_LINES_PER_RECORD):
            if index == len(self._waiting):
                next_line = self._unseen_line()
                if next_line is None:
                    break
                self._waiting.append(next_line)
            line = self._waiting[index][1]
            size += len(line)
            if size > MAX_LINE_BYTES:
                break
            lines.append(line)
            quotes += line.count(b'"')
            # A record's quotes come in pairs, so match only then.
            if quotes % 2 or b'"' not in line:
                continue
            text = b"".join(lines).rstrip(b"\r\n")
            if not self._grammar.complete.match(text):
                continue
            if self.fields is None or self._grammar.fields(text) == self.fields:
                return self._consume(number, text, index)
            misfit = misfit or (index, text)
        if misfit is not None and not self._good_rows_before(misfit[0]):
            return self._consume(number, misfit[1], misfit[0])
        return Reject(number, "row_is_csv", "a quote is opened and never closed", self._text.shown(first.rstrip(b"\r\n")))

    def _consume(self, number: int, text: bytes, last: int) -> Record | Reject:
        """Remove the waiting lines up to index `last`, and return the record that they make."""
        for _ in range(last + 1):
            self._waiting.popleft()
        return self._valid(number, text)

    def _valid(self, number: int, text: bytes) -> Record | Reject:
        """Return the record, or a reject if it has a NUL byte or one that is not in the file's encoding."""
        if text.isascii() and b"\0" not in text:  # the usual case, and fast
            return number, text
        if (fault := self._text.fault(text)) is not None:
            return Reject(number, *fault, self._text.shown(text))
        if (position := text.find(b"\0")) >= 0:
            reason = f"byte 0x00 at position {position + 1} of the row is not text"
            return Reject(number, "row_has_no_nul", reason, self._text.shown(text))
        return number, text

    def _good_rows_before(self, index: int) -> bool:
        """Whether a waiting line before the index is a complete row on its own."""
        inside = (self._waiting[n][1].rstrip(b"\r\n") for n in range(index))
        return any(b'"' not in text and self._grammar.fields(text) == self.fields for text in inside)


def _with_first_line_alone(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Cut the first line, which is most likely the header, from its block: the rest may need no care."""
    first = next(blocks, b"")
    if (end := _LINE_END.search(first)) is not None:
        yield first[: end.end()]
        first = first[end.end() :]
    if first:
        yield first
    yield from blocks


def _header(item: Record | Reject, feed: Feed, text: Text) -> tuple[Header, Reject | None]:
    """Return what the header says, and why the header, and so the whole file, is refused (or None)."""
    if isinstance(item, Reject):
        if text.is_binary and text.unmarked_utf16 is None:
            return _UNKNOWN, _binary(item.payload, text)
        advice = _encoding_advice(item, text) or _delimiter_advice(item.payload, feed)
        return _UNKNOWN, Reject(None, "file_has_header", f"the header is broken: {item.reason}{advice}", item.payload)
    line = item[1].decode()
    shown = text.shown(item[1])
    try:
        fields = _fields(line, _csv(feed).delimiter)
    except csv.Error as error:
        return _UNKNOWN, Reject(None, "file_has_header", f"the header is broken: {error}", shown)
    if too_many := has_too_many_columns(feed, len(fields)):
        return _UNKNOWN, Reject(None, "file_has_few_new_columns", too_many, shown)
    header = header_of(feed, fields)
    if header.fault is None:
        return header, None
    if text.is_binary and _CONTROL.search(line):
        return _UNKNOWN, _binary(shown, text)
    rule, reason, advice = header.fault
    return header, Reject(None, f"file_{rule}", reason + (_delimiter_advice(line, feed) or advice), shown)


_UNKNOWN = Header([], None, None)


def _declared_header(feed: Feed, text: Text) -> Header:
    """Return the columns of a file without a header line.

    Raises:
        RefusedFileError: the file is binary.
    """
    if _CONTROL.search(text.start.partition(b"\n")[0].decode(errors="replace")) and text.is_binary:
        raise RefusedFileError("file_is_text", text.binary_reason, [text.shown(text.start)])
    [header] = _csv(feed).headers
    return header_of(feed, header.columns)


def _binary(payload: str, text: Text) -> Reject:
    return Reject(None, "file_is_text", text.binary_reason, payload)


def _encoding_advice(header: Reject, text: Text) -> str:
    """Say how to declare the encoding, if the header is not in the declared one."""
    if (encoding := text.unmarked_utf16) is not None:
        return f"; a file in UTF-16 without a byte order mark is read with format=Csv(encoding={encoding!r}) in its feed"
    if header.rule == "row_is_utf8":
        return "; a file in another encoding is read with its name in the feed, such as format=Csv(encoding='latin-1')"
    return ""


def _delimiter_advice(header: str, feed: Feed) -> str:
    """Say what to do if the header has all required columns, but another delimiter."""
    declared = _csv(feed).delimiter
    for delimiter in _OTHER_DELIMITERS:
        try:
            fields = _fields(header, delimiter)
        except csv.Error:
            continue
        if len(fields) > 1 and not has_too_many_columns(feed, len(fields)) and header_of(feed, fields).fault is None:
            return (
                f": its fields are separated by {delimiter!r}, not {declared!r}; have it sent as agreed, "
                f"or put format=Csv(delimiter={delimiter!r}) into the feed if all files are like this now"
            )
    return ""


def _fields(header: str, delimiter: str) -> list[str]:
    [fields] = csv.reader([header], delimiter=delimiter)
    return fields


def _csv(feed: Feed) -> Csv:
    assert isinstance(feed.format, Csv), "the reader is chosen by the format"
    return feed.format


def _parse_block(block: bytes, line: int, header: list[str], form: Csv, grammar: _Grammar) -> "pa.Table | None":
    """Parse a block of which each line is a row, the first at `line`; None if that isn't sure, so that its lines need care.

    A single column could not tell a blank line from a row.
    """
    import numpy as np
    import pyarrow as pa

    if len(header) == 1 or b"\0" in block or (b'"' in block and not grammar.line_by_line.match(block)):
        return None
    each = np.frombuffer(block, np.uint8)  # counts 10 times as fast as `bytes`
    line_feeds, returns = each == ord("\n"), each == ord("\r")
    if np.any(returns[:-1] & ~line_feeds[1:]) or returns[-1]:
        return None
    try:
        if not block.isascii():
            block.decode()
        rows = _parse_text(block, header, form)
    except (UnicodeDecodeError, pa.ArrowInvalid):  # ArrowInvalid: a line has another number of fields
        return None
    lines = int(np.count_nonzero(line_feeds)) + (not line_feeds[-1])  # unless one is blank, each is a row
    return rows.append_column(ROW, pa.arange(line, line + lines)) if rows.num_rows == lines else None


def _parse(records: list[Record], header: list[str], form: Csv, rejects: list[Reject], file: Text) -> "pa.Table":
    """Parse records with Arrow; add those with another number of fields than the header to `rejects`."""
    import pyarrow as pa

    if not records:
        return pa.table({**{name: pa.array([], pa.string()) for name in header}, ROW: pa.array([], pa.int64())})
    bad: set[int] = set()

    def refuse(row: "InvalidRow") -> str:
        index = row.number - 1
        bad.add(index)
        number, text = records[index]
        reason = f"expected {row.expected_columns} fields, found {row.actual_columns}"
        rejects.append(Reject(number, "row_has_all_fields", reason, file.shown(text)))
        return "skip"

    rows = _parse_text(b"\n".join(text for _, text in records) + b"\n", header, form, refuse)
    numbers = [number for index, (number, _) in enumerate(records) if index not in bad]
    return rows.append_column(ROW, pa.array(numbers, pa.int64()))


def _parse_text(
    data: bytes, header: list[str], form: Csv, invalid_row: "Callable[[InvalidRow], str] | None" = None
) -> "pa.Table":
    """Parse valid UTF-8 with Arrow. An empty field is NULL unless it has quotes; blank lines are skipped.

    Raises:
        ArrowInvalid: a row has another number of fields than the header, and there is no `invalid_row`.
    """
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    if not data.endswith(b"\n"):
        data += b"\n"  # at the end of the data Arrow takes an empty field after a quoted one for a quoted one
    if data.startswith(codecs.BOM_UTF8):
        data = codecs.BOM_UTF8 + data  # Arrow skips a mark at the start, but here it belongs to a row
    return arrow_csv.read_csv(
        pa.BufferReader(data),
        # Threads would lose the numbers of rejected rows. A block must hold the longest record, so make it hold all.
        read_options=arrow_csv.ReadOptions(use_threads=False, column_names=header, block_size=len(data) + 1),
        parse_options=arrow_csv.ParseOptions(
            delimiter=form.delimiter, newlines_in_values=True, invalid_row_handler=invalid_row, ignore_empty_lines=True
        ),
        convert_options=arrow_csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(header, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
