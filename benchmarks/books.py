"""Measures what grows with the dates already settled: `python benchmarks/books.py 10 100 1000` prints a line for each number.

30 tables, 15 in raw and 15 in silver, have a partition on each of so many dates, all of them built by one run, with a superseded and a
quarantined row a date. Then: the plan of a pass with nothing to do, in a process of its own; and in this process, warm, a
sensor tick, a query over `ops.row_accounts`, and a pass over one new date of one feed.

`--store minio` puts the root on a MinIO of its own, and counts requests.
`--profile FILE` writes a profile of one of them (`--of`) for `python -m pstats`. `--keep FOLDER` builds the lakehouses there once, so
that two versions of the code can be held against each other.
"""

import argparse
import cProfile
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

import obstore

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.measured import Requests, counted_minio, say  # noqa: E402
from benchmarks.settled import TABLES, tables_of_benchmark  # noqa: E402
from benchmarks.ticks import ticks_of  # noqa: E402
from lakehouse_assets.contracts.system import Catalog, SilverTable  # noqa: E402
from lakehouse_assets.definitions import build_definitions  # noqa: E402
from lakehouse_assets.engine.session import Engine  # noqa: E402
from lakehouse_assets.landing.objects import Landing  # noqa: E402
from lakehouse_assets.orchestration.instance import open_instance  # noqa: E402
from lakehouse_assets.orchestration.sensors import arrival_sensor  # noqa: E402
from lakehouse_assets.orchestration.sync import sync  # noqa: E402
from lakehouse_assets.reconcile.plan import make_plan  # noqa: E402
from lakehouse_assets.serving.query import query  # noqa: E402
from lakehouse_assets.settings import Settings  # noqa: E402
from tests.support.declare import feed_of  # noqa: E402

LAST = date(2026, 6, 1)
"""The last date that is settled; new ones come after it."""
TIMES = 5
ACCOUNTS = "SELECT layer, count(*), sum(rows_in), sum(rows_out) FROM ops.row_accounts GROUP BY ALL ORDER BY ALL"


def land(settings: Settings, tables: list[SilverTable], day: date) -> None:
    """Land a file of each of the tables: a new thing, one that comes again every day, and one that says nothing."""
    for each in tables:
        text = f"id,said\n{day},a\nalways,{day}\nquiet-{day},nothing\n"
        obstore.put(settings.root.store, f"landing/{feed_of(each).landing}/{day}/things.csv", text.encode())


@contextmanager
def folder_for(dates: int, kept: Path | None) -> Iterator[str]:
    """Yield a temporary folder, or one in which the lakehouse is kept for another time; it is the current folder meanwhile."""
    if kept is not None:
        folder = kept / str(dates)
        folder.mkdir(parents=True, exist_ok=True)
        with chdir(folder):
            yield str(folder)
        return
    with tempfile.TemporaryDirectory(prefix="lakehouse-books-") as temporary, chdir(temporary):
        yield temporary


def measure(dates: int, prefix: str | None, requests: Requests, options: argparse.Namespace) -> None:
    """Build so many dates, and print what the next passes cost."""
    with folder_for(dates, options.keep and options.keep.resolve()) as folder:
        root = f"{prefix}/{uuid4().hex[:8]}" if prefix else f"{folder}/lakehouse"
        settings = Settings(
            lakehouse_root=root,
            lakehouse_engine=os.environ.get("LAKEHOUSE_ENGINE", "sail"),
            lakehouse_start_date=LAST - timedelta(days=dates - 1),
        )
        os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
        tables = tables_of_benchmark()
        catalog, engine = Catalog.from_tables(tables), Engine(settings.engine_config)
        definitions = build_definitions(settings, catalog=catalog, engine=engine)
        new = max([LAST, *Landing(settings.root).dates(feed_of(tables[0]).landing, LAST)])
        if not Landing(settings.root).dates(feed_of(tables[0]).landing, settings.lakehouse_start_date):
            for past in range(dates):
                land(settings, tables, LAST - timedelta(days=past))

        def one_pass() -> None:
            with Path(folder, "log").open("a") as log, redirect_stdout(log):
                result = sync(settings, catalog, make_plan(settings, catalog), definitions, lambda text: None)
            assert result.succeeded, result

        began = time.perf_counter()
        one_pass()
        say(f"built {dates:,} dates of {2 * TABLES} tables in {time.perf_counter() - began:.0f} s")
        sensor = arrival_sensor(settings, catalog, "bench")
        with open_instance(settings.dagster_home, settings.root) as instance:
            next_tick = ticks_of(sensor, instance)

            def tick() -> None:
                assert not next_tick()

            def nothing() -> None:
                command = [sys.executable, "-c", "from benchmarks.settled import plan; plan()", root]
                subprocess.run(
                    [*command, str(settings.lakehouse_start_date)], env={**os.environ, "PYTHONPATH": str(PROJECT)}, check=True
                )

            def accounts() -> None:
                rows = query(settings.root, ACCOUNTS).fetchall()
                assert rows[0][1] >= TABLES * dates

            def one_date() -> None:
                nonlocal new
                new += timedelta(days=1)
                land(settings, tables[:1], new)
                one_pass()

            work = {"nothing to do": nothing, "tick": tick, "query": accounts, "one date": one_date}
            cells = []
            for name, call in work.items():
                seconds, asked = cost(call, requests, times=TIMES)
                cells.append(f"{seconds * 1000:8.0f}" + ("" if asked is None else f" ({asked:4.0f})"))
                if options.profile is not None and name == options.of:
                    with cProfile.Profile() as profiler:
                        call()
                    profiler.dump_stats(options.profile)
            print("  ".join([f"{dates:>6,}", *(f"{cell:>16}" for cell in cells)]), flush=True)
        engine.stop_session()


def cost(work: Callable[[], None], requests: Requests, times: int) -> tuple[float, float | None]:
    """Return the CPU seconds, child processes included, and the requests of some calls, as medians, after one to warm up."""
    work()
    seconds, asked = [], []
    for _ in range(times):
        began, before = os.times(), requests.count()
        work()
        ended = os.times()
        seconds.append(sum(ended[:4]) - sum(began[:4]))
        after = requests.count()
        if before is not None and after is not None:
            asked.append(after - before)
    return statistics.median(seconds), statistics.median(asked) if asked else None


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dates", type=int, nargs="*", default=[10, 100, 1_000])
    parser.add_argument("--store", choices=["folder", "minio"], default="folder")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the lakehouses, and use those that are there")
    parser.add_argument("--profile", type=lambda text: Path(text).absolute(), metavar="FILE")
    parser.add_argument("--of", default="nothing to do", help="what to profile: 'nothing to do', tick, query, 'one date'")
    options = parser.parse_args()
    columns = ("nothing to do", "tick", "query", "one date")
    print("CPU milliseconds" + (" (requests)" if options.store == "minio" else ""))
    print("  ".join([f"{'dates':>6}", *(f"{name:>16}" for name in columns)]), flush=True)
    with counted_minio(options.store == "minio") as (prefix, requests):
        for dates in options.dates:
            measure(dates, prefix, requests, options)


if __name__ == "__main__":
    main()
