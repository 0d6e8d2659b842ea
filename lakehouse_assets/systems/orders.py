"""The order stream: what a chain of smoothie bars sells, an event for each line of a purchase, and the products that it sells.

**Identity.** `event_id` is the purchase's number, where the event has one. Else it is the event's place in the stream (topic with
its id, partition and offset), and where there is none, its place in landing (date, file and row). A purchase has several lines,
even of one product at other quantities, so the key is `event_id` and `line_id`, a hash of what the line says. An event that is
delivered again at another offset is therefore superseded; so is a line that is equal in everything to another of its purchase,
because nothing tells it from one. An event without a number is another event in each place: when such events are exported again,
the file needs the same name and date.

**From Kafka.** The feed takes the same events in two dialects. `plain` is the event itself. `kafka` has the record around it, as the
drain of the topic lands it (`contracts/topics.py`). So events from files and from the topic are rows of one table, whichever come
first, and the contract is the same for both.

**Amounts.** The stream sends numbers with float noise, such as 15.959999999999999. Amounts are rounded half up to the cent, rates to
four digits; raw keeps the text. A total is pieces times `net_price`, that is (price + supplement) * (1 - discount); both are kept.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from lakehouse_assets.contracts.contract import Column, Contract, Relationship, Rule
from lakehouse_assets.contracts.dialects import Dialect
from lakehouse_assets.contracts.feeds import Feed, SourceColumn
from lakehouse_assets.contracts.formats import Json
from lakehouse_assets.contracts.provenance import CURRENCY, DATE_COLUMN, FILE, ROW
from lakehouse_assets.contracts.styles import MILLISECONDS, OFFSETS
from lakehouse_assets.contracts.system import Input, SilverTable, System
from lakehouse_assets.contracts.topics import Topic
from lakehouse_assets.contracts.types import typed
from lakehouse_assets.systems.cleaning import text, whole, with_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_NOISY = "decimal(38,20)"
"""A type with room for the digits of a double, of which the last ones are noise."""


def rounded(column: str, digits: int) -> str:
    """SQL: the text of a number with float noise, rounded half up; any other text is only trimmed."""
    return f"COALESCE(CAST(CAST({typed(f'TRIM({column})', _NOISY)} AS DECIMAL(28,{digits})) AS STRING), {text(column)})"


def clean_events(raw: "DataFrame") -> "DataFrame":
    """Clean the values of an event, round its amounts, compute the net price, and give it its identity."""
    cleaned = with_columns(
        raw,
        transaction_id=text("transaction_id"),
        product_id=f"UPPER({text('product_id')})",
        ordered_at=text("transaction_time"),
        quantity=whole("quantity"),
        price=rounded("price", 2),
        supplement_price=f"COALESCE({rounded('supplement_price', 2)}, '0')",
        member_discount=f"COALESCE({rounded('member_discount', 4)}, '0')",
        is_member=text("is_member"),
        has_supplements=text("add_supplements"),
        total=rounded("total_purchase", 2),
        currency=CURRENCY,
        topic=text("topic"),
        topic_partition=text("`partition`"),
        topic_offset=text("`offset`"),
        message_key=text("`key`"),
        sent_at=text("`timestamp`"),
    )
    valued = with_columns(
        cleaned,
        event_id=f"""COALESCE(transaction_id, CONCAT(topic, {_TOPIC_ID}, '/', topic_partition, '/', topic_offset),
            CONCAT(CAST({DATE_COLUMN} AS STRING), '/', {FILE}, '/', CAST({ROW} AS STRING)))""",
        line_id=f"MD5(CONCAT({_LINE}))",
        _quantity=typed("quantity", "int"),
        _full_price=f"{typed('price', 'decimal(12,2)')} + {typed('supplement_price', 'decimal(12,2)')}",
        _rate=f"1 - {typed('member_discount', 'decimal(5,4)')}",
    )
    priced = with_columns(valued, net_price="CAST(_full_price * _rate AS DECIMAL(12,4))")
    return with_columns(priced, total="COALESCE(total, CAST(CAST(_quantity * net_price AS DECIMAL(14,2)) AS STRING))")


_TOPIC_ID = f"COALESCE(CONCAT('@', {text('topic_id')}), '')"
"""SQL: tells a topic from one of its name that was made anew, whose offsets begin at 0 again. Records that others landed lack it."""

_LINE = ", '|', ".join(
    f"COALESCE({value}, '')"
    for value in (
        "product_id",
        "ordered_at",
        "quantity",
        "price",
        "supplement_price",
        "member_discount",
        "LOWER(is_member)",
        "LOWER(has_supplements)",
        "total",
    )
)
"""SQL: what a line of a purchase says."""


def clean_products(raw: "DataFrame") -> "DataFrame":
    """Trim all values, and write ids in upper case."""
    return with_columns(
        raw,
        product_id=f"UPPER({text('id')})",
        product_name=text("item"),
        category=text("category"),
        size=text("size"),
        cost=text("cogs"),
        price=text("price"),
        units_in_stock=whole("inventory"),
        contains_fruit=text("contains_fruit"),
        contains_vegetables=text("contains_veggies"),
        contains_nuts=text("contains_nuts"),
        contains_caffeine=text("contains_caffeine"),
        currency=CURRENCY,
    )


EVENTS_FEED = Feed(
    "orders/order_events",
    (
        SourceColumn("transaction_id", "Number of the purchase; older events have none", required=False),
        SourceColumn("transaction_time", "When it was bought, to the microsecond, UTC"),
        SourceColumn("product_id", "Product"),
        SourceColumn("price", "Price of a piece in US dollars"),
        SourceColumn("quantity", "Pieces"),
        SourceColumn("is_member", "true or false: whether the customer is a member"),
        SourceColumn("member_discount", "Discount for members as a fraction: 0.1"),
        SourceColumn("add_supplements", "true or false: whether supplements are added"),
        SourceColumn("supplement_price", "Price of the supplements of a piece in US dollars"),
        SourceColumn("total_purchase", "Amount of the line after supplements and discount, with float noise"),
    ),
    format=Json(),
    dialects=(Dialect("plain", told_by=("transaction_time", "product_id")),),
    currency="USD",
    topic=Topic("orders"),
)

EVENTS = SilverTable(
    Contract(
        table="orders_events",
        description="Events of the order stream, one row a line of a purchase.",
        owner="team:sales",
        key=("event_id", "line_id"),
        columns=(
            Column(
                "event_id", "string", "Number of the purchase; else topic, its id, partition and offset; else date, file and row"
            ),
            Column("line_id", "string", "Hash of what the line says"),
            Column("transaction_id", "string", "Number of the purchase; NULL in older events"),
            Column("ordered_at", "timestamp", "When it was bought", styles=(OFFSETS,)),
            Column("product_id", "string", "Product, as in orders_products"),
            Column("quantity", "int", "Pieces"),
            Column("price", "decimal(12,2)", "Price of a piece"),
            Column("has_supplements", "boolean", "Whether supplements are added"),
            Column("supplement_price", "decimal(12,2)", "Price of the supplements of a piece"),
            Column("is_member", "boolean", "Whether the customer is a member"),
            Column("member_discount", "decimal(5,4)", "Discount for members, as a fraction"),
            Column("net_price", "decimal(12,4)", "Price of a piece with supplements, after the discount"),
            Column("total", "decimal(12,2)", "Amount of the line as sent; pieces times net price where it is missing"),
            Column("currency", "string", "Currency of prices and total (ISO 4217)"),
            Column("topic", "string", "Topic of the Kafka record; NULL from a file"),
            Column("topic_partition", "int", "Its partition"),
            Column("topic_offset", "bigint", "Its offset in the partition"),
            Column("message_key", "string", "Its key"),
            Column("sent_at", "timestamp", "Its time", styles=(MILLISECONDS,)),
        ),
        rules=(
            Rule("product_id_present", "product_id IS NOT NULL", "drop", "An event names a product."),
            Rule("quantity_positive", "quantity > 0", "drop", "At least one piece is bought."),
            Rule("price_not_negative", "price >= 0", "drop", "There is a price, and it is not below 0."),
            Rule("supplement_price_not_negative", "supplement_price >= 0", "drop", "The supplements are not priced below 0."),
            Rule("member_discount_is_a_fraction", "member_discount BETWEEN 0 AND 1", "drop", "A discount is from 0 to 1."),
            Rule("ordered_at_present", "ordered_at IS NOT NULL", "warn", "The event has a time."),
            Rule("transaction_id_present", "transaction_id IS NOT NULL", "warn", "The event names its purchase."),
            Rule(
                "total_given",
                "NULLIF(TRIM(total_purchase), '') IS NOT NULL",
                "warn",
                "The event has a total; where it hasn't, it is worked out.",
            ),
            Rule(
                "total_in_cents",
                "COALESCE(ABS(TRY_CAST(total_purchase AS DOUBLE) - total) < 0.0001, TRUE)",
                "warn",
                "But for float noise, the total is in whole cents.",
            ),
            Rule(
                "total_is_pieces_times_net_price",
                "ABS(total - quantity * net_price) < 0.01",
                "warn",
                "The total is pieces times net price, up to a cent.",
            ),
            Rule("discount_for_members_only", "is_member OR member_discount = 0", "warn", "Only members have a discount."),
            Rule(
                "supplements_are_paid_if_added",
                "has_supplements = (supplement_price > 0)",
                "warn",
                "Supplements have a price if they are added, and only then.",
            ),
        ),
        relationships=(Relationship("product_id", "orders_products", "product_id"),),
        freshness=timedelta(days=1),
    ),
    (Input(EVENTS_FEED, clean_events),),
)

PRODUCTS_FEED = Feed(
    "orders/products",
    (
        SourceColumn("ID", "Code of the product, such as CS01"),
        SourceColumn("Category", "Category"),
        SourceColumn("Item", "Name"),
        SourceColumn("Size", "Size, such as 24 oz."),
        SourceColumn("COGS", "What a piece costs the chain, in US dollars"),
        SourceColumn("Price", "Price of a piece in US dollars"),
        SourceColumn("Inventory", "Pieces in stock"),
        SourceColumn("ContainsFruit", "TRUE or FALSE"),
        SourceColumn("ContainsVeggies", "TRUE or FALSE"),
        SourceColumn("ContainsNuts", "TRUE or FALSE"),
        SourceColumn("ContainsCaffeine", "TRUE or FALSE"),
    ),
    currency="USD",
)

PRODUCTS = SilverTable(
    Contract(
        table="orders_products",
        description="Products of the order stream, one row a product.",
        owner="team:product-data",
        key=("product_id",),
        columns=(
            Column("product_id", "string", "Code of the product, such as CS01"),
            Column("product_name", "string", "Name"),
            Column("category", "string", "Category, such as Classic Smoothies"),
            Column("size", "string", "Size, such as 24 oz."),
            Column("cost", "decimal(12,2)", "What a piece costs the chain"),
            Column("price", "decimal(12,2)", "Price of a piece"),
            Column("currency", "string", "Currency of cost and price (ISO 4217)"),
            Column("units_in_stock", "int", "Pieces in stock"),
            Column("contains_fruit", "boolean", "Whether it contains fruit"),
            Column("contains_vegetables", "boolean", "Whether it contains vegetables"),
            Column("contains_nuts", "boolean", "Whether it contains nuts"),
            Column("contains_caffeine", "boolean", "Whether it contains caffeine"),
        ),
        rules=(
            Rule("product_name_present", "product_name IS NOT NULL", "warn", "The product has a name."),
            Rule("price_positive", "price > 0", "drop", "A product has a price above 0."),
            Rule("price_above_cost", "price > cost", "warn", "The price covers the cost."),
            Rule("units_in_stock_not_negative", "COALESCE(units_in_stock >= 0, TRUE)", "warn", "Stock is not below 0."),
        ),
        freshness=timedelta(days=32),
    ),
    (Input(PRODUCTS_FEED, clean_products),),
)

SYSTEM = System(
    name="orders",
    description="The order stream of a chain of smoothie bars: events and products.",
    tables=(EVENTS, PRODUCTS),
)
