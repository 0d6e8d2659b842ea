"""A bad row goes to quarantine and stops nothing. A dbt test that still fails names its rows and stops only its model."""

from dataclasses import replace
from datetime import date

import dagster as dg
import duckdb
import pytest
from deltalake.exceptions import CommitFailedError

from lakehouse_assets.gold import assets as gold
from lakehouse_assets.gold.failures import failing_rows
from lakehouse_assets.orchestration.instance import open_instance
from lakehouse_assets.orchestration.jobs import LAKEHOUSE_JOB
from lakehouse_assets.orchestration.sync import sync
from lakehouse_assets.systems import crm
from tests.support.lakehouse import BICYCLES, QUIET, Lakehouse
from tests.support.models import built_from

DAY, LATER = "2026-01-31", "2026-02-01"
LANDED = {
    "crm/customers": (
        "cst_id,cst_key,cst_firstname,cst_lastname,cst_marital_status,cst_gndr,cst_create_date\n1,AW1,Jo,Yang,S,F,2026-01-01\n"
    ),
    "crm/products": (
        "prd_id,prd_key,prd_nm,prd_cost,prd_line,prd_start_dt,prd_end_dt\n1,CO-RF-P1,Frame,12,R,,\n2,CO-RF-P1,Frame,12,R,,\n"
        "3,CO-RF,Short,12,R,,\n"
    ),
    "erp/customer_demographics": "CID,BDATE,GEN\nAW1,1990-01-01,F\n",
    "erp/customer_locations": "CID,CNTRY\nAW1,US\n",
    "erp/product_categories": "ID,CAT,SUBCAT,MAINTENANCE\nCO_RF,Bikes,Frames,Yes\n",
}
HEADING = "sls_ord_num,sls_prd_key,sls_cust_id,sls_order_dt,sls_ship_dt,sls_due_dt,sls_sales,sls_quantity,sls_price\n"
GOOD = "SO1,P1,1,20260101,20260102,99991231,20,2,10\n"
SHIPPED_BEFORE = "SO2,P1,1,20260102,20260101,20260110,20,2,10\n"
NEGATIVE = "SO3,P1,1,20260101,20260102,20260110,100,-2,\n"
SECOND_DAY = "SO4,P1,1,20260102,20260103,20260110,20,2,10\n"


def without_rules(entity):
    return replace(entity, contract=replace(entity.contract, rules=())) if entity is crm.SALES else entity


@pytest.fixture
def landed(world, engine, tmp_path, monkeypatch):
    """A function that creates a lakehouse with a landed file of each entity, and the given sales."""
    monkeypatch.chdir(tmp_path)

    def land(*sales, entities):
        lakehouse = Lakehouse(world.settings(), entities, engine)
        for entity, text in LANDED.items():
            lakehouse.land(entity, DAY, "a.csv", text)
        lakehouse.land("crm/sales", DAY, "a.csv", HEADING + "".join(sales))
        return lakehouse

    return land


def passed(lakehouse):
    """Run a pass. Returns whether it succeeded, the last failure of gold, and the last result of a test."""
    done = sync(lakehouse.settings, lakehouse.catalog, lakehouse.plan(), lakehouse.definitions(), lambda _: None).succeeded
    with open_instance(lakehouse.settings.dagster_home, lakehouse.settings.root) as instance:
        failures = [
            record.event_log_entry.dagster_event.step_failure_data.error
            for run in instance.get_runs(limit=5)
            for record in instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
            if record.event_log_entry.dagster_event.step_key == "gold"
        ]
        check = instance.event_log_storage.get_latest_asset_check_execution_by_key(
            [dg.AssetCheckKey(dg.AssetKey(["gold", "fact_sales"]), "assert_price_not_less_zero")]
        )
    error = failures[0] if failures else None
    while error is not None and error.cause is not None:
        error = error.cause
    evaluations = [record.event.dagster_event.asset_check_evaluation_data for record in check.values() if record.event]
    message = error.message.partition("Failure: ")[2].strip() if error else ""
    return done, message, evaluations[0] if evaluations else None


