"""Measures a backfill over a range: `python benchmarks/backfill.py FOLDER`, with a folder of daily files named `YYYY-MM-DD.csv`.

Prints the wall and CPU seconds of a separate process that builds raw and silver from all files, with accounts and checks, as one
Dagster run over an empty root. `--as-one-date` also measures the same rows landed under one date. `LAKEHOUSE_ENGINE` names the
engine, `LAKEHOUSE_ROOT` a store instead of a folder. The measured process starts the local Spark server itself, unless `WARM=1`
is set.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from uuid import uuid4

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))


def run() -> None:
    """Run the part that is measured: one run over all dates that differ."""
    began = time.perf_counter()
    from lakehouse_assets.engine.session import Engine
    from lakehouse_assets.settings import load_settings

    settings = load_settings()
    engine = Engine(settings.engine_config)
    engine.start_in_background()
    from lakehouse_assets.contracts.system import Catalog
    from lakehouse_assets.definitions import build_definitions
    from lakehouse_assets.orchestration.sync import sync
    from lakehouse_assets.reconcile.plan import make_plan
    from tests.support.retail import LINES

    catalog = Catalog.from_tables([LINES])
    plan = make_plan(settings, catalog)
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    result = sync(settings, catalog, plan, build_definitions(settings, catalog=catalog, engine=engine), lambda text: None)
    engine.stop_session()
    figures = {"rows": {t.layer: t.rows for t in result.tables}, "steps": result.seconds, "runs": len(result.runs)}
    print(json.dumps({"succeeded": result.succeeded, **figures, "inside": round(time.perf_counter() - began, 2)}))
    sys.stdout.flush()
    os._exit(0)


def measure(files: list[Path], as_one_date: bool) -> None:
    """Land the files, then time a process that builds them."""
    from lakehouse_assets.landing.objects import Landing
    from lakehouse_assets.settings import load_settings

    with tempfile.TemporaryDirectory(prefix="lakehouse-backfill-") as folder:
        root = os.environ.get("LAKEHOUSE_ROOT", f"{folder}/lakehouse").rstrip("/")
        root = f"{root}/{uuid4().hex[:8]}" if root.startswith("s3://") else root
        os.environ |= {"LAKEHOUSE_START_DATE": "2010-12-01"}
        environment = {**os.environ, "LAKEHOUSE_ROOT": root, "DAGSTER_HOME": f"{folder}/dagster"}
        os.environ["LAKEHOUSE_ROOT"] = root
        landing = Landing(load_settings().root)
        for file in files:
            landing.put("retail/lines", date(2011, 1, 1) if as_one_date else date.fromisoformat(file.stem), file)
        if os.environ.get("WARM"):
            from lakehouse_assets.engine.session import Engine

            Engine(load_settings().engine_config).session().range(1).collect()
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [sys.executable, __file__, "--run"], env=environment, cwd=folder, stdout=subprocess.PIPE, check=True
        )
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        name = "one date" if as_one_date else f"{len(files)} dates"
        print(f"{name}: {wall:.1f} s wall, {cpu:.1f} s CPU {done.stdout.decode().strip()}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--run"]:
        run()
    daily = sorted(Path(sys.argv[1]).glob("????-??-??.csv"))
    for one in (False, True) if "--as-one-date" in sys.argv else (False,):
        measure(daily, one)
