"""The storefront: products as CSV, orders and their items as workbooks with a sheet a day, or as the same sheets in CSV."""

from datetime import timedelta
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Column, Contract, Relationship, Rule
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Csv, Xlsx
from lakehouse_assets.contracts.provenance import CURRENCY, SHEET
from lakehouse_assets.contracts.system import Input, SilverTable, System
from lakehouse_assets.systems.cleaning import text, whole, with_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def clean_products(raw: "DataFrame") -> "DataFrame":
    """Trim all texts."""
    return with_columns(
        raw,
        product_id=_number("product_id"),
        product_name=text("product_name"),
        department_id=_number("department_id"),
        department=text("department"),
    )


def clean_orders(raw: "DataFrame") -> "DataFrame":
    """Trim all values, and name the sheet."""
    return with_columns(
        raw,
        _user_id=text("user_id"),
        _order_timestamp=text("order_timestamp"),
        **{name: _number(name) for name in ("order_num", "order_id", "user_id")},
        order_timestamp=text("order_timestamp"),
        order_date=text("date"),
        total_amount=text("total_amount"),
        currency=CURRENCY,
        sheet_name=SHEET,
    )


def clean_order_items(raw: "DataFrame") -> "DataFrame":
    """Trim all values, write `reordered` as true or false, and name the sheet."""
    numbers = ("id", "order_id", "user_id", "product_id", "add_to_cart_order", "days_since_prior_order")
    return with_columns(
        raw,
        _order_id=text("order_id"),
        _user_id=text("user_id"),
        _product_id=text("product_id"),
        _order_timestamp=text("order_timestamp"),
        **{name: _number(name) for name in numbers},
        reordered=f"CASE {_number('reordered')} WHEN '1' THEN TRUE WHEN '0' THEN FALSE END",
        order_timestamp=text("order_timestamp"),
        order_date=text("date"),
        sheet_name=SHEET,
    )


def _number(column: str) -> str:
    """SQL: the text of a whole number; NULL if it is empty."""
    return f"NULLIF({whole(column)}, '')"


def _present(what: str, *columns: str) -> tuple[Rule, ...]:
    """Rules: the file has a value for these columns. Whether it can be read is the types' matter."""
    return tuple(Rule(f"{c}_present", f"_{c} IS NOT NULL", "drop", f"{what} has a value for {c}.") for c in columns)


_ON_ITS_DATE = Rule(
    "order_date_is_day_of_timestamp",
    "order_date = CAST(order_timestamp AS DATE)",
    "warn",
    "The date is the day of the timestamp, which is what counts.",
)

PRODUCTS_FEED = Feed(
    "storefront/products",
    (
        SourceColumn("product_id", "Number of the product"),
        SourceColumn("department_id", "Number of a department; does not determine its name"),
        SourceColumn("department", "Name of the department"),
        SourceColumn("product_name", "Name of the product"),
    ),
)

PRODUCTS = SilverTable(
    Contract(
        table="storefront_products",
        description="Products of the storefront, one row a product. Of a product that is sent again, the last delivery counts.",
        owner="team:product-data",
        key=("product_id",),
        columns=(
            Column("product_id", "bigint", "Number of the product"),
            Column("product_name", "string", "Name of the product"),
            Column("department_id", "int", "Number of a department, as sent: one number stands beside several names"),
            Column("department", "string", "Name of the department, such as Books"),
        ),
        rules=(
            Rule("product_name_present", "product_name IS NOT NULL", "drop", "A product has a name."),
            Rule("department_present", "department IS NOT NULL", "warn", "A product is in a department."),
        ),
        freshness=timedelta(days=2),
        split_by="department",
    ),
    (Input(PRODUCTS_FEED, clean_products),),
)

