"""The revenue that gold must have, by system and day, by the rules of docs/star-schema.md, from what the generator made up.

    systems ──► Sold: sales of rows that are live, the shop's orders, rates ──► revenue() ──► a question and its answer each

A system knows what it sold. What that is in US dollars, and which orders of the ERP are the shop's, only all of them together know.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

SALES_TABLE = "gold.fact_sales"
_REVENUE = f"""SELECT coalesce(string_agg(day || ' ' || usd, ', ' ORDER BY day), '') FROM (
                   SELECT coalesce(order_date::VARCHAR, 'undated') AS day, sum(usd_amount) AS usd FROM {SALES_TABLE}
                   WHERE source_system = '{{}}' GROUP BY 1 HAVING usd <> 0)"""


class Sale(NamedTuple):
    """What one line has sold: `amount` in units of the currency's fourth digit, less all that went back.

    `day` is None where the system names none. `shop_order` is the web shop's order that an order of the ERP comes from, by its number
    in the world.
    """

    day: date | None
    currency: str
    amount: int
    shop_order: int | None = None


@dataclass
class Sold:
    """What a system adds to the revenue: its sales; its orders by their numbers in the world, if it is the web shop; or the exchange
    rates, by currency and day, in US dollars for ten thousand units.
    """

    sales: Sequence[Sale] = ()
    shop_orders: Collection[int] = ()
    rates: Mapping[str, Mapping[date, int]] | None = None


def revenue(sold: Mapping[str, Sold]) -> dict[str, dict[str, str]]:
    """Return a question about gold and its answer for each system that sells: US dollars by day, such as `2026-01-01 12.50`.

    Days without revenue are left out, and so are amounts for which there is no rate on their day or before.
    """
    rates = {currency: sorted(by_day.items()) for system in sold.values() for currency, by_day in (system.rates or {}).items()}
    of_shop = {number for system in sold.values() for number in system.shop_orders}
    answers = {}
    for name, system in sold.items():
        cents: Counter[date | None] = Counter()
        for sale in system.sales:
            rate = _rate(rates, sale)
            if rate is not None and sale.shop_order not in of_shop:
                cents[sale.day] += _rounded(sale.amount * rate, 1_000_000)
        if system.sales:
            days = sorted(("undated" if day is None else day.isoformat(), amount) for day, amount in cents.items() if amount)
            answers[name] = {_REVENUE.format(name): ", ".join(f"{day} {_dollars(amount)}" for day, amount in days)}
    return answers


def _rate(rates: Mapping[str, Sequence[tuple[date, int]]], sale: Sale) -> int | None:
    """Return the rate of a sale's day, or the last one before; None if there is none."""
    if sale.currency == "USD":
        return 10_000
    known = rates.get(sale.currency, ())
    index = bisect_right(known, sale.day, key=lambda rate: rate[0]) if sale.day is not None else 0
    return known[index - 1][1] if index else None


def _rounded(amount: int, unit: int) -> int:
    """Divide by a unit, and round half up; below 0, half down."""
    whole = (2 * abs(amount) + unit) // (2 * unit)
    return -whole if amount < 0 else whole


def _dollars(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"
