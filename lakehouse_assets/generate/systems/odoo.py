"""The ERP of warehouses, Odoo: products, a list a week and what has changed between; categories; stock by warehouse; the moves of stock
by which the web shop's orders leave; and these orders as sale orders, whose origin is the shop's number.

Lists come as `search_read` answers (a reference is a pair, nothing is `false`), changes and orders as `web_search_read` answers
(a reference is an object). What Odoo shares with the shop is its internal reference: the shop's sku.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from lakehouse_assets.generate.deliveries import Deliveries
from lakehouse_assets.generate.draw import draws, numbers
from lakehouse_assets.generate.revenue import Sale, Sold
from lakehouse_assets.generate.systems.magento import MOST_LINES, local_amounts
from lakehouse_assets.generate.truth import Partner
from lakehouse_assets.generate.world import Order, Product, Status, World

PRODUCT_DIRT = ("no reference", "price below zero", "no price", "no category", "name in capitals", "sent twice")
QUANT_DIRT = ("no product", "no number of pieces", "sent twice")
MOVE_DIRT = ("unknown state", "no time", "pieces below zero", "sent twice")
ORDER_DIRT = ("unknown state", "no time", "total below zero", "currency in words", "sent twice")
LINE_DIRT = ("a note", "no number of pieces", "no price", "canceled", "a discount")

STATES: dict[Status, str] = {"pending": "draft", "processing": "sale", "complete": "done", "closed": "done", "canceled": "cancel"}
CURRENCIES = {"EUR": 1, "USD": 2, "GBP": 142}

Reference = list[object] | dict[str, object]


def deliver(world: World, out: Deliveries) -> None:
    """Write the files of all days."""
    odoo = Odoo(world, out)
    out.truth.persons = odoo.partners
    for day in world.days:
        out.json("products", day, "product.product.changed.json", odoo.repriced(day), within="records", count="length")
        if world.options.is_weekly(day):
            out.json("products", day, "product.product.json", odoo.products(day))
            out.json("categories", day, "product.category.json", odoo.categories())
        out.json("inventory", day, "stock.quant.json", odoo.quants(day))
        out.json("stock_moves", day, "stock.move.json", odoo.moves(day))
        out.json("sale_orders", day, "sale.order.json", odoo.orders(day), within="records", count="length")
    out.truth.sold = odoo.sold()


class Odoo:
    """Odoo's view of the world, with numbers of its own."""

    def __init__(self, world: World, out: Deliveries) -> None:
        self.world = world
        self.out = out
        seed = world.options.seed
        self.products_by_number = numbers(draws(seed, "odoo products"), len(world.products), 10)
        self.partners = numbers(draws(seed, "odoo partners"), len(world.people), 40)

    def products(self, day: date) -> Iterator[dict[str, Any]]:
        """Yield all products, as `search_read` answers."""
        for product in self.world.products:
            yield from self._product(product, day, pair)

    def repriced(self, day: date) -> Iterator[dict[str, Any]]:
        """Yield the products that cost something else from a day on, as `web_search_read` answers."""
        for product in self.world.products:
            if product.repriced == day:
                yield from self._product(product, day, record)

    def categories(self) -> Iterator[dict[str, Any]]:
        """Yield the tree of categories."""
        table = self.out.table("categories")
        groups = sorted({category.group for category in self.world.categories})
        paths = ["All", "All / Saleable", *(f"All / Saleable / {group}" for group in groups)]
        paths += [_path(product) for product in self.world.products[: len(self.world.categories)]]
        for number, path in enumerate(paths, start=1):
            table.row(path)
            yield {"id": number, "name": path.split(" / ")[-1], "complete_name": path}

    def quants(self, day: date) -> Iterator[dict[str, Any]]:
        """Yield the pieces of each product in each warehouse at the end of a day."""
        table, dirt = self.out.table("inventory", quantity=4), self.out.dirt("inventory")
        refused = {"no product": "product_code_present", "no number of pieces": "quantity_present"}
        for number, (product, warehouse, pieces) in enumerate(self.world.closing_stock(day), start=1):
            kind = dirt.pick(QUANT_DIRT)
            if kind not in refused:
                self.out.truth.count_stock("odoo", warehouse.code, day, pieces)
            for _ in range(1 + (kind == "sent twice")):
                if kind in refused:
                    table.refuse(refused[kind])
                else:
                    table.row((day, number), pieces * 10_000)
                yield {
                    "id": number,
                    "product_id": False if kind == "no product" else self._shown(product, pair),
                    "location_id": pair(8 + warehouse.number, f"{warehouse.code}/Stock"),
                    "lot_id": False,
                    "quantity": False if kind == "no number of pieces" else float(pieces),
                    "reserved_quantity": 0.0,
                }

    def moves(self, day: date) -> Iterator[dict[str, Any]]:
        """Yield what is planned on a day, because an order is paid, and what takes place: receipts, and deliveries of orders."""
        for moment, order, step in self.world.changes(day):
            if order.steps[step][0] == "processing" and order.shipped is not None:
                for n in range(len(order.lines)):
                    yield from self._delivery(order, n, moment, order.shipped, "assigned")
        for move in self.world.moves(day):
            if move.order is None:
                kind = self.out.dirt("stock_moves").pick(MOVE_DIRT)
                places = ("Partners/Vendors", f"{move.warehouse.code}/Stock")
                document = f"{move.warehouse.code}/IN/{move.number:05d}"
                yield from self._move(
                    2 * move.number,
                    move.product,
                    move.quantity,
                    places,
                    (document, False),
                    (move.moment, move.moment),
                    "done",
                    kind,
                )
            else:
                n = next(n for n, line in enumerate(move.order.lines) if line.product is move.product)
                yield from self._delivery(move.order, n, move.moment, move.moment, "done")

    def orders(self, day: date) -> Iterator[dict[str, Any]]:
        """Yield the orders that changed on a day, as they stand at its end, with their lines."""
        changed = {order.number: (order, step) for _, order, step in self.world.changes(day)}
        for order, step in changed.values():
            kind = self.out.dirt("sale_orders").pick(ORDER_DIRT)
            dirty_lines = [self.out.dirt("sale_orders, lines").pick(LINE_DIRT) for _ in order.lines]
            for _ in range(1 + (kind == "sent twice")):
                self._count_order(order, step, kind, dirty_lines)
                yield self._order(order, step, kind, dirty_lines)

    def sold(self) -> Sold:
        """Return what gold counts as sold if the web shop doesn't have it: lines of orders that are neither quotations nor canceled."""
        state = self.out.table("sale_orders").notes()
        lines = self.out.table("sale_order_lines").notes()
        return Sold([sale for (order, _), sale in lines.items() if state[order] in ("sale", "done")])

    def _product(self, product: Product, day: date, refer: Any) -> Iterator[dict[str, Any]]:
        table = self.out.table("products", list_price=4, standard_price=4)
        kind = self.out.dirt("products").pick(PRODUCT_DIRT)
        changed = product.created
        if product.repriced is not None and day >= product.repriced:
            changed = datetime.combine(product.repriced, datetime.min.time()) + timedelta(minutes=10)
        price = product.price_on(day)
        for _ in range(1 + (kind == "sent twice")):
            if kind == "price below zero":
                table.refuse("prices_not_negative")
            else:
                key = ("id" if kind == "no reference" else "code", product.number)
                table.row(key, 0 if kind == "no price" else price * 100, product.cost * 100, sequence=changed)
            yield {
                "id": self.products_by_number[product.number],
                "name": product.name.upper() if kind == "name in capitals" else product.name,
                "default_code": False if kind == "no reference" else product.sku,
                "categ_id": False if kind == "no category" else refer(9 + product.category.number, _path(product)),
                "type": "product",
                "uom_id": refer(1, "Units"),
                "list_price": {"price below zero": -1.0, "no price": False}.get(kind or "", price / 100),
                "standard_price": product.cost / 100,
                "weight": product.grams / 1000,
                "barcode": False,
                "qty_available": 0.0,
                "description_sale": False,
                "active": True,
                "create_date": str(product.created),
                "write_date": str(changed),
            }

    def _delivery(self, order: Order, n: int, changed: datetime, moment: datetime, state: str) -> Iterator[dict[str, Any]]:
        """Yield the move of an order's line in a state."""
        kind = self.out.dirt("stock_moves").pick(MOVE_DIRT)
        places = (f"{order.place.code}/Stock", "Partners/Customers")
        texts = (f"{order.place.code}/OUT/{order.number:05d}", _order_name(order))
        line = order.lines[n]
        number = 2 * (order.number * MOST_LINES + n) + 1
        yield from self._move(number, line.product, line.quantity, places, texts, (changed, moment), state, kind)

    def _move(
        self,
        number: int,
        product: Product,
        pieces: int,
        places: tuple[str, str],
        texts: tuple[str, str | bool],
        moments: tuple[datetime, datetime],
        state: str,
        kind: str | None,
    ) -> Iterator[dict[str, Any]]:
        """Yield a move, as often as it is sent. `moments` are when it was changed, and when it takes place."""
        table = self.out.table("stock_moves", quantity=4)
        refused = {"unknown state": "state_known", "no time": "moved_at_present"}
        # Until a move is done, its pieces don't count, whatever they are.
        if state == "done":
            refused["pieces below zero"] = "quantity_not_negative"
        for _ in range(1 + (kind == "sent twice")):
            if kind in refused:
                table.refuse(refused[kind])
            else:
                table.row(number, pieces * 10_000 if state == "done" else 0, sequence=moments[0])
            yield {
                "id": number,
                "reference": texts[0],
                "origin": texts[1],
                "product_id": self._shown(product, pair),
                "product_uom_qty": float(pieces),
                "quantity": float(-pieces if kind == "pieces below zero" else pieces),
                "location_id": pair(_place_number(places[0]), places[0]),
                "location_dest_id": pair(_place_number(places[1]), places[1]),
                "state": "moved" if kind == "unknown state" else state,
                "date": False if kind == "no time" else str(moments[1]),
                "write_date": str(moments[0]),
            }

    def _order(self, order: Order, step: int, kind: str | None, dirty_lines: list[str | None]) -> dict[str, Any]:
        status, moment = order.steps[step]
        amounts = local_amounts(order)
        untaxed = amounts.lines - amounts.discount + amounts.shipping
        person = order.person
        return {
            "id": 1 + order.number,
            "name": _order_name(order),
            "state": "open" if kind == "unknown state" else STATES[status],
            "partner_id": person is not None
            and {
                "id": self.partners[person.number],
                "display_name": f"{person.first_name} {person.last_name}",
                "email": person.email,
            },
            "origin": f"{1 + order.number:09d}",
            "warehouse_id": record(1 + order.place.number, order.place.name),
            "currency_id": record(CURRENCIES[amounts.currency], "US Dollar" if kind == "currency in words" else amounts.currency),
            "amount_untaxed": untaxed / 100,
            "amount_tax": amounts.tax / 100,
            "amount_total": -1.0 if kind == "total below zero" else amounts.total / 100,
            "date_order": False if kind == "no time" else str(order.placed),
            "write_date": str(moment),
            "order_line": [self._line(order, n, dirty) for n, dirty in enumerate(dirty_lines)],
        }

    def _line(self, order: Order, n: int, kind: str | None) -> dict[str, Any]:
        line, percent = order.lines[n], 10 if local_amounts(order).discount else 0
        pieces, price = _pieces_and_price(order, n, kind)
        return {
            "id": 1 + order.number * MOST_LINES + n,
            "product_id": False if kind == "a note" else self._shown(line.product, record),
            "product_uom_qty": False if kind == "no number of pieces" else float(pieces),
            "price_unit": False if kind == "no price" else price / 100,
            "discount": float(percent),
            "price_subtotal": price * pieces * (100 - percent) / 10_000,
        }

    def _count_order(self, order: Order, step: int, kind: str | None, dirty_lines: list[str | None]) -> None:
        """Count an order, as it stands after a step, and its lines."""
        orders, lines = self.out.table("sale_orders", amount_total=4), self.out.table("sale_order_lines", quantity=4, subtotal=4)
        amounts, (status, moment) = local_amounts(order), order.steps[step]
        refused = {
            "unknown state": "state_known",
            "no time": "ordered_at_present",
            "total below zero": "amount_total_not_negative",
            "currency in words": "currency_is_a_code",
        }
        if kind in refused:
            orders.refuse(refused[kind])
        else:
            orders.row(order.number, amounts.total * 100, sequence=moment, note=STATES[status])
        refused = {"a note": "product_code_present", "no number of pieces": "quantity_present", "no price": "price_present"}
        waits_for = (Partner(orders, order.number, "order_id_in_odoo_sale_orders"),)
        for n, dirty in enumerate(dirty_lines):
            if dirty in refused:
                lines.refuse(refused[dirty])
            else:
                pieces, price = _pieces_and_price(order, n, dirty)
                subtotal = price * pieces * (90 if amounts.discount else 100)
                sale = Sale(order.placed.date(), amounts.currency, subtotal, order.number)
                lines.row((order.number, n), pieces * 10_000, subtotal, sequence=moment, waits_for=waits_for, note=sale)

    def _shown(self, product: Product, refer: Any) -> Any:
        return refer(self.products_by_number[product.number], f"[{product.sku}] {product.name}")


def _pieces_and_price(order: Order, n: int, kind: str | None) -> tuple[int, int]:
    """Return the pieces of an order's line, none if it was canceled, and the price in cents, below 0 if the line is a discount."""
    pieces, price = order.lines[n].quantity, local_amounts(order).prices[n]
    return 0 if kind == "canceled" else pieces, -price if kind == "a discount" else price


def pair(number: int, name: str) -> Reference:
    """Refer to a record as `search_read` does."""
    return [number, name]


def record(number: int, name: str) -> Reference:
    """Refer to a record as `web_search_read` does."""
    return {"id": number, "display_name": name}


def _path(product: Product) -> str:
    return f"All / Saleable / {product.category.group} / {product.category.name}"


def _order_name(order: Order) -> str:
    return f"S{1 + order.number:05d}"


def _place_number(place: str) -> int:
    """Return the number of a location: any, but the same for the same place."""
    return sum(place.encode()) % 97
