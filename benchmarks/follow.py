"""Measures `lakehouse sync --follow`: small files land one after another. How soon is each in gold, and what do they leave?

    python benchmarks/follow.py [--drops 100] [--every 0] [--json FILE]

The CRM/ERP sample with its first 1,000 sales is built, then each drop is a file of ten sales. With `--every 0` a file lands once the
one before is in gold; `--every 30 --drops 2880` is a day with a file every half minute. Everything lies in a temporary folder. At the
end the same landing is built by one pass, and the tables of silver and gold must be equal. `LAKEHOUSE_ENGINE` chooses the engine (sail
unless set).
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measured import say
from lakehouse_assets.bundled import bundled
from lakehouse_assets.delta.tables import open_table
from lakehouse_assets.serving.query import query
from lakehouse_assets.store.root import Root

LAKEHOUSE = str(Path(sys.executable).with_name("lakehouse"))
BASE_SALES, SALES_A_DROP, DAY = 1_000, 10, "2026-02-01"


def land_base(landing: Path) -> list[str]:
    """Land the sample of CRM and ERP with its first sales; returns the header and the lines of the sales that follow."""
    sample = bundled("sample_data")
    for system in ("crm", "erp", "finance"):
        shutil.copytree(sample / system, landing / system)
    [sales] = list((landing / "crm" / "sales").rglob("*.csv"))
    header, *lines = sales.read_text().splitlines()
    sales.write_text("\n".join([header, *lines[:BASE_SALES]]) + "\n")
    return [header, *lines[BASE_SALES:]]


def drop(landing: Path, number: int, header: str, lines: list[str]) -> None:
    """Land a small file, whole at once."""
    folder = landing / "crm" / "sales" / DAY
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{number:05}.csv"
    hidden = file.with_name(f".{file.name}")
    hidden.write_text("\n".join([header, *lines]) + "\n")
    hidden.rename(file)


@contextmanager
def following(root: Path, environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Run `lakehouse sync --follow --json` while the block runs."""
    with (root.parent / "follow.err").open("w") as errors:
        command = [LAKEHOUSE, "sync", "--follow", "--json"]
        process = subprocess.Popen(command, env=environment, cwd=root.parent, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def next_pass(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return the next pass that has built gold.

    Raises:
        RuntimeError: the process has ended, or a pass failed.
    """
    assert process.stdout is not None
    for line in process.stdout:
        done = json.loads(line)
        if not done["succeeded"]:
            raise RuntimeError(line)
        if done["pass"] is not None:
            return dict(done)
    raise RuntimeError("the process has ended")


def memory(process: "subprocess.Popen[str]") -> tuple[float, float]:
    """Return the resident MB of the process, and of those that it keeps waiting (dbt; pages that they share count for each)."""
    own = psutil.Process(process.pid)
    children = sum(child.memory_info().rss for child in own.children(recursive=True))
    return own.memory_info().rss / 2**20, children / 2**20


def tables(root: Root) -> dict[str, int]:
    """Return the versions of all tables, by layer and name."""
    names = [(layer, name) for layer in ("raw", "silver", "gold", "quarantine", "ops") for name in root.table_names(layer)]
    opened = {f"{layer}.{name}": open_table(root.table(layer, name)) for layer, name in names}
    return {name: table.version() for name, table in opened.items() if table is not None}


def rows(root: Root, table: str) -> list[tuple[Any, ...]]:
    """Return all rows of a table, in an order of their own."""
    return query(root, f"FROM {table} ORDER BY ALL").fetchall()


def differing(root: Root, other: Root) -> list[str]:
    """Return the tables of silver and gold that are not the same in both roots."""
    names = sorted(name for name in {*tables(root), *tables(other)} if name.startswith(("silver.", "gold.")))
    return [name for name in names if rows(root, name) != rows(other, name)]


def main(drops: int, every: float) -> dict[str, Any]:
    """Return the figures, after printing them."""
    with tempfile.TemporaryDirectory(prefix="lakehouse-follow-") as folder:
        root, once = Path(folder, "followed"), Path(folder, "once")
        environment = {**os.environ, "LAKEHOUSE_ENGINE": os.environ.get("LAKEHOUSE_ENGINE", "sail"), "LAKEHOUSE_ROOT": str(root)}
        header, *lines = land_base(root / "landing")
        latencies: list[float] = []
        held: list[tuple[float, float]] = []
        with following(root, environment) as process:
            next_pass(process)
            say("the base is in gold")
            before = tables(Root.parse(str(root)))
            began = time.monotonic()
            for number in range(drops):
                time.sleep(max(0.0, began + number * every - time.monotonic()))
                dropped = time.monotonic()
                start = number * SALES_A_DROP % (len(lines) - SALES_A_DROP)
                drop(root / "landing", number, header, lines[start : start + SALES_A_DROP])
                next_pass(process)
                latencies.append(time.monotonic() - dropped)
                held.append(memory(process))
                if number % 10 == 9:
                    say(f"{number + 1} drops, last {latencies[-1]:.1f} s, {held[-1][0]:.0f} MB")
        after = tables(Root.parse(str(root)))
        shutil.copytree(root / "landing", once / "landing")
        subprocess.run(
            [LAKEHOUSE, "sync"], env={**environment, "LAKEHOUSE_ROOT": str(once)}, cwd=folder, check=True, capture_output=True
        )
        files = [file for file in root.rglob("*") if file.is_file()]
        figures = {
            "drops": drops,
            "median_seconds": round(statistics.median(latencies), 2),
            "worst_seconds": round(max(latencies), 2),
            "memory_mb": [round(held[n][0]) for n in sorted({min(n, drops - 1) for n in (0, 9, drops // 2, drops - 1)})],
            "memory_of_dbt_mb": [round(held[0][1]), round(held[-1][1])],
            "commits": sum(after.values()) - sum(before.values()),
            "files": {
                part: sum(f.relative_to(root).parts[0] == part for f in files)
                for part in ("landing", "raw", "silver", "gold", "ops", "dagster")
            },
            "dagster_mb": round(sum(f.stat().st_size for f in files if f.relative_to(root).parts[0] == "dagster") / 2**20),
            "tables_that_differ": differing(Root.parse(str(root)), Root.parse(str(once))),
        }
        figures["latencies"] = [round(seconds, 2) for seconds in latencies]
        figures["memory"] = [round(own) for own, _ in held]
        return figures


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--drops", type=int, default=100)
    options.add_argument("--every", type=float, default=0.0, help="seconds from one drop to the next")
    options.add_argument("--json", type=Path, help="write the figures to this file")
    given = options.parse_args()
    measured = main(given.drops, given.every)
    print(json.dumps({name: value for name, value in measured.items() if name not in ("latencies", "memory")}, indent=1))
    if given.json:
        given.json.write_text(json.dumps(measured))
