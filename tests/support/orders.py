"""A shop's orders: an upsert table of three columns, and files for it."""

from lakehouse_assets.contracts.contract import Column, Contract, Rule
from lakehouse_assets.contracts.feeds import SourceColumn
from tests.support.declare import one_feed


def take(raw):
    return raw.selectExpr("*", "id AS order_id", "at AS changed_at", "amount AS total")


ORDERS = one_feed(
    landing="shop/orders",
    columns=(SourceColumn("id", ""), SourceColumn("at", ""), SourceColumn("amount", "")),
    contract=Contract(
        table="shop_orders",
        description="Orders",
        owner="team:shop",
        key=("order_id",),
        sequence="changed_at",
        columns=(Column("order_id", "string", ""), Column("changed_at", "int", ""), Column("total", "int", "")),
        rules=(
            Rule("total_not_negative", "total >= 0", "drop", "A total is not negative."),
            Rule("total_below_a_million", "total < 1000000", "fail", "A total is below a million."),
        ),
    ),
    function=take,
)


DATED = Contract(
    table="shop_orders",
    description="Orders",
    owner="team:shop",
    key=("order_id",),
    columns=(Column("order_id", "int", ""), Column("ordered_on", "date", ""), Column("amount", "decimal(12,2)", "")),
)
"""Another shop's orders, whose values files may write in many ways."""

DAY1, DAY2, DAY3 = "2026-01-01", "2026-01-02", "2026-01-03"


def csv(*rows: tuple[object, ...]) -> str:
    return "id,at,amount\n" + "".join(",".join("" if v is None else str(v) for v in row) + "\n" for row in rows)
