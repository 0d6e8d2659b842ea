"""Reads Excel workbooks: the text of each cell is that of a CSV of the same table. A sheet that can't be read costs only itself.

python-calamine reads a sheet at once, as a rectangle, and makes nothing of cells that hold an error, or a formula that was never
computed. So a sheet's XML is looked through before: whether the rectangle is bounded, and which rows have such cells.

A row's number is its row in the sheet, plus `ROWS_PER_SHEET` for each sheet before it in the workbook: that number does not depend on
how many rows other sheets have.
"""

import csv
import io
import re
import struct
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, TypeVar
from xml.etree import ElementTree
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from lakehouse_assets.contracts.feeds import Feed
from lakehouse_assets.contracts.formats import Xlsx
from lakehouse_assets.contracts.provenance import DIALECT, ROW, ROWS_PER_SHEET, SHEET
from lakehouse_assets.raw.readers.batch import (
    SAMPLE_ROWS,
    Batch,
    RefusedFileError,
    Reject,
    entry_alone,
    rejects_table,
    shown_beginning,
    with_dialect,
)
from lakehouse_assets.raw.readers.missing import has_too_many_columns, header_of
from lakehouse_assets.raw.readers.spool import spooled

if TYPE_CHECKING:
    import pyarrow as pa
    from python_calamine import CalamineSheet

MOST_FILE_BYTES = 64 * 1024 * 1024
"""The size of a workbook at most."""

MOST_PART_BYTES = 512 * 1024 * 1024
"""The size at most to which a part of a workbook unpacks, such as a sheet or the texts of all sheets."""

MOST_CELLS = 5_000_000
"""The size at most of the smallest rectangle with all cells of a sheet: it takes 70 to 160 bytes a cell."""

MOST_TEXT_BYTES = 256 * 1024 * 1024
"""The size at most of all texts of a sheet. A text that is in many cells is stored once, but read many times."""

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How files of older Office begin, and encrypted ones."""

_BATCH_ROWS, _BATCH_BYTES = 10_000, 32 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024
_MOST_ROW_BYTES = 32 * 1024 * 1024
_SMALL_PART_BYTES = 16 * 1024 * 1024

_USUAL_COLUMN = re.compile(rb'<c r="([A-Z]+)\d+[^>]*[^/]>')
_USUAL_ROW = re.compile(rb'<c r="[A-Z]+(\d+)[^>]*[^/]>')
"""The column and the row of a cell with content, as nearly every program writes them. They take a third of the time of these:"""

_COLUMN = re.compile(rb'<(?:\w+:)?c\b(?:[^>]*?\br="([A-Z]+)\d+")?[^>]*(?<!/)>')
_ROW = re.compile(rb'<(?:\w+:)?c\b[^>]*?\br="[A-Z]+(\d+)"[^>]*(?<!/)>')

_SINGLE_QUOTED = re.compile(rb"='([^'\"<>]*)'")
_ROW_START = re.compile(rb"<(?:\w+:)?row\b")
_WHOLE_CELL = re.compile(rb"<(?:\w+:)?c\b([^>]*)(?<!/)>(.*?)</(?:\w+:)?c>", re.DOTALL)
_TEXT_END = re.compile(rb"</(?:\w+:)?si>|<(?:\w+:)?si/>")
_SHARED_TEXT = re.compile(rb't="s"[^>]*>\s*<(?:\w+:)?v>(\d+)')
_PLACE = re.compile(rb'\br="([A-Z]+(\d+))"')
_FORMULA, _VALUE = re.compile(rb"[<:]f[ />]"), re.compile(rb"[<:]v>([^<]*)")

_Result = TypeVar("_Result")
_Row = tuple[int, list[Any]]
"""The number of a row in its sheet, and its cells."""


class _DamagedError(Exception):
    """A workbook or a part of it can't be read; the message says why."""


@dataclass(frozen=True)
class _Contents:
    """What a look through the XML of a sheet says.

    `rows` and `cells` are those of the rectangle that it spans, `size` its bytes, `shared` the cells whose text is stored elsewhere.
    `faults` says what is wrong with rows, by their number in the sheet.
    """

    rows: int
    cells: int
    size: int
    shared: int
    faults: Mapping[int, str]


