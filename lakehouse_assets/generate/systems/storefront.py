"""The storefront: products as CSV, a file a department; orders and items as workbooks, one a week, with a sheet a day."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from lakehouse_assets.generate.deliveries import Deliveries
from lakehouse_assets.generate.draw import draws, numbers
from lakehouse_assets.generate.revenue import Sale, Sold
from lakehouse_assets.generate.truth import Partner
from lakehouse_assets.generate.world import Order, World

PRODUCTS = ("product_id", "department_id", "department", "product_name")
ORDERS = ("order_num", "order_id", "user_id", "order_timestamp", "total_amount", "date")
ITEMS = (
    *("id", "order_id", "user_id", "days_since_prior_order", "product_id", "add_to_cart_order", "reordered", "order_timestamp"),
    "date",
)

PRODUCT_DIRT = ("no number", "no name", "no department", "sent twice")
ORDER_DIRT = ("no number", "no user", "no time", "time that does not exist", "never sent", "sent twice")
ITEM_DIRT = ("no number", "no product", "unknown product", "no order", "time that does not exist", "sent twice")

MOST_LINES = 8
UNKNOWN = 99_999_999


def deliver(world: World, out: Deliveries) -> None:
    """Write products once, and the workbooks of each week on its last day."""
    front = Storefront.of(world, out)
    departments = sorted({category.group for category in world.categories})
    for number, department in enumerate(departments, start=1):
        name = f"products_department_{number}.csv"
        out.csv("products", world.days[0], name, PRODUCTS, front.products(number, department), "\n")
    days = world.days
    for week in (days[n : n + 7] for n in range(0, len(days), 7)):
        orders = {day.isoformat(): front.orders(day) for day in week}
        out.xlsx("orders", week[-1], f"orders_{week[0]}.xlsx", ORDERS, orders)
        items = {day.isoformat(): front.items(day) for day in week}
        out.xlsx("order_items", week[-1], f"order_items_{week[0]}.xlsx", ITEMS, items)
    # An item has no price: gold spreads an order's total over them, so that the day has all of it.
    out.truth.sold = Sold([*out.table("orders").notes().values()])


@dataclass
class Storefront:
    """The storefront's view of the world, with numbers of its own."""

    world: World
    out: Deliveries
    users: list[int]
    product_ids: list[int]

    @classmethod
    def of(cls, world: World, out: Deliveries) -> "Storefront":
        """Return the view of a world."""
        users = numbers(draws(world.options.seed, "storefront users"), len(world.people), 1)
        products = numbers(draws(world.options.seed, "storefront products"), len(world.products), 1)
        return cls(world, out, users, products)

    def products(self, number: int, department: str) -> Iterator[tuple[object, ...]]:
        """Yield the products of a department."""
        table, dirt = self.out.table("products"), self.out.dirt("products")
        for product in self.world.products:
            if product.category.group != department:
                continue
            kind = dirt.pick(PRODUCT_DIRT)
            identity = self.product_ids[product.number]
            refused = {"no number": "product_id_present", "no name": "product_name_present"}
            for _ in range(1 + (kind == "sent twice")):
                if kind in refused:
                    table.refuse(refused[kind])
                else:
                    table.row(product.number)
                yield (
                    "" if kind == "no number" else identity,
                    number,
                    "" if kind == "no department" else department,
                    "" if kind == "no name" else product.name,
                )

    def orders(self, day: date) -> Iterator[tuple[object, ...]]:
        """Yield the orders of a day."""
        table, dirt = self.out.table("orders", total_amount=2), self.out.dirt("orders")
        refused = {
            "no number": "order_id_present",
            "no user": "user_id_present",
            "no time": "order_timestamp_present",
            "time that does not exist": "order_timestamp_is_timestamp",
        }
        for number, order in enumerate(self.world.orders(day, "basket"), start=1):
            kind = dirt.pick(ORDER_DIRT)
            if kind == "never sent":
                continue
            for _ in range(1 + (kind == "sent twice")):
                if kind in refused:
                    table.refuse(refused[kind])
                else:
                    table.row(order.number, order.amount, note=Sale(day, "USD", order.amount * 100))
                yield (
                    number,
                    None if kind == "no number" else 1 + order.number,
                    None if kind == "no user" else self._user(order),
                    None if kind == "no time" else _time(order.placed, kind),
                    order.amount / 100,
                    day.isoformat(),
                )

    def items(self, day: date) -> Iterator[tuple[object, ...]]:
        """Yield the items of a day's orders."""
        dirt = self.out.dirt("order_items")
        random = draws(self.world.options.seed, "storefront items", day)
        for order in self.world.orders(day, "basket"):
            since = random.randrange(31)
            for position, line in enumerate(order.lines, start=1):
                kind = dirt.pick(ITEM_DIRT)
                product = UNKNOWN if kind == "unknown product" else self.product_ids[line.product.number]
                row = (
                    None if kind == "no number" else 1 + order.number * MOST_LINES + position,
                    None if kind == "no order" else 1 + order.number,
                    self._user(order),
                    since,
                    None if kind == "no product" else product,
                    position,
                    random.randrange(2),
                    _time(order.placed, kind),
                    day.isoformat(),
                )
                for _ in range(1 + (kind == "sent twice")):
                    self._count_item(order, position, kind)
                    yield row

    def _count_item(self, order: Order, position: int, kind: str | None) -> None:
        table = self.out.table("order_items")
        refused = {
            "no number": "id_present",
            "no order": "order_id_present",
            "no product": "product_id_present",
            "time that does not exist": "order_timestamp_is_timestamp",
        }
        if kind in refused:
            table.refuse(refused[kind])
        else:
            product = None if kind == "unknown product" else order.lines[position - 1].product.number
            partners = (
                Partner(self.out.table("orders"), order.number, "order_id_in_storefront_orders"),
                Partner(self.out.table("products"), product, "product_id_in_storefront_products"),
            )
            table.row((order.number, position), waits_for=partners)

    def _user(self, order: Order) -> int | None:
        return self.users[order.person.number] if order.person else None


def _time(moment: datetime, kind: str | None) -> str:
    return f"{moment.year}-02-30T10:00:00" if kind == "time that does not exist" else moment.isoformat()
