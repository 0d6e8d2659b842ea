"""The shop's silver function, on a row."""

import pytest
from MYPROJECT.systems.shop import clean_orders

from lakehouse_assets.engine.session import Engine
from lakehouse_assets.settings import load_settings


@pytest.fixture(scope="session")
def spark():
    engine = Engine(load_settings().engine_config)
    yield engine.session()
    engine.stop_session()


def test_an_address_is_in_lower_case_and_blanks_go(spark):
    raw = spark.createDataFrame(
        [(" 1001 ", "2026-01-30 09:12:00", " Ann@Example.org", "49.90")], ["order_no", "ordered_at", "customer", "total"]
    )
    [row] = clean_orders(raw).collect()
    assert (row.order_number, row.customer_email, row.usd_amount) == ("1001", "ann@example.org", "49.90")