@pytest.mark.worlds("sail-folder")
def test_a_bad_row_goes_to_quarantine_and_stops_nothing(landed):
    lakehouse = landed(GOOD, SHIPPED_BEFORE, NEGATIVE, entities=list(BICYCLES))
    assert passed(lakehouse)[0]
    assert lakehouse.rows("quarantine.rows", "table_name, row_number, rule", "1, 2, 3") == [
        {"table_name": "crm_products", "row_number": 4, "rule": "product_number_present"},
        {"table_name": "crm_sales", "row_number": 3, "rule": "ship_date_not_before_order_date"},
        {"table_name": "crm_sales", "row_number": 4, "rule": "price_not_negative"},
    ]
    assert lakehouse.rows("gold.fact_sales", "order_id, due_date_key") == [{"order_id": "SO1", "due_date_key": -1}]
    assert lakehouse.rows("gold.dim_date", "count(date_value) AS days") == [{"days": 365}]


@pytest.mark.worlds("sail-folder")
def test_a_failed_test_names_its_rows_and_stops_its_model_for_as_long_as_the_data_is_so(landed):
    lakehouse = landed(GOOD, NEGATIVE, entities=[without_rules(e) for e in list(BICYCLES)])
    done, error, check = passed(lakehouse)
    assert not done
    assert error == (
        "gold/fact_sales: test assert_price_not_less_zero fails: 1 row, on 2026-01-31: order_id SO3.\nNot published: gold/fact_sales "
        "and the models that read them. Their old rows stay live until the data is fixed."
    )
    [row] = check.metadata["failing_rows"].records
    assert {"SO3", "-50.0000", "2026-01-31"} <= {*row.data.values()}
    assert "unique_id" not in check.metadata
    assert not built_from("fact_sales") & {*lakehouse.settings.root.table_names("gold")}
    assert {"dim_customer", "dim_date", "dim_product"} <= {*lakehouse.settings.root.table_names("gold")}
    # The history of runs tells the model that failed from those that were skipped because they read it.
    runs = {
        row["table_name"]: row for row in lakehouse.rows("ops.runs", "layer, table_name, status, error") if row["layer"] == "gold"
    }
    assert runs["fact_sales"]["error"] == error.partition("\n")[0]
    assert {name for name, row in runs.items() if row["status"] == "failed"} == {"fact_sales"}
    assert {name for name, row in runs.items() if row["status"] == "skipped"} == built_from("fact_sales") & runs.keys() - {
        "fact_sales"
    }
    # Until the data changes, neither the model nor its readers are requested again.
    home, root = lakehouse.settings.dagster_home, lakehouse.settings.root
    with open_instance(home, root) as instance, dg.build_sensor_context(instance=instance) as context:
        result = lakehouse.definitions().resolve_sensor_def("gold").evaluate_tick(context)
    assert (result.run_requests, "gold/fact_sales: refused." in (result.skip_message or "")) == ([], True)
    lakehouse.land("crm/sales", DAY, "a.csv", HEADING + GOOD)
    lakehouse.land("crm/sales", LATER, "a.csv", HEADING + SECOND_DAY)
    assert passed(lakehouse)[0]
    assert [row["order_id"] for row in lakehouse.rows("gold.fact_sales", "order_id")] == ["SO1", "SO4"]
    assert lakehouse.plan().is_empty


FAULTS = [
    (CommitFailedError("Transaction failed: others were quicker"), "CommitFailedError: Transaction failed: others were quicker"),
    (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
]


@pytest.mark.worlds("sail-folder")
@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=["a lost race", "a refused write"])
def test_a_model_that_can_not_be_published_keeps_back_what_reads_it_and_nothing_else(landed, monkeypatch, fault, message):
    lakehouse = landed(GOOD, entities=list(BICYCLES))
    publish = gold.publish_model

    def failing(connection, root, model, **given):
        if model.name == "dim_product":
            raise fault
        return publish(connection, root, model, **given)

    with monkeypatch.context() as patch:
        patch.setattr(gold, "publish_model", failing)
        result = sync(lakehouse.settings, lakehouse.catalog, lakehouse.plan(), lakehouse.definitions(), lambda _: None)
    errors = {t.table: t.error for t in result.tables if t.layer == "gold"}
    unpublished = built_from("dim_product") & errors.keys()
    assert (
        {table for table, error in errors.items() if error} == unpublished >= {"dim_product", "fact_sales", "sales_performance"}
    )
    assert errors["dim_product"] == f"gold/dim_product is not published: {message}"
    assert errors["fact_sales"] == (
        "gold/fact_sales is not published: it reads gold/dim_product, which failed. The next pass builds both."
    )
    assert errors["sales_performance"] == (
        "gold/sales_performance is not published: it reads gold/dim_product and gold/fact_sales, which failed. "
        "The next pass builds both."
    )
    assert {*lakehouse.settings.root.table_names("gold")} == errors.keys() - unpublished
    with open_instance(lakehouse.settings.dagster_home, lakehouse.settings.root) as instance:
        [run] = instance.get_runs(limit=1)
        checks = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
        seen = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION).records
    events = [record.event_log_entry.dagster_event for record in checks]
    checked = {event.asset_check_evaluation_data.asset_key.path[-1] for event in events}
    assert checked >= {"dim_customer", "dim_date", "dim_product", "fact_sales", "sales_performance"}
    reasons = {
        observation.asset_key.path[-1]: observation.metadata["not_published"].value
        for record in seen
        if "not_published"
        in (observation := record.event_log_entry.dagster_event.asset_observation_data.asset_observation).metadata
    }
    assert reasons == {table: error for table, error in errors.items() if error}
    assert {t.table for t in lakehouse.plan().of_layers("gold")} == unpublished
    assert passed(lakehouse)[0]
    assert lakehouse.plan().is_empty


