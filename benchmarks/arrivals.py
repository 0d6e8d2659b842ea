"""Measures the cost of finding new files: `python benchmarks/arrivals.py` prints the seconds of a sensor tick and of a plan.

Landing has 1,000 to 100,000 objects of one feed over 1,000 dates. The script writes the ledger itself, with all of them as built,
so no engine takes part. Then ten new files land. It measures in this process, warm, as in the daemon and the command line. The
root is a new folder, or a new prefix below `LAKEHOUSE_ROOT` if that is on S3 (MinIO: `AWS_ENDPOINT_URL` and keys).
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, contextmanager
from datetime import date, timedelta
from uuid import uuid4

import obstore
import pyarrow as pa

from benchmarks.ticks import ticks_of
from lakehouse_assets.books.ledger import LandedFile, PartitionRecord
from lakehouse_assets.books.raw_fingerprint import raw_fingerprint
from lakehouse_assets.books.records import record_partitions
from lakehouse_assets.contracts.system import SilverTable
from lakehouse_assets.delta.tables import open_table, replace_rows
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.orchestration.instance import open_instance
from lakehouse_assets.orchestration.sensors import arrival_sensor
from lakehouse_assets.reconcile.plan import make_plan
from lakehouse_assets.settings import Settings, load_settings
from lakehouse_assets.silver.fingerprints import silver_fingerprints
from lakehouse_assets.systems import catalog
from tests.support.declare import feed_of

SIZES = [int(size) for size in sys.argv[1:]] or [1_000, 10_000, 100_000]
DATES = [date(2026, 11, 20) - timedelta(days=days) for days in range(1_000)]
NEW = 10
TIMES = 5


@contextmanager
def empty_root() -> Iterator[Settings]:
    """Yield settings with an empty root."""
    given = load_settings().lakehouse_root
    # If the root is on S3, the Dagster instance is in this folder.
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        root = f"{given}/{uuid4().hex[:8]}" if given.startswith("s3://") else f"{folder}/lakehouse"
        yield Settings(lakehouse_root=root, lakehouse_start_date=DATES[-1])


def land(settings: Settings, table: SilverTable, objects: int) -> None:
    """Put this many small objects into landing, spread evenly over the dates."""

    def put(number: int) -> None:
        day = DATES[number % len(DATES)]
        obstore.put(settings.root.store, f"landing/{feed_of(table).landing}/{day}/{number:06}.csv", f"id\n{number}\n".encode())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(objects)))


def write_ledger(settings: Settings, table: SilverTable) -> None:
    """Write ledger records as if raw and silver were built from all of landing."""
    by_date: dict[date, list[LandedFile]] = {}
    for landed in Landing(settings.root).listing(feed_of(table).landing, DATES[-1]).objects:
        file = LandedFile(landed.name, landed.version, f"{hash(landed.name):x}", landed.size, 1, 1)
        by_date.setdefault(landed.date, []).append(file)
    raw = [
        PartitionRecord(
            "raw", table.name, day, len(files), len(files), 0, 0, 1, "", raw_fingerprint(feed_of(table), files), files
        )
        for day, files in by_date.items()
    ]
    fingerprints = silver_fingerprints(table, {table.name: {r.date: r for r in raw}})
    silver = [
        PartitionRecord(
            "silver",
            table.name,
            r.date,
            r.rows_out,
            r.rows_out,
            0,
            0,
            1,
            "",
            fingerprints[r.date],
        )
        for r in raw
    ]
    for records in (raw, silver):
        layer = records[0].layer
        uri = settings.root.table(layer, table.name)
        rows = pa.table({"_date": pa.array([r.date for r in records], pa.date32()), "_file": [""] * len(records)})
        replace_rows(uri, rows, predicate="TRUE", key=layer, run_id="")
        opened = open_table(uri)
        assert opened is not None
        record_partitions(settings.root, layer, {table.name: opened}, lambda known, records=records: records, "")


def seconds(work: Callable[[], object]) -> float:
    """Return the median time of some calls, after one to warm up."""
    work()
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure(objects: int) -> list[float]:
    """Return the seconds of tick and plan when all is built, then of both with new files."""
    with empty_root() as settings, open_instance(settings.dagster_home, settings.root) as instance:
        declared = catalog()
        tick = ticks_of(arrival_sensor(settings, declared, declared.tables[0].system), instance)
        land(settings, declared.tables[0], objects)
        write_ledger(settings, declared.tables[0])
        assert make_plan(settings, declared).is_empty
        assert not tick()
        figures = [seconds(tick), seconds(lambda: make_plan(settings, declared))]
        for number in range(NEW):
            key = f"landing/{feed_of(declared.tables[0]).landing}/{DATES[0]}/new-{number}.csv"
            obstore.put(settings.root.store, key, b"id\n1\n")
        assert tick() == 1
        return [*figures, seconds(tick), seconds(lambda: make_plan(settings, declared))]


if __name__ == "__main__":
    columns = ("objects", "tick", "plan", f"tick, {NEW} new", f"plan, {NEW} new")
    sys.stdout.write("  ".join(f"{c:>12}" for c in columns) + "\n")
    for size in SIZES:
        sys.stdout.write("  ".join([f"{size:>12,}", *(f"{s:>12.3f}" for s in measure(size))]) + "\n")
        sys.stdout.flush()
