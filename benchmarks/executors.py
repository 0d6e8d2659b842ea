"""Measures the demo's job under each Dagster executor: `python benchmarks/executors.py` prints wall and CPU seconds.

Each run is a separate process, started by `dagster job execute`, over an empty root with the sample data in landing. So its start
and imports count. `LAKEHOUSE_ENGINE` names the engine; a local Spark server is started before the first run and serves all.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg

from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.engine.session import Engine
from lakehouse_assets.orchestration.instance import prepare_home
from lakehouse_assets.settings import load_settings

PROJECT = Path(__file__).parents[1]
DAY = "2026-01-31"
RUNS = int(os.environ.get("RUNS", "3"))
EXECUTORS = {
    "in_process": dg.in_process_executor,
    "multiprocess": dg.multiprocess_executor.configured({"max_concurrent": 2}),
    "forkserver": dg.multiprocess_executor.configured(
        {"max_concurrent": 2, "start_method": {"forkserver": {"preload_modules": ["lakehouse_assets.definitions"]}}}
    ),
}


@dg.definitions
def defs() -> dg.Definitions:
    """Return the code location with the executor that the environment names."""
    own = build_definitions(load_settings())
    return dg.Definitions(
        assets=own.assets,
        asset_checks=own.asset_checks,
        jobs=own.jobs,
        resources=own.resources,
        executor=EXECUTORS[os.environ["EXECUTOR"]],
    )


def measure(executor: str) -> tuple[float, float]:
    """Return the wall and CPU seconds of one run of the whole graph."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "lakehouse")
        shutil.copytree(PROJECT / "sample_data", root / "landing", ignore=shutil.ignore_patterns("*.md", "LICENSE*"))
        settings = load_settings().model_copy(update={"lakehouse_root": str(root)})
        prepare_home(root / "dagster", settings.root)
        environment = {"LAKEHOUSE_ROOT": str(root), "DAGSTER_HOME": str(root / "dagster"), "EXECUTOR": executor}
        tags = {"dagster/asset_partition_range_start": DAY, "dagster/asset_partition_range_end": DAY}
        command = [str(Path(sys.executable).with_name("dagster")), "job", "execute", "-f", __file__, "-j", "lakehouse"]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [*command, "--tags", json.dumps(tags)], env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            sys.exit(done.stderr[-3000:])
        return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    engine = Engine(load_settings().engine_config)
    engine.session()
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in EXECUTORS}
    for _ in range(RUNS):  # round-robin, so that load on the machine affects all
        for name, times in figures.items():
            times.append(measure(name))
    sys.stdout.write(f"LAKEHOUSE_ENGINE={os.environ.get('LAKEHOUSE_ENGINE', 'spark')}, {RUNS} runs each, medians\n")
    for name, times in figures.items():
        wall, cpu = (statistics.median(values) for values in zip(*times, strict=True))
        sys.stdout.write(f"{name:14} wall {wall:6.1f} s  CPU {cpu:6.1f} s\n")
    engine.stop_session()
