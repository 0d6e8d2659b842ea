"""The dashboard in a browser: every page, filter and link; by keyboard alone; in a narrow window; and what axe finds in it."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from lakehouse_assets.serving.query import query
from tests.support.browser import settled

pytestmark = pytest.mark.worlds("sail-folder")

TITLES = ("Today", "Flow", "Quality", "Sales", "Inventory", "Support", "Bikes", "Lineage")


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


def number(page, label):
    """The number of a card."""
    text = page.get_by_test_id("stMetric").filter(has_text=label).get_by_test_id("stMetricValue").inner_text()
    return int(re.sub(r"\D", "", text))


def click_band(page, name):
    """Click a band of the picture where it is: in the middle of its curve."""
    path = page.get_by_role("link", name=re.compile(name)).first.locator("path")
    path.scroll_into_view_if_needed()
    x, y = path.evaluate(
        """path => {
            const at = path.getPointAtLength(path.getTotalLength() / 2).matrixTransform(path.getScreenCTM());
            return [at.x, at.y];
        }"""
    )
    page.mouse.click(x, y)


def test_every_page_is_reached_by_the_menu_and_can_be_read_by_everybody(page, dashboard):
    page.goto(dashboard)
    found_faults = {}
    settled(page, "Today")
    for title in TITLES:
        page.get_by_test_id("stSidebarNav").get_by_role("link", name=title).click()
        settled(page, title)
        found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
        faults = {fault["id"]: [node["html"][:200] for node in fault["nodes"]] for fault in found}
        found_faults[title] = faults
    assert {t: f for t, f in found_faults.items() if f} == {}


def test_filters_are_in_the_address_and_an_address_is_a_view(page, dashboard, settings):
    page.goto(f"{dashboard}/?from=2026-01-17&to=2026-01-17&source=magento")
    settled(page, "Today")
    accounts = "FROM ops.row_accounts WHERE table_name LIKE 'magento%' AND date = '2026-01-17'"
    arrived = query(settings.root, f"SELECT sum(rows_in) {accounts} AND layer = 'raw'").fetchone()[0]
    assert number(page, "Rows arrived") == arrived
    assert number(page, "Rows in quarantine") == query(settings.root, f"SELECT sum(rows_quarantined) {accounts}").fetchone()[0]
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Quality").click()
    settled(page, "Quality")
    assert "source=magento" in page.url
    assert "from=2026-01-17" in page.url


def test_a_band_and_a_rule_lead_to_their_rows(page, dashboard):
    page.goto(f"{dashboard}/flow")
    settled(page, "Flow")
    click_band(page, "^magento to magento")
    page.wait_for_url("**source=magento*")
    settled(page, "Flow")
    page.get_by_role("link", name=re.compile("^magento_orders to In quarantine")).press("Enter")  # a hair's breadth
    page.get_by_role("heading", name=re.compile("^magento_orders to In quarantine: ")).wait_for()
    page.get_by_test_id("stDataFrame").wait_for()
    page.goto(f"{dashboard}/quality")
    settled(page, "Quality")
    page.get_by_role("row", name=re.compile("silver.magento_products")).get_by_role("link", name="price_positive").click()
    page.get_by_text("How to mend it.").wait_for()
    assert "rule=price_positive" in page.url
    assert page.get_by_test_id("stCode").inner_text().startswith("lakehouse quarantine --table magento_products")


def test_it_can_be_used_by_keyboard_alone(page, dashboard):
    page.goto(dashboard)
    settled(page, "Today")
    for _ in range(15):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText").strip().endswith("Flow"):
            break
    page.keyboard.press("Enter")
    settled(page, "Flow")
    band = page.get_by_role("link", name=re.compile("^freshdesk to freshdesk")).first
    band.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**source=freshdesk*")
    settled(page, "Flow")


def test_a_narrow_window_shows_all_of_it(page, dashboard):
    page.set_viewport_size({"width": 390, "height": 800})
    for title in ("Today", "Flow", "Sales"):
        page.goto(f"{dashboard}/{title.lower() if title != 'Today' else ''}")
        settled(page, title)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.get_by_role("heading", name=title, level=1).bounding_box()["x"] >= 0
