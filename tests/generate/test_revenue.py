"""What gold must have sold by day: rates of their days, rounding line by line, orders of the ERP that are the shop's."""

from datetime import date

import pytest

from lakehouse_assets.generate.revenue import Sale, Sold, revenue

FRI, SAT, SUN = date(2026, 1, 2), date(2026, 1, 3), date(2026, 1, 4)
RATES = Sold(rates={"EUR": {FRI: 11_600, SUN: 12_000}, "GBP": {SUN: 13_333}})


def answer(system, **others):
    return next(iter(revenue({"shop": system, **others})["shop"].values()))


def test_revenue_is_by_day_less_what_nets_to_nothing():
    sales = [
        Sale(SAT, "USD", 12_500),
        Sale(FRI, "USD", 10_000),
        Sale(SAT, "USD", 2_500),
        Sale(SUN, "USD", 500),
        Sale(SUN, "USD", -500),
    ]
    assert answer(Sold([*sales, Sale(None, "USD", 90_000)])) == "2026-01-02 1.00, 2026-01-03 1.50, undated 9.00"


@pytest.mark.parametrize(
    ("sale", "text"),
    [
        (Sale(FRI, "EUR", 10_000), "2026-01-02 1.16"),
        (Sale(SAT, "EUR", 10_000), "2026-01-03 1.16"),  # a Saturday has the rate of the Friday
        (Sale(SUN, "EUR", -10_000), "2026-01-04 -1.20"),
        (Sale(SAT, "GBP", 10_000), ""),  # there is no rate yet
        (Sale(SUN, "JPY", 10_000), ""),
        (Sale(None, "EUR", 10_000), ""),
        (Sale(SUN, "GBP", 112_503), "2026-01-04 15.00"),
        (Sale(FRI, "USD", 50), "2026-01-02 0.01"),
        (Sale(FRI, "USD", -50), "2026-01-02 -0.01"),
        (Sale(FRI, "USD", 49), ""),
    ],
)
def test_an_amount_has_the_rate_of_its_day_or_the_last_one_before(sale, text):
    assert answer(Sold([sale]), finance=RATES) == text


def test_without_rates_only_us_dollars_are_known():
    assert answer(Sold([Sale(FRI, "EUR", 10_000), Sale(FRI, "USD", 10_000)])) == "2026-01-02 1.00"


def test_each_line_is_rounded_for_itself():
    assert answer(Sold([Sale(FRI, "USD", 50)] * 3)) == "2026-01-02 0.03"


def test_an_order_of_the_erp_that_the_shop_has_is_the_shop_s():
    sales = [Sale(FRI, "USD", 10_000, shop_order=1), Sale(FRI, "USD", 20_000, shop_order=2)]
    assert answer(Sold(sales)) == "2026-01-02 3.00"
    assert answer(Sold(sales), magento=Sold(shop_orders={1})) == "2026-01-02 2.00"


def test_a_system_that_sells_nothing_is_not_asked():
    assert revenue({"finance": RATES, "erp": Sold()}) == {}
