"""The dashboard over a small lakehouse: its numbers, its pages, and what it says where something is missing or broken."""

import doctest
import sys
from datetime import date

import pytest
from streamlit.testing.v1 import AppTest

from lakehouse_assets.books.refused import RefusedPartitions
from lakehouse_assets.dashboard import serve, style
from lakehouse_assets.dashboard.data import bikes, flow, inventory, lineage, quality, sales, support, today
from lakehouse_assets.dashboard.filters import Filters, address
from lakehouse_assets.dashboard.lake import current_state
from lakehouse_assets.reconcile.plan import make_plan
from lakehouse_assets.serving.query import query

pytestmark = pytest.mark.worlds("sail-folder")


@pytest.fixture
def one(settings):
    """The single value that `lakehouse query` returns."""
    return lambda sql: query(settings.root, sql).fetchone()[0]


@pytest.fixture
def open_page(settings, monkeypatch):
    """Runs a page as Streamlit does, over a root."""
    # Streamlit leaves the page as the main module, which every process that is spawned later would run.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])

    def run(page="", root=None, **parameters):
        import streamlit

        streamlit.cache_resource.clear()
        monkeypatch.setenv("LAKEHOUSE_ROOT", root or settings.root.uri)
        monkeypatch.setenv("LAKEHOUSE_ENGINE", "sail")
        app = AppTest.from_file(str(serve.APP), default_timeout=60)
        app.query_params.update(parameters)
        app.run()
        return app

    return run


def test_words_for_numbers():
    assert doctest.testmod(style).failed == 0


def test_filters_are_an_address_and_default_to_the_newest_dates():
    filters = Filters(date(2026, 1, 2), None, ("crm", "erp"))
    assert address("flow", filters, {"band": "a>b", "rule": None}) == "./flow?from=2026-01-02&source=crm&source=erp&band=a%3Eb"
    assert Filters().within(date(2026, 1, 31), 7) == Filters(date(2026, 1, 25), date(2026, 1, 31))
    assert Filters(date(2026, 2, 5)).within(date(2026, 1, 31), 7).words == "2026-01-31"


def test_what_arrived_is_what_the_books_say(lake, one):
    rows = {row["system"]: row for row in today.by_source(lake, Filters()).to_dict("records")}
    assert sum(row["rows"] for row in rows.values()) == one("SELECT sum(rows_in) FROM ops.row_accounts WHERE layer = 'raw'")
    assert sum(row["quarantined"] for row in rows.values()) == one("SELECT sum(rows) FROM quarantine.rows")
    none = {row["system"]: row for row in today.by_source(lake, Filters(last=date(2026, 1, 4))).to_dict("records")}
    assert {row["rows"] for row in none.values()} == {0}
    assert {system: f"{row['newest']:%Y-%m-%d}" for system, row in none.items()} == {
        "bikes": "2026-01-30",
        "freshdesk": "2026-01-05",
        "magento": "2026-01-27",
    }  # a source that has stopped is still seen


def test_the_flow_adds_up_and_is_that_of_the_row_accounts(lake, catalog, settings, one):
    models = settings.gold_project.models()
    for filters in (Filters(), Filters(date(2026, 1, 17), date(2026, 1, 17), ("magento",))):
        bands = flow.bands(lake, catalog, models, filters)
        for shown in (bands, flow.by_system(bands, catalog)):
            into, out = flow.totals(shown)
            middle = {node for node in into if node[0] in ("raw", "silver")}
            assert middle
            assert {node: into[node] for node in middle} == {node: out[node] for node in middle}
    into, out = flow.totals(flow.bands(lake, catalog, models, Filters()))
    assert sum(rows for (kind, _), rows in out.items() if kind == "landing") == one(
        "SELECT sum(rows_in) FROM ops.row_accounts WHERE layer = 'raw'"
    )
    for fact in ("fact_sales", "fact_support_tickets", "fact_bike_status"):
        assert into["gold", fact] == one(f"SELECT count(*) FROM gold.{fact}")
    assert into["quarantine", "silver"] == one("SELECT sum(rows) FROM quarantine.rows WHERE layer = 'silver'")
    assert into["superseded", "silver"] == one("SELECT sum(rows_superseded) FROM ops.row_accounts WHERE layer = 'silver'")


def test_a_band_leads_to_its_rows(lake, catalog, settings):
    band = flow.Band(("silver", "magento_orders"), ("quarantine", "silver"), 1)
    assert flow.parse(band.key) == (band.source, band.target)
    assert flow.parse("nonsense") is None
    table = flow.rows_behind(band.source, band.target)
    assert table == ("quarantine", "rows")
    rows = flow.rows_of(lake, table, "magento_orders", Filters(), 100)
    expected = "SELECT count(*) FROM quarantine.rows WHERE table_name = 'magento_orders'"
    assert rows.num_rows == query(settings.root, expected).fetchone()[0] > 0


