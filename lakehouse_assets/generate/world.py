"""The world that all systems describe: people, products, stores, warehouses, orders, stock movements. A pure function of the options.

Each thing has a number here, from 0. Systems give it numbers of their own; what they share is what companies share: sku, e-mail,
names. Amounts are whole cents of US dollars. Moments have no zone and are in UTC.

    people, products      all at once
    orders(day)           by the day on which they are placed, made anew when asked: memory does not grow with the dates
    moves(day)            stock movements: receipts, and deliveries of the web orders that are shipped on that day
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import accumulate
from random import Random
from typing import Literal

from lakehouse_assets.generate.draw import draws
from lakehouse_assets.generate.options import Options
from lakehouse_assets.generate.vocabulary import ADJECTIVES, BRANDS, CATEGORIES, CITIES, COLORS, FIRST_NAMES, LAST_NAMES, STREETS

Channel = Literal["web", "till", "mail", "basket", "app", "desk"]
CHANNELS: tuple[tuple[Channel, int], ...] = (("web", 35), ("till", 20), ("mail", 10), ("basket", 15), ("app", 10), ("desk", 10))
"""Where orders are placed, with their shares in percent: web shop, a store's till, mail, storefront, app, sales desk."""

_CHANNELS = [channel for channel, _ in CHANNELS]
_UP_TO = list(accumulate(percent for _, percent in CHANNELS))
_LINES = (1, 1, 2, 2, 3, 4, 5)
_PIECES = (1, 1, 1, 1, 2, 2, 3, 6)
"""How many lines an order may have, and a line pieces; more often what is here more often."""

Status = Literal["pending", "processing", "complete", "canceled", "closed"]

LONGEST_LIFE = 7
"""An order is settled within so many days after it is placed."""


@dataclass(frozen=True, slots=True)
class Person:
    """A customer. `gender` is F or M."""

    number: int
    first_name: str
    last_name: str
    email: str
    phone: str
    gender: str
    is_married: bool
    born: date
    street: str
    city: str
    country: str
    country_code: str
    postcode: str
    registered: datetime


@dataclass(frozen=True, slots=True)
class Category:
    """A category of products: `code` is the ERP's, such as AC_HE."""

    number: int
    code: str
    name: str
    group: str
    needs_maintenance: bool


@dataclass(frozen=True, slots=True)
class Product:
    """A product. From `repriced` on, it costs `new_price`; `repriced` is None if the price never changes."""

    number: int
    sku: str
    name: str
    brand: str
    line: str
    category: Category
    cost: int
    price: int
    new_price: int
    repriced: date | None
    grams: int
    created: datetime

    def price_on(self, day: date) -> int:
        """Return the price of a day, in cents."""
        return self.new_price if self.repriced is not None and day >= self.repriced else self.price


