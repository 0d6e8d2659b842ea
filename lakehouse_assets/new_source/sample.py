"""Reads sample files with the readers of raw: what a feed that is declared from them will see.

Of each file, the first `MOST_ROWS` rows are read, and of those no more than fill `MOST_BYTES`.
"""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.formats import Csv, Format, Header, Json, Parquet, Xlsx
from lakehouse_assets.contracts.provenance import ROW, SHEET
from lakehouse_assets.errors import ProjectError
from lakehouse_assets.new_source.format_detection import (
    delimiter_of,
    encoding_of,
    first_document,
    first_rows,
    has_header,
    has_values,
    records_of,
)
from lakehouse_assets.raw.readers.batch import RefusedFileError
from lakehouse_assets.raw.readers.documents import is_document
from lakehouse_assets.raw.readers.formats import read_rows
from lakehouse_assets.raw.readers.packed import unpacked
from lakehouse_assets.raw.readers.parquet import is_parquet
from lakehouse_assets.raw.readers.text import START, begun, decoded
from lakehouse_assets.raw.readers.xlsx import is_workbook

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 100_000
"""How many rows of a file are looked at."""

MOST_BYTES = 128 * 1024 * 1024
"""How much memory the rows of a file may take that are looked at."""

MOST_DOCUMENT_BYTES = 16 * 1024 * 1024
"""The size at most of a sample that is one JSON document: it is read whole, to find where its rows are."""

_SHOWN = 60
_HEAD_BYTES = 1024 * 1024
_PIECE_BYTES = 1024 * 1024
_ANY_DAY = date(2000, 1, 1)


@dataclass(frozen=True)
class Sample:
    """A sample file: its format, its rows as text under the raw table's names, and what the file calls these columns.

    `everywhere` are the columns that each part of the file has, a sheet or a block of rows. `rejected` is how many rows can't be read.
    `is_part` says that the file has more rows.
    """

    file: Path
    format: Format
    rows: "pa.Table"
    fields: dict[str, str]
    everywhere: frozenset[str]
    rejected: int = 0
    is_part: bool = False
    questions: tuple[str, ...] = ()


def sampled(file: Path) -> Sample:
    """Read a sample file.

    Raises:
        ProjectError: it has no rows, or can't be read.
    """
    try:
        form, questions = _detected(file)
        feed = _Noting("sample/sample", (), format=form, noted={})
        return _read(file, feed, questions)
    except RefusedFileError as refusal:
        raise ProjectError(f"{file} can't be a sample: {refusal}.") from None
    except OSError as error:
        raise ProjectError(f"{file} can't be read: {error.strerror or error}.") from None


@dataclass(frozen=True)
class _Noting(Feed):
    """A feed that declares no columns, and notes what a file calls those that it has."""

    noted: dict[str, str] = field(default_factory=dict)

    def names_of(self, fields: Any, dialect: Any = None) -> list[str]:
        names = super().names_of(fields, dialect)
        self.noted.update(zip(names, fields, strict=True))
        return names


def _read(file: Path, feed: _Noting, questions: tuple[str, ...]) -> Sample:
    import pyarrow as pa

    tables: list[pa.Table] = []
    rejected, seen_bytes, is_part = 0, 0, False
    for batch in read_rows(_pieces(file), feed, file.name, file.stat().st_size, _ANY_DAY):
        room = MOST_ROWS - sum(table.num_rows for table in tables)
        tables.append(batch.rows.slice(0, room).drop_columns([ROW]))
        rejected += batch.rejects.num_rows
        seen_bytes += batch.rows.nbytes
        if batch.rows.num_rows > room or seen_bytes > MOST_BYTES:
            is_part = True
            break
    parts = [frozenset(table.column_names) for table in tables if table.num_rows]
    if not parts:
        raise ProjectError(f"{file} has no row that can be read, so nothing can be told of its columns. Give a sample with rows.")
    everywhere = frozenset.intersection(*parts)
    rows = pa.concat_tables(tables, promote_options="default")
    if SHEET in rows.column_names:
        sheets = rows.column(SHEET).unique().to_pylist()
        if len(sheets) > 1 and any(part != parts[0] for part in parts):
            questions += (f"Which of the sheets {', '.join(sheets)} are meant? They have different columns: Xlsx(sheets=(...)).",)
        rows = rows.drop_columns([SHEET])
    return Sample(file, feed.formats[0], rows, dict(feed.noted), everywhere - {SHEET}, rejected, is_part, questions)


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece


def _unpacked(file: Path) -> Iterable[bytes]:
    return unpacked(_pieces(file), file.name, file.stat().st_size)


def _detected(file: Path) -> tuple[Format, tuple[str, ...]]:
    """Return the format of a file, by its bytes, and what they leave open."""
    first, rest = begun(_unpacked(file), START)
    if is_workbook(first):
        return Xlsx(), ()
    if is_parquet(first):
        return Parquet(), ()
    text = decoded([first], "utf-8")
    if text.start.lstrip().startswith((b"{", b"[")):
        return _detected_json(chain([first], rest))
    head, _ = begun(chain([first], rest), _HEAD_BYTES)
    return _detected_csv(head)


def _detected_json(pieces: Iterable[bytes]) -> tuple[Json, tuple[str, ...]]:
    """Return where the records of a JSON file are. An object on a line of its own is a record, if another line is below it."""
    data, _ = begun(pieces, MOST_DOCUMENT_BYTES)
    text = data.decode("utf-8-sig", errors="replace").strip()
    is_one = is_document(text[:START].encode(), Json()) or "\n" not in text
    records = records_of(first_document(text)) if is_one else None
    if records is None:
        return Json(), ()
    return Json(records=records), (
        f"Are the rows the objects of the list {records!r}? If the whole document is one row: Json().",
    )


def _detected_csv(head: bytes) -> tuple[Csv, tuple[str, ...]]:
    """Return how a delimited file is written."""
    questions: tuple[str, ...] = ()
    start = decoded([head], "utf-8")
    encoding = start.unmarked_utf16 or (encoding_of(head) if start.encoding == "utf-8" else None)
    if encoding not in (None, "utf-8"):
        questions += (f"The file is not UTF-8. Is it {encoding}? Look at its special characters in raw.",)
    text = head.decode(encoding or ("utf-16" if start.encoding.startswith("utf-16") else "utf-8-sig"), errors="replace")
    delimiter = delimiter_of(text)
    rows = first_rows(text, delimiter)
    headers: tuple[Header, ...] = ()
    if not has_header(rows):
        width = max(map(len, rows), default=1)
        headers = (Header(tuple(f"column_{number}" for number in range(1, width + 1))),)
        questions += ("The file seems to have no header line. What are its columns called? Name them here and in the contract.",)
    elif not has_values(rows[1:]):
        questions += (f"Is the first line a header? It was taken for one: {', '.join(rows[0])[:_SHOWN]}.",)
    return Csv(delimiter, encoding or "utf-8", headers), questions


def is_ascii(file: Path) -> bool:
    """Return whether the beginning of a file is ASCII, which most encodings write alike."""
    return begun(_unpacked(file), _HEAD_BYTES)[0].isascii()


def shell_words(files: Iterable[Path]) -> str:
    """Return the names of files as a shell takes them."""
    return " ".join(shlex.quote(str(file)) for file in files)
