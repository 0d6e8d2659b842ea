"""Finance: exchange rates, by which gold converts the amounts of all systems to US dollars (`dbt_project/macros/money.sql`)."""

from datetime import timedelta
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Column, Contract, Rule
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.money import CURRENCY_CODE
from lakehouse_assets.contracts.system import Input, SilverTable, System
from lakehouse_assets.systems.cleaning import with_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def clean_exchange_rates(raw: "DataFrame") -> "DataFrame":
    """Trim all values; write the currency in upper case."""
    return with_columns(raw, date="TRIM(date)", currency="UPPER(TRIM(currency))", usd_rate="TRIM(usd_rate)")


EXCHANGE_RATES_FEED = Feed(
    "finance/exchange_rates",
    (
        SourceColumn("date", "Day of the rate, yyyy-mm-dd; working days only"),
        SourceColumn("currency", "Code of the currency (ISO 4217)"),
        SourceColumn("usd_rate", "US dollars for one unit of the currency"),
    ),
)

EXCHANGE_RATES = SilverTable(
    Contract(
        table="finance_exchange_rates",
        description="Exchange rates to the US dollar, one row a day and currency. On a day without a rate, the last earlier one holds.",
        owner="team:finance",
        key=("date", "currency"),
        columns=(
            Column("date", "date", "Day from which the rate holds, until the next one of the currency"),
            Column("currency", "string", "Code of the currency (ISO 4217)"),
            Column("usd_rate", "decimal(18,8)", "US dollars for one unit of the currency"),
        ),
        rules=(
            Rule("currency_is_a_code", f"currency RLIKE '^{CURRENCY_CODE}\\\\z'", "drop", "The currency is a code of ISO 4217."),
            Rule("usd_rate_positive", "usd_rate > 0", "drop", "A rate is above 0."),
            Rule("usd_rate_of_the_dollar_is_1", "currency <> 'USD' OR usd_rate = 1", "drop", "A US dollar is a US dollar."),
        ),
        freshness=timedelta(days=5),
    ),
    (Input(EXCHANGE_RATES_FEED, clean_exchange_rates),),
)

SYSTEM = System(name="finance", description="Finance: exchange rates.", tables=(EXCHANGE_RATES,))
