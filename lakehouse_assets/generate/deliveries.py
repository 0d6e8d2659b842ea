"""Writes what a system delivers: files of each format, the same bytes for the same rows. Rows are streamed, and counted on the way."""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any, cast

from lakehouse_assets.generate.draw import Dirt, draws
from lakehouse_assets.generate.options import Options
from lakehouse_assets.generate.truth import SilverTruth, Truth

_WRITTEN = datetime(2026, 1, 1)
"""When every workbook says that it was made: a clock would make other bytes each time."""


class Deliveries:
    """The files of one system, its truth and its dirt. Those of an entity are written by landing date and name."""

    def __init__(self, folder: Path, system: str, options: Options) -> None:
        self.system = system
        self.truth = Truth()
        self.files = 0
        self._folder = folder
        self._options = options
        self._dirt: dict[str, Dirt] = {}
        self._latest: dict[str, tuple[date, str]] = {}

    def dirt(self, entity: str) -> Dirt:
        """Return what makes rows of an entity dirty."""
        if entity not in self._dirt:
            self._dirt[entity] = Dirt(draws(self._options.seed, "dirt", self.system, entity), self._options.dirt)
        return self._dirt[entity]

    @property
    def dirty(self) -> dict[str, dict[str, int]]:
        """How many rows are dirty, by entity and kind."""
        return {entity: dict(sorted(dirt.counts.items())) for entity, dirt in sorted(self._dirt.items()) if dirt.counts}

    def table(self, entity: str, **sums: int) -> SilverTruth:
        """Return the truth of a silver table of this system; `sums`, given the first time, are columns with their digits."""
        return self.truth.table(f"{self.system}_{entity}", **sums)

    def csv(
        self,
        entity: str,
        day: date,
        name: str,
        header: Sequence[str],
        rows: Iterable[Sequence[object]],
        line_end: str = "\r\n",
        delimiter: str = ",",
    ) -> None:
        """Write delimited text with a header line; no file if there is no row. A row with too many fields is meant as a broken one."""
        feed, width = self.truth.feed(f"{self.system}_{entity}"), len(header)
        with self._file(entity, day, name, rows) as (file, rest):
            text = io.TextIOWrapper(file, "utf-8", newline="")
            writer = csv.writer(text, lineterminator=line_end, delimiter=delimiter)
            writer.writerow(header)
            for row in rest:
                writer.writerow(row)
                if len(row) > width:
                    feed.refused["row_has_all_fields"] += 1
                else:
                    feed.rows += 1
            text.detach()

    def json_lines(self, entity: str, day: date, name: str, records: Iterable[Mapping[str, Any] | str]) -> None:
        """Write JSON Lines; no file if there is no record. A text in place of a record is meant as broken, and written as it is."""
        feed = self.truth.feed(f"{self.system}_{entity}")
        with self._file(entity, day, name, records) as (file, rest):
            for record in rest:
                file.write((record if isinstance(record, str) else _json(record)).encode() + b"\n")
                if isinstance(record, str):
                    feed.refused["row_is_json"] += 1
                else:
                    feed.rows += 1

    def json(
        self,
        entity: str,
        day: date,
        name: str,
        records: Iterable[Mapping[str, Any]],
        within: str = "",
        count: str = "total_count",
    ) -> None:
        """Write a JSON document: a list of records; or an object with their `count`, and `within` it the list. No record, no file."""
        feed = self.truth.feed(f"{self.system}_{entity}")
        before, after = "[", "]"
        if within:
            records = list(records)
            before, after = f"{{{_json(count)}:{len(records)},{_json(within)}:[", "]}"
        with self._file(entity, day, name, records) as (file, rest):
            for number, record in enumerate(rest):
                file.write(f"{',' if number else before}\n{_json(record)}".encode())
                feed.rows += 1
            file.write(f"\n{after}\n".encode())

    def xlsx(
        self, entity: str, day: date, name: str, header: Sequence[str], sheets: Mapping[str, Iterable[Sequence[object]]]
    ) -> None:
        """Write a workbook of sheets, each with a header row; None is an empty cell."""
        import xlsxwriter

        feed = self.truth.feed(f"{self.system}_{entity}")
        with xlsxwriter.Workbook(self._path(entity, day, name), {"constant_memory": True, "strings_to_numbers": False}) as book:
            book.set_properties({"created": _WRITTEN})
            for title, rows in sheets.items():
                sheet = book.add_worksheet(title)
                for number, row in enumerate([header, *rows]):
                    for index, value in enumerate(row):
                        if value is not None:
                            sheet.write(number, index, value)
                    feed.rows += number > 0

    def _path(self, entity: str, day: date, name: str) -> Path:
        """Return the path of a file whose folder is there.

        Raises:
            ValueError: files of an entity are not written in the order of landing, by which rows of equal sequence supersede.
        """
        if (day, name) <= self._latest.get(entity, (date.min, "")):
            raise ValueError(f"{self.system}/{entity}: {day}/{name} comes after {'/'.join(map(str, self._latest[entity]))}")
        self._latest[entity] = day, name
        path = self._folder / self.system / entity / day.isoformat() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.files += 1
        return path

    @contextmanager
    def _file(self, entity: str, day: date, name: str, rows: Iterable[Any]) -> Iterator[tuple[IO[bytes], Iterator[Any]]]:
        """Open a file for rows, packed if its name ends in `.gz`. Without a row, nothing is written."""
        rest = iter(rows)
        first = next(rest, None)
        if first is None:
            yield io.BytesIO(), iter(())
            return
        with self._path(entity, day, name).open("wb") as file:
            if name.endswith(".gz"):
                # Without time and name, equal rows are equal bytes.
                with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                    yield cast(IO[bytes], packed), _chained(first, rest)
            else:
                yield file, _chained(first, rest)


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