def test_rules_are_those_of_the_quarantine_and_say_how_to_mend_it(lake, catalog, one):
    rules = quality.worst_first(quality.broken_rules(lake, Filters()), catalog)
    outcomes = [rule["outcome"] for rule in rules]
    assert outcomes == sorted(outcomes, key=lambda outcome: outcome == "warn")
    prices = next(r for r in rules if (r["table_name"], r["rule"]) == ("magento_products", "price_positive"))
    assert prices["rows"] >= one(
        "SELECT count(*) FROM quarantine.rows WHERE table_name = 'magento_products' AND rule = 'price_positive'"
    )
    assert quality.count_quarantined(lake, Filters()) == one("SELECT sum(rows) FROM quarantine.rows")
    rows = quality.quarantined_rows(lake, Filters(), "magento_products", "price_positive", 5)
    assert "price" in rows["text"][0].as_py()
    mending = quality.mending(catalog, "silver", "magento_products", "price_positive")
    assert mending.owner == "team:product-data"
    assert "lakehouse land magento/products FILE --date DATE" in mending.commands
    waiting = quality.mending(catalog, "silver", "magento_order_items", "order_id_in_magento_orders")
    assert "load by themselves" in waiting.sentence


def test_business_numbers_are_those_of_gold(lake, one):
    filters = Filters(date(2026, 1, 10), date(2026, 1, 15), ("magento",))
    within = "BETWEEN '2026-01-10' AND '2026-01-15'"
    sold = sales.totals(lake, filters)
    assert sold["usd_amount"] == float(one(f"SELECT sum(usd_amount) FROM gold.fact_sales WHERE order_date {within}")) > 0
    assert sold["orders"] == one(f"SELECT count(*) FROM gold.fact_orders WHERE order_date {within}")
    for rows in (sales.by_day(lake, filters), sales.by_category(lake, filters, 999), sales.by_country(lake, filters, 999)):
        assert round(rows["usd_amount"].sum(), 2) == sold["usd_amount"]
    assert sales.totals(lake, Filters(sources=("odoo",)))["lines"] == 0
    tickets = support.totals(lake, Filters())
    assert tickets["tickets"] == one("SELECT count(*) FROM gold.fact_support_tickets WHERE ticket_created_date_key <> -1")
    assert support.by_day(lake, Filters())["tickets"].sum() == support.by_priority(lake, Filters())["tickets"].sum()
    assert inventory.levels(lake, Filters())["products"].sum() == one("SELECT count(*) FROM gold.stock_alerts")
    stations = bikes.stations(lake, Filters(), "Lyon")
    reported = "gold.dim_bike_station JOIN gold.fact_bike_status USING (station_key)"
    assert len(stations) == one(f"SELECT count(DISTINCT station_id) FROM {reported} WHERE city = 'Lyon'")
    assert stations["share"].between(0, 1).all()


def test_lineage_leads_from_files_to_marts(catalog, settings):
    found = lineage.lineage(catalog, settings.gold_project.models())
    edges = found.around(("silver", "magento_orders"))
    assert (("landing", "magento/orders"), ("raw", "magento_orders")) in edges
    assert (("gold", "fact_sales"), ("gold", "sales_performance")) in edges
    assert all("crm" not in name for edge in edges for _, name in edge)
    described = lineage.described(catalog, settings.gold_project.manifest(), ("gold", "fact_sales"))
    assert "usd_amount" in [name for name, _, _ in described.columns]
    assert lineage.dot(edges, ("silver", "magento_orders"), style.LAYERS).startswith("digraph")


def test_what_was_refused_is_failed_until_it_changes(settings, catalog, lake):
    plan, state = make_plan(settings, catalog), current_state(settings.root)
    assert today.failed(catalog, plan, RefusedPartitions(settings.root).read(), state) == []
    newest = today.newest_rows(lake)
    late = today.late(catalog, plan, newest, today.newest_landing(lake, Filters()))
    assert [p.system for p in late if "freshdesk_tickets" in p.what] == ["freshdesk"]


def test_cells_are_escaped():
    shown = style.table({"a": "A"}, [{"a": "<script>"}], links={"a": ['./x?y="><b>']})
    assert "<script>" not in shown
    assert "<b>" not in shown


def test_the_first_page_is_today(open_page):
    app = open_page()
    assert not app.exception
    assert app.title[0].value == "Today"
    assert [m.label for m in app.metric] == ["Rows arrived", "Late", "Failed", "Rows in quarantine"]


def test_an_empty_lakehouse_says_what_to_do(open_page, tmp_path):
    app = open_page(root=str(tmp_path))
    assert not app.exception
    assert any("lakehouse demo" in m.value for m in app.markdown)


def test_a_root_that_is_not_there_is_a_sentence(open_page, tmp_path):
    app = open_page(root=str(tmp_path / "typo"))
    assert not app.exception
    assert "there is no such folder" in app.error[0].value


def test_a_dead_store_is_a_sentence(open_page, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "unused")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    app = open_page(root="s3://nowhere/lake")
    assert not app.exception
    assert "nothing answers" in app.error[0].value


def test_without_streamlit_the_command_says_how_to_get_it(monkeypatch):
    assert "--server.address=127.0.0.1" in serve.command("127.0.0.1", 8501)
    assert "--browser.gatherUsageStats=false" in serve.command("127.0.0.1", 8501)
    monkeypatch.setattr(serve, "find_spec", lambda _: None)
    with pytest.raises(serve.SettingsError, match=r"lakehouse-assets\[dashboard\]"):
        serve.command("127.0.0.1", 8501)
