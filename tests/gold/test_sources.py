"""dbt's sources are the silver tables of the contracts."""

from dataclasses import replace

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
