"""The source system big2.

Declared by `lakehouse new-source` from big_orders.csv. Answer its questions, and delete them.
"""

from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Column, Contract
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.system import Input, SilverTable, System
from lakehouse_assets.systems.cleaning import text, with_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def clean_big_orders(raw: "DataFrame") -> "DataFrame":
    """Trim all values; an empty one is NULL. The contract's types read them."""
    return with_columns(
        raw,
        order_id=text("order_id"),
        customer=text("customer"),
        email=text("email"),
        created_at=text("created_at"),
        day=text("day"),
        amount=text("amount"),
        qty=text("qty"),
        status=text("status"),
        country=text("country"),
        comment=text("comment"),
        price_de=text("price_de"),
        flag=text("flag"),
    )


# Question: What currency are amount, price_de in? It belongs to the feed: currency='EUR'.
# Question: What time zone is created_at in? None is named, so UTC. If not, it belongs to the feed: zone='Europe/Paris'.
BIG_ORDERS_FEED = Feed(
    "big2/big_orders",
    (
        SourceColumn("order_id", "Order id"),
        SourceColumn("customer", "Customer"),
        SourceColumn("email", "Email"),
        SourceColumn("created_at", "Created at"),
        SourceColumn("day", "Day"),
        SourceColumn("amount", "Amount"),
        SourceColumn("qty", "Qty"),
        SourceColumn("status", "Status"),
        SourceColumn("country", "Country"),
        SourceColumn("comment", "Comment"),
        SourceColumn("price_de", "Price de"),
        SourceColumn("flag", "Flag"),
    ),
)

BIG_ORDERS = SilverTable(
    Contract(
        table="big2_big_orders",
        description="Big orders of big2.",
        # Question: Who owns it? A team, such as team:sales, or an e-mail address.
        owner="team:big2",
        # Question: Does order_id identify a row? It does in the sample. So would: comment.
        key=("order_id",),
        # Question: Which column says which row of a key is the newest? Without a sequence, that of the later landing date is.
        columns=(
            Column("order_id", "int", "Order id"),
            Column("customer", "string", "Customer"),
            # Personal: an e-mail address.
            Column("email", "string", "Email"),
            Column("created_at", "timestamp", "Created at"),
            Column("day", "date", "Day", styles=("d/m/y",)),
            Column("amount", "decimal(12,2)", "Amount"),
            Column("qty", "int", "Qty"),
            Column("status", "string", "Status"),
            # Question: Is it yes or no (NO)? Then make it a boolean, and write TRUE and FALSE in the function.
            Column("country", "string", "Country"),
            Column("comment", "string", "Comment"),
            Column("price_de", "decimal(12,2)", "Price de", styles=("1234,56",)),
            Column("flag", "boolean", "Flag"),
        ),
        # Question: Are these rules? The sample keeps them. Then import Rule from lakehouse_assets.contracts.contract, and
        #   uncomment them.
        # rules=(
        #     Rule("amount_not_negative", "amount >= 0", "warn", "No amount is below 0."),
        #     Rule("status_known", "status IN ('open', 'paid', 'sent')", "warn", "It is a word that the sample has."),
        #     Rule("price_de_not_negative", "price_de >= 0", "warn", "No amount is below 0."),
        # ),
    ),
    (Input(BIG_ORDERS_FEED, clean_big_orders),),
)

SYSTEM = System("big2", "The source system big2.", (BIG_ORDERS,))
