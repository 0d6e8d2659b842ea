"""Breaks files as disks, networks and people do, and worse: the same file for the same seed."""

import gzip
import io
import json
import random
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse_assets.contracts.formats import Csv, Format, Json, Parquet, Xlsx
from tests.support.workbooks import replaced, workbook

ROWS = 400
RECORDS = [{"id": n, "name": f"name {n % 7}", "amount": n / 8, "tags": {"a": [n, None]}} for n in range(ROWS)]


def _csv() -> bytes:
    return b"id,name,amount\n" + b"".join(b'%d,"name ""%d""",%d.5\n' % (n, n % 7, n) for n in range(ROWS))


def _parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(RECORDS), buffer, row_group_size=100, write_page_checksum=True)
    return buffer.getvalue()


def _xlsx() -> bytes:
    rows = [[r["id"], r["name"], r["amount"]] for r in RECORDS]
    return workbook({name: [["id", "name", "amount"], *rows[n::2]] for n, name in enumerate(("one", "two"))})


def _zst(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


SOUND: dict[str, tuple[Format, bytes]] = {
    "csv": (Csv(), _csv()),
    "lines": (Json(), "\n".join(map(json.dumps, RECORDS)).encode()),
    "documents": (Json(records="results"), json.dumps({"total": ROWS, "results": RECORDS}, indent=1).encode()),
    "xlsx": (Xlsx(), _xlsx()),
    "parquet": (Parquet(), _parquet()),
    "gzip": (Csv(), gzip.compress(_csv(), mtime=0)),
    "zstd": (Csv(), _zst(_csv())),
}
"""A sound file of `ROWS` rows in each format."""


def _far_apart(xml: bytes) -> bytes:
    return xml.replace(b'r="A3"', b'r="XFD1048576"')


def _dictionary() -> bytes:
    buffer = io.BytesIO()
    longest = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), ["x" * 5_000_000])
    pq.write_table(pa.table({"id": longest}), buffer)
    return buffer.getvalue()


def _many_rows() -> bytes:
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, pa.schema([("id", pa.string())])) as writer:
        for _ in range(20):
            writer.write_table(pa.table({"id": pa.nulls(1_000_000, pa.string())}))
    return buffer.getvalue()


_SHEET = "xl/worksheets/sheet1.xml"

BOMBS: dict[str, list[Callable[[], bytes]]] = {
    "csv": [lambda: b"id,name,amount\n" + b'"' * 2_000_001, lambda: b"id," * 500_000, lambda: b"\0" * 5_000_000],
    "lines": [lambda: b"[" * 3_000_000, lambda: b'{"a":' * 1_000_000, lambda: b'{"id":1}\n' + b'"' * 17_000_000],
    "documents": [
        lambda: b"[" * 3_000_000,
        lambda: b'{"results":[' + b'{"a":' * 1_000_000,
        lambda: b'[{"id":1},"' + b"x" * 40_000_000,
    ],
    "xlsx": [
        lambda: replaced(_xlsx(), _SHEET, lambda xml: xml.replace(b"<sheetData>", b" " * 550_000_000 + b"<sheetData>")),
        lambda: replaced(_xlsx(), _SHEET, _far_apart),
        lambda: replaced(_xlsx(), "xl/sharedStrings.xml", lambda xml: xml.replace(b"<t>", b"<t>" + b"x" * 4_000_000)),
    ],
    "parquet": [_dictionary, _many_rows],
    "gzip": [lambda: gzip.compress(b"id,name,amount\n" + b"1,2,3\n" * 50_000_000)],
    "zstd": [lambda: _zst(b"id,name,amount\n" + b"1" * 300_000_000)],
}
"""Files that would take too much memory or time."""


def broken(kind: str, seed: int) -> bytes:
    """Return a broken file: its sound one, or now and then a bomb, changed at random."""
    chance = random.Random(f"{kind} {seed}")
    if seed < len(BOMBS[kind]):
        return BOMBS[kind][seed]()
    data = bytearray(SOUND[kind][1])
    for _ in range(chance.choice((1, 1, 1, 3))):
        place, other = (chance.randrange(max(len(data), 1)) for _ in range(2))
        match chance.randrange(6):
            case 0:
                del data[place:]
            case 1:
                for _ in range(chance.choice((1, 1, 10, 100))):
                    if data:
                        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            case 2:
                size = chance.randrange(1, 200)
                data[place : place + size], data[other : other + size] = data[other : other + size], data[place : place + size]
            case 3:
                data[place:place] = chance.randbytes(chance.randrange(1, 100))
            case 4:
                del data[place : place + chance.randrange(1, 100)]
            case 5 if chance.random() < 0.2:
                data.clear()
            case _:
                data[place : place + 50] = bytes(50)
    return bytes(data)
