"""A process whose children build a lakehouse and are killed with SIGKILL at a given write; it reads requests on stdin.

A request is a line of JSON on stdin: `root`, `engine`, the store's `environment`, the `folder` to work in, `mode` (of the oracle's
entity; None for all source systems, gold included), and `write`, the number of the write at which the child dies, or None; with
`before` it dies before the write happens. The answer, a line on stdout, says how the child ended: `killed`, or its exit code. What is
heavy to import is imported once, before the children.
"""

import contextlib
import json
import os
import signal
import sys
from datetime import date
from typing import Any

import dagster_dbt  # noqa: F401
import obstore
import pysail.spark  # noqa: F401
from pyspark.sql.connect.readwriter import DataFrameWriter

from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.delta import tables
from lakehouse_assets.engine.session import Engine
from lakehouse_assets.orchestration.sync import sync
from lakehouse_assets.reconcile.plan import make_plan
from lakehouse_assets.settings import Settings
from lakehouse_assets.silver import additions
from lakehouse_assets.systems import catalog
from tests.support.lakehouse import Lakehouse
from tests.support.things import entity


def build(request: dict[str, Any]) -> None:
    """Bring a lakehouse up to date."""
    settings = Settings(lakehouse_root=request["root"], lakehouse_engine=request["engine"])
    engine = Engine(settings.engine_config)
    additions.FEW_ROWS = 0
    declared = Catalog.from_tables([entity(request["mode"])]) if request["mode"] else catalog()
    plan = make_plan(settings, declared)
    if request["mode"]:
        dates: list[date] = sorted({day for table in plan.tables for day in table.dates})
        if dates:
            Lakehouse(settings, list(declared.tables), engine).materialize(declared.tables[0], dates)
    else:
        result = sync(settings, declared, plan, build_definitions(settings, engine=engine), lambda text: None)
        assert result.succeeded, result.to_json()
    engine.stop_session()


def die_at(write: int, before: bool) -> None:
    """Let this process kill itself at the given write, of whatever kind."""
    left = write

    def dying(function):
        def call(*args, **kwargs):
            nonlocal left
            left -= 1
            if left == 0 and before:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*args, **kwargs)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    tables.write_deltalake = dying(tables.write_deltalake)
    tables.DeltaTable.create_write_transaction = dying(tables.DeltaTable.create_write_transaction)
    obstore.put = dying(obstore.put)
    DataFrameWriter.parquet = dying(DataFrameWriter.parquet)


def child(request: dict[str, Any]) -> int:
    """What a child does; its exit code."""
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    if request["write"] is not None:
        die_at(request["write"], request["before"])
    try:
        with contextlib.redirect_stdout(sys.stderr):
            build(request)
    except BaseException:  # noqa: BLE001 - whatever it is, the child must not go on as the parent
        import traceback

        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            code = child(json.loads(line))
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(process, 0)
        sys.stdout.write("killed\n" if os.WIFSIGNALED(status) else f"{os.WEXITSTATUS(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