def is_workbook(first: bytes) -> bool:
    """Whether a file that begins with these bytes is a workbook, or another zip or Office file."""
    return first.startswith((*_ZIP, _COMPOUND))


def read_xlsx(pieces: Iterable[bytes], feed: Feed) -> Iterator[Batch]:
    """Yield the rows of a workbook, in batches, sheet by sheet.

    Raises:
        RefusedFileError: the workbook can't be read at all, is too large, or its sheets have too many columns.
    """
    with spooled(_bounded(pieces)) as file:
        workbook, form = _Workbook(file), _xlsx(feed)
        fields: set[str] = set()
        yielded = False
        for number, name in enumerate(workbook.sheets):
            for batch in _sheet(workbook, name, number, feed) if form.sheets is None or name in form.sheets else ():
                fields.update(batch.rows.column_names)
                if too_many := has_too_many_columns(feed, len(fields - {ROW, SHEET, DIALECT})):
                    raise RefusedFileError("file_has_few_new_columns", too_many)
                yielded = True
                yield batch
        sheets = ", ".join(workbook.sheets)
        if missing := [name for name in form.sheets or () if name not in workbook.sheets]:
            reason = f"the workbook lacks the sheet {', '.join(missing)}; it has {sheets}"
            yield entry_alone(Reject(None, "file_has_sheets", reason, ""))
        elif not yielded:
            raise RefusedFileError(
                "file_has_header", f"no cell of the workbook has a value: it has no header; its sheets are {sheets}"
            )


def read_header(pieces: Iterable[bytes], feed: Feed) -> list[str]:
    """Return the columns of a workbook's sheets under their names in the raw table."""
    with spooled(_bounded(pieces)) as file:
        workbook, form = _Workbook(file), _xlsx(feed)
        names: dict[str, None] = {}
        for name in workbook.sheets:
            if name in form.sheets if form.sheets is not None else name not in workbook.hidden:
                try:
                    table = _Table(workbook.sheet(name))
                except _DamagedError:
                    continue
                if not has_too_many_columns(feed, len(table.fields)):
                    names.update(dict.fromkeys(header_of(feed, table.fields).planned(feed)))
        return list(names)


def _xlsx(feed: Feed) -> Xlsx:
    assert isinstance(feed.format, Xlsx), "the reader is chosen by the format"
    return feed.format


def _bounded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MOST_FILE_BYTES:
            reason = f"a workbook has at most {MOST_FILE_BYTES // 1024**2} MiB: have it sent in several, or as CSV"
            raise RefusedFileError("file_has_bounded_size", reason)
        yield piece


