"""Reads CSV as it comes: one broken row never costs a good one.

Files are cut into records here, because the parsers of DuckDB and Arrow let a quote that is never closed swallow all that
follows it. What is known to be a record is then parsed by Arrow. A record's number is the line on which it starts, the header's
being 1: what an editor shows.
"""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.columns import column_names, snake_case
from lakehouse_assets.contracts.contract import Csv, RawContract
from lakehouse_assets.raw.batch import Batch, Reject

if TYPE_CHECKING:
    import pyarrow as pa

MAX_LINES_PER_RECORD = 1_000
"""A quoted field may go over lines; one that goes over more than this counts as a quote that was never closed."""

_BATCH_RECORDS = 100_000
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

Record = tuple[int, bytes]
"""The line number on which a record starts, and its text without the line end."""


def read_csv(pieces: Iterable[bytes], contract: RawContract) -> Iterator[Batch]:
    """The rows of a CSV file, in batches, in the order of the file.

    A file without a header, or one whose header lacks a required column, yields all its rows as rejects.
    """
    records = _records(_lines(_utf8(pieces, contract.format)), _Grammar(contract.format.delimiter))
    header: list[str] | None = None
    fault: Reject | None = None
    good: list[Record] = []
    rejects: list[Reject] = []

    def batch() -> Batch:
        rows = _parse(good, header or [], contract.format, rejects)
        found = Batch(rows, rejects.copy(), len(rows) + len(rejects))
        good.clear()
        rejects.clear()
        return found

    for item in records:
        if isinstance(item, Reject):
            rejects.append(item)
            continue
        if header is None:
            header, fault = _header(item[1], contract)
            continue
        if fault is not None:
            rejects.append(Reject(item[0], fault.rule, fault.reason, _shown(item[1])))
        else:
            good.append(item)
        if len(good) + len(rejects) >= _BATCH_RECORDS:
            yield batch()
    if header is None and not rejects:
        rejects.append(Reject(None, "file_has_header", "the file is empty: it has no header", ""))
    elif fault is not None and not rejects:
        rejects.append(fault)
    yield batch()


def read_header(pieces: Iterable[bytes], contract: RawContract) -> list[str]:
    """The columns of a CSV file under their snake_case names; none where it has no header."""
    for item in _records(_lines(_utf8(pieces, contract.format)), _Grammar(contract.format.delimiter)):
        return [] if isinstance(item, Reject) else _header(item[1], contract)[0]
    return []


class _Grammar:
    """What a record looks like, by the delimiter."""

    def __init__(self, delimiter: str) -> None:
        d = re.escape(delimiter.encode())
        # Possessive, so that a hostile line can't make the match take long. A quote within an unquoted field stands for itself.
        value = rb'(?:"(?:[^"]|"")*+"|(?!")[^%b\r\n]*+)' % d
        self.whole = re.compile(rb"%b(?:%b%b)*+\Z" % (value, d, value))
        self.open = re.compile(rb'(?:%b%b)*+"(?:[^"]|"")*+\Z' % (value, d))


def _records(lines: Iterable[tuple[int, bytes]], grammar: _Grammar) -> Iterator[Record | Reject]:
    """Cut lines into records. A quote that is never closed costs its own line only: cutting goes on with the next."""
    waiting: list[tuple[int, bytes]] = []  # lines read ahead for a quoted field, to be read again if the quote never closes
    source = iter(lines)
    while True:
        if waiting:
            number, line = waiting.pop(0)
        else:
            try:
                number, line = next(source)
            except StopIteration:
                return
        text = line.rstrip(b"\r\n")
        if not text.strip():
            continue
        if b'"' not in text or grammar.whole.match(text):
            yield _valid(number, text)
        elif not grammar.open.match(text):
            yield Reject(number, "row_is_csv", "text follows a closing quote within a field", _shown(text))
        else:
            yield _joined(number, line, waiting, source, grammar)


