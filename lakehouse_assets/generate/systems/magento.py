"""The web shop, Magento 2: a CSV export of the catalog a week and REST pages of what costs something else, orders as pages and as
change events, customers as one export and then as change events, lines of changed orders as CSV, stock as CSV.

The shop numbers its things by itself; with other systems it shares sku, e-mail address and names. Its amounts are in the currency of
the customer's country; those named `base_…` are in US dollars.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

from lakehouse_assets.generate.deliveries import Deliveries
from lakehouse_assets.generate.draw import draws, numbers
from lakehouse_assets.generate.revenue import Sale, Sold
from lakehouse_assets.generate.truth import Partner, SilverTruth
from lakehouse_assets.generate.world import Order, Person, Product, Status, World

PRODUCTS = (
    *("sku", "store_view_code", "attribute_set_code", "product_type", "categories", "product_websites", "name", "description"),
    *(
        "weight",
        "product_online",
        "tax_class_name",
        "visibility",
        "price",
        "special_price",
        "url_key",
        "created_at",
        "updated_at",
    ),
    *("additional_attributes", "qty", "is_in_stock"),
)
CATEGORIES = ("entity_id", "parent_id", "name", "path", "level", "position", "is_active", "created_at", "updated_at")
CUSTOMERS = (
    *("entity_id", "group_id", "email", "firstname", "lastname", "gender", "dob", "is_active", "country_id", "created_at"),
    "updated_at",
)
ITEMS = (
    *(
        "item_id",
        "order_id",
        "product_type",
        "sku",
        "name",
        "qty_ordered",
        "qty_canceled",
        "qty_shipped",
        "qty_refunded",
        "price",
    ),
    *("base_price", "row_total", "base_row_total", "discount_amount", "tax_amount", "updated_at"),
)

PRODUCT_DIRT = ("price of zero", "no sku", "row of a store view", "name in small letters", "no brand", "sent twice")
CUSTOMER_DIRT = ("no number", "blanks and capitals", "no gender", "sent twice")
ORDER_DIRT = ("currency in words", "total below zero", "no time", "sent twice")
ITEM_DIRT = ("no sku", "no pieces", "price below zero", "wrong amount")
STOCK_DIRT = ("no number of pieces", "sent twice", "blanks and capitals")
EVENT_DIRT = ("sent twice", "lands a day late", "cut off", "no row", "truncates the table", "no number")

RATES = {"DE": ("EUR", 116), "FR": ("EUR", 116), "GB": ("GBP", 133)}
"""Currencies by country, with their US cents; elsewhere the shop sells in US dollars."""

STATES: Mapping[Status, str] = {"pending": "new"}
"""Where the shop's state has another name than its status."""

WRONG_BY = 10_000
"""By how much a wrong amount is off, in units of the fourth digit."""

MOST_LINES = 8
PAYMENTS = ("checkmo", "paypal_express", "stripe_payments")


def deliver(world: World, out: Deliveries) -> None:
    """Write the files of all days."""
    shop = Shop(world, out)
    out.truth.persons = [shop.customer_id(person) for person in world.people]
    out.csv("customers", world.days[0], "customers.csv", CUSTOMERS, shop.customers(), "\n")
    for day in world.days:
        if world.options.is_weekly(day):
            out.csv("products", day, "export_catalog_product.csv", PRODUCTS, shop.catalog(day), "\n")
            out.csv("categories", day, "categories.csv", CATEGORIES, shop.categories(), "\n")
        out.json("products", day, "products.page1.json", shop.repriced(day), within="items")
        out.json_lines("customers_cdc", day, "shop.magento.customer_entity.jsonl", shop.customer_events(day))
        out.json_lines("orders_cdc", day, "shop.magento.sales_order.jsonl.gz", shop.order_events(day))
        out.json("orders", day, "orders.page1.json", shop.orders(day), within="items")
        out.csv("order_items", day, "order_items.csv", ITEMS, shop.changed_items(day), "\n")
        stock = ("source_code", "sku", "quantity", "status")
        out.csv("inventory", day, "stock_sources.csv", stock, shop.inventory(day), "\n")
    out.truth.sold = shop.sold()


