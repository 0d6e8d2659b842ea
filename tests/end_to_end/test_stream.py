"""The order stream from landing to silver: each event once, however its offsets are cut, and every record accounted for."""

from collections import Counter
from datetime import date, datetime, timedelta

import pytest

from lakehouse_assets.generate.stream import Counted, Shares, events
from lakehouse_assets.landing.drain.names import Head, Name
from lakehouse_assets.landing.drain.packed import Packed
from lakehouse_assets.landing.drain.records import Place, Record, line, lost_line
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.systems.orders import EVENTS, PRODUCTS

pytestmark = pytest.mark.worlds("sail-folder")

PLACE = Place("orders", "AxeFudXxTwuFsvzLRYqtUQ", 0)
DAY = date(2026, 1, 5)


def land(landing: Landing, records: list[Record], size: int, begin: int = 0) -> None:
    """Land records as a drain that cuts them at every `size` offsets from `begin` on."""
    for first in range(begin, len(records), size):
        cut = records[first : first + size]
        packed = Packed()
        packed.add(b"".join(line(PLACE.beginning, record)[0] for record in cut))
        content = packed.content(Head(cut[-1].offset + 1, len(cut)))
        landing.put_new("orders/order_events", DAY, str(Name(PLACE.topic, PLACE.topic_id, 0, first)), content)


def records_of(counted: Counted, orders: int, shares: Shares) -> list[Record]:
    made = events(5, shares, datetime(2026, 1, 5, 8), timedelta(seconds=30), counted, orders)
    return [
        Record(offset, event.key.encode(), event.value, [("source", b"tests")], 1767600000000 + offset)
        for offset, event in enumerate(event for order in made for event in order)
    ]


def test_each_event_is_there_once_and_every_record_is_accounted_for(make_lakehouse):
    lakehouse = make_lakehouse(EVENTS, PRODUCTS)
    landing, counted = Landing(lakehouse.settings.root), Counted()
    records = records_of(counted, 150, Shares(duplicates=0.2, late=0.2, broken=0.15))
    land(landing, records, 60)
    lost = Packed()
    lost.add(lost_line(PLACE, len(records), len(records) + 100))
    landing.put_new(
        "orders/order_events",
        DAY,
        str(Name("orders", PLACE.topic_id, 0, len(records))),
        lost.content(Head(len(records) + 100, 0)),
    )
    assert lakehouse.build() == {}
    by_order = dict(Counter(row["message_key"] for row in lakehouse.rows("silver.orders_events")))
    assert by_order == dict(counted.lines)

    by_rule = Counter(row["rule"] for row in lakehouse.rows("quarantine.rows"))
    in_silver = counted.broken["wrong types"] + counted.broken["missing keys"]
    unreadable = counted.broken.total() - in_silver
    assert by_rule["record_is_readable"] == unreadable + 1
    [raw] = lakehouse.accounts("raw", "orders_order_events").values()
    [silver] = lakehouse.accounts("silver", "orders_events").values()
    assert raw == (len(records) + 1, len(records) - unreadable, unreadable + 1, 0)
    assert silver == (len(records) - unreadable, counted.lines.total(), in_silver, counted.duplicates)
    for row in lakehouse.rows("quarantine.rows"):
        assert all(f'"{name}":' in row["payload"] for name in ("topic", "partition", "offset"))


def test_offsets_that_landed_twice_in_other_cuts_are_rows_once(make_lakehouse):
    lakehouse = make_lakehouse(EVENTS, PRODUCTS)
    landing, counted = Landing(lakehouse.settings.root), Counted()
    records = records_of(counted, 100, Shares())
    land(landing, records, 60)
    land(landing, records, 45, begin=15)
    assert lakehouse.build() == {}
    assert dict(Counter(row["message_key"] for row in lakehouse.rows("silver.orders_events"))) == dict(counted.lines)
    [silver] = lakehouse.accounts("silver", "orders_events").values()
    assert silver[0] == silver[1] + silver[2] + silver[3]
    assert silver[1] == counted.lines.total()
    assert silver[3] > 0


def test_objects_of_nothing_but_unreadable_records_are_no_refused_files(make_lakehouse):
    lakehouse = make_lakehouse(EVENTS, PRODUCTS)
    records = [Record(n, b"k", b"not JSON", (), None) for n in range(3)]
    land(Landing(lakehouse.settings.root), records, 10)
    assert lakehouse.build() == {}
    assert [row["row_number"] for row in lakehouse.rows("quarantine.rows", order="row_number")] == [1, 2, 3]