@pytest.mark.worlds("sail-folder")
def test_a_bug_is_raised_after_the_other_models_are_published(landed, monkeypatch):
    lakehouse = landed(GOOD, entities=list(BICYCLES))
    publish = gold.publish_model

    def failing(connection, root, model, **given):
        if model.name == "dim_product":
            raise ZeroDivisionError("a bug")
        return publish(connection, root, model, **given)

    monkeypatch.setattr(gold, "publish_model", failing)
    result = sync(lakehouse.settings, lakehouse.catalog, lakehouse.plan(), lakehouse.definitions(), lambda _: None)
    errors = {t.table: t.error for t in result.tables if t.layer == "gold"}
    assert (errors["dim_customer"], errors["dim_product"]) == (None, "ZeroDivisionError: a bug")
    assert {key[1] for key in lakehouse.records("gold", "dim_customer")} == {"dim_customer"}


@pytest.fixture
def connection():
    with duckdb.connect() as connection:
        connection.execute(
            """CREATE TABLE people AS SELECT i AS person_key, 'N' || i AS person_number, 'Jo' AS first_name, NULL AS country,
               DATE '2026-01-01' + (i % 2)::INT AS _date FROM range(25) t (i)"""
        )
        yield connection


def test_a_test_of_one_column_shows_no_more_than_that_and_what_identifies_the_row(connection):
    found = failing_rows(connection, {"column_name": "country"}, "FROM people WHERE country IS NULL -- all")
    assert (
        found.sentence() == "25 rows, on 2026-01-01, 2026-01-02: person_number N0; person_number N1; person_number N2 and 7 more"
    )
    assert found.examples[0] == {"person_key": 0, "person_number": "N0", "country": None, "_date": date(2026, 1, 1)}
    assert (len(found.examples), found.rows) == (10, 25)


def test_a_test_that_finds_nothing_any_more_names_nothing(connection):
    assert failing_rows(connection, {}, "FROM people WHERE FALSE") is None


def test_rows_without_a_date_or_a_name_are_named_by_their_first_column(connection):
    found = failing_rows(connection, {"column_name": None}, "SELECT 'a|b' AS colour, 2 AS times")
    assert (found.sentence(), found.examples) == ("1 row: colour a|b", [{"colour": "a|b", "times": 2}])


@pytest.mark.worlds("sail-folder")
def test_a_dimension_built_by_itself_is_not_judged_by_a_fact_that_is_older(landed):
    lakehouse = landed(GOOD, entities=list(BICYCLES))
    assert passed(lakehouse)[0]
    lakehouse.land("crm/customers", DAY, "a.csv", LANDED["crm/customers"].replace("\n1,", "\n2,"))
    assert lakehouse.build() == {}
    job = lakehouse.definitions().resolve_job_def(LAKEHOUSE_JOB)
    with dg.DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(
            instance=instance,
            run_config=QUIET,
            asset_selection=[dg.AssetKey(["gold", name]) for name in ("bridge_customer", "dim_customer")],
            tags={"dagster/partition": DAY},
            raise_on_error=False,
        )
    assert done.success
    assert [row["customer_id"] for row in lakehouse.rows("gold.dim_customer", "customer_id") if row["customer_id"] != "n/a"] == [
        "2"
    ]
