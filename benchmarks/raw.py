"""Measures how files become raw rows: `python benchmarks/raw.py` loads the CRM's sales 40 times over, as CSV and as .gz, into a folder.

Each figure is of a separate process: CPU seconds without its imports, and the peak memory of the process and its children. Beside the
raw asset, as a Dagster run builds it, stand `read_csv` of DuckDB and of Arrow with `write_deltalake`, over the same file. `--times N`
sets how often the rows are repeated: 560 make 2 GB.
"""

import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import psutil

PROJECT = Path(__file__).parents[1]
SALES = PROJECT / "sample_data/crm/sales/2026-01-31/sales_details.csv"
DAY = date(2026, 1, 31)


def cpu_seconds() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def raw(file: Path) -> Callable[[], int]:
    """The raw asset, in a run of its own over one date. The file is landed already."""
    import dagster as dg

    from lakehouse_assets.definitions import build_definitions
    from lakehouse_assets.delta.tables import open_table, table_facts
    from lakehouse_assets.orchestration.jobs import LAKEHOUSE_JOB
    from lakehouse_assets.settings import load_settings

    settings = load_settings()
    job = build_definitions(settings).resolve_job_def(LAKEHOUSE_JOB)

    def run() -> int:
        with dg.DagsterInstance.ephemeral() as instance:
            done = job.execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(["raw", "crm_sales"])],
                partition_key=DAY.isoformat(),
                run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            )
        assert done.success
        table = open_table(settings.root.table("raw", "crm_sales"))
        assert table is not None, "the run has made it"
        return table_facts(table).rows

    return run


def arrow(file: Path) -> Callable[[], int]:
    """Arrow's reader of a whole file, all columns text, and delta-rs's writer."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv
    from deltalake import write_deltalake

    def run() -> int:
        with arrow_csv.open_csv(file) as reader:
            names = reader.schema.names
        rows = arrow_csv.read_csv(file, convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())))
        write_deltalake(f"{os.environ['LAKEHOUSE_ROOT']}/arrow", rows)
        return rows.num_rows

    return run


def duck(file: Path) -> Callable[[], int]:
    """DuckDB's reader as a stream, all columns text, and delta-rs's writer."""
    import duckdb
    from deltalake import write_deltalake

    from lakehouse_assets.delta.tables import open_table, table_facts

    uri = f"{os.environ['LAKEHOUSE_ROOT']}/duck"

    def run() -> int:
        rows = duckdb.sql(f"FROM read_csv('{file}', all_varchar = true)").to_arrow_reader(100_000)
        write_deltalake(uri, rows)
        table = open_table(uri)
        assert table is not None, "it was written"
        return table_facts(table).rows

    return run


WAYS = {"raw": raw, "arrow": arrow, "duck": duck}


def child(way: str, file: Path) -> None:
    """Run one way, and print its figures."""
    run = WAYS[way](file)
    before, began = cpu_seconds(), time.perf_counter()
    rows = run()
    print(json.dumps({"rows": rows, "cpu": round(cpu_seconds() - before, 2), "wall": round(time.perf_counter() - began, 2)}))
    sys.stdout.flush()
    os._exit(0)


def measure(way: str, file: Path) -> dict[str, float]:
    """Run one way in a process of its own; its figures, with the peak memory of all its processes in MB."""
    with tempfile.TemporaryDirectory(prefix="lakehouse-raw-") as folder:
        landed = Path(folder, "landing/crm/sales", DAY.isoformat(), file.name)
        landed.parent.mkdir(parents=True)
        landed.symlink_to(file) if way != "raw" else os.link(file, landed)
        environment = {**os.environ, "LAKEHOUSE_ROOT": folder, "LAKEHOUSE_START_DATE": "2026-01-01", "LAKEHOUSE_ENGINE": "sail"}
        command = [sys.executable, __file__, "--child", way, str(landed)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, cwd=folder) as process:
            peak = 0
            ended = threading.Event()

            def watch() -> None:
                nonlocal peak
                while not ended.wait(0.02):
                    peak = max(peak, tree_bytes(process.pid))

            watcher = threading.Thread(target=watch)
            watcher.start()
            answer = process.communicate()[0]
            ended.set()
            watcher.join()
        return {**json.loads(answer.splitlines()[-1]), "peak MB": round(peak / 1024**2)}


def tree_bytes(pid: int) -> int:
    """The resident memory of a process and all its children."""
    try:
        process = psutil.Process(pid)
        return sum(p.memory_info().rss for p in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def repeated(folder: Path, times: int) -> tuple[Path, Path]:
    """The sales that many times over: as CSV, and as .gz of as many members."""
    header, _, rows = SALES.read_bytes().partition(b"\n")
    rows = rows.rstrip(b"\r\n") + b"\r\n"
    plain, packed = folder / "sales.csv", folder / "sales.csv.gz"
    member = gzip.compress(rows, 6)
    with plain.open("wb") as to_plain, packed.open("wb") as to_packed:
        to_plain.write(header + b"\n")
        to_packed.write(gzip.compress(header + b"\n"))
        for _ in range(times):
            to_plain.write(rows)
            to_packed.write(member)
    return plain, packed


def main() -> None:
    """Print a table of all ways."""
    times = int(sys.argv[sys.argv.index("--times") + 1]) if "--times" in sys.argv else 40
    with tempfile.TemporaryDirectory(prefix="lakehouse-sales-") as folder:
        plain, packed = repeated(Path(folder), times)
        for way, file in (("raw", plain), ("raw", packed), ("duck", plain), ("arrow", plain)):
            figures = "  ".join(f"{name} {value:,}" for name, value in measure(way, file).items())
            print(f"{way:6} {file.name:13} {file.stat().st_size / 1024**2:7,.0f} MB  {figures}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
