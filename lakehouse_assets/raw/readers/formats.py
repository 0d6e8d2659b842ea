"""The readers, one per format. A new format needs a class in `contracts/formats.py`, a module here, and a line in `READERS`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain

from lakehouse_assets.contracts.deliveries import Trailer
from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.formats import Csv, Format, Json, Lines, Parquet, Xlsx
from lakehouse_assets.raw.readers.batch import Batch, RefusedFileError
from lakehouse_assets.raw.readers.csv import read_csv
from lakehouse_assets.raw.readers.csv import read_header as read_csv_header
from lakehouse_assets.raw.readers.jsonl import read_jsonl, read_keys
from lakehouse_assets.raw.readers.packed import unpacked
from lakehouse_assets.raw.readers.parquet import is_parquet, read_parquet
from lakehouse_assets.raw.readers.parquet import read_header as read_parquet_header
from lakehouse_assets.raw.readers.text import START, begun, decoded
from lakehouse_assets.raw.readers.trailer import without_trailer
from lakehouse_assets.raw.readers.xlsx import is_workbook, read_xlsx
from lakehouse_assets.raw.readers.xlsx import read_header as read_xlsx_header


@dataclass(frozen=True)
class Reader:
    """The functions that read a format: all rows, or only the column names. They get a feed that has this format alone."""

    rows: Callable[[Iterable[bytes], Feed], Iterator[Batch]]
    header: Callable[[Iterable[bytes], Feed], list[str]]


READERS: dict[type[Format], Reader] = {
    Csv: Reader(read_csv, read_csv_header),
    Json: Reader(read_jsonl, read_keys),
    Xlsx: Reader(read_xlsx, read_xlsx_header),
    Parquet: Reader(read_parquet, read_parquet_header),
}


def read_rows(
    pieces: Iterable[bytes],
    feed: Feed,
    name: str,
    size: int,
    day: date,
    report_total: Callable[[int | None], None] = lambda rows: None,
) -> Iterator[Batch]:
    """Yield the rows of a landing file, in batches, in the order of the file; rows that can't be parsed are rejects.

    `name`, `size` (bytes) and `day` are those of the file. It is unpacked if it is packed. `told` gets the control total of its
    trailer, if the feed and the format have trailers: None if this file has none.

    Raises:
        RefusedFileError: the file is refused as a whole, maybe after the first batches.
    """
    form, whole = _told(unpacked(pieces, name, size), feed, day)
    like = _with_format(feed, form)
    yield from READERS[type(form)].rows(without_trailer(whole, like, report_total), like)


def read_header(pieces: Iterable[bytes], feed: Feed, name: str, size: int, day: date) -> list[str]:
    """Return the columns of a landing file under their names in the raw table; none if they are unknown."""
    try:
        form, whole = _told(unpacked(pieces, name, size), feed, day)
        like = _with_format(feed, form)
        return READERS[type(form)].header(without_trailer(whole, like), like)
    except RefusedFileError:
        return []


def _with_format(feed: Feed, form: Format) -> Feed:
    """Return the feed with one format alone. It has trailers only if these are of lines."""
    has_trailers = isinstance(feed.totals, Trailer) and isinstance(form, Lines)
    return replace(feed, format=form, totals=feed.totals if has_trailers else None)


def _told(pieces: Iterable[bytes], feed: Feed, day: date) -> tuple[Format, Iterator[bytes]]:
    """Return the format of a file, and its bytes.

    Raises:
        RefusedFileError: the file is in none of the feed's formats.
    """
    first, rest = begun(pieces, START)
    kind: type[Format] | None = None
    if is_workbook(first):
        kind = Xlsx
    elif is_parquet(first):
        kind = Parquet
    forms = {type(form): form for form in feed.formats}
    texts = [form for form in feed.formats if isinstance(form, Lines)]
    declared = ", ".join(f"{form.__name__}()" for form in forms)
    if kind is not None and kind not in forms:
        reason = (
            f"the file's bytes are those of {kind.__name__}(), and the feed takes {declared}: have it sent as agreed, "
            f"or add {kind.__name__}() to the formats of the feed"
        )
        raise RefusedFileError("file_has_declared_format", reason)
    if kind is None and not texts:
        what = "the file's bytes are not those of" if first else "the file is empty, not"
        raise RefusedFileError("file_has_declared_format", f"{what} {declared}: have it sent as agreed")
    form = forms[kind] if kind is not None else _told_text(first, texts)
    return _on(form, day), chain([first], rest)


def _told_text(first: bytes, forms: list[Lines]) -> Lines:
    """Return the format of a text: of several, JSON if it begins with a bracket."""
    is_json = len(forms) > 1 and decoded([first], "utf-8").start.lstrip().startswith((b"{", b"["))
    return next(form for form in forms if len(forms) == 1 or isinstance(form, Json) == is_json)


def _on(form: Format, day: date) -> Format:
    """Return the format of the files of a date: with the one header that counts then, if they have no header line.

    Raises:
        RefusedFileError: no header had begun then.
    """
    if not isinstance(form, Csv) or not form.headers:
        return form
    header = form.header_on(day)
    if header is None:
        reason = f"the feed declares no columns for files of {day}: give it a header that begins on this date or before (`since`)"
        raise RefusedFileError("file_has_header", reason)
    return replace(form, headers=(header,))
