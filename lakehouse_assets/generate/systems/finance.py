"""Finance: the exchange rates of each working day, a CSV file a day."""

from collections.abc import Iterator
from datetime import date

from lakehouse_assets.generate.deliveries import Deliveries
from lakehouse_assets.generate.draw import draws
from lakehouse_assets.generate.revenue import Sold
from lakehouse_assets.generate.world import World

RATES_DIRT = ("rate of zero", "name for a code", "decimal comma", "blanks and lower case", "sent twice")

CURRENCIES = {"AUD": 6600, "CAD": 7200, "CHF": 12500, "EUR": 11600, "GBP": 13300, "JPY": 67}
"""US dollars for ten thousand units, about."""


def deliver(world: World, out: Deliveries) -> None:
    """Write the rates of all working days, and of the first day: amounts of that day need them."""
    for day in world.days:
        if day.weekday() < 5 or day == world.days[0]:
            out.csv("exchange_rates", day, "exchange_rates.csv", ("date", "currency", "usd_rate"), _rates(world, out, day), "\n")
    rates: dict[str, dict[date, int]] = {}
    for (day, currency), rate in out.table("exchange_rates").notes().items():
        rates.setdefault(currency, {})[day] = rate
    out.truth.sold = Sold(rates=rates)


def _rates(world: World, out: Deliveries, day: date) -> Iterator[tuple[object, ...]]:
    table, dirt = out.table("exchange_rates", usd_rate=8), out.dirt("exchange_rates")
    random = draws(world.options.seed, "rates", day)
    for currency, usual in CURRENCIES.items():
        rate = usual * random.randrange(970, 1030) // 1000
        kind = dirt.pick(RATES_DIRT)
        refused = {
            "rate of zero": "usd_rate_positive",
            "name for a code": "currency_is_a_code",
            "decimal comma": "usd_rate_positive",
        }
        text = f"0.{rate:04d}" if rate < 10_000 else f"{rate // 10_000}.{rate % 10_000:04d}"
        written = {"rate of zero": "0", "decimal comma": text.replace(".", ",")}.get(kind or "", text)
        code = {"name for a code": "Euro", "blanks and lower case": f" {currency.lower()} "}.get(kind or "", currency)
        for _ in range(1 + (kind == "sent twice")):
            if kind in refused:
                table.refuse(refused[kind])
            else:
                table.row((day, currency), rate * 10_000, note=rate)
            yield day.isoformat(), code, written