ORDERS_FEED = Feed(
    "storefront/orders",
    (
        SourceColumn("order_num", "Number within the day, which repeats"),
        SourceColumn("order_id", "Number of the order"),
        SourceColumn("user_id", "Number of the customer"),
        SourceColumn("order_timestamp", "When it was placed, as 2025-04-01T11:27:00, in UTC"),
        SourceColumn("total_amount", "Amount of the order in US dollars"),
        SourceColumn("date", "Day of the order, yyyy-mm-dd: the sheet's name"),
    ),
    format=(Csv(), Xlsx()),
    currency="USD",
)

ORDERS = SilverTable(
    Contract(
        table="storefront_orders",
        description="Orders of the storefront, one row an order. Of an order that is sent again, the last delivery counts.",
        owner="team:sales",
        key=("order_id",),
        columns=(
            Column("order_id", "bigint", "Number of the order"),
            Column("order_num", "int", "Number within the day; not unique"),
            Column("user_id", "bigint", "Number of the customer"),
            Column("order_timestamp", "timestamp", "When the order was placed"),
            Column("order_date", "date", "Day of the order, as sent"),
            Column("total_amount", "decimal(12,2)", "Amount of the order"),
            Column("currency", "string", "Currency of the amount (ISO 4217)"),
            Column("sheet_name", "string", "Sheet of the workbook; NULL if the row came as CSV"),
        ),
        rules=(
            *_present("An order", "user_id", "order_timestamp"),
            _ON_ITS_DATE,
            Rule("total_amount_not_negative", "total_amount >= 0", "warn", "An order has an amount, and it is not below 0."),
        ),
        freshness=timedelta(days=2),
    ),
    (Input(ORDERS_FEED, clean_orders),),
)

ORDER_ITEMS_FEED = Feed(
    "storefront/order_items",
    (
        SourceColumn("id", "Number of the item"),
        SourceColumn("order_id", "Number of its order"),
        SourceColumn("user_id", "Number of the customer, as in the order"),
        SourceColumn("days_since_prior_order", "Days since the customer's order before, 0 to 30"),
        SourceColumn("product_id", "Number of the product"),
        SourceColumn("add_to_cart_order", "Its place in the cart, from 1"),
        SourceColumn("reordered", "1 if the customer had bought the product before, else 0"),
        SourceColumn("order_timestamp", "When the order was placed, in UTC"),
        SourceColumn("date", "Day of the order, yyyy-mm-dd: the sheet's name"),
    ),
    format=(Csv(), Xlsx()),
)

ORDER_ITEMS = SilverTable(
    Contract(
        table="storefront_order_items",
        description="Items of the storefront's orders, one row an item. A product may be in an order twice, each with its place in "
        "the cart. An item waits for its order and its product.",
        owner="team:sales",
        key=("id",),
        columns=(
            Column("id", "bigint", "Number of the item"),
            Column("order_id", "bigint", "Number of its order, as in storefront_orders"),
            Column("user_id", "bigint", "Number of the customer"),
            Column("product_id", "bigint", "Number of the product, as in storefront_products"),
            Column("add_to_cart_order", "int", "Its place in the cart, from 1"),
            Column("reordered", "boolean", "Whether the customer had bought the product before"),
            Column("days_since_prior_order", "int", "Days since the customer's order before"),
            Column("order_timestamp", "timestamp", "When the order was placed"),
            Column("order_date", "date", "Day of the order, as sent"),
            Column("sheet_name", "string", "Sheet of the workbook; NULL if the row came as CSV"),
        ),
        rules=(
            *_present("An item", "order_id", "user_id", "product_id", "order_timestamp"),
            _ON_ITS_DATE,
            Rule("reordered_known", "reordered IS NOT NULL", "warn", "Whether it was bought before is 0 or 1."),
        ),
        relationships=(
            Relationship("order_id", "storefront_orders", "order_id", "drop"),
            Relationship("product_id", "storefront_products", "product_id", "drop"),
        ),
        freshness=timedelta(days=2),
    ),
    (Input(ORDER_ITEMS_FEED, clean_order_items),),
)

SYSTEM = System(
    name="storefront",
    description="The storefront: products, orders and their items.",
    tables=(PRODUCTS, ORDERS, ORDER_ITEMS),
)
