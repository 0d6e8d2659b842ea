"""Events of the order stream, made up: purchases of one to four lines, as the sample's, in its older and its newer schema.

The same seed and options make the same events. A time of an event is the only thing that depends on when it is made.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from csv import DictReader
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import cycle

from lakehouse_assets.bundled import bundled
from lakehouse_assets.errors import GenerateError

_LINES = (1, 1, 1, 2, 2, 3, 4)
_OLDER_SHARE = 0.2
_SUPPLEMENT = 199
_LATE_DAYS = 5
_TOO_LARGE = 1_000_001

BROKEN = (
    "not JSON",
    "a list",
    "wrong types",
    "missing keys",
    "empty",
    "tombstone",
    "too large",
    "schema registry",
)
"""The kinds of broken records, which take turns."""


@dataclass(frozen=True)
class Shares:
    """Of the lines of purchases: how many are sent again, are of days before, and how many broken records come on top; each 0 to 1.

    Raises:
        GenerateError: a share is below 0 or above 1.
    """

    duplicates: float = 0.0
    late: float = 0.0
    broken: float = 0.0

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 <= share <= 1:
                raise GenerateError(f"--{name} {share}: a share is from 0 to 1.")


@dataclass(frozen=True)
class Event:
    """A record to produce: `key` is the id of its order. A value of None is a tombstone."""

    key: str
    value: bytes | None


@dataclass
class Counted:
    """What was made: orders, their lines by the order's id, and how many records beyond these there are."""

    orders: int = 0
    lines: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    late: int = 0
    broken: Counter[str] = field(default_factory=Counter)

    @property
    def records(self) -> int:
        """All records."""
        return self.lines.total() + self.duplicates + self.broken.total()


def events(
    seed: int, shares: Shares, began: datetime, step: timedelta, counted: Counted, limit: int | None
) -> Iterator[list[Event]]:
    """Yield the records of each order, up to `limit` orders; order n is bought at `began` + n * `step`.

    An order has the number that its seed and place give it, so two runs with one seed send the same orders. Older events have it in
    their key alone. They are never sent twice: without a number in it, an event that comes again is another event.
    """
    draw, products = random.Random(seed), _products()  # noqa: S311 - nothing is kept secret by it
    kinds = cycle(BROKEN)
    number = 0
    while limit is None or number < limit:
        at = began + number * step
        order = str((seed + 1) * 10**12 + number)
        records = []
        is_older, is_member = draw.random() < _OLDER_SHARE, draw.random() < 0.4
        for product, price in draw.sample(products, draw.choice(_LINES)):
            is_late = draw.random() < shares.late
            bought = at - timedelta(days=draw.randint(1, _LATE_DAYS)) if is_late else at
            value = _line(draw, bought, None if is_older else order, product, price, is_member)
            counted.late += is_late
            counted.lines[order] += 1
            records.append(Event(order, value))
            if not is_older and draw.random() < shares.duplicates:
                counted.duplicates += 1
                records.append(Event(order, value))
            if draw.random() < shares.broken:
                kind = next(kinds)
                counted.broken[kind] += 1
                records.append(Event(order, _broken(kind, value)))
        number += 1
        counted.orders += 1
        yield records


def _line(draw: random.Random, at: datetime, order: str | None, product: str, price: int, is_member: bool) -> bytes:
    quantity = draw.choice((1, 1, 1, 2, 3))
    supplement = _SUPPLEMENT if draw.random() < 0.25 else 0
    event: dict[str, object] = {"transaction_time": at.strftime("%Y-%m-%d %H:%M:%S.%f")}
    if order is not None:
        event["transaction_id"] = order
    discount = 0.1 if is_member else 0.0
    return json.dumps(
        event
        | {
            "product_id": product,
            "price": price / 100,
            "quantity": quantity,
            "is_member": is_member,
            "member_discount": discount,
            "add_supplements": supplement > 0,
            "supplement_price": supplement / 100,
            # In floats, as the source does: sums end in noise.
            "total_purchase": quantity * (price / 100 + supplement / 100) * (1 - discount),
        }
    ).encode()


def _broken(kind: str, value: bytes) -> bytes | None:
    """Return what becomes of an event."""
    event = json.loads(value)
    if kind == "not JSON":
        return value[: len(value) // 2]
    if kind == "a list":
        return json.dumps([event]).encode()
    if kind == "wrong types":
        return json.dumps(event | {"quantity": "two", "price": {"USD": event["price"]}}).encode()
    if kind == "missing keys":
        return json.dumps({name: event[name] for name in ("transaction_time", "is_member")}).encode()
    if kind == "empty":
        return b""
    if kind == "tombstone":
        return None
    if kind == "too large":
        return json.dumps(event | {"note": "x" * _TOO_LARGE}).encode()
    return b"\x00" + (17).to_bytes(4, "big") + value


def _products() -> Sequence[tuple[str, int]]:
    """Return the products that the sample data has, with their prices in cents."""
    file = bundled("sample_data") / "orders" / "products" / "2026-01-30" / "products.csv"
    with file.open(newline="") as opened:
        return [(row["ID"], round(float(row["Price"]) * 100)) for row in DictReader(opened)]
