"""Retail: the tills' journals, a file a store and day; mail orders in the columns of UCI's data set, a file a day; stores, promotions
and contacts, a full export a week. Prices are in pounds, times are the shops' own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from lakehouse_assets.generate.deliveries import Deliveries
from lakehouse_assets.generate.draw import draws, numbers
from lakehouse_assets.generate.revenue import Sale, Sold
from lakehouse_assets.generate.truth import SilverTruth
from lakehouse_assets.generate.world import Order, Store, World

TILL = (
    *("receipt_no", "line_no", "store_id", "sold_at", "product_code", "product_name", "qty", "price", "discount", "promotion_id"),
    *("customer_no", "payment_method"),
)
UCI = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
STORES = (
    *("store_id", "store_name", "store_type", "city", "county", "postcode", "country", "opened_on", "closed_on", "updated_at"),
)
PROMOTIONS = (
    *("promotion_id", "promotion_name", "promotion_type", "discount_percent", "channel", "starts_on", "ends_on", "updated_at"),
)
CONTACTS = (
    *("contact_id", "customer_id", "first_name", "last_name", "email", "phone", "job_title", "address", "city", "county"),
    *("postcode", "country", "created_at", "updated_at"),
)

LINE_DIRT = (
    *("no invoice", "price below zero", "no price", "no pieces", "price of zero", "no name", "no customer", "sent twice"),
    "one field too many",
)
PROMOTION_DIRT = ("more than everything",)
CONTACT_DIRT = ("no number", "blanks and capitals", "sent twice")
REFUSED = {
    "no invoice": "invoice_number_present",
    "price below zero": "unit_price_not_negative",
    "no price": "unit_price_present",
    "no pieces": "quantity_present",
}

PENCE_OF_A_DOLLAR = 75
STAFF = "STAFF20"
POSTAGE = "POST"
"""What is on an invoice and no sale: other systems' amounts are without shipping, too."""

KINDS = ("Flagship", "High street", "Outlet")


def deliver(world: World, out: Deliveries) -> None:
    """Write the journals and invoices of all days, and what describes them."""
    retail = Retail.of(world, out)
    out.truth.persons = retail.customers
    for day in world.days:
        if world.options.is_weekly(day):
            out.csv("stores", day, "stores.csv", STORES, retail.stores(day), "\n")
            out.csv("promotions", day, "promotions.csv", PROMOTIONS, retail.promotions(day), "\n")
            out.csv("contacts", day, "contacts.csv", CONTACTS, retail.contacts(day), "\n")
        out.csv("transactions", day, f"{day}.csv.gz", UCI, retail.invoices(day), "\n")
        for store in sorted(world.stores, key=_store_id):
            out.csv("transactions", day, f"till_{_store_id(store)}_{day}.csv", TILL, retail.journal(day, store), "\n")
    out.truth.sold = Sold([sale for sale in retail.lines.notes().values() if sale is not None])