def _joined(
    number: int, first: bytes, waiting: list[tuple[int, bytes]], source: Iterator[tuple[int, bytes]], grammar: _Grammar
) -> Record | Reject:
    """The record that begins with an open quote on its first line; takes its further lines out of `waiting` and `source`."""
    taken = [first]
    quotes = first.count(b'"')
    for place in range(MAX_LINES_PER_RECORD):
        if place == len(waiting):
            following = next(source, None)
            if following is None:
                break
            waiting.append(following)
        line = waiting[place][1]
        taken.append(line)
        quotes += line.count(b'"')
        # A record's quotes come in pairs, so only then is it worth a look.
        if quotes % 2 == 0 and b'"' in line and grammar.whole.match(text := b"".join(taken).rstrip(b"\r\n")):
            del waiting[: place + 1]
            return _valid(number, text)
    return Reject(number, "row_is_csv", "a quote is opened and never closed", _shown(first.rstrip(b"\r\n")))


def _valid(number: int, text: bytes) -> Record | Reject:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        reason = f"byte 0x{text[error.start]:02X} at position {error.start + 1} of the row is not UTF-8"
        return Reject(number, "row_is_utf8", reason, _shown(text))
    return number, text


def _lines(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Numbered lines with their ends, whatever the ends are: LF, CRLF or CR."""
    number, rest = 0, b""
    for piece in pieces:
        lines = (rest + piece).splitlines(keepends=True)
        # The last line may go on in the next piece; so may a CRLF that the cut went through.
        rest = lines.pop() if lines else b""
        for line in lines:
            number += 1
            yield number, line
    for line in rest.splitlines(keepends=True):
        number += 1
        yield number, line


def _utf8(pieces: Iterable[bytes], csv: Csv) -> Iterator[bytes]:
    """The same text in UTF-8 without a byte order mark, from the encoding that the mark or the contract names."""
    source = iter(pieces)
    first = b""
    while len(first) < 4 and (piece := next(source, None)) is not None:
        first += piece
    mark, encoding = next(((m, e) for m, e in _BYTE_ORDER_MARKS if first.startswith(m)), (b"", csv.encoding))
    first = first[len(mark) :]
    if encoding == "utf-8":
        yield first
        yield from source
        return
    decoder: Callable[..., str] = codecs.getincrementaldecoder(encoding)(errors="backslashreplace").decode
    yield decoder(first).encode()
    for piece in source:
        yield decoder(piece).encode()
    yield decoder(b"", True).encode()


def _header(text: bytes, contract: RawContract) -> tuple[list[str], Reject | None]:
    import pyarrow.csv as arrow_csv

    table = arrow_csv.read_csv(
        BytesIO(text + b"\n"),
        read_options=arrow_csv.ReadOptions(autogenerate_column_names=True),
        parse_options=arrow_csv.ParseOptions(delimiter=contract.format.delimiter, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(strings_can_be_null=False, null_values=[]),
    )
    header = column_names([str(c[0].as_py()) for c in table.columns])
    missing = [c.name for c in contract.columns if snake_case(c.name) not in header]
    if not missing:
        return header, None
    reason = f"the file lacks the required column{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
    return header, Reject(None, "file_has_required_columns", reason, _shown(text))


def _parse(records: list[Record], header: list[str], csv: Csv, rejects: list[Reject]) -> "pa.Table":
    """Arrow's view of the records; those with another number of fields than the header are added to `rejects`."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    if not records:
        return pa.table({**{name: pa.array([], pa.string()) for name in header}, "_row_number": pa.array([], pa.int64())})
    bad: set[int] = set()

    def refuse(row: "arrow_csv.InvalidRow") -> str:
        place = row.number - 1
        bad.add(place)
        number, text = records[place]
        reason = f"expected {row.expected_columns} fields, found {row.actual_columns}"
        rejects.append(Reject(number, "row_has_all_fields", reason, _shown(text)))
        return "skip"

    table = arrow_csv.read_csv(
        BytesIO(b"\n".join(text for _, text in records) + b"\n"),
        # Threads would lose the numbers of the rows that are refused.
        read_options=arrow_csv.ReadOptions(use_threads=False, column_names=header),
        parse_options=arrow_csv.ParseOptions(
            delimiter=csv.delimiter, newlines_in_values=True, invalid_row_handler=refuse, ignore_empty_lines=False
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    numbers = [number for place, (number, _) in enumerate(records) if place not in bad]
    return table.append_column("_row_number", pa.array(numbers, pa.int64()))


def _shown(text: bytes) -> str:
    return text.decode(errors="backslashreplace")
