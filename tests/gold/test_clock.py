"""The business day: gold's keys of moments, and what is built again when its time zone changes."""

import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import jinja2
import pytest

from lakehouse_assets.orchestration.sync import sync
from lakehouse_assets.settings import Settings
from tests.support.declare import with_feed
from tests.support.lakehouse import Lakehouse
from tests.support.orders import DAY1, ORDERS, csv

PROJECT = Settings().gold_project.folder


def macros(zone):
    environment = jinja2.Environment(autoescape=False)
    environment.globals["env_var"] = lambda name, default: zone
    return environment.from_string((PROJECT / "macros" / "clock.sql").read_text()).module


@pytest.mark.parametrize(
    ("moment", "zone", "day", "key"),
    [
        ("2026-01-31 23:30:00Z", "UTC", "2026-01-31", 2330),
        ("2026-01-31 23:30:00Z", "Europe/Paris", "2026-02-01", 30),
        ("2026-01-31 23:30:00+10:00", "America/New_York", "2026-01-31", 830),
        ("2026-03-29 01:00:00Z", "Europe/Paris", "2026-03-29", 300),
        ("2026-10-25 00:30:00Z", "Europe/Paris", "2026-10-25", 230),
        ("2026-10-25 01:30:00Z", "Europe/Paris", "2026-10-25", 230),
    ],
)
@pytest.mark.parametrize("session", ["UTC", "Asia/Tokyo"])
def test_the_day_and_time_of_a_moment_are_those_of_the_zone_whatever_the_session_s(moment, zone, day, key, session):
    made, literal = macros(zone), f"TIMESTAMPTZ '{moment}'"
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = '{session}'")
        rows = connection.execute(f"SELECT {made.business_day(literal)}::VARCHAR, {made.time_key(literal)}").fetchall()
    assert rows == [(day, key)]


def model(day: str) -> str:
    return (
        f"select {day} as day, count(*) as orders, max(_date) as _date from {{{{ source('silver', 'shop_orders') }}}} group by 1"
    )


@pytest.mark.worlds("sail-folder")
def test_another_time_zone_builds_the_models_of_the_business_day_again_and_nothing_else(world, engine, tmp_path):
    columns = tuple(replace(c, type="timestamp") if c.name == "changed_at" else c for c in ORDERS.contract.columns)
    orders = replace(with_feed(ORDERS, zone="Europe/Paris"), contract=replace(ORDERS.contract, columns=columns))
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs", "models", "tests"))
    Path(project, "models").mkdir()
    shutil.copy(PROJECT / "models" / "groups.yml", project / "models")
    Path(project, "models", "by_business_day.sql").write_text(model("{{ business_day('changed_at') }}"))
    Path(project, "models", "by_day.sql").write_text(model("cast(changed_at as date)"))
    settings = world.settings(lakehouse_dbt_project=project, lakehouse_timezone="Asia/Tokyo")
    settings.gold_project.write_sources(Lakehouse(settings, [orders], engine).catalog)
    lakehouse = Lakehouse(settings, [orders], engine)
    # The third is of Paris, where that hour comes twice: the first time is meant.
    rows = ("A", "2026-01-01T14:59:59Z", 1), ("B", "2026-01-01T15:00:00+00:00", 1), ("C", "2026-10-25 02:30:00", 1)
    lakehouse.land("shop/orders", DAY1, "a.csv", csv(*rows))
    assert sync(settings, lakehouse.catalog, lakehouse.plan(), lakehouse.definitions(), lambda _: None).succeeded
    days = {str(row["day"]): row["orders"] for row in lakehouse.rows("gold.by_business_day")}
    assert days == {"2026-01-01": 1, "2026-01-02": 1, "2026-10-25": 1}
    assert {str(row["day"]): row["orders"] for row in lakehouse.rows("gold.by_day")} == {"2026-01-01": 2, "2026-10-25": 1}
    assert lakehouse.rows("silver.shop_orders", "order_id, epoch(changed_at)::BIGINT AS at")[2]["at"] == 1_792_888_200
    assert lakehouse.plan().is_empty

    lakehouse.settings = settings.model_copy(update={"lakehouse_timezone": "Australia/Sydney"})
    lakehouse.settings.__dict__.pop("gold_project", None)
    plan = lakehouse.plan()
    assert [t.key for t in plan.tables] == [("gold", "by_business_day")]
    assert plan.rebuilt == (
        "Built again, because LAKEHOUSE_TIMEZONE was Asia/Tokyo and is Australia/Sydney: gold.by_business_day."
    )
    assert [t["reason"] for t in plan.to_json()["tables"]] == ["LAKEHOUSE_TIMEZONE was Asia/Tokyo and is Australia/Sydney"]
    assert sync(lakehouse.settings, lakehouse.catalog, plan, lakehouse.definitions(), lambda _: None).succeeded
    days = {str(row["day"]): row["orders"] for row in lakehouse.rows("gold.by_business_day")}
    assert days == {"2026-01-02": 2, "2026-10-25": 1}
    assert lakehouse.plan().is_empty
