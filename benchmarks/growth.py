"""Measures how the cost of a pass grows with the lakehouse: `python benchmarks/growth.py --times 1 10 40 100`.

Lands the CRM/ERP sample, multiplied with distinct keys, and runs `lakehouse sync` three times: over all of it, after 1,000 new sales on
a new date, and with nothing to do. One DuckDB script over the same files (`one_script.py`) stands beside it, and both must have the
same totals in gold. Each is a process of its own, over a new root in a temporary folder, on the engine that `LAKEHOUSE_ENGINE` names
(sail unless set). `--store minio` puts the root on a MinIO of its own, behind a proxy that counts the requests.

Prints a table: CPU seconds of all processes, of these what raw and silver took (start included) on the way to gold, wall seconds, by
layer too, peak memory, megabytes read, of these what was read on the way to gold, requests. `--json FILE` also keeps the figures,
`--picture FILE` draws them as SVG.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import duckdb
import psutil

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.measured import Cost, Requests, cost_of, counted_minio, say  # noqa: E402
from benchmarks.one_script import FEEDS, TOTALS  # noqa: E402
from benchmarks.picture import Line, line_chart  # noqa: E402
from lakehouse_assets.landing.objects import Landing  # noqa: E402
from lakehouse_assets.store.root import Root  # noqa: E402

LAKEHOUSE = (sys.executable, "-c", "from lakehouse_assets.cli import main; main()")
"""The command line, of the folder that this script is in."""

FIRST, NEXT = date(2026, 1, 31), date(2026, 2, 1)
NEW_SALES = 1_000
GOLD = "Building gold"
"""What a pass says when raw and silver are done."""

COPY_OF = {
    "crm_customers": ("cst_id", "cst_key"),
    "crm_products": ("prd_id", "prd_key"),
    "crm_sales": ("sls_cust_id", "sls_ord_num", "sls_prd_key"),
    "erp_customer_demographics": (None, "CID"),
    "erp_customer_locations": (None, "CID"),
}
"""Of each feed that is multiplied: the column with a number, and the columns with a text, by which a copy is another's."""


@dataclass(frozen=True)
class Figures:
    """What one pass, or the script, cost: `rows_cpu` and `rows_read_megabytes` before gold began, `layers` wall seconds by layer."""

    times: int
    sales: int
    what: str
    cpu: float
    rows_cpu: float | None
    wall: float
    layers: dict[str, float]
    peak_megabytes: float
    read_megabytes: float
    rows_read_megabytes: float | None
    requests: int | None


def multiplied(folder: Path, times: int) -> int:
    """Write the sample's files, with each row so many times under keys of its own. Returns the number of sales."""
    with duckdb.connect() as connection:
        for name, feed in FEEDS.items():
            [file] = (PROJECT / "sample_data" / feed).glob("*/*.csv")
            target = folder / "landing" / feed / FIRST.isoformat() / file.name
            target.parent.mkdir(parents=True)
            rows = f"read_csv('{file}', all_varchar = true, header = true)"
            number, *texts = COPY_OF.get(name, (None,))
            changed = [f"CASE WHEN copy = 0 THEN {text} ELSE {text} || 'x' || copy END AS {text}" for text in texts]
            changed += [f"CAST({number} AS BIGINT) + 100000 * copy AS {number}"] if number else []
            replaced, copies = (f"REPLACE ({', '.join(changed)})", times) if changed else ("", 1)
            sql = f"SELECT * EXCLUDE (copy) {replaced} FROM {rows}, range({copies}) AS _(copy)"
            connection.execute(f"COPY ({sql}) TO '{target}' (HEADER)")
        sales = folder / "landing" / FEEDS["crm_sales"] / FIRST.isoformat() / "*.csv"
        arrived = folder / "new.csv"
        connection.execute(
            f"""COPY (SELECT * REPLACE (sls_ord_num || 'n' AS sls_ord_num)
                FROM read_csv('{sales}', all_varchar = true, header = true) LIMIT {NEW_SALES}) TO '{arrived}' (HEADER)"""
        )
        counted = connection.execute(f"SELECT count(*) FROM read_csv('{sales}', all_varchar = true, header = true)").fetchone()
        return int(counted[0]) if counted else 0


