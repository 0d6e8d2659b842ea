"""Published tables as assets, planned and synced like any other; and none where nothing is set."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.errors import SettingsError
from lakehouse_assets.orchestration.jobs import PUBLISH_JOB
from lakehouse_assets.orchestration.run import Request
from lakehouse_assets.orchestration.run import run as run_request
from lakehouse_assets.orchestration.selection import selected
from lakehouse_assets.orchestration.sync import sync
from lakehouse_assets.reconcile.plan import make_plan, make_publish_plan
from lakehouse_assets.settings import Settings
from tests.support.database import PASSWORD
from tests.support.orders import DAY1, ORDERS, csv

CATALOG = Catalog.from_tables([ORDERS])
KEY = ("postgres", "silver.shop_orders")


@pytest.fixture
def lakehouse(make_lakehouse, database):
    made = make_lakehouse(ORDERS)
    published = {
        "lakehouse_postgres_url": database.url,
        "lakehouse_postgres_password": PASSWORD,
        "lakehouse_postgres_layers": "silver",
    }
    settings = Settings(lakehouse_root=made.settings.lakehouse_root, lakehouse_engine=made.settings.lakehouse_engine, **published)
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    return replace(made, settings=settings)


def one_pass(lakehouse):
    settings = lakehouse.settings
    return sync(settings, CATALOG, make_plan(settings, CATALOG), lakehouse.definitions(), lambda text: None)


@pytest.mark.worlds("sail-folder")
def test_a_pass_publishes_after_it_has_built_and_then_there_is_nothing_to_do(lakehouse, database):
    lakehouse.land("shop/orders", DAY1, "a.csv", csv(("k1", 1, 5), ("k2", 1, 7)))
    assert KEY in {t.key for t in make_plan(lakehouse.settings, CATALOG).tables}  # it is empty now, and won't be
    result = one_pass(lakehouse)
    assert result.succeeded
    assert [(t.key, t.rows) for t in result.tables][-1] == (KEY, 2)
    assert database.rows("SELECT order_id, total, _source_file FROM silver.shop_orders ORDER BY 1") == [
        ("k1", 5, "a.csv"),
        ("k2", 7, "a.csv"),
    ]
    assert make_plan(lakehouse.settings, CATALOG).is_empty

    # What only the target lacks is planned, and materialized by name.
    database.rows("TRUNCATE silver.shop_orders")
    assert [t.key for t in make_plan(lakehouse.settings, CATALOG).tables] == [KEY]
    definitions = lakehouse.definitions()
    keys = selected("postgres/silver.shop_orders", definitions, CATALOG.systems)
    assert keys == [KEY] == selected("postgres", definitions, CATALOG.systems)
    assert selected("shop_orders", definitions, CATALOG.systems) == [("raw", "shop_orders"), ("silver", "shop_orders")]
    done = run_request(lakehouse.settings, CATALOG, definitions, Request(tuple(keys)), lambda text: None)
    assert [(t.key, t.error) for t in done.tables] == [(KEY, None)]
    assert make_publish_plan(lakehouse.settings, CATALOG).is_empty

    # What can't be published is said, and stops nothing else.
    database.rows("DROP TABLE silver.shop_orders; CREATE TABLE silver.shop_orders (mine int)")
    lakehouse.land("shop/orders", DAY1, "b.csv", csv(("k3", 1, 5)))
    errors = {t.key: t.error for t in one_pass(lakehouse).tables}
    assert errors["silver", "shop_orders"] is None
    assert "the lakehouse has not made" in (errors[KEY] or "")


@pytest.mark.worlds("sail-folder")
def test_the_sensor_requests_what_differs_and_a_database_that_is_away_stops_nothing_else(lakehouse, database):
    lakehouse.land("shop/orders", DAY1, "a.csv", csv(("k1", 1, 5)))
    assert lakehouse.build() == {}
    sensor = next(s for s in lakehouse.definitions().sensors or () if s.name == "publish")
    with dg.DagsterInstance.ephemeral() as instance:
        (request,) = sensor.evaluate_tick(dg.build_sensor_context(instance)).run_requests
    assert request.asset_selection == [dg.AssetKey(list(KEY))]
    assert sensor.job_name == PUBLISH_JOB

    away = replace(
        lakehouse, settings=lakehouse.settings.model_copy(update={"lakehouse_postgres_url": "postgresql://x@127.0.0.1:1/x"})
    )
    lakehouse.land("shop/orders", DAY1, "b.csv", csv(("k2", 1, 5)))
    errors = {t.key: t.error for t in one_pass(away).tables}
    assert errors["silver", "shop_orders"] is None
    assert "127.0.0.1:1/x can't be reached" in (errors[KEY] or "")
    assert PASSWORD not in str(errors)


def test_without_settings_there_are_no_such_assets_and_nothing_is_imported(root):
    settings = Settings(lakehouse_root=root.uri, lakehouse_engine="sail")
    definitions = build_definitions(settings, catalog=CATALOG)
    keys = {key for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition) for key in asset.keys}
    assert {key.path[0] for key in keys} == {"raw", "silver", "gold"}
    assert "publish" not in {sensor.name for sensor in definitions.sensors or ()}
    code = "import sys, lakehouse_assets.definitions; assert not [m for m in sys.modules if m.startswith(('adbc', 'pyiceberg'))]"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_settings_that_can_not_work_are_refused_without_quoting_them(root):
    for fault in ({"lakehouse_postgres_url": "postgresql://ann:hunter2@host/db"}, {"lakehouse_postgres_layers": "gold,hunter2"}):
        with pytest.raises(SettingsError, match="LAKEHOUSE_POSTGRES_"):
            Settings(lakehouse_root=root.uri, **fault)
    settings = Settings(
        lakehouse_root=root.uri, lakehouse_postgres_url="postgresql://ann@host/db", lakehouse_postgres_password="hunter2"
    )
    assert "hunter2" not in repr(settings) + settings.model_dump_json()
