"""The arrival sensor: what it asks for, and when it does not."""

import dagster as dg
import pytest

from lakehouse_assets.automation.instance import open_instance
from lakehouse_assets.automation.jobs import LAKEHOUSE_JOB, RANGE_END_TAG, RANGE_START_TAG
from lakehouse_assets.automation.requests import DIFFERENCE_TAG

LOCATIONS = "CID,CNTRY\nAW-1,DE\n"


@pytest.fixture
def instance(lakehouse):
    with open_instance(lakehouse.settings.dagster_home, lakehouse.settings.root) as instance:
        yield instance


def tick(lakehouse, instance):
    """What one evaluation yields: run requests, or the reason to skip."""
    sensor = lakehouse.definitions().resolve_sensor_def("arrivals")
    with dg.build_sensor_context(instance=instance) as context:
        found = sensor.evaluate_tick(context)
    return found.run_requests or found.skip_message


def run(lakehouse, instance, request):
    job = lakehouse.definitions().resolve_job_def(LAKEHOUSE_JOB)
    return job.execute_in_process(
        instance=instance, asset_selection=request.asset_selection, tags=request.tags, raise_on_error=False
    )


def test_nothing_is_asked_for_where_all_agrees(lakehouse, instance):
    assert "agree" in tick(lakehouse, instance)


def test_many_files_are_one_run_over_a_range(lakehouse, instance):
    for day in ("2026-01-05", "2026-01-06", "2026-01-08"):
        lakehouse.land("erp/customer_locations", day, "loc.csv", LOCATIONS)
    [request] = tick(lakehouse, instance)
    assert (request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) == ("2026-01-05", "2026-01-08")
    assert {key.to_user_string() for key in request.asset_selection} == {
        "raw/erp_customer_locations",
        "silver/erp_customer_locations",
    }


def test_dates_far_apart_are_runs_of_their_own(lakehouse, instance):
    for day in ("2026-01-05", "2026-06-01"):
        lakehouse.land("erp/customer_locations", day, "loc.csv", LOCATIONS)
    assert len(tick(lakehouse, instance)) == 2


def test_a_lost_or_repeated_tick_asks_for_the_same(lakehouse, instance):
    lakehouse.land("erp/customer_locations", "2026-01-05", "loc.csv", LOCATIONS)
    first, second = tick(lakehouse, instance), tick(lakehouse, instance)
    assert first[0].tags[DIFFERENCE_TAG] == second[0].tags[DIFFERENCE_TAG]


def test_the_run_that_was_asked_for_settles_it(lakehouse, instance):
    lakehouse.land("erp/customer_locations", "2026-01-05", "loc.csv", LOCATIONS)
    [request] = tick(lakehouse, instance)
    assert run(lakehouse, instance, request).success
    assert "agree" in tick(lakehouse, instance)


def test_gold_follows_once_its_silver_tables_stand(lakehouse, instance):
    lakehouse.land("crm/products", "2026-01-05", "prd.csv", "prd_id,prd_key,prd_nm,prd_cost,prd_line,prd_start_dt,prd_end_dt\n")
    lakehouse.land("erp/product_categories", "2026-01-05", "cat.csv", "ID,CAT,SUBCAT,MAINTENANCE\nAC_BR,A,B,Yes\n")
    [request] = tick(lakehouse, instance)
    assert run(lakehouse, instance, request).success
    [request] = tick(lakehouse, instance)
    assert [key.to_user_string() for key in request.asset_selection] == ["gold/dim_product"]


def test_a_failed_difference_is_not_tried_again_until_something_changes(lakehouse, instance):
    lakehouse.land("erp/customer_locations", "2026-01-05", "loc.csv", LOCATIONS)
    [request] = tick(lakehouse, instance)
    failed = instance.create_run_for_job(
        lakehouse.definitions().resolve_job_def(LAKEHOUSE_JOB), tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED
    )
    assert "under way" in tick(lakehouse, instance)
    instance.report_run_failed(failed)
    assert "failed" in tick(lakehouse, instance)
    lakehouse.land("erp/customer_locations", "2026-01-05", "loc.csv", LOCATIONS + "AW-2,US\n")
    assert len(tick(lakehouse, instance)) == 1