@dataclass(frozen=True, slots=True)
class Store:
    """A store, or a warehouse of the web shop."""

    number: int
    code: str
    name: str
    city: str
    country: str
    country_code: str
    opened: date


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an order: pieces of a product, at a price in cents."""

    product: Product
    quantity: int
    price: int

    @property
    def amount(self) -> int:
        """Quantity times price."""
        return self.quantity * self.price


@dataclass(frozen=True, slots=True)
class Order:
    """An order. `steps` are its states with the moments at which it reached them, the first when it was placed.

    An order of the till has no person if the customer is unknown. `place` is the store that sells, or the warehouse that ships.
    """

    number: int
    channel: Channel
    person: Person | None
    placed: datetime
    lines: tuple[Line, ...]
    place: Store
    steps: tuple[tuple[Status, datetime], ...]

    @property
    def amount(self) -> int:
        """The amount of all lines."""
        return sum(line.amount for line in self.lines)

    @property
    def shipped(self) -> datetime | None:
        """When it left the warehouse; None if it never did."""
        return next((moment for status, moment in self.steps if status == "complete"), None)

    def status_at(self, moment: datetime) -> Status:
        """Return the state at a moment that is not before it was placed."""
        return [status for status, reached in self.steps if reached <= moment][-1]


@dataclass(frozen=True, slots=True)
class Move:
    """A stock movement: pieces that come to a warehouse (`order` is None), or leave it for a line of an order."""

    number: int
    product: Product
    warehouse: Store
    quantity: int
    moment: datetime
    order: Order | None


class World:
    """Everything there is, as the options say."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @property
    def days(self) -> list[date]:
        """The days on which something is delivered."""
        return self.options.days

    @cached_property
    def people(self) -> list[Person]:
        """All people, by the moment at which they registered: nine of ten before the first day."""
        random = draws(self.options.seed, "people")
        count = self.options.sized(1000)
        first = datetime.combine(self.options.first, datetime.min.time())
        length = len(self.days) * 86_400
        moments = sorted(
            first + timedelta(seconds=random.randrange(length) if n % 10 == 9 else -random.randrange(1, 3 * 365 * 86_400))
            for n in range(count)
        )
        return [_person(random, number, moment) for number, moment in enumerate(moments)]

    @cached_property
    def categories(self) -> list[Category]:
        """All categories."""
        return [Category(n, *category) for n, category in enumerate(CATEGORIES)]

    @cached_property
    def products(self) -> list[Product]:
        """All products. Names are unique, and each word of them begins with a capital."""
        random = draws(self.options.seed, "products")
        return [self._product(random, number) for number in range(self.options.sized(200))]

    @cached_property
    def stores(self) -> list[Store]:
        """The stores that have a till."""
        return self._places("store", 5 + self.options.sized(5) // 5)

    @cached_property
    def warehouses(self) -> list[Store]:
        """The warehouses that ship web orders."""
        return self._places("warehouse", 3)

    def people_by(self, moment: datetime) -> int:
        """Return how many people are registered by a moment: the first so many of `people`."""
        return bisect_right(self._registrations, moment)

    def people_before(self, day: date) -> int:
        """Return how many people are registered before a day begins."""
        return self.people_by(datetime.combine(day, datetime.min.time()) - timedelta(seconds=1))

    def registered(self, day: date) -> list[Person]:
        """Return the people who register on a day; on the first day, also all who did before."""
        begin = 0 if day == self.days[0] else self.people_before(day)
        return self.people[begin : self.people_before(day + timedelta(1))]

    def orders(self, day: date, channel: Channel | None = None) -> list[Order]:
        """Return the orders that are placed on a day, by time; of one channel, or of all."""
        orders = self._orders(day)
        return [order for order in orders if order.channel == channel] if channel else orders

    def changes(self, day: date, channel: Channel = "web") -> list[tuple[datetime, Order, int]]:
        """Return what happens to orders on a day, by time: the moment, the order, and which of its steps it is."""
        earlier = (
            self.orders(day - timedelta(n), channel) for n in range(LONGEST_LIFE, -1, -1) if day - timedelta(n) >= self.days[0]
        )
        changed = (
            (moment, order, step)
            for orders in earlier
            for order in orders
            for step, (_, moment) in enumerate(order.steps)
            if moment.date() == day
        )
        return sorted(changed, key=lambda change: (change[0], change[1].number, change[2]))

    def moves(self, day: date) -> list[Move]:
        """Return the stock movements of a day, by time."""
        return self._stock[day][0]

    def closing_stock(self, day: date) -> list[tuple[Product, Store, int]]:
        """Return the pieces of each product in each warehouse at the end of a day."""
        closing = self._stock[day][1]
        places = len(self.warehouses)
        return [(self.products[n // places], self.warehouses[n % places], pieces) for n, pieces in enumerate(closing)]

    @cached_property
    def _registrations(self) -> list[datetime]:
        return [person.registered for person in self.people]

    @cached_property
    def _first_numbers(self) -> dict[date, int]:
        """The number of the first order of each day, and of the day after the last."""
        random = draws(self.options.seed, "orders by day")
        weights = [random.uniform(0.8, 1.2) * (1.4 if day.weekday() >= 5 else 1.0) for day in self.days]
        total, passed = self.options.sized(5000), 0.0
        first_numbers = {}
        for day, weight in zip(self.days, weights, strict=True):
            first_numbers[day] = round(total * passed / sum(weights))
            passed += weight
        return {**first_numbers, self.days[-1] + timedelta(1): total}

    @cached_property
    def _orders(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - the type of lru_cache
        """The orders of a day; those of the last days are kept."""
        return lru_cache(LONGEST_LIFE + 2)(self._placed)

    def _placed(self, day: date) -> list[Order]:
        """Make the orders of a day."""
        first = self._first_numbers[day]
        random = draws(self.options.seed, "orders", day)
        midnight = datetime.combine(day, datetime.min.time())
        count = self._first_numbers[day + timedelta(1)] - first
        # By day rather than by night: from six to midnight.
        moments = sorted(midnight + timedelta(seconds=int(random.triangular(6 * 3600, 86_400, 17 * 3600))) for _ in range(count))
        return [self._order(random, first + n, moment) for n, moment in enumerate(moments)]

    def _order(self, random: Random, number: int, placed: datetime) -> Order:
        channel = _CHANNELS[bisect_right(_UP_TO, random.random() * _UP_TO[-1])]
        registered = self.people_by(placed)
        is_known = channel != "till" or random.random() < 0.75
        person = self.people[int(random.random() * registered)] if is_known and registered else None
        day, count = placed.date(), len(self.products)
        # The first products are sold most.
        chosen = {int(random.random() ** 2 * count): None for _ in range(_LINES[int(random.random() * len(_LINES))])}
        lines = tuple(
            Line(product, _PIECES[int(random.random() * len(_PIECES))], product.price_on(day))
            for product in map(self.products.__getitem__, chosen)
        )
        places = self.stores if channel == "till" else self.warehouses
        place = places[int(random.random() * len(places))]
        return Order(number, channel, person, placed, lines, place, tuple(_steps(random, channel, placed)))

    def _product(self, random: Random, number: int) -> Product:
        category = self.categories[number % len(self.categories)]
        # The number as adjective and color, so that each name is there once.
        turn = number // len(self.categories)
        color, turn = COLORS[turn % len(COLORS)], turn // len(COLORS)
        adjective, turn = ADJECTIVES[turn % len(ADJECTIVES)], turn // len(ADJECTIVES)
        series = f" Mk {turn + 1}" if turn else ""
        cost = random.randrange(200, 60_000)
        price = cost * random.randrange(120, 220) // 100
        created = datetime.combine(self.options.first, datetime.min.time()) - timedelta(
            seconds=random.randrange(86_400, 1000 * 86_400)
        )
        return Product(
            number,
            f"{category.code[-2:]}-{1000 + number}",
            f"{adjective} {category.name.removesuffix('s')} {color}{series}",
            random.choice(BRANDS),
            random.choice("MRST"),
            category,
            cost,
            price,
            price * random.choice((85, 90, 95, 105, 110)) // 100,
            random.choice(self.days[1:]) if random.random() < 0.2 and len(self.days) > 1 else None,
            random.randrange(50, 15_000),
            created,
        )

    def _places(self, what: str, count: int) -> list[Store]:
        random = draws(self.options.seed, what)
        warehouses = []
        for number in range(count):
            city, country, code = CITIES[(number * 7 + len(what)) % len(CITIES)]
            turn = number // len(CITIES)
            name = f"{city} {what.capitalize()}" + (f" {turn + 1}" if turn else "")
            opened = self.options.first - timedelta(random.randrange(400, 6000))
            warehouses.append(Store(number, f"{code}{number + 1:03d}", name, city, country, code, opened))
        return warehouses

    @cached_property
    def _stock(self) -> dict[date, tuple[list[Move], list[int]]]:
        """By day, the movements, and the pieces at its end by product and warehouse. No day ends with a stock below 0."""
        random = draws(self.options.seed, "stock")
        places = len(self.warehouses)
        stock = [random.randrange(20, 200) for _ in range(len(self.products) * places)]
        number = 0
        found = {}
        for day in self.days:
            moves: list[Move] = []
            leaving = list(self._leaving(day))
            needed: dict[int, int] = {}
            for _, order, line in leaving:
                place = line.product.number * places + order.place.number
                needed[place] = needed.get(place, 0) + line.quantity
            for place, pieces in sorted(needed.items()):
                if stock[place] - pieces < 10:
                    moment = datetime.combine(day, datetime.min.time()) + timedelta(seconds=random.randrange(5 * 3600))
                    product, warehouse = self.products[place // places], self.warehouses[place % places]
                    moves.append(Move(0, product, warehouse, pieces + random.randrange(20, 100), moment, None))
            moves += [Move(0, line.product, order.place, line.quantity, moment, order) for moment, order, line in leaving]
            moves.sort(key=lambda move: move.moment)
            numbered = [Move(number + n, m.product, m.warehouse, m.quantity, m.moment, m.order) for n, m in enumerate(moves)]
            number += len(numbered)
            for move in numbered:
                stock[move.product.number * places + move.warehouse.number] += (
                    move.quantity if move.order is None else -move.quantity
                )
            found[day] = (numbered, stock.copy())
        return found

    def _leaving(self, day: date) -> Iterator[tuple[datetime, Order, Line]]:
        """Yield the lines that leave a warehouse on a day."""
        for moment, order, step in self.changes(day):
            if order.steps[step][0] == "complete":
                for line in order.lines:
                    yield moment, order, line


def _person(random: Random, number: int, registered: datetime) -> Person:
    gender = random.choice("FM")
    first, last = random.choice(FIRST_NAMES[gender]), random.choice(LAST_NAMES)
    city, country, code = random.choice(CITIES)
    return Person(
        number,
        first,
        last,
        f"{first}.{last}{number}@example.com".lower(),
        f"+1-202-{random.randrange(1000):03d}-{random.randrange(10_000):04d}",
        gender,
        random.random() < 0.5,
        date(1940, 1, 1) + timedelta(random.randrange(65 * 365)),
        f"{random.randrange(1, 300)} {random.choice(STREETS)}",
        city,
        country,
        code,
        f"{random.randrange(10_000, 99_999)}",
        registered,
    )


def _steps(random: Random, channel: Channel, placed: datetime) -> Iterator[tuple[Status, datetime]]:
    """Yield the states of an order. At the till, it is complete at once; a web order is paid, shipped, and sometimes returned."""
    if channel != "web":
        yield "complete", placed
        return
    yield "pending", placed
    paid = placed + timedelta(seconds=random.randrange(30, 12 * 3600))
    if random.random() < 0.06:
        yield "canceled", paid
        return
    yield "processing", paid
    shipped = paid + timedelta(seconds=random.randrange(3 * 3600, 60 * 3600))
    yield "complete", shipped
    if random.random() < 0.04:
        yield "closed", shipped + timedelta(seconds=random.randrange(24 * 3600, 72 * 3600))
