"""The web shop: orders, a CSV file a day."""

from lakehouse_assets.contracts.contract import Column, Contract, Rule
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.system import Input, SilverTable, System

ORDERS_FEED = Feed(
    "shop/orders",
    (
        SourceColumn("Order No", "Number of the order"),
        SourceColumn("Ordered At", "When it was ordered, in UTC"),
        SourceColumn("Customer", "E-mail address of the customer"),
        SourceColumn("Total", "Total in US dollars"),
    ),
)


def clean_orders(raw):
    """Add the contract's columns to the raw rows. The contract's types cast them; what can't be cast breaks a rule."""
    return raw.selectExpr(
        "*",
        "TRIM(order_no) AS order_number",
        "TRIM(ordered_at) AS ordered_at_utc",
        "LOWER(TRIM(customer)) AS customer_email",
        "TRIM(total) AS usd_amount",
    )


ORDERS = SilverTable(
    Contract(
        table="shop_orders",
        description="Orders of the web shop, one row an order.",
        owner="team:shop",
        key=("order_number",),
        sequence="ordered_at_utc",
        columns=(
            Column("order_number", "string", "Number of the order"),
            Column("ordered_at_utc", "timestamp", "When it was ordered"),
            Column("customer_email", "string", "E-mail address of the customer, in lower case"),
            Column("usd_amount", "decimal(12,2)", "Total in US dollars"),
        ),
        rules=(
            Rule("amount_given", "usd_amount IS NOT NULL", "drop", "An order has a total."),
            Rule("amount_not_negative", "usd_amount >= 0", "drop", "A total is not negative."),
        ),
    ),
    (Input(ORDERS_FEED, clean_orders),),
)

SYSTEM = System("shop", "The web shop.", (ORDERS,))
