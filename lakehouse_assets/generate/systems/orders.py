"""The order stream: purchases in the app as Kafka records, an object a partition and day; the products, a full export a week.

Partition 0 has the current schema, with a number for each purchase; partition 1 the one before, without.
"""

from collections.abc import Iterator
from datetime import UTC, date, timedelta
from typing import Any

from lakehouse_assets.generate.deliveries import Deliveries
from lakehouse_assets.generate.revenue import Sale, Sold
from lakehouse_assets.generate.world import Line, Order, World

PRODUCTS = (
    *("ID", "Category", "Item", "Size", "COGS", "Price", "Inventory", "ContainsFruit", "ContainsVeggies", "ContainsNuts"),
    "ContainsCaffeine",
)

EVENT_DIRT = ("no product", "no pieces", "price below zero", "no total", "sent twice", "no event", "cut off")
PRODUCT_DIRT = ("price of zero", "no name", "sent twice")
REFUSED = {"no product": "product_id_present", "no pieces": "quantity_positive", "price below zero": "price_not_negative"}

SUPPLEMENT = 199


def deliver(world: World, out: Deliveries) -> None:
    """Write products and events of all days."""
    offsets = [0, 0]
    for day in world.days:
        if world.options.is_weekly(day):
            out.csv("products", day, "products.csv", PRODUCTS, _products(world, out), "\n")
        for partition in (0, 1):
            records = list(_records(world, out, day, partition, offsets))
            name = f"orders-{partition}-{offsets[partition]:020d}.jsonl.gz"
            offsets[partition] += len(records)
            out.json_lines("order_events", day, name, records)
    out.truth.sold = Sold([*out.table("events").notes().values()])


def _products(world: World, out: Deliveries) -> Iterator[tuple[object, ...]]:
    table, dirt = out.table("products", price=2), out.dirt("products")
    for product in world.products:
        kind = dirt.pick(PRODUCT_DIRT)
        for _ in range(1 + (kind == "sent twice")):
            if kind == "price of zero":
                table.refuse("price_positive")
            else:
                table.row(product.number, product.price)
            yield (
                product.sku,
                product.category.name,
                "" if kind == "no name" else product.name,
                f"{product.grams} g",
                _money(product.cost),
                "0" if kind == "price of zero" else _money(product.price),
                75,
                *("FALSE",) * 4,
            )


def _records(world: World, out: Deliveries, day: date, partition: int, offsets: list[int]) -> Iterator[dict[str, Any] | str]:
    """Yield the records of a partition and day, from its next offset on."""
    offset = offsets[partition]
    for order in world.orders(day, "app"):
        if order.number % 2 != partition:
            continue
        for number, line in enumerate(order.lines):
            kind = out.dirt("order_events").pick(EVENT_DIRT)
            for record in _told(out, order, number, line, kind):
                yield record if isinstance(record, str) else _record(order, record, partition, offset)
                offset += 1
                _count(out, order, number, None if kind == "sent twice" else kind, record, (partition, offset))


def _told(out: Deliveries, order: Order, number: int, line: Line, kind: str | None) -> Iterator[Any]:
    """Yield the values of a line's records."""
    value = _event(order, number, line, kind)
    yield value
    if kind == "sent twice":
        yield value
    elif kind == "no event":
        # A record without a value: a tombstone, which is no event.
        yield None
    elif kind == "cut off":
        yield '{"topic":"orders","partition":'


def _count(out: Deliveries, order: Order, number: int, kind: str | None, record: Any, position: tuple[int, int]) -> None:
    table = out.table("events", total=2, quantity=0)
    if isinstance(record, str):
        return
    if record is None:
        # Such a record is counted among those that can be read when it is written.
        feed = out.truth.feed("orders_order_events")
        feed.rows -= 1
        feed.refused["row_is_of_a_dialect"] += 1
    elif kind in REFUSED:
        table.refuse(REFUSED[kind])
    else:
        key = position if order.number % 2 else (order.number, number)
        total = _amounts(order, number)[3]
        table.row(key, total, order.lines[number].quantity, note=Sale(order.placed.date(), "USD", total * 100))


def _event(order: Order, number: int, line: Line, kind: str | None) -> dict[str, Any]:
    price, supplement, is_member, total = _amounts(order, number)
    event: dict[str, Any] = {"transaction_time": str(order.placed + timedelta(microseconds=1 + order.number % 999_999))}
    if order.number % 2 == 0:
        event["transaction_id"] = str(order.number * 7_919 + 1_000_003)
    return event | {
        "product_id": None if kind == "no product" else line.product.sku,
        "price": -0.99 if kind == "price below zero" else price / 100,
        "quantity": 0 if kind == "no pieces" else line.quantity,
        "is_member": is_member,
        "member_discount": 0.1 if is_member else 0.0,
        "add_supplements": supplement > 0,
        "supplement_price": supplement / 100,
        # Sums of floats end in noise.
        "total_purchase": None if kind == "no total" else total / 100 * (1 + 2**-52),
    }


def _amounts(order: Order, number: int) -> tuple[int, int, bool, int]:
    """Return price and supplement of a piece in cents, whether the customer is a member, and the total in cents."""
    line = order.lines[number]
    supplement = SUPPLEMENT if (order.number + number) % 4 == 0 else 0
    is_member = order.number % 3 == 0
    tenths = line.quantity * (line.price + supplement) * (9 if is_member else 10)
    return line.price, supplement, is_member, (tenths + 5) // 10


def _record(order: Order, value: Any, partition: int, offset: int) -> dict[str, Any]:
    return {
        "topic": "orders",
        "partition": partition,
        "offset": offset,
        "key": value.get("transaction_id") if value else None,
        "headers": [{"key": "source", "value": "app"}],
        "timestamp": int(order.placed.replace(tzinfo=UTC).timestamp() * 1000),
        "value": value,
    }


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