class Shop:
    """The shop's view of the world. Its numbers are its own; the position in its log grows with each event."""

    def __init__(self, world: World, out: Deliveries) -> None:
        self.world = world
        self.out = out
        self._late: dict[str, list[dict[str, Any]]] = {}
        self._position = 4
        self._deleted: set[int] = set()

    @cached_property
    def customer_numbers(self) -> list[int]:
        """The shop's numbers of people, by their number in the world."""
        return numbers(draws(self.world.options.seed, "magento customers"), len(self.world.people), 1)

    def has_account(self, person: Person) -> bool:
        """Whether a person has an account: four of five do, the others order as guests."""
        return person.number % 5 != 0

    def customer_id(self, person: Person) -> int | str:
        """Return the number of a person's account, or what gold calls a guest."""
        return self.customer_numbers[person.number] if self.has_account(person) else f"guest:{person.email}"

    def catalog(self, day: date) -> Iterator[tuple[object, ...]]:
        """Yield all products, as the export has them."""
        table, versions, dirt = self.out.table("products", price=4), self.out.table("product_versions"), self.out.dirt("products")
        for product in self.world.products:
            kind = dirt.pick(PRODUCT_DIRT)
            price = product.price_on(day)
            if kind == "row of a store view":
                for each in (table, versions):
                    each.refuse("row_of_all_store_views")
                yield _product(product, day, kind)
                kind = None
            for _ in range(1 + (kind == "sent twice")):
                changed = _changed(product, day).replace(second=0)
                if kind in ("price of zero", "no sku"):
                    for each in (table, versions):
                        each.refuse("price_positive" if kind == "price of zero" else "sku_present")
                else:
                    table.row(product.sku, price * 100, sequence=changed)
                    # Another price opens a row version, and nothing else changes a product.
                    versions.row((product.sku, changed))
                yield _product(product, day, kind)

    def repriced(self, day: date) -> Iterator[dict[str, Any]]:
        """Yield the products that cost something else from a day on, as the API has them."""
        table, versions = self.out.table("products", price=4), self.out.table("product_versions")
        dirt = self.out.dirt("products, REST")
        for product in self.world.products:
            if product.repriced == day:
                kind = dirt.pick(("price of zero", "sent twice"))
                for _ in range(1 + (kind == "sent twice")):
                    if kind == "price of zero":
                        for each in (table, versions):
                            each.refuse("price_positive")
                    else:
                        table.row(product.sku, product.new_price * 100, sequence=_changed(product, day))
                        versions.row((product.sku, _changed(product, day)))
                    yield _rest_product(product, day, kind)

    def categories(self) -> Iterator[tuple[object, ...]]:
        """Yield the tree of categories: the root, the shop's, the groups, and theirs."""
        table = self.out.table("categories")
        groups = sorted({category.group for category in self.world.categories})
        ids = {group: 3 + n for n, group in enumerate(groups)}
        rows = [(1, 0, "Root Catalog", "1", 0), (2, 1, "Default Category", "1/2", 1)]
        rows += [(ids[group], 2, group, f"1/2/{ids[group]}", 2) for group in groups]
        for category in self.world.categories:
            number, above = 100 + category.number, ids[category.group]
            rows.append((number, above, category.name, f"1/2/{above}/{number}", 3))
        for position, row in enumerate(rows):
            table.row(row[0])
            yield *row, position, 1, "2024-01-05 08:00:00", "2024-01-05 08:00:00"

    def customers(self) -> Iterator[tuple[object, ...]]:
        """Yield the accounts that there are before the first day, as an export."""
        table, versions, dirt = self.out.table("customers"), self.out.table("customer_versions"), self.out.dirt("customers")
        for person in self.world.people[: self.world.people_before(self.world.days[0])]:
            if not self.has_account(person):
                continue
            kind = dirt.pick(CUSTOMER_DIRT)
            number = self.customer_numbers[person.number]
            record = self._customer(person, person.registered)
            email = f" {person.email.upper()} " if kind == "blanks and capitals" else person.email
            changed = {"email": email, "dob": person.born.isoformat(), "country_id": person.country_code}
            changed |= {"created_at": str(person.registered), "updated_at": str(person.registered)}
            record = record | changed | {"no number": {"entity_id": ""}, "no gender": {"gender": ""}}.get(kind or "", {})
            for _ in range(1 + (kind == "sent twice")):
                if kind == "no number":
                    for each in (table, versions):
                        each.refuse("customer_id_present")
                else:
                    table.row(number, sequence=(person.registered, 0))
                    versions.row((number, person.country_code))
                yield tuple(record[name] for name in CUSTOMERS)

    def customer_events(self, day: date) -> Iterator[dict[str, Any] | str]:
        """Yield the change events of accounts: new ones, moves to another group, and some that are deleted."""
        random = draws(self.world.options.seed, "magento customers", day)
        midnight = datetime.combine(day, datetime.min.time())
        known = [
            p for p in self.world.people[: self.world.people_before(day)] if self.has_account(p) and p.number not in self._deleted
        ]
        happened: list[tuple[datetime, str, Person]] = []
        if day != self.world.days[0]:
            happened = [(p.registered, "c", p) for p in self.world.registered(day) if self.has_account(p)]
        # Numbers of the world that end in 1 are deleted sooner or later, and not changed before: nothing follows a deletion.
        for op, chosen in (("u", [p for p in known if p.number % 10 != 1]), ("d", [p for p in known if p.number % 10 == 1])):
            part = random.sample(chosen, len(chosen) // (150 if op == "u" else 400))
            happened += [(midnight + timedelta(seconds=random.randrange(86_400)), op, person) for person in part]
            self._deleted |= {person.number for person in part if op == "d"}
        yield from self._events("customers", day, [self._customer_event(*change) for change in sorted(happened, key=_by_time)])

    def order_events(self, day: date) -> Iterator[dict[str, Any] | str]:
        """Yield the change events of orders: each step that an order takes, and the canceled ones that are purged."""
        events = []
        for moment, order, step in self.world.changes(day):
            before = _order_row(order, self, step - 1) if step else None
            events.append(self._event("sales_order", "u" if step else "c", moment, before, _order_row(order, self, step)))
            if self.is_purged(order) and order.steps[step][0] == "canceled":
                purged = moment + timedelta(seconds=1)
                events.append(self._event("sales_order", "d", purged, _order_row(order, self, step), None))
        yield from self._events("orders", day, events)

    def is_purged(self, order: Order) -> bool:
        """Whether an order is deleted as soon as it is canceled."""
        return order.number % 4 == 0 and order.steps[-1][0] == "canceled"

    def orders(self, day: date) -> Iterator[dict[str, Any]]:
        """Yield the orders that were placed on a day, as they stand at its end, with their lines."""
        table, dirt = self._orders, self.out.dirt("orders")
        for order in self.world.orders(day, "web"):
            kind = dirt.pick(ORDER_DIRT)
            step = max(n for n, (_, moment) in enumerate(order.steps) if moment.date() <= day)
            moment = order.steps[step][1]
            row = _order_row(order, self, step)
            row |= {"created_at": str(order.placed), "updated_at": str(moment), "payment": {"method": _payment(order)}}
            row |= {"billing_address": {"country_id": order.person.country_code if order.person else None}}
            for amount in AMOUNTS:
                row[amount] = float(row[amount])
            dirty_lines = [self.out.dirt("orders, items").pick(ITEM_DIRT) for _ in order.lines]
            row["items"] = [_nested_item(order, n, step, moment, dirty) for n, dirty in enumerate(dirty_lines)]
            self._count_items(order, dirty_lines, step, moment)
            dirty: dict[str, dict[str, Any]] = {
                "currency in words": {"order_currency_code": "US Dollar"},
                "total below zero": {"grand_total": -1.0},
                "no time": {"created_at": None},
            }
            row |= dirty.get(kind or "", {})
            refused = {"currency in words": "currency_is_a_code", "total below zero": "grand_total_not_negative"}
            refused["no time"] = "created_at_present"
            yield row
            if kind == "sent twice":
                # The same lines a second time: they supersede each other, or are refused twice.
                table.row(order.number, *_totals(order), sequence=(moment, 0), note=order.steps[step][0])
                self._count_items(order, dirty_lines, step, moment)
                yield row
            if kind in refused:
                table.refuse(refused[kind])
            else:
                table.row(order.number, *_totals(order), sequence=(moment, 0), note=order.steps[step][0])

    def changed_items(self, day: date) -> Iterator[tuple[object, ...]]:
        """Yield the lines of orders of earlier days that take a step on a day."""
        dirt = self.out.dirt("order_items")
        for moment, order, step in self.world.changes(day):
            if order.placed.date() == day:
                continue
            for n in range(len(order.lines)):
                kind = dirt.pick(ITEM_DIRT)
                item = _item(order, n, step, moment, kind)
                self._count_item(order, n, kind, step, moment)
                yield tuple(item[name] for name in ITEMS)

    def sold(self) -> Sold:
        """Return what gold counts as sold: lines whose order is live, less what was refunded, and nothing of a canceled order."""
        status = self._orders.notes()
        lines = self.out.table("order_items").notes()
        sales = [sale for (order, _), sale in lines.items() if sale is not None and status[order] != "canceled"]
        return Sold(sales, shop_orders=frozenset(status))

    def inventory(self, day: date) -> Iterator[tuple[object, ...]]:
        """Yield the stock at the end of a day."""
        table, dirt = self.out.table("inventory", quantity=4), self.out.dirt("inventory")
        for product, warehouse, pieces in self.world.closing_stock(day):
            kind = dirt.pick(STOCK_DIRT)
            source = f" {warehouse.code} " if kind == "blanks and capitals" else warehouse.code.lower()
            if kind != "no number of pieces":
                self.out.truth.count_stock("magento", warehouse.code, day, pieces)
            for _ in range(1 + (kind == "sent twice")):
                if kind == "no number of pieces":
                    table.refuse("quantity_present")
                else:
                    table.row((day, warehouse.number, product.number), pieces * 10_000)
                yield source, product.sku, "" if kind == "no number of pieces" else pieces, int(pieces > 0)

    @cached_property
    def _orders(self) -> SilverTruth:
        return self.out.table("orders", grand_total=4, base_grand_total=4)

    def _customer(self, person: Person, changed: datetime, group: int = 1) -> dict[str, Any]:
        """Return the row of an account, as the database has it."""
        return {
            "entity_id": self.customer_numbers[person.number],
            "group_id": group,
            "email": person.email,
            "firstname": person.first_name,
            "lastname": person.last_name,
            "gender": {"M": 1, "F": 2}[person.gender],
            "dob": (person.born - date(1970, 1, 1)).days,
            "is_active": 1,
            "created_at": _zoned(person.registered),
            "updated_at": _zoned(changed),
        }

    def _customer_event(self, moment: datetime, op: str, person: Person) -> dict[str, Any]:
        before = None if op == "c" else self._customer(person, person.registered)
        after = None if op == "d" else self._customer(person, moment, 2 if op == "u" else 1)
        return self._event("customer_entity", op, moment, before, after)

    def _event(
        self, table: str, op: str, moment: datetime, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Return an event as Debezium's connector for MySQL writes it; each is at a later position of the log."""
        self._position += 311
        millis = int(moment.replace(tzinfo=UTC).timestamp() * 1000)
        source = {
            "version": "2.7.3.Final",
            "connector": "mysql",
            "name": "shop",
            "ts_ms": millis,
            "snapshot": "false",
            "db": "magento",
            "table": table,
            "server_id": 184054,
            "file": "binlog.000042",
            "pos": self._position,
            "row": 0,
        }
        return {"before": before, "after": after, "source": source, "op": op, "ts_ms": millis + 250}

    def _events(self, entity: str, day: date, events: list[dict[str, Any]]) -> Iterator[dict[str, Any] | str]:
        """Yield the events of a day, with their dirt, and count each."""
        dirt = self.out.dirt(f"{entity}_cdc")
        for event in [*self._late.pop(entity, []), *events]:
            kind = None if "late" in event else dirt.pick(EVENT_DIRT)
            if kind == "lands a day late" and day != self.world.days[-1]:
                self._late.setdefault(entity, []).append({**event, "late": True})
                continue
            event.pop("late", None)
            yield from self._told(entity, event, kind)

    def _told(self, entity: str, event: dict[str, Any], kind: str | None) -> Iterator[dict[str, Any] | str]:
        """Yield an event, and what its kind of dirt makes of it. What is broken comes beside the event, so that nothing is lost."""
        yield event
        self._count_event(entity, event)
        if kind == "sent twice":
            self._count_event(entity, event)
            yield event
        elif kind == "cut off":
            yield '{"before":null,"after":{"entity_id":'
        elif kind == "no row":
            self._refuse_event(entity, "change_has_its_row")
            yield {**event, "op": "u", "after": None}
        elif kind == "truncates the table":
            self._refuse_event(entity, "op_changes_a_row")
            yield {**event, "op": "t", "before": None, "after": None}
        elif kind == "no number" and event["after"] is not None:
            self._refuse_event(entity, "order_id_present" if entity == "orders" else "customer_id_present")
            yield {**event, "after": {**event["after"], "entity_id": None}}

    def _refuse_event(self, entity: str, rule: str) -> None:
        """Count an event that breaks a rule, in each table that it is for."""
        for name in ("orders",) if entity == "orders" else ("customers", "customer_versions"):
            self.out.table(name).refuse(rule)

    def _count_event(self, entity: str, event: dict[str, Any]) -> None:
        row, deleted = event["after"] or event["before"], event["op"] == "d"
        if deleted:
            changed = datetime.fromtimestamp(event["source"]["ts_ms"] / 1000, UTC).replace(tzinfo=None)
        else:
            changed = datetime.fromisoformat(row["updated_at"]).replace(tzinfo=None)
        sequence = (changed, event["source"]["pos"])
        if entity == "customers":
            self.out.table("customers").row(row["entity_id"], sequence=sequence, deleted=deleted)
            # Events name no country, so the first opens a row version, and those that follow don't. A deletion is none.
            self.out.table("customer_versions").row((row["entity_id"], "deleted" if deleted else None), deleted=deleted)
        else:
            amounts = (_units(row["grand_total"]), _units(row["base_grand_total"]))
            self._orders.row(row["entity_id"] - 1, *amounts, sequence=sequence, deleted=deleted, note=row["status"])

    def _count_item(self, order: Order, n: int, kind: str | None, step: int, moment: datetime) -> None:
        refused = {"no sku": "sku_present", "no pieces": "quantity_positive", "price below zero": "price_not_negative"}
        table = self.out.table("order_items", base_row_total=4, quantity=4)
        if kind in refused:
            table.refuse(refused[kind])
        else:
            line, partner = order.lines[n], Partner(self._orders, order.number, "order_id_in_magento_orders")
            amounts = (line.amount * 100, line.quantity * 10_000)
            sale = _sale(order, n, kind, step)
            table.row((order.number, n), *amounts, sequence=moment, waits_for=(partner,), note=sale)

    def _count_items(self, order: Order, dirty_lines: list[str | None], step: int, moment: datetime) -> None:
        """Count the lines of an order."""
        for n, kind in enumerate(dirty_lines):
            self._count_item(order, n, kind, step, moment)


AMOUNTS = ("subtotal", "discount_amount", "shipping_amount", "tax_amount", "grand_total", "base_grand_total", "total_paid")
ITEM_AMOUNTS = ("price", "base_price", "row_total", "base_row_total", "discount_amount", "tax_amount")


def _by_time(change: tuple[datetime, str, Person]) -> tuple[datetime, int]:
    return change[0], change[2].number


def _changed(product: Product, day: date) -> datetime:
    """Return when the shop last changed a product, as of a day."""
    if product.repriced is not None and day >= product.repriced:
        return datetime.combine(product.repriced, datetime.min.time()) + timedelta(minutes=5)
    return product.created


def _product(product: Product, day: date, kind: str | None) -> tuple[object, ...]:
    brand = (
        "" if kind == "no brand" else f'"brand={product.brand}, Inc.",' if product.number % 50 == 0 else f"brand={product.brand},"
    )
    view = kind == "row of a store view"
    return (
        "" if kind == "no sku" else product.sku,
        "fr" if view else "",
        "Default",
        "simple",
        f"Default Category/{product.category.group}/{product.category.name},Default Category",
        "base",
        product.name.lower() if kind == "name in small letters" else product.name,
        f"<p>{product.name}, by {product.brand}.</p>\n<p>&bull; Lasts long.</p>",
        f"{product.grams / 1000:.3f}",
        1,
        "Taxable Goods",
        "Catalog, Search",
        0 if kind == "price of zero" else _money(product.price_on(day)),
        "",
        f"{product.sku.lower()}-{product.number}",
        _export_time(product.created),
        _export_time(_changed(product, day)),
        f"{brand}color={product.name.split()[-1]}",
        100,
        1,
    )


def _rest_product(product: Product, day: date, kind: str | None) -> dict[str, Any]:
    return {
        "id": 1000 + product.number,
        "sku": product.sku,
        "name": product.name,
        "attribute_set_id": 4,
        "price": 0 if kind == "price of zero" else product.price_on(day) / 100,
        "status": 1,
        "visibility": 4,
        "type_id": "simple",
        "created_at": str(product.created),
        "updated_at": str(_changed(product, day)),
        "weight": product.grams / 1000,
        "extension_attributes": {"category_links": [{"position": 0, "category_id": str(100 + product.category.number)}]},
        "custom_attributes": [{"attribute_code": "brand", "value": product.brand}],
    }


@dataclass(frozen=True, slots=True)
class Amounts:
    """The amounts of an order in hundredths of its currency: prices by line, the sum of the lines, and what comes to it."""

    currency: str
    prices: tuple[int, ...]
    lines: int
    discount: int
    shipping: int
    tax: int

    @property
    def total(self) -> int:
        """What is to be paid."""
        return self.lines - self.discount + self.shipping + self.tax


def local_amounts(order: Order) -> Amounts:
    """Return the amounts of an order in the currency of the customer's country."""
    currency, cents = RATES.get(order.person.country_code if order.person else "US", ("USD", 100))
    prices = tuple(line.price * 100 // cents for line in order.lines)
    lines = sum(price * line.quantity for price, line in zip(prices, order.lines, strict=True))
    discount = lines // 10 if order.number % 10 == 0 else 0
    return Amounts(currency, prices, lines, discount, 0 if lines >= 5000 else 499, (lines - discount) * 8 // 100)


def _totals(order: Order) -> tuple[int, int]:
    """Return what is to be paid, in the order's currency and in US dollars, in units of the fourth digit."""
    amounts = local_amounts(order)
    return amounts.total * 100, amounts.total * {"EUR": 116, "GBP": 133}.get(amounts.currency, 100)


def _order_row(order: Order, shop: Shop, step: int) -> dict[str, Any]:
    """Return the row of an order after a step, as the database has it; amounts are text."""
    status, moment = order.steps[step]
    amounts = local_amounts(order)
    total, base_total = _totals(order)
    paid = total if any(status == "processing" for status, _ in order.steps[: step + 1]) else 0
    person = order.person
    has_account = person is not None and shop.has_account(person)
    return {
        "entity_id": 1 + order.number,
        "increment_id": f"{1 + order.number:09d}",
        "state": STATES.get(status, status),
        "status": status,
        "store_id": 1,
        "customer_id": shop.customer_numbers[person.number] if person is not None and has_account else None,
        "customer_email": person.email if person else None,
        "customer_is_guest": int(not has_account),
        "order_currency_code": amounts.currency,
        "base_currency_code": "USD",
        "subtotal": _text(amounts.lines * 100),
        "discount_amount": _text(-amounts.discount * 100),
        "shipping_amount": _text(amounts.shipping * 100),
        "tax_amount": _text(amounts.tax * 100),
        "grand_total": _text(total),
        "base_grand_total": _text(base_total),
        "total_paid": _text(paid),
        "total_refunded": _text(total if status == "closed" else 0),
        "total_qty_ordered": sum(line.quantity for line in order.lines),
        "created_at": _zoned(order.placed),
        "updated_at": _zoned(moment),
    }


def _item(order: Order, n: int, step: int, moment: datetime, kind: str | None) -> dict[str, Any]:
    """Return the row of a line after a step of its order."""
    line, price = order.lines[n], local_amounts(order).prices[n]
    status = order.steps[step][0]
    total = price * line.quantity * 100
    return {
        "item_id": 1 + order.number * MOST_LINES + n,
        "order_id": 1 + order.number,
        "product_type": "simple",
        "sku": None if kind == "no sku" else line.product.sku,
        "name": line.product.name,
        "qty_ordered": 0 if kind == "no pieces" else line.quantity,
        "qty_canceled": line.quantity if status == "canceled" else 0,
        "qty_shipped": line.quantity if status in ("complete", "closed") else 0,
        "qty_refunded": line.quantity if status == "closed" else 0,
        "price": _text(-100 if kind == "price below zero" else price * 100),
        "base_price": _text(line.price * 100),
        "row_total": _text(total + WRONG_BY if kind == "wrong amount" else total),
        "base_row_total": _text(line.amount * 100),
        "discount_amount": _text(0),
        "tax_amount": _text(0),
        "updated_at": str(moment),
    }


def _nested_item(order: Order, n: int, step: int, moment: datetime, kind: str | None) -> dict[str, Any]:
    """Return a line within an order of the API, with its amounts as numbers."""
    item = _item(order, n, step, moment, kind)
    # Such a line has the order's number and time only if it is asked for by itself.
    for name in ("order_id", "updated_at"):
        del item[name]
    return {name: float(value) if name in ITEM_AMOUNTS else value for name, value in item.items()}


def _sale(order: Order, n: int, kind: str | None, step: int) -> Sale | None:
    """Return what a line sold, as it stands after a step of its order; None if nothing of it is left."""
    if order.steps[step][0] in ("canceled", "closed"):
        return None
    amounts = local_amounts(order)
    total = amounts.prices[n] * order.lines[n].quantity * 100
    return Sale(order.placed.date(), amounts.currency, total + WRONG_BY if kind == "wrong amount" else total)


def _payment(order: Order) -> str:
    return PAYMENTS[order.number % len(PAYMENTS)]


def _text(units: int) -> str:
    """Write an amount of units of the fourth digit, as the database does."""
    return f"{'-' if units < 0 else ''}{abs(units) // 10_000}.{abs(units) % 10_000:04d}"


def _units(text: str) -> int:
    """Return the units of the fourth digit of such an amount."""
    return int(text.replace(".", ""))


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _zoned(moment: datetime) -> str:
    """Write a moment as `io.debezium.time.ZonedTimestamp`."""
    return f"{moment.isoformat()}Z"


def _export_time(moment: datetime) -> str:
    """Write a moment as the product export does: 1/5/26, 2:05 PM."""
    hour = moment.hour % 12 or 12
    return f"{moment.month}/{moment.day}/{moment:%y}, {hour}:{moment:%M} {'AM' if moment.hour < 12 else 'PM'}"
