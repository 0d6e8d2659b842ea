"""Makes workbooks: sheets from lists of values, and what no program writes."""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import xlsxwriter

FORMATS = {date: "d.m.yy", datetime: "m/d/yyyy h:mm", time: "h:mm", timedelta: "[h]:mm:ss"}
"""How a cell shows values of a type. The reader's text does not depend on it."""


def workbook(sheets: Mapping[str, Sequence[Sequence[Any]]], change: Callable[[Any], None] = lambda book: None) -> bytes:
    """The bytes of a workbook. A value may be `Formula(text, value)`; None is no cell. `change` gets the book at last."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_numbers": False, "strings_to_formulas": False}) as book:
        formats = {kind: book.add_format({"num_format": text}) for kind, text in FORMATS.items()}
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                for index, value in enumerate(row):
                    if type(value) in formats:
                        sheet.write_datetime(number, index, value, formats[type(value)])
                    elif isinstance(value, tuple):
                        sheet.write_formula(number, index, value[0], None, value[1])
                    elif value is not None:
                        sheet.write(number, index, value)
        change(book)
    return buffer.getvalue()


def replaced(data: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    """A workbook with a part changed, as a program other than xlsxwriter may write it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, change(before.read(name)) if name == part else before.read(name))
    return buffer.getvalue()