class _Workbook:
    """A workbook. Its directory, not its sheets, is read at once.

    Raises:
        RefusedFileError: it can't be read.
    """

    def __init__(self, file: IO[bytes]) -> None:
        from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

        self._file = file
        try:
            if file.read(len(_COMPOUND)) == _COMPOUND:
                raise _DamagedError("it has a password, or is of an old format (.xls): have it sent as .xlsx without a password")
            self._parts = _parts(file)
            self._paths = _paths(file, self._parts)
            # calamine reads these at once.
            self._texts = array("q")
            """The bytes of the texts that cells share, by their number."""
            for name, part in self._parts.items():
                if name.lower() == "xl/sharedstrings.xml":
                    self._texts = _text_sizes(_unpacked(file, part))
                elif not name.startswith("xl/worksheets/") and name.endswith((".xml", ".rels")):
                    for _ in _unpacked(file, part):
                        pass
            file.seek(0)
            self._calamine = _of_calamine(lambda: CalamineWorkbook.from_filelike(file))
        except _DamagedError as error:
            raise RefusedFileError("file_is_xlsx", f"the file can't be read as a workbook: {error}") from None
        sheets = [sheet for sheet in self._calamine.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
        self.sheets = [sheet.name for sheet in sheets]
        if len(set(self.sheets)) < len(sheets):  # they are read by name
            raise RefusedFileError("file_is_xlsx", "the file can't be read as a workbook: two of its sheets have the same name")
        self.hidden = {sheet.name for sheet in sheets if sheet.visible != SheetVisibleEnum.Visible}

    def sheet(self, name: str) -> "_Sheet":
        """Read a sheet.

        Raises:
            _DamagedError: it can't be read, or is too large.
        """
        part = self._parts.get(self._paths.get(name, ""))
        if part is None:
            raise _DamagedError("the workbook lacks its contents")
        contents = _contents(_unpacked(self._file, part))
        if contents.rows > ROWS_PER_SHEET:  # row numbers would be those of the next sheet
            raise _DamagedError(f"it has {contents.rows:,} rows; a sheet has at most {ROWS_PER_SHEET:,}")
        if contents.cells > MOST_CELLS:
            raise _DamagedError(
                f"it spans {contents.cells:,} cells; allowed are {MOST_CELLS:,}: have it sent in several sheets, or as CSV"
            )
        size = contents.shared * max(self._texts, default=0)
        if size > MOST_TEXT_BYTES:
            size = sum(map(self._size_of_texts, _whole_rows(_unpacked(self._file, part))))
        if size > MOST_TEXT_BYTES:
            raise _DamagedError(
                f"its texts take {size:,} bytes; allowed are {MOST_TEXT_BYTES:,}: have it sent in several, or as CSV"
            )
        rows_at_once = _BATCH_BYTES * contents.rows // max(size + contents.size, 1)
        sheet = _of_calamine(lambda: self._calamine.get_sheet_by_name(name))
        return _Sheet(sheet, contents.faults, max(1, min(_BATCH_ROWS, rows_at_once)))

    def _size_of_texts(self, rows: bytes) -> int:
        """Return the size of the texts in the cells of some rows that are stored elsewhere."""
        numbers = map(int, _SHARED_TEXT.findall(rows))
        return sum(self._texts[number] for number in numbers if number < len(self._texts))


@dataclass(frozen=True)
class _Sheet:
    """A sheet, what is wrong with its rows, by their number in it, and how many rows to convert together."""

    sheet: "CalamineSheet"
    faults: Mapping[int, str]
    rows_at_once: int


def _of_calamine(call: Callable[[], _Result]) -> _Result:
    """Call calamine.

    Raises:
        _DamagedError: it fails, be it that its Rust code panics.
    """
    from python_calamine import CalamineError

    try:
        return call()
    except (CalamineError, OSError) as error:
        raise _DamagedError(f"it is damaged ({error})") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # it is no Exception, and has no name in any package
            raise
        raise _DamagedError(f"it is damaged ({error})") from None


def _parts(file: IO[bytes]) -> dict[str, ZipInfo]:
    """Return the parts of a workbook by name.

    Raises:
        _DamagedError: the file is no zip, or a part unpacks to too much.
    """
    try:
        with ZipFile(file) as archive:
            parts = {part.filename: part for part in archive.infolist()}
    except (BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise _DamagedError(f"it is cut off or damaged ({error})") from None
    for part in parts.values():
        if part.header_offset < 0:
            raise _DamagedError("it is damaged: its directory names places outside the file")
        if part.flag_bits & 1:
            raise _DamagedError("it is protected by a password: have it sent without")
        if part.file_size > MOST_PART_BYTES:
            raise _too_large(part)
    return parts


def _too_large(part: ZipInfo) -> _DamagedError:
    most = f"{MOST_PART_BYTES // 1024**2} MiB"
    return _DamagedError(f"its part {part.filename} unpacks to more than {most}: have it sent in several, or as CSV")


def _unpacked(file: IO[bytes], part: ZipInfo) -> Iterator[bytes]:
    """Yield the bytes of a part, in pieces. Not `zipfile`, which believes the directory: calamine reads as much as there is.

    Raises:
        _DamagedError: they are damaged, or more than the directory says.
    """
    file.seek(part.header_offset)
    header = file.read(30)
    if len(header) < 30 or not header.startswith(_ZIP[0]) or part.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise _DamagedError(f"its part {part.filename} is damaged")
    position = part.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    left, size, check = part.compress_size, 0, 0
    packed = b""
    while packed or left:
        if not packed:
            # Another part may be read before the next piece is.
            file.seek(position)
            packed = file.read(min(_PIECE_BYTES, left))
            position += len(packed)
            left = left - len(packed) if packed else 0
        try:
            piece = inflate.decompress(packed, _PIECE_BYTES) if part.compress_type == ZIP_DEFLATED else packed
        except zlib.error as error:
            raise _DamagedError(f"its part {part.filename} is damaged ({error})") from None
        packed = inflate.unconsumed_tail
        size += len(piece)
        check = zlib.crc32(piece, check)
        if size > part.file_size:
            raise _too_large(part) if size > MOST_PART_BYTES else _DamagedError(f"its part {part.filename} is damaged")
        yield piece
    if size != part.file_size or check != part.CRC:
        raise _DamagedError(f"its part {part.filename} is damaged")


def _paths(file: IO[bytes], parts: Mapping[str, ZipInfo]) -> dict[str, str]:
    """Return the part of each sheet, by the sheet's name.

    Raises:
        _DamagedError: the workbook doesn't say.
    """
    folder = "xl/"
    relations = _elements(file, parts, f"{folder}_rels/workbook.xml.rels", "Relationship")
    targets = {item.get("Id", ""): item.get("Target", "") for item in relations}
    paths: dict[str, str] = {}
    for sheet in _elements(file, parts, f"{folder}workbook.xml", "sheet"):
        identity = next((value for key, value in sheet.attrib.items() if key.endswith("}id")), "")
        target = targets.get(identity, "")
        paths[sheet.get("name", "")] = target[1:] if target.startswith("/") else folder + target
    return paths


def _elements(file: IO[bytes], parts: Mapping[str, ZipInfo], path: str, name: str) -> Iterator[ElementTree.Element]:
    """Yield the elements of a name, in any namespace, of a small part.

    Raises:
        _DamagedError: there is no such part, or it is damaged.
    """
    part = parts.get(path)
    if part is None or part.file_size > _SMALL_PART_BYTES:
        raise _DamagedError(f"it lacks the part {path}, so it is another kind of zip: have a workbook (.xlsx) sent")
    try:
        root = ElementTree.fromstring(b"".join(_unpacked(file, part)))  # noqa: S314 (expat bounds what entities expand to)
    except ElementTree.ParseError as error:
        raise _DamagedError(f"its part {path} is damaged ({error})") from None
    return (element for element in root.iter() if element.tag.rpartition("}")[2] == name)


def _text_sizes(pieces: Iterable[bytes]) -> "array[int]":
    """Return the sizes of the texts that cells share, in their order, markup included.

    Raises:
        _DamagedError: there are too many.
    """
    sizes = array("q")
    before, rest = 0, b""
    for piece in pieces:
        text = rest + piece
        last = 0
        for end in _TEXT_END.finditer(text):
            sizes.append(before + end.end() - last)
            before, last = 0, end.end()
        # An end may be split between two pieces.
        kept = max(last, len(text) - 20)
        before, rest = before + kept - last, text[kept:]
        if len(sizes) > MOST_CELLS:
            raise _DamagedError(f"it has more than {MOST_CELLS:,} texts: have it sent in several, or as CSV")
    return sizes


def _whole_rows(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the XML of a sheet in pieces that end with a row, its attributes in double quotes.

    Raises:
        _DamagedError: a row is too long.
    """
    rest = b""
    for piece in pieces:
        text = rest + piece
        cut = text.rfind(b"row>") + len(b"row>")
        if cut >= len(b"row>"):
            yield _double_quoted(text[:cut])
            rest = text[cut:]
        elif len(text) > _MOST_ROW_BYTES:
            raise _DamagedError(f"one of its rows has more than {_MOST_ROW_BYTES // 1024**2} MiB")
        else:
            rest = text
    yield _double_quoted(rest)


def _double_quoted(xml: bytes) -> bytes:
    """Return XML with its attributes in double quotes; a text that looks like one may change, too, and keeps its size."""
    return _SINGLE_QUOTED.sub(rb'="\1"', xml) if b"='" in xml else xml


def _contents(pieces: Iterable[bytes]) -> _Contents:
    """Look through the XML of a sheet.

    Raises:
        _DamagedError: a row is too long.
    """
    columns = height = rows = size = shared = 0
    faults: dict[int, str] = {}
    for text in _whole_rows(pieces):
        is_usual = text.count(b"<c") == text.count(b'<c r="') and b":c" not in text
        letters = set((_USUAL_COLUMN if is_usual else _COLUMN).findall(text))
        rows += text.count(b"row>")
        columns = max(columns, *map(_column, letters), *(_unplaced(text) if b"" in letters else ()), 0)
        height = max(height, rows, *map(int, (_USUAL_ROW if is_usual else _ROW).findall(text)), 0)
        size += len(text)
        shared += text.count(b't="s"')
        if b't="e"' in text or b"<f" in text or b":f" in text:
            faults |= _faults(text)
    return _Contents(height, height * columns, size, shared, faults)


def _column(letters: bytes) -> int:
    """Return the number of a column, from 1."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


def _unplaced(text: bytes) -> Iterator[int]:
    """Yield how many cells each row has: where cells do not say where they are, they follow one another."""
    return (len(_COLUMN.findall(row)) for row in _ROW_START.split(text))


def _faults(text: bytes) -> dict[int, str]:
    """Return what is wrong with the rows of a piece of a sheet: cells with an error, or a formula that was never computed."""
    faults: dict[int, str] = {}
    for cell in _WHOLE_CELL.finditer(text):
        attributes, content = cell.groups()
        is_error = b't="e"' in attributes
        value = _VALUE.search(content)
        # openpyxl writes an empty value behind a formula; that of one whose result is an empty text has the type of a text.
        is_computed = value is not None and (value.group(1) != b"" or b't="str"' in attributes)
        if not is_error and (is_computed or not _FORMULA.search(content)):
            continue
        if (match := _PLACE.search(attributes)) is None:
            raise _DamagedError("a cell with an error or a formula does not say where it is")
        where = match.group(1).decode()
        if is_error:
            fault = f"cell {where} holds the error {value.group(1).decode(errors='replace') if value else '?'}"
        else:
            fault = f"cell {where} has a formula that was never computed: have the workbook opened and saved in Excel"
        faults.setdefault(int(match.group(2)), fault)
    return faults


class _Table:
    """The rows of a sheet below its header. `fields` are the header's texts; columns without header and values are left out."""

    def __init__(self, sheet: _Sheet) -> None:
        self._sheet, self._rows_at_once, self._faults = sheet.sheet, sheet.rows_at_once, sheet.faults
        header = next(self._used_rows(), None)
        self.is_empty = header is None
        self.first, cells = header or (0, [])
        """The row of the header in the sheet."""
        self._kinds: list[set[type]] = [set() for _ in cells]
        """The types of the values of each column."""
        used = [value != "" for value in cells]
        self.rows = 0
        for rows in self._chunks():
            self.rows += len(rows)
            for index, column in enumerate(zip(*(row for _, row in rows), strict=True)):
                self._kinds[index].update(map(type, column))
                used[index] = used[index] or column.count("") < len(column)
        self._columns = [index for index, is_used in enumerate(used) if is_used]
        self.fields = [_text_of(cells[index], is_moment=False) or "" for index in self._columns]

    def batches(self) -> Iterator[tuple[list[int], list[list[str | None]]]]:
        """Yield the numbers of rows, and the texts of their columns."""
        for rows in self._chunks():
            columns = list(zip(*(row for _, row in rows), strict=True))
            texts = [_texts(columns[index], self._kinds[index]) for index in self._columns]
            yield [number for number, _ in rows], texts

    def beginning(self) -> str:
        """Return the header and the first rows, as quarantine shows them."""
        numbers, texts = next(self.batches(), ([], []))
        rows = ([column[n] for column in texts] for n in range(min(len(numbers), SAMPLE_ROWS)))
        return shown_beginning([_line(self.fields), *map(_line, rows)])

    def _used_rows(self) -> Iterator[_Row]:
        """Yield the rows that have a value or a fault, with their numbers. Of faults alone calamine makes a blank row, or none."""
        number = 0
        row: list[Any] = [""]
        for number, row in enumerate(self._sheet.iter_rows() if self._sheet.start is not None else (), start=1):
            if row.count("") < len(row) or number in self._faults:
                yield number, row
        yield from ((late, [""] * len(row)) for late in sorted(self._faults) if late > number)

    def _chunks(self) -> Iterator[list[_Row]]:
        rows = islice(self._used_rows(), 1, None)
        while chunk := list(islice(rows, self._rows_at_once)):
            yield chunk


def _sheet(workbook: _Workbook, name: str, number: int, feed: Feed) -> Iterator[Batch]:
    """Yield the rows of a sheet, the one of this number; nothing if it is empty."""
    import pyarrow as pa

    try:
        sheet = workbook.sheet(name)
    except _DamagedError as error:
        yield entry_alone(Reject(None, "sheet_is_readable", f"the sheet can't be read: {error}", "", place=name))
        return
    table = _Table(sheet)
    if table.is_empty:
        return
    rows = max(table.rows, 1)
    if name in workbook.hidden and _xlsx(feed).sheets is None:
        reason = "the sheet is hidden: if its rows are data, name all sheets that are in the feed (Xlsx(sheets=...))"
        yield entry_alone(Reject(None, "sheet_is_visible", reason, table.beginning(), rows, name))
        return
    if (fault := sheet.faults.get(table.first)) is not None:
        reason = f"the header of the sheet can't be read: {fault}"
        yield entry_alone(Reject(None, "sheet_has_header", reason, table.beginning(), rows, name))
        return
    if too_many := has_too_many_columns(feed, len(table.fields)):
        raise RefusedFileError("file_has_few_new_columns", too_many, rows=rows)
    header = header_of(feed, table.fields)
    if header.fault is not None:
        rule, reason, advice = header.fault
        reason = reason.replace("the file", "the sheet", 1) + advice
        yield entry_alone(Reject(None, f"sheet_{rule}", reason, table.beginning(), rows, name))
        return
    names = header.names
    before = number * ROWS_PER_SHEET
    yield Batch(with_dialect(_rows_table(names, [[] for _ in names], [], name), header.dialect), rejects_table([]))
    for numbers, columns in table.batches():
        bad = [index for index, row in enumerate(numbers) if row in sheet.faults]
        lines = {index: _line([column[index] for column in columns]) for index in bad}
        rejects = [
            Reject(before + numbers[n], "row_has_values", sheet.faults[numbers[n]], line, place=name) for n, line in lines.items()
        ]
        good = _rows_table(names, columns, [before + row for row in numbers], name)
        if bad:
            good = good.filter(pa.array([row not in sheet.faults for row in numbers]))
        yield Batch(with_dialect(good, header.dialect), rejects_table(rejects))


def _rows_table(names: list[str], columns: list[list[str | None]], numbers: list[int], sheet: str) -> "pa.Table":
    import pyarrow as pa

    texts = {name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)}
    own = {ROW: pa.array(numbers, pa.int64()), SHEET: pa.repeat(pa.scalar(sheet, pa.string()), len(numbers))}
    return pa.table({**texts, **own})


def _line(texts: Sequence[str | None]) -> str:
    """Return the texts of a row as a line of CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(["" if text is None else text for text in texts])
    return line.getvalue()


def _texts(values: Sequence[Any], kinds: set[type]) -> list[str | None]:
    """Return the texts of a column's values; its types are those of the whole sheet."""
    if kinds <= {str}:
        return [value or None for value in values]
    if kinds <= {str, float}:
        return [(value or None) if type(value) is str else _text_of_number(value) for value in values]
    is_moment = datetime in kinds
    return [_text_of(value, is_moment=is_moment) for value in values]


def _text_of_number(value: float) -> str:
    """Return a number as it is written, without the point of a whole one."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)


def _text_of(value: Any, *, is_moment: bool) -> str | None:
    """Return the text of a cell as in a CSV. calamine gives a date for midnight: `is_moment` says that it is a time, too."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return _text_of_number(value)
    if isinstance(value, datetime | time):
        return str(value).rstrip("0") if value.microsecond else str(value)
    if isinstance(value, date):
        return f"{value} 00:00:00" if is_moment else str(value)
    assert isinstance(value, timedelta | int), "calamine gives no other types"
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return str(value)
