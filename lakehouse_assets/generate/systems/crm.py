"""The CRM: customers, product versions and the orders of the sales desk, a CSV file a day."""

from collections.abc import Iterator
from datetime import date, timedelta

from lakehouse_assets.generate.deliveries import Deliveries
from lakehouse_assets.generate.draw import draws
from lakehouse_assets.generate.revenue import Sale, Sold
from lakehouse_assets.generate.world import Order, Person, Product, World

CUSTOMERS = ("cst_id", "cst_key", "cst_firstname", "cst_lastname", "cst_marital_status", "cst_gndr", "cst_create_date")
PRODUCTS = ("prd_id", "prd_key", "prd_nm", "prd_cost", "prd_line", "prd_start_dt", "prd_end_dt")
SALES = (
    "sls_ord_num",
    "sls_prd_key",
    "sls_cust_id",
    "sls_order_dt",
    "sls_ship_dt",
    "sls_due_dt",
    "sls_sales",
    "sls_quantity",
    "sls_price",
)

CUSTOMER_DIRT = ("no number", "blanks around names", "no gender", "no marital status", "sent twice")
PRODUCT_DIRT = ("no cost", "no line", "ends before it starts", "key without number")
SALES_DIRT = (
    "no amount",
    "wrong amount",
    "no price",
    "negative price",
    "no order date",
    "shipped before ordered",
    "sent twice",
    "one field too many",
)

MARRIED = "M"
FIRST_CUSTOMER = 11_000
FIRST_ORDER = 43_000


def customer_id(person: Person) -> int:
    """Return the CRM's number of a person."""
    return FIRST_CUSTOMER + person.number


def customer_number(person: Person) -> str:
    """Return the number by which the ERP knows the CRM's customer."""
    return f"AW{customer_id(person):08d}"


def deliver(world: World, out: Deliveries) -> None:
    """Write customers, products and sales of all days."""
    out.truth.persons = [customer_id(person) for person in world.people]
    for day in world.days:
        out.csv("customers", day, "cust_info.csv", CUSTOMERS, _customers(world, out, day))
        out.csv("products", day, "prd_info.csv", PRODUCTS, _products(world, out, day))
        out.csv("sales", day, "sales_details.csv", SALES, _sales(world, out, day))
    out.truth.sold = Sold([*out.table("sales").notes().values()])


def _customers(world: World, out: Deliveries, day: date) -> Iterator[tuple[object, ...]]:
    """Yield the records of a day: those who are new by then, and those who have moved house or married: from then on they are."""
    table, versions, dirt = out.table("customers"), out.table("customer_versions"), out.dirt("customers")
    random = draws(world.options.seed, "crm changes", day)
    for person in world.registered(day):
        kind = dirt.pick(CUSTOMER_DIRT)
        # Nobody's status comes back once it is another: each opens one row version.
        status = "" if kind == "no marital status" else MARRIED if person.is_married else "S"
        row = _customer(person, person.registered.date(), kind, status)
        if kind == "sent twice":
            table.row(customer_id(person), sequence=person.registered.date() - timedelta(1))
            versions.row((customer_id(person), status))
            yield _customer(person, person.registered.date() - timedelta(1), None, status)
        if kind == "no number":
            table.refuse("customer_id_present")
            versions.refuse("customer_id_present")
        else:
            table.row(customer_id(person), sequence=person.registered.date())
            versions.row((customer_id(person), status))
        yield row
    known = world.people_before(day)
    for number in sorted(random.sample(range(known), -(-known // 200))):
        person = world.people[number]
        table.row(customer_id(person), sequence=day)
        versions.row((customer_id(person), MARRIED))
        yield _customer(person, day, None, MARRIED)


def _customer(person: Person, day: date, kind: str | None, status: str) -> tuple[object, ...]:
    first, last = person.first_name, person.last_name
    return (
        "" if kind == "no number" else customer_id(person),
        customer_number(person),
        f" {first} " if kind == "blanks around names" else first,
        f"{last}  " if kind == "blanks around names" else last,
        status,
        "" if kind == "no gender" else person.gender,
        day.isoformat(),
    )


def _products(world: World, out: Deliveries, day: date) -> Iterator[tuple[object, ...]]:
    """Yield the versions of a day: on the first all products; later those that cost something else, with the version that ends."""
    table, dirt = out.table("products", cost=2), out.dirt("products")
    if day == world.days[0]:
        for product in world.products:
            kind = dirt.pick(PRODUCT_DIRT)
            if kind == "key without number":
                table.refuse("product_number_present")
            else:
                table.row(_version(product, 0), 0 if kind == "no cost" else product.cost)
            yield _product(product, product.created.date(), None, kind)
    for product in world.products:
        if product.repriced == day:
            table.row(_version(product, 0), product.cost)
            yield _product(product, product.created.date(), day - timedelta(1), None)
            table.row(_version(product, 1), _new_cost(product))
            yield (_version(product, 1), *_product(product, day, None, None, _new_cost(product))[1:])


def _version(product: Product, turn: int) -> int:
    """Return the number of a product's version: a product has two at most."""
    return 210 + 2 * product.number + turn


def _new_cost(product: Product) -> int:
    """Return the cost from the day of the new price on."""
    return product.cost * product.new_price // product.price


def _product(product: Product, start: date, end: date | None, kind: str | None, cost: int | None = None) -> tuple[object, ...]:
    category = product.category.code.replace("_", "-")
    if kind == "ends before it starts":
        end = start - timedelta(30)
    return (
        _version(product, 0),
        f"{category}-" if kind == "key without number" else f"{category}-{product.sku}",
        product.name,
        "" if kind == "no cost" else _money(cost or product.cost),
        "" if kind == "no line" else f"{product.line} ",
        start.isoformat(),
        "" if end is None else end.isoformat(),
    )


def _sales(world: World, out: Deliveries, day: date) -> Iterator[tuple[object, ...]]:
    """Yield the order lines of the sales desk of a day."""
    table, dirt = out.table("sales", sales=2, quantity=0), out.dirt("sales")
    for order in world.orders(day, "desk"):
        for number, line in enumerate(order.lines):
            kind = dirt.pick(SALES_DIRT)
            row = _sale(order, number, kind)
            # A missing or wrong amount is worked out from pieces and price.
            sale = Sale(None if kind == "no order date" else order.placed.date(), "USD", line.amount * 100)
            if kind == "one field too many":
                yield (*row, "?")
                continue
            if kind == "shipped before ordered":
                table.refuse("ship_date_not_before_order_date")
            else:
                table.row((order.number, line.product.number), line.amount, line.quantity, note=sale)
            if kind == "sent twice":
                table.row((order.number, line.product.number), line.amount, line.quantity, note=sale)
                yield row
            yield row


def _sale(order: Order, number: int, kind: str | None) -> tuple[object, ...]:
    line, placed = order.lines[number], order.placed.date()
    shipped = placed + timedelta(-2 if kind == "shipped before ordered" else 7)
    amount, price = _money(line.amount), _money(line.price)
    return (
        f"SO{FIRST_ORDER + order.number}",
        line.product.sku,
        customer_id(order.person) if order.person else "",
        0 if kind == "no order date" else f"{placed:%Y%m%d}",
        f"{shipped:%Y%m%d}",
        f"{placed + timedelta(12):%Y%m%d}",
        {"no amount": "", "wrong amount": _money(line.amount + 100)}.get(kind or "", amount),
        line.quantity,
        {"no price": "", "negative price": f"-{price}"}.get(kind or "", price),
    )


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
