"""Measures what a file costs that is added to a date: `python benchmarks/additions.py [FILES] [ROWS]`, 200 files of 1,000 rows else.

A date of so many files is built; then files of as many rows are added one by one, each built into silver by file and, in a second
lakehouse with the same landing, as a date built whole. Half of an added file's rows are newer rows of keys of the file before. Prints
CPU seconds of raw and of silver, and the rows that silver read from raw; fails if the two tables differ.
"""

import logging
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import obstore

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

from lakehouse_assets.contracts.provenance import FILE  # noqa: E402
from lakehouse_assets.delta.handlers import Target  # noqa: E402
from lakehouse_assets.delta.tables import files_with, live_files, open_table  # noqa: E402
from lakehouse_assets.engine.session import Engine  # noqa: E402
from lakehouse_assets.raw.write import load_partitions  # noqa: E402
from lakehouse_assets.serving.query import query  # noqa: E402
from lakehouse_assets.settings import Settings  # noqa: E402
from lakehouse_assets.silver import build  # noqa: E402
from tests.support.declare import feed_of  # noqa: E402
from tests.support.orders import ORDERS, csv  # noqa: E402

DAY = date(2026, 1, 1)
FILES, ROWS = (int(value) for value in [*sys.argv[1:3], *("200", "1000")[len(sys.argv[1:3]) :]])
ADDED = 5


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this process, and of those it has waited for, that `work` takes."""
    before = os.times()
    work()
    after = os.times()
    return sum(after[:4]) - sum(before[:4])


class Lakehouse:
    """A lakehouse of one table, which builds dates by file or whole."""

    def __init__(self, folder: str, engine: Engine, *, by_file: bool) -> None:
        self.root, self.engine, self.by_file = Settings(lakehouse_root=folder).root, engine, by_file
        self.rows_read = 0

    def put(self, number: int) -> None:
        """Land a file."""
        new = ROWS if number < FILES else ROWS - ROWS // 2
        keys = [*range(number * ROWS, number * ROWS + new), *range((number - 1) * ROWS, (number - 1) * ROWS + ROWS - new)]
        text = csv(*((f"k{key}", number, key % 1_000) for key in keys))
        obstore.put(self.root.store, f"landing/{feed_of(ORDERS).landing}/{DAY}/{number:06}.csv", text.encode())

    def target(self, layer: str) -> Target:
        """Return the date of a layer."""
        return Target(self.root, layer, ORDERS.name, [DAY], uuid4().hex, logging.getLogger("bench"))

    def build_raw(self) -> None:
        """Build the date in raw."""
        load_partitions(feed_of(ORDERS), self.target("raw"), DAY)

    def build_silver(self) -> None:
        """Build the date in silver."""
        find = build.with_additions

        def found(*args: Any, **kwargs: Any) -> Any:
            to_build = find(*args, **kwargs)
            to_build = to_build if self.by_file else replace(to_build, additions={})
            raw = open_table(self.root.table("raw", ORDERS.name))
            assert raw is not None
            files = files_with(raw, FILE, to_build.files(feed_of(ORDERS).table))
            self.rows_read = sum(file["num_records"] for file in files)
            return to_build

        build.with_additions = found
        try:
            build.build_partitions(ORDERS, self.engine.session, self.target("silver"))
        finally:
            build.with_additions = find

    def table(self) -> list[Any]:
        """Return the rows of the table."""
        return query(self.root, f"FROM silver.{ORDERS.name} ORDER BY ALL").fetchall()


def main() -> None:
    """Measure, compare, print."""
    with tempfile.TemporaryDirectory(prefix="lakehouse-additions-") as folder:
        engine = Engine(Settings(lakehouse_root=folder).engine_config)
        engine.session().range(1).collect()
        tables = []
        for name, by_file in (("whole", False), ("by file", True)):
            lakehouse = Lakehouse(f"{folder}/{by_file}", engine, by_file=by_file)
            for number in range(FILES):
                lakehouse.put(number)
            lakehouse.build_raw()
            lakehouse.build_silver()
            raw, silver = [], []
            for number in range(FILES, FILES + ADDED):
                lakehouse.put(number)
                raw.append(cpu(lakehouse.build_raw))
                silver.append(cpu(lakehouse.build_silver))
            opened = open_table(lakehouse.root.table("silver", ORDERS.name))
            assert opened is not None
            print(
                f"{name:8} raw {statistics.median(raw):.2f} CPU s, silver {statistics.median(silver):.2f} CPU s; silver read "
                f"{lakehouse.rows_read:,} rows of raw; the date has {len(live_files(opened))} files"
            )
            tables.append(lakehouse.table())
        assert tables[0] == tables[1], "the tables differ"
        engine.stop_session()


if __name__ == "__main__":
    main()
