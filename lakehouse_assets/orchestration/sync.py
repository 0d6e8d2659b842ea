"""One pass from landing to gold, and to where gold is served, as Dagster runs in this process."""

from dataclasses import replace

import dagster as dg

from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.orchestration.in_process import NOT_BUILT, SyncResult, Tell, execute
from lakehouse_assets.orchestration.instance import close_killed_runs, open_instance
from lakehouse_assets.orchestration.jobs import LAKEHOUSE_JOB, PUBLISH_JOB
from lakehouse_assets.reconcile.plan import Plan, make_gold_plan, make_publish_plan, make_silver_plan
from lakehouse_assets.reconcile.runs import gold_runs, publish_runs, rows_runs
from lakehouse_assets.settings import Settings


def sync(settings: Settings, catalog: Catalog, plan: Plan, definitions: dg.Definitions, tell: Tell) -> SyncResult:
    """Execute a plan: raw and silver, then gold from the new silver, then what is published. A failed table stops no other."""
    result = SyncResult()
    with open_instance(settings.dagster_home, settings.root, settings.cache_folder) as instance:
        close_killed_runs(instance)
        job = definitions.resolve_job_def(LAKEHOUSE_JOB)
        for run in rows_runs(plan, catalog):
            execute(job, run, instance, settings, result, tell)
        # Judge rows again whose partner this pass has added or removed, and build tables whose run stopped at a failed partner.
        for _ in catalog.tables if any(table.contract.waits_for for table in catalog.tables) else ():
            failed = {t.table for t in result.tables if t.error not in (None, NOT_BUILT)}
            remaining = replace(
                again := make_silver_plan(settings, catalog), tables=tuple(t for t in again.tables if t.table not in failed)
            )
            if remaining.is_empty:
                break
            tried = {t.key for t in remaining.tables}
            result.tables = [t for t in result.tables if (t.layer, t.table) not in tried or t.error != NOT_BUILT]
            for run in rows_runs(remaining, catalog):
                execute(job, run, instance, settings, result, tell)
        for run in gold_runs(make_gold_plan(settings)):
            execute(job, run, instance, settings, result, tell)
        for run in publish_runs(make_publish_plan(settings, catalog)):
            execute(definitions.resolve_job_def(PUBLISH_JOB), run, instance, settings, result, tell)
    return result
