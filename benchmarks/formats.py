"""Measures the readers of all formats: `python benchmarks/formats.py [--megabytes N] [FORMAT…]`; a workbook is of a tenth of the size.

Each figure is of a process of its own: rows a second of CPU time without imports, and its peak memory. Beside the reader stands the
bare library, over the same file: Arrow for CSV and Parquet, Python's json (which reads a document as a whole), calamine for workbooks.
"""

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

PROJECT = Path(__file__).parents[1]
ROWS_AT_ONCE = 100_000
PIECE_BYTES = 4 * 1024 * 1024


def record(number: int) -> dict[str, object]:
    """A row as a system may send it."""
    return {
        "id": number,
        "name": f"station {number % 1500}",
        "on": f"2026-01-{number % 28 + 1:02}",
        "at": f"2026-01-05T10:{number % 60:02}:00+01:00",
        "amount": number % 1000 / 8,
        "count": number % 17,
        "is_open": number % 3 == 0,
        "note": None if number % 2 else f"free text {number}",
    }


def _write_csv(file: Path, size: int) -> None:
    with file.open("w") as out:
        out.write(",".join(record(0)) + "\n")
        number = 0
        while out.tell() < size:
            out.writelines(
                ",".join("" if v is None else str(v) for v in record(number + n).values()) + "\n" for n in range(10_000)
            )
            number += 10_000


def _write_gzip(file: Path, size: int) -> None:
    plain = file.with_suffix(".plain")
    _write_csv(plain, size)
    with plain.open("rb") as source, gzip.open(file, "wb", 6) as out:
        while piece := source.read(PIECE_BYTES):
            out.write(piece)
    plain.unlink()


def _write_lines(file: Path, size: int) -> None:
    with file.open("w") as out:
        number = 0
        while out.tell() < size:
            out.writelines(json.dumps(record(number + n)) + "\n" for n in range(10_000))
            number += 10_000


def _write_document(file: Path, size: int) -> None:
    with file.open("w") as out:
        out.write('{"total": 0, "results": [\n')
        number = 0
        while out.tell() < size:
            out.write(("," if number else "") + ",\n".join(json.dumps(record(number + n)) for n in range(10_000)))
            number += 10_000
        out.write('], "next": null}')


def _write_parquet(file: Path, size: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    # The same rows over and over: they take as long to read as others.
    rows = pa.Table.from_pylist([record(number) for number in range(ROWS_AT_ONCE)])
    with parquet.ParquetWriter(file, rows.schema) as out:
        while file.stat().st_size < size:
            out.write_table(rows)


def _write_xlsx(file: Path, size: int) -> None:
    import xlsxwriter

    # A row takes some 40 bytes; a sheet has 500,000 rows.
    with xlsxwriter.Workbook(file, {"constant_memory": True}) as book:
        left = size // 40
        for sheet_number in range(left // 500_000 + 1):
            sheet = book.add_worksheet(f"sheet {sheet_number}")
            sheet.write_row(0, 0, list(record(0)))
            for number in range(1, min(left, 500_000)):
                sheet.write_row(number, 0, list(record(number).values()))
            left -= 500_000


def _bare_csv(file: Path) -> int:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    pa.set_cpu_count(1)
    options = arrow_csv.ConvertOptions(column_types=dict.fromkeys(record(0), pa.string()))
    with pa.input_stream(str(file)) as source:
        return sum(batch.num_rows for batch in arrow_csv.open_csv(source, convert_options=options))


def _bare_lines(file: Path) -> int:
    with file.open("rb") as source:
        return sum(1 for line in source if json.loads(line))


def _bare_document(file: Path) -> int:
    return len(json.loads(file.read_bytes())["results"])


def _bare_parquet(file: Path) -> int:
    import pyarrow.parquet as parquet

    return sum(batch.num_rows for batch in parquet.ParquetFile(file).iter_batches(10_000, use_threads=False))


def _bare_xlsx(file: Path) -> int:
    from python_calamine import CalamineWorkbook

    book = CalamineWorkbook.from_path(file)
    return sum(sum(1 for _ in book.get_sheet_by_name(name).iter_rows()) - 1 for name in book.sheet_names)


FORMATS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], int]]] = {
    "csv": (_write_csv, _bare_csv),
    "csv.gz": (_write_gzip, _bare_csv),
    "lines": (_write_lines, _bare_lines),
    "document": (_write_document, _bare_document),
    "parquet": (_write_parquet, _bare_parquet),
    "xlsx": (_write_xlsx, _bare_xlsx),
}


def _read(file: Path) -> int:
    from lakehouse_assets.contracts.feeds import Feed, SourceColumn
    from lakehouse_assets.contracts.formats import Csv, Json, Parquet, Xlsx
    from lakehouse_assets.raw.readers.formats import read_rows

    form = (Csv(), Json(records="results"), Xlsx(), Parquet()) if file.suffix != ".lines" else Json()
    feed = Feed("bench/rows", tuple(SourceColumn(name, "") for name in record(0)), format=form)

    def pieces() -> Iterator[bytes]:
        with file.open("rb") as source:
            while piece := source.read(PIECE_BYTES):
                yield piece

    rows = 0
    for batch in read_rows(pieces(), feed, file.name, file.stat().st_size, date(2026, 1, 1)):
        assert not batch.rejects.num_rows, batch.rejects.to_pylist()
        rows += batch.rows.num_rows
    return rows


def child(way: str, kind: str, file: Path) -> None:
    """Read the file, and print the figures."""
    import pyarrow.compute
    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401 (imports are not what is measured)

    import lakehouse_assets.raw.readers.formats  # noqa: F401

    before, began = time.process_time(), time.perf_counter()
    rows = _read(file) if way == "reader" else FORMATS[kind][1](file)
    cpu, wall = time.process_time() - before, time.perf_counter() - began
    [most] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    print(f"{rows:11,} rows  {rows / cpu:11,.0f} rows a CPU second  {wall:6.1f} s  peak {int(most) // 1024:6,} MB")
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    """Print a table of all formats."""
    arguments = sys.argv[1:]
    size = 500
    if "--megabytes" in arguments:
        place = arguments.index("--megabytes")
        size = int(arguments[place + 1])
        del arguments[place : place + 2]
    for kind in arguments or FORMATS:
        with tempfile.TemporaryDirectory(prefix="lakehouse-formats-") as folder:
            file = Path(folder, f"rows.{kind}")
            FORMATS[kind][0](file, size * 1024**2 // (10 if kind == "xlsx" else 1))
            for way in ("reader", "bare"):
                command = [sys.executable, __file__, "--child", way, kind, str(file)]
                told = subprocess.run(
                    command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(PROJECT)}
                )
                print(f"{kind:9} {file.stat().st_size / 1024**2:5,.0f} MB  {way:6}  {told.stdout.strip()}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    else:
        main()
