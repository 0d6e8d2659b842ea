"""The world that all systems describe is consistent, and a function of its options."""

from collections import Counter
from datetime import date, datetime, timedelta

import pytest

from lakehouse_assets.errors import GenerateError
from lakehouse_assets.generate.draw import Dirt, draws
from lakehouse_assets.generate.options import Options
from lakehouse_assets.generate.world import World


@pytest.fixture(scope="module")
def small_world():
    return World(Options(scale=0.2, last=date(2026, 1, 14)))


def test_names_and_addresses_are_unique(small_world):
    for values in (
        [p.email for p in small_world.people],
        [p.sku for p in small_world.products],
        [p.name.lower() for p in small_world.products],
    ):
        assert len(set(values)) == len(values)


def test_there_are_as_many_orders_as_the_scale_says_each_of_a_person_who_is_registered(small_world):
    orders = [order for day in small_world.days for order in small_world.orders(day)]
    assert [order.number for order in orders] == list(range(1000))
    assert all(order.person is None or order.person.registered <= order.placed for order in orders)
    assert {order.channel for order in orders if order.person is None} == {"till"}
    assert {order.channel for order in orders} == {"web", "till", "mail", "basket", "app", "desk"}


def test_orders_are_the_same_whenever_they_are_asked_for(small_world):
    again = World(small_world.options)
    assert list(map(again.orders, reversed(again.days)))[::-1] == list(map(small_world.orders, small_world.days))
    assert World(Options(seed=2, scale=0.2, last=date(2026, 1, 14))).orders(small_world.days[0]) != small_world.orders(
        small_world.days[0]
    )


def test_a_price_is_that_of_the_day(small_world):
    repriced = [p for p in small_world.products if p.repriced and p.new_price != p.price]
    assert repriced
    for order in (order for day in small_world.days for order in small_world.orders(day)):
        assert all(line.price == line.product.price_on(order.placed.date()) for line in order.lines)
    product = repriced[0]
    assert (product.price_on(product.repriced - timedelta(1)), product.price_on(product.repriced)) == (
        product.price,
        product.new_price,
    )


def test_each_step_of_a_web_order_is_told_on_its_day_and_no_other(small_world):
    message = Counter((order.number, step) for day in small_world.days for _, order, step in small_world.changes(day))
    steps = [
        (order.number, step)
        for day in small_world.days
        for order in small_world.orders(day, "web")
        for step, (_, moment) in enumerate(order.steps)
        if moment.date() <= small_world.days[-1]
    ]
    assert message == Counter(steps)
    assert {status for day in small_world.days for o in small_world.orders(day, "web") for status, _ in o.steps} >= {
        "canceled",
        "closed",
    }


def test_stock_is_what_was_there_and_came_less_what_left(small_world):
    before = None
    for day in small_world.days:
        closing = {(p.number, w.number): pieces for p, w, pieces in small_world.closing_stock(day)}
        moved = Counter()
        for move in small_world.moves(day):
            assert move.moment.date() == day
            moved[move.product.number, move.warehouse.number] += move.quantity if move.order is None else -move.quantity
        if before is not None:
            assert closing == {place: pieces + moved[place] for place, pieces in before.items()}
        assert min(closing.values()) >= 0
        before = closing


def test_what_leaves_a_warehouse_is_what_web_orders_ship(small_world):
    shipped = Counter()
    for order in (order for day in small_world.days for order in small_world.orders(day, "web")):
        if order.shipped is not None and order.shipped.date() <= small_world.days[-1]:
            shipped.update({(order.number, line.product.number): line.quantity for line in order.lines})
    left = Counter()
    for move in (move for day in small_world.days for move in small_world.moves(day)):
        if move.order is not None:
            left[move.order.number, move.product.number] += move.quantity
    assert left == shipped


def test_people_register_once(small_world):
    registered = [person for day in small_world.days for person in small_world.registered(day)]
    assert registered == small_world.people[: len(registered)]
    later = [p for day in small_world.days[1:] for p in small_world.registered(day)]
    assert later
    assert all(p.registered >= datetime(2026, 1, 2) for p in later)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": date(2026, 2, 1)}, "--from 2026-02-01 is after --to 2026-01-31."),
        ({"scale": 0}, "--scale 0 is not between 0 and 1000."),
        ({"scale": -1}, "--scale -1 is not between 0 and 1000."),
        ({"dirt": 0.06}, "--dirt 0.06 is not between 0 and 0.05: it is the share of each kind of dirt."),
    ],
)
def test_options_out_of_range_are_told(options, message):
    with pytest.raises(GenerateError) as error:
        Options(**options)
    assert str(error.value) == message


def test_each_kind_of_dirt_hits_its_share():
    dirt = Dirt(draws(1, "test"), 0.02)
    clean = [dirt.pick(("a", "b", "c")) for _ in range(50_000)].count(None)
    assert clean == pytest.approx(47_000, rel=0.01)
    assert list(dirt.counts.values()) == pytest.approx([1000] * 3, rel=0.15)
