"""A small lakehouse up to gold that all tests of the dashboard look at, and the browser in which some do."""

from pathlib import Path

import pytest

from lakehouse_assets.bundled import bundled
from lakehouse_assets.contracts.system import Catalog
from lakehouse_assets.dashboard import serve
from lakehouse_assets.dashboard.lake import BOOKS, existing_tables, open_lake
from lakehouse_assets.definitions import build_definitions
from lakehouse_assets.orchestration.sync import sync
from lakehouse_assets.reconcile.plan import make_plan
from lakehouse_assets.services.service import free_port
from lakehouse_assets.settings import Settings, load_catalog
from tests.support.browser import chromium, served

LANDED = {
    "bikes/velov_stations": "2026-01-30",
    "freshdesk/tickets": "2026-01-05",
    "freshdesk/contacts": "2026-01-05",
    "freshdesk/agents": "2026-01-05",
    "freshdesk/groups": "2026-01-05",
    "magento/products": "2026-01-17",
    "magento/orders": "2026-01-17",
    "magento/order_items": "2026-01-17",
    "magento/inventory": "2026-01-27",
}


@pytest.fixture(scope="package")
def settings(world, engine, tmp_path_factory):
    """A lakehouse up to gold, with one file or two of some feeds."""
    settings = Settings(lakehouse_root=str(tmp_path_factory.mktemp("dashboard") / "lake"), lakehouse_engine="sail")
    for feed, day in LANDED.items():
        for file in sorted(Path(bundled("sample_data"), feed, day).iterdir())[:2]:
            place = Path(settings.root.uri, "landing", feed, day)
            place.mkdir(parents=True, exist_ok=True)
            (place / file.name).write_bytes(file.read_bytes())
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    everything = load_catalog(settings)
    systems = {feed.partition("/")[0] for feed in LANDED}
    declared = Catalog.from_tables(t for t in everything.tables if t.system in systems)
    definitions = build_definitions(settings, catalog=declared, engine=engine)
    result = sync(settings, declared, make_plan(settings, declared), definitions, lambda _: None)
    assert result.succeeded, result
    return settings


@pytest.fixture(scope="package")
def catalog(settings):
    return load_catalog(settings)


@pytest.fixture(scope="package")
def lake(settings, catalog):
    return open_lake(settings.root, catalog, existing_tables(settings.root) | BOOKS)


@pytest.fixture(scope="package")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def dashboard(settings):
    """The address of the dashboard over the lakehouse."""
    port = free_port(0)
    environment = {"LAKEHOUSE_ROOT": settings.root.uri, "LAKEHOUSE_ENGINE": "sail"}
    with served(serve.command("127.0.0.1", port), port, environment) as address:
        yield address
