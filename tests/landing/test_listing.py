"""What of a bucket is listed, and when."""

from datetime import date

import obstore
import pytest

from lakehouse_assets.landing import objects
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.storage.root import Root
from tests.silver.test_upsert import DAY1, DAY2, ORDERS, csv

START = date(2026, 1, 1)


@pytest.fixture
def listed(monkeypatch):
    """The prefixes that are listed."""
    prefixes = []

    def spy(store, prefix=None, **options):
        prefixes.append(prefix)
        return obstore.list(store, prefix=prefix, **options)

    monkeypatch.setattr(objects, "obstore", type("Spy", (), {**vars(obstore), "list": staticmethod(spy)}))
    return prefixes


@pytest.fixture
def landing(tmp_path):
    root = Root.parse(str(tmp_path / "root"))
    for day in ("2026-01-01", "2026-01-02", "2026-02-01"):
        obstore.put(root.store, f"landing/shop/orders/{day}/a.csv", b"id\n1\n")
    obstore.put(root.store, "landing/shop/orders_old/2026-01-01/a.csv", b"id\n1\n")
    return Landing(root)


def test_a_pass_lists_by_entity_and_finds_all_dates(landing, listed):
    found = landing.listing("shop/orders", START)
    assert [str(o.date) for o in found.objects] == ["2026-01-01", "2026-01-02", "2026-02-01"]
    assert listed == ["landing/shop/orders"]


def test_a_run_over_few_dates_lists_these_dates(landing, listed):
    found = landing.listing("shop/orders", START, [date(2026, 1, 2), date(2026, 2, 1)])
    assert [str(o.date) for o in found.objects] == ["2026-01-02", "2026-02-01"]
    assert listed == ["landing/shop/orders/2026-01-02", "landing/shop/orders/2026-02-01"]


def test_a_run_over_many_dates_lists_once(landing, listed):
    landing.listing("shop/orders", START, [date(2026, 1, d) for d in range(1, 31)])
    assert listed == ["landing/shop/orders"]


@pytest.mark.worlds("sail-folder")
def test_neither_plan_nor_build_lists_more_than_landing_by_entity_or_date(make_lakehouse, listed):
    shop = make_lakehouse(ORDERS)
    for day in (DAY1, DAY2):
        shop.land("shop/orders", day, "a.csv", csv(("A", 1, 1)))
    assert shop.build() == {}
    assert shop.plan().is_empty
    assert set(listed) == {"landing/shop/orders", f"landing/shop/orders/{DAY1}", f"landing/shop/orders/{DAY2}"}
