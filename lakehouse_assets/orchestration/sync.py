"""One pass from landing to gold and to where it is served, as Dagster runs in this process.

`lakehouse sync` makes one, with `--follow` one after another.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import dagster as dg

from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.orchestration.in_process import NOT_BUILT, SyncResult, Tell, execute
from lakehouse_assets.orchestration.instance import close_killed_runs, open_instance
from lakehouse_assets.orchestration.jobs import LAKEHOUSE_JOB, PUBLISH_JOB
from lakehouse_assets.reconcile.plan import (
    Plan,
    make_gold_plan,
    make_gold_sensor_plan,
    make_publish_plan,
    make_silver_plan,
)
from lakehouse_assets.reconcile.runs import PlannedRun, gold_runs, publish_runs, rows_runs
from lakehouse_assets.settings import Settings

WhyWaiting = Callable[[PlannedRun], str | None]
"""A sentence on why a run must not start now; None if it may."""

JobOf = Callable[[str], dg.JobDefinition]
"""A job by its name."""


def sync(settings: Settings, catalog: Catalog, plan: Plan, definitions: dg.Definitions, tell: Tell) -> SyncResult:
    """Execute a plan: raw and silver, then gold from the new silver, then what is published. A failed table stops no other."""
    with open_instance(settings.dagster_home, settings.root, settings.cache_folder) as instance:
        close_killed_runs(instance)
        return build(settings, catalog, plan, definitions.resolve_job_def, instance, tell)


def build(
    settings: Settings,
    catalog: Catalog,
    plan: Plan,
    job_of: JobOf,
    instance: dg.DagsterInstance,
    tell: Tell,
    why_waiting: WhyWaiting | None = None,
) -> SyncResult:
    """Execute a plan on an open instance, see `sync`.

    With `why_waiting`, nobody attends the pass: it is asked before each run, and what was refused and has not changed is left out.
    """
    result = SyncResult()

    def execute_all(runs: Sequence[PlannedRun], job: str = LAKEHOUSE_JOB) -> int:
        """Execute the runs that need not wait; returns how many those are."""
        executed = 0
        for run in runs:
            if why_waiting is not None and (why := why_waiting(run)) is not None:
                result.waiting.append(why)
            else:
                execute(job_of(job), run, instance, settings, result, tell)
                executed += 1
        return executed

    execute_all(rows_runs(plan, catalog))
    # Judge rows again whose partner this pass has added or removed, and build tables whose run stopped at a failed partner.
    for _ in catalog.tables if any(table.contract.waits_for for table in catalog.tables) else ():
        failed = {t.table for t in result.tables if t.error not in (None, NOT_BUILT)}
        again = make_silver_plan(settings, catalog, with_refused=why_waiting is None)
        remaining = replace(again, tables=tuple(t for t in again.tables if t.table not in failed))
        if remaining.is_empty:
            break
        tried = {t.key for t in remaining.tables}
        result.tables = [t for t in result.tables if (t.layer, t.table) not in tried or t.error != NOT_BUILT]
        if not execute_all(rows_runs(remaining, catalog)):
            break
    execute_all(gold_runs(make_gold_plan(settings) if why_waiting is None else make_gold_sensor_plan(settings, catalog)))
    execute_all(publish_runs(make_publish_plan(settings, catalog)), PUBLISH_JOB)
    return result
