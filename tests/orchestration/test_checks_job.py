"""The job `checks` runs every asset check over all dates, on the current tables, and materializes nothing."""

from pathlib import Path

import dagster as dg
import pytest

from lakehouse_assets.books.ledger import Ledger
from lakehouse_assets.bundled import bundled
from lakehouse_assets.delta.tables import open_table
from lakehouse_assets.orchestration.instance import open_instance
from lakehouse_assets.orchestration.jobs import CHECKS_JOB, LAKEHOUSE_JOB
from lakehouse_assets.orchestration.sync import sync
from tests.support.lakehouse import BICYCLES, QUIET, Lakehouse

pytestmark = pytest.mark.worlds("sail-folder")

LATER = "2026-02-02"
ACCOUNTS = ("silver/crm_sales", "row_accounts")


@pytest.fixture(scope="module")
def built(world, engine):
    """A lakehouse with the sample data on two dates, built from landing to gold."""
    lakehouse = Lakehouse(world.settings(), list(BICYCLES), engine)
    samples = bundled("sample_data")
    for file in sorted(samples.glob("*/*/*/*")):
        system, entity, day = file.relative_to(samples).parts[:3]
        for landed in (day, LATER) if entity == "product_categories" else (day,):
            lakehouse.land(f"{system}/{entity}", landed, file.name, Path(file).read_bytes())
    assert sync(lakehouse.settings, lakehouse.catalog, lakehouse.plan(), lakehouse.definitions(), print).succeeded
    return lakehouse


@pytest.fixture
def instance(built):
    with open_instance(built.settings.dagster_home, built.settings.root) as instance:
        yield instance


def run(built, instance, job=CHECKS_JOB, only=None):
    """Run a job without a date, as the UI and the command line do. Returns the run, and the evaluations by asset and check name."""
    job = built.definitions().resolve_job_def(job)
    if only is not None:
        job = job.get_subset(asset_check_selection={only})
    done = job.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False)
    assert not [e for e in done.all_events if e.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION]
    return done, {(e.asset_key.to_user_string(), e.check_name): e for e in done.get_asset_check_evaluations()}


def versions(built):
    return {**built.versions(), "ops": open_table(Ledger(built.settings.root).uri).version()}


def test_all_checks_run_over_all_dates_and_no_table_moves(built, instance):
    before = versions(built)
    done, found = run(built, instance)
    assert done.success
    graph = built.definitions().resolve_asset_graph()
    assert found.keys() == {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    assert found[ACCOUNTS].passed
    shown = found["silver/erp_product_categories", "row_accounts"].metadata["by_date"]
    assert [record.data["date"] for record in shown.records] == [str(LATER), "2026-01-31"]
    assert versions(built) == before


@pytest.mark.parametrize("job", [CHECKS_JOB, LAKEHOUSE_JOB])
def test_one_check_of_an_asset_can_be_run_by_itself(built, instance, job):
    """The button "Execute" on an asset's page uses any job that has the check."""
    done, found = run(built, instance, job, only=dg.AssetCheckKey(dg.AssetKey(["silver", "crm_sales"]), "row_accounts"))
    assert done.success
    assert list(found) == [ACCOUNTS]


def test_a_row_that_was_deleted_behind_the_ledgers_back_is_found(built, instance):
    silver = open_table(built.settings.root.table("silver", "crm_sales"))
    assert silver.delete("order_number = 'SO43697'")["num_deleted_rows"] == 1
    done, found = run(built, instance)
    assert not done.success
    assert not found[ACCOUNTS].passed
    assert found[ACCOUNTS].description == "2026-01-31: 60397 rows are in the table, the ledger says 60398."
    assert {name for name, check in found.items() if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR} == {
        ACCOUNTS
    }
