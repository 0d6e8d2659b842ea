"""dbt's sources are the silver tables of the contracts."""

from dataclasses import replace
from datetime import datetime, timedelta

import duckdb
import pytest
import yaml

from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.gold.project import GoldProject
from lakehouse_assets.settings import Settings
from lakehouse_assets.systems import catalog
from tests.support.orders import ORDERS

OWN = Catalog.from_tables([ORDERS])
RENAMED = Catalog.from_tables([replace(ORDERS, contract=replace(ORDERS.contract, table="shop_returns"))])


@pytest.fixture
def project(tmp_path) -> GoldProject:
    (tmp_path / "models").mkdir()
    return GoldProject(tmp_path, package=tmp_path)


def sources(project: GoldProject) -> dict[str, str]:
    [source] = yaml.safe_load((project.folder / "models" / "sources.yml").read_text())["sources"]
    assert (source["name"], source["database"], source["schema"]) == ("silver", "run", "silver")
    return {table["name"]: table["description"] for table in source["tables"]}


def test_a_new_silver_table_becomes_a_source_and_others_stay(project):
    project.add_sources(OWN)
    assert sources(project) == {"shop_orders": "Orders"}
    project.add_sources(RENAMED)
    assert sources(project) == {"shop_orders": "Orders", "shop_returns": "Orders"}


def test_a_project_that_knows_all_tables_is_not_written(project):
    project.add_sources(OWN)
    file = project.folder / "models" / "sources.yml"
    file.chmod(0o400)
    before = file.stat()
    project.add_sources(OWN)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_writing_the_sources_takes_out_what_no_contract_declares(project):
    project.add_sources(OWN)
    project.write_sources(RENAMED)
    assert sources(project) == {"shop_returns": "Orders"}


def test_the_sources_of_the_lakehouse_s_own_project_are_those_of_its_contracts():
    listed = sources(Settings().gold_project)
    assert listed == {t.name: t.contract.description for t in catalog().tables}, "run `make docs`"


def test_sources_are_as_fresh_as_their_contracts_allow_and_an_error_at_twice_that_age(project):
    project.write_sources(catalog())
    [source] = yaml.safe_load((project.folder / "models" / "sources.yml").read_text())["sources"]
    ages = {table["name"]: table["config"].get("freshness") for table in source["tables"]}
    days = {name: (age["warn_after"], age["error_after"]) for name, age in ages.items() if age}
    assert days["orders_events"] == ({"count": 1, "period": "day"}, {"count": 2, "period": "day"})
    assert days.keys() == {table.name for table in catalog().tables if table.contract.freshness}
    with duckdb.connect() as connection:
        loaded = connection.execute(f"SELECT {source['config']['loaded_at_field']} FROM (SELECT DATE '2026-01-31' AS _date)")
        assert loaded.fetchall() == [(datetime(2026, 2, 1),)]  # landing goes on until the day ends


def test_a_freshness_may_be_of_hours(project):
    orders = replace(ORDERS, contract=replace(ORDERS.contract, freshness=timedelta(hours=36)))
    project.write_sources(Catalog.from_tables([orders]))
    [source] = yaml.safe_load((project.folder / "models" / "sources.yml").read_text())["sources"]
    assert source["tables"][0]["config"]["freshness"] == {
        "warn_after": {"count": 36, "period": "hour"},
        "error_after": {"count": 72, "period": "hour"},
    }
