"""Faults that are neither the store's nor the engine's: clocks, versions of programs, upkeep that is too keen."""

import json
import time
from datetime import timedelta

import obstore
import pytest
from typer.testing import CliRunner

from lakehouse_assets import cli
from lakehouse_assets.errors import NewerTableError
from lakehouse_assets.upkeep.maintain import maintain
from tests.support.orders import DAY1, DAY2, ORDERS, csv

pytestmark = pytest.mark.worlds("sail-folder")


@pytest.fixture
def shop(make_lakehouse):
    shop = make_lakehouse(ORDERS)
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 1), ("B", 1, -1)))
    assert shop.build() == {}
    return shop


def test_a_clock_that_goes_backwards_changes_nothing(shop, monkeypatch):
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 2 * 86400)
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 2), ("B", 1, -2)))
    shop.land("shop/orders", DAY2, "a.csv", csv(("A", 2, 3)))
    assert shop.build() == {}
    list(maintain(shop.settings.root, timedelta(days=1)))
    assert [(r["order_id"], r["total"]) for r in shop.rows("silver.shop_orders")] == [("A", 3)]
    assert len(shop.rows("quarantine.rows")) == 1
    assert all(record.adds_up for record in shop.records("silver", "shop_orders").values())
    assert shop.plan().is_empty


def test_a_table_of_a_newer_protocol_is_refused_and_left_alone(shop):
    root = shop.settings.root
    features = ["featureOfTomorrow"]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
    version = shop.versions()["raw.shop_orders"] + 1
    log = f"raw/shop_orders/_delta_log/{version:020}.json"
    obstore.put(root.store, log, json.dumps({"protocol": protocol}).encode())
    before = root.files("raw")
    shop.land("shop/orders", DAY2, "a.csv", csv(("A", 2, 3)))
    with pytest.raises(NewerTableError, match=r"raw/shop_orders was written by a newer version.*featureOfTomorrow"):
        shop.plan()
    assert root.files("raw") == before


def test_maintain_keeps_what_left_a_table_for_a_day_at_least(shop, monkeypatch):
    shop.land("shop/orders", DAY1, "a.csv", csv(("A", 1, 2)))
    assert shop.build() == {}
    root = shop.settings.root
    there = {path for path, _ in root.files("raw/shop_orders")}
    monkeypatch.setenv("LAKEHOUSE_ROOT", root.uri)
    refused = CliRunner().invoke(cli.app, ["maintain", "--keep-days", "0"])
    assert refused.exit_code == 2
    kept = CliRunner().invoke(cli.app, ["maintain", "--keep-days", "1"])
    assert kept.exit_code == 0, kept.output
    assert {path for path in there if path.endswith(".parquet")} <= {path for path, _ in root.files("raw/shop_orders")}