@dataclass
class Retail:
    """Retail's view of the world: its customers and products have numbers of their own."""

    world: World
    out: Deliveries
    customers: list[int]
    codes: list[int]
    lines: SilverTruth

    @classmethod
    def of(cls, world: World, out: Deliveries) -> "Retail":
        """Return the view, without lines yet."""
        customers = numbers(draws(world.options.seed, "retail customers"), len(world.people), 12_000)
        # A code has five digits: there are not more products than codes.
        codes = numbers(draws(world.options.seed, "retail products"), min(len(world.products), 40_000), 10_000)
        return cls(world, out, customers, codes, out.table("transactions", amount=2, quantity=0))

    def journal(self, day: date, store: Store) -> Iterator[tuple[object, ...]]:
        """Yield the lines of a till. Of some receipts, the last line is taken back at once."""
        dirt = self.out.dirt("transactions, till")
        for order in self.world.orders(day, "till"):
            if order.place != store:
                continue
            number = f"{_store_id(store)}-{order.number:07d}"
            lines = [(line.product.number, line.quantity, line.price) for line in order.lines]
            if order.number % 30 == 0:
                product, quantity, price = lines[-1]
                lines.append((product, -quantity, price))
            for position, (product, quantity, price) in enumerate(lines, start=1):
                kind = dirt.pick(LINE_DIRT)
                pence = price * PENCE_OF_A_DOLLAR // 100
                discount = pence * abs(quantity) // 5 if order.number % 20 == 0 and quantity > 0 else 0
                amount = self._count(order, position, kind, quantity, pence, discount)
                row = (
                    "" if kind == "no invoice" else number,
                    position,
                    _store_id(store),
                    str(order.placed),
                    self._code(product),
                    "" if kind == "no name" else self.world.products[product].name.upper(),
                    "" if kind == "no pieces" else quantity,
                    amount,
                    _money(discount) if discount else "",
                    STAFF if discount else "",
                    self.customers[order.person.number] if order.person and kind != "no customer" else "",
                    ("card", "cash")[order.number % 2],
                )
                yield from self._sent(row, order, position, kind, quantity, pence, discount)

    def invoices(self, day: date) -> Iterator[tuple[object, ...]]:
        """Yield the lines of mail orders, each order's postage, and the cancellation of some."""
        dirt = self.out.dirt("transactions, mail")
        for order in self.world.orders(day, "mail"):
            invoice = str(536_365 + order.number)
            lines = [
                (invoice, self._code(line.product.number), f" {line.product.name.upper()} ", line.quantity, line.price)
                for line in order.lines
            ]
            if order.number % 25 == 0:
                lines += [(f"C{number}", code, name, -quantity, price) for number, code, name, quantity, price in lines]
            lines.append((invoice, POSTAGE, "POSTAGE", 1, 2400))
            for position, (number, code, name, quantity, price) in enumerate(lines):
                kind = dirt.pick(LINE_DIRT)
                pence = price * PENCE_OF_A_DOLLAR // 100
                amount = self._count(order, position, kind, quantity, pence, 0, is_postage=code == POSTAGE)
                row = (
                    "" if kind == "no invoice" else number,
                    code,
                    "" if kind == "no name" else name,
                    "" if kind == "no pieces" else quantity,
                    str(order.placed),
                    amount,
                    self._customer(order, kind),
                    order.person.country if order.person else "Unspecified",
                )
                yield from self._sent(row, order, position, kind, quantity, pence, 0, is_postage=code == POSTAGE)

    def stores(self, day: date) -> Iterator[tuple[object, ...]]:
        """Yield all stores."""
        table = self.out.table("stores")
        for store in self.world.stores:
            table.row(store.number, sequence=day)
            kind = KINDS[store.number % len(KINDS)]
            yield _store_id(store), store.name, kind, store.city, "", "", store.country, store.opened, "", f"{day} 06:00:00"

    def promotions(self, day: date) -> Iterator[tuple[object, ...]]:
        """Yield all promotions."""
        table, dirt = self.out.table("promotions"), self.out.dirt("promotions")
        for code, name, kind, percent in (
            (STAFF, "Staff", "Staff", "20%"),
            ("SPRING10", "Ten percent in spring", "Percent off", "10%"),
            ("CLEAR50", "Half price", "Clearance", "50"),
        ):
            too_much = dirt.pick(PROMOTION_DIRT)
            if too_much:
                table.refuse("discount_percent_up_to_100")
            else:
                table.row(code, sequence=day)
            yield code, name, kind, "120%" if too_much else percent, "store", "2025-01-01", "", f"{day} 06:00:00"

    def contacts(self, day: date) -> Iterator[tuple[object, ...]]:
        """Yield a contact for each person that is registered by the day."""
        table, dirt = self.out.table("contacts"), self.out.dirt("contacts")
        for person in self.world.people[: self.world.people_before(day)]:
            kind = dirt.pick(CONTACT_DIRT)
            email = f" {person.email.upper()} " if kind == "blanks and capitals" else person.email
            for _ in range(1 + (kind == "sent twice")):
                if kind == "no number":
                    table.refuse("contact_id_present")
                else:
                    table.row(person.number, sequence=day)
                yield (
                    "" if kind == "no number" else person.number + 1,
                    f"{self.customers[person.number]}.0",
                    person.first_name,
                    person.last_name,
                    email,
                    person.phone,
                    "Buyer",
                    person.street,
                    person.city,
                    "",
                    person.postcode,
                    person.country,
                    str(person.registered),
                    f"{day} 06:00:00",
                )

    def _count(
        self, order: Order, position: int, kind: str | None, quantity: int, pence: int, discount: int, is_postage: bool = False
    ) -> str:
        """Count a line, and return its price as the file has it."""
        if kind in REFUSED:
            self.lines.refuse(REFUSED[kind])
        elif kind != "one field too many":
            pence = 0 if kind == "price of zero" else pence
            amount = quantity * pence - discount
            sale = None if is_postage else Sale(order.placed.date(), "GBP", amount * 100)
            self.lines.row((order.number, position), amount, quantity, note=sale)
        return {"price below zero": f"-{_money(pence)}", "no price": "", "price of zero": "0"}.get(kind or "", _money(pence))

    def _sent(
        self,
        row: tuple[object, ...],
        order: Order,
        position: int,
        kind: str | None,
        quantity: int,
        pence: int,
        discount: int,
        is_postage: bool = False,
    ) -> Iterator[tuple[object, ...]]:
        """Yield a line, as often as it is sent."""
        yield (*row, "?") if kind == "one field too many" else row
        if kind == "sent twice":
            self._count(order, position, kind, quantity, pence, discount, is_postage)
            yield row

    def _code(self, product: int) -> str:
        return f"{self.codes[product % len(self.codes)]}"

    def _customer(self, order: Order, kind: str | None) -> str:
        return f"{self.customers[order.person.number]}.0" if order.person and kind != "no customer" else ""


def _store_id(store: Store) -> str:
    return f"S{store.number + 1:02d}"


def _money(pence: int) -> str:
    return f"{pence // 100}.{pence % 100:02d}"