def measure(times: int, prefix: str | None, requests: Requests) -> Iterator[Figures]:
    """Yield the figures of the script and of three passes, for the sample multiplied."""
    with tempfile.TemporaryDirectory(prefix="lakehouse-growth-") as name:
        folder = Path(name)
        sales = multiplied(folder, times)
        root = f"{prefix}/{uuid4().hex[:8]}" if prefix else str(folder / "lakehouse")
        environment = {
            "LAKEHOUSE_ROOT": root,
            "LAKEHOUSE_ENGINE": os.environ.get("LAKEHOUSE_ENGINE", "sail"),
            "LAKEHOUSE_START_DATE": "2026-01-01",
            "PYTHONPATH": str(PROJECT),
        }
        landing = Landing(Root.parse(root))

        def figures(what: str, cost: Cost, asked: int | None = None, layers: dict[str, float] | None = None) -> Figures:
            rows = cost.before.get(GOLD)
            return Figures(
                times,
                sales,
                what,
                round(cost.cpu, 1),
                round(rows.cpu, 1) if rows else None,
                round(cost.wall, 1),
                layers or {},
                round(cost.peak_megabytes),
                round(cost.read_megabytes, 1),
                round(rows.read_megabytes, 1) if rows else None,
                asked,
            )

        def one_pass(what: str) -> Figures:
            before = requests.count()
            command = [*LAKEHOUSE, "sync", "--json"]
            cost = cost_of(command, environment, folder, marks=[GOLD])
            after = requests.count()
            told = json.loads(cost.output)
            assert told["succeeded"], told
            return figures(what, cost, None if after is None or before is None else after - before, told["seconds"])

        def script(what: str) -> tuple[Figures, dict[str, float]]:
            command = [sys.executable, str(PROJECT / "benchmarks" / "one_script.py"), str(folder / "landing")]
            cost = cost_of([*command, str(folder / what)], {}, folder)
            return figures(what, cost), json.loads(cost.output)

        for file in sorted((folder / "landing").glob("*/*/*/*.csv")):
            system, entity, day, _ = file.relative_to(folder / "landing").parts
            landing.put(f"{system}/{entity}", date.fromisoformat(day), file)
        figures_of_script, totals = script("script")
        yield figures_of_script
        yield one_pass("full build")
        assert (found := gold_totals(environment, folder)) == totals, f"gold differs: {found}, the script has {totals}"
        new = folder / "landing" / FEEDS["crm_sales"] / NEXT.isoformat() / "new.csv"
        new.parent.mkdir()
        (folder / "new.csv").rename(new)
        landing.put("crm/sales", NEXT, new)
        yield one_pass(f"{NEW_SALES:,} new sales")
        yield one_pass("nothing to do")
        _, totals = script("script-again")
        assert (found := gold_totals(environment, folder)) == totals, f"gold differs: {found}, the script has {totals}"


def gold_totals(environment: dict[str, str], folder: Path) -> dict[str, float]:
    """Return the totals of gold as the product has them."""
    sql = TOTALS.format(gold="gold.", amount="usd_amount", customers="bridge_customer")
    command = [*LAKEHOUSE, "query", sql, "--format", "json"]
    [row] = json.loads(cost_of(command, environment, folder).output)
    return {name: float(value) for name, value in row.items()}


HEADINGS = (
    "times",
    "sales",
    "what",
    "CPU s",
    "to gold",
    "wall s",
    "raw s",
    "silver s",
    "gold s",
    "peak MB",
    "read MB",
    "to gold",
    "requests",
)
WIDTHS = (6, 10, 16, 8, 8, 8, 8, 9, 8, 9, 9, 8, 9)


def show(cells: Sequence[object]) -> None:
    """Print a line of the table."""
    print("".join(f"{'-' if cell is None else cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True)), flush=True)


def show_figures(f: Figures) -> None:
    """Print the figures of a pass as a line of the table."""
    layers = [f.layers.get(layer) for layer in ("raw", "silver", "gold")]
    sales = f"{f.sales:,}"
    read = (f.read_megabytes, f.rows_read_megabytes)
    show((f.times, sales, f.what, f.cpu, f.rows_cpu, f.wall, *layers, f.peak_megabytes, *read, f.requests))


def machine() -> str:
    """Return when and where this was measured."""
    cores, memory = psutil.cpu_count(), psutil.virtual_memory().total / 2**30
    engine = os.environ.get("LAKEHOUSE_ENGINE", "sail")
    python = f"Python {platform.python_version()}"
    return f"{datetime.now(UTC):%Y-%m-%d}, {engine}, {cores} cores ({platform.machine()}), {memory:.0f} GB, {python}"


def draw(found: Sequence[Figures], file: Path) -> None:
    """Draw CPU and memory by the number of sales, one line for each kind of pass."""
    kinds = list(dict.fromkeys(f.what for f in found))

    def lines(value: str) -> list[Line]:
        return [Line(kind, [(f.sales, getattr(f, value)) for f in found if f.what == kind]) for kind in kinds]

    charts = [("CPU seconds", lines("cpu")), ("peak memory in MB", lines("peak_megabytes"))]
    file.write_text(line_chart("Cost by rows of sales", machine(), "rows of sales", charts))


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10, 40, 100])
    parser.add_argument("--store", choices=["folder", "minio"], default="folder")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--picture", type=Path, metavar="FILE")
    options = parser.parse_args()
    print(machine())
    show(HEADINGS)
    found: list[Figures] = []
    with counted_minio(options.store == "minio") as (prefix, requests):
        for times in options.times:
            say(f"{times} times: writing the files")
            for figures in measure(times, prefix, requests):
                show_figures(figures)
                found.append(figures)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "figures": [asdict(f) for f in found]}, indent=1))
    if options.picture:
        draw(found, options.picture)


if __name__ == "__main__":
    main()
