"""What of landing is listed, and how files are told apart."""

import os
import shutil
from datetime import date
from pathlib import Path

import pytest

from lakehouse_assets.landing import store as landing_store
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.store.root import Root
from tests.support.hand import eraser, hand
from tests.support.orders import DAY1, DAY2, ORDERS, csv

START = date(2026, 1, 1)
DAYS = [date(2026, 1, 1), date(2026, 1, 2), date(2026, 2, 1)]
ENTITY = "landing/shop/orders/"


@pytest.fixture
def listed(monkeypatch):
    """The listings of a folder: prefix, first and last date."""
    calls = []
    result = landing_store.Folder.found
    monkeypatch.setattr(landing_store.Folder, "found", lambda self, *what: calls.append(what) or result(self, *what))
    return calls


@pytest.fixture
def three_days(landing, put):
    """A file on each of three days, and what must not be taken for one of them."""
    for day in DAYS:
        put(f"{ENTITY}{day}/a.csv", b"id\n1\n")
    for near in ("2026-01-02-old", "2026-01-020", "2026-01-02.bak"):
        put(f"{ENTITY}{near}/a.csv", b"id\n1\n")
    put("landing/shop/orders_old/2026-01-01/a.csv", b"id\n1\n")
    return landing


def dates(listing):
    return [o.date for o in listing.objects]


def test_a_feed_is_listed_without_its_neighbours(three_days):
    assert dates(three_days.listing("shop/orders", START)) == DAYS
    assert three_days.dates("shop/orders", START) == DAYS


def test_the_dates_of_a_run_are_listed_from_the_first_to_the_last(three_days):
    assert dates(three_days.listing("shop/orders", START, DAYS[1:])) == DAYS[1:]
    assert dates(three_days.listing("shop/orders", START, DAYS[:2])) == DAYS[:2]
    assert dates(three_days.listing("shop/orders", START, [DAYS[1]])) == [DAYS[1]]
    assert dates(three_days.listing("shop/orders", START, [date(2026, 3, 1)])) == []
    assert dates(three_days.listing("shop/orders", START, [])) == []


def test_a_listing_ends_with_the_date_that_has_enough_objects(landing, put):
    for day in DAYS:
        for name in ("a.csv", "b.csv", "c.csv"):
            put(f"{ENTITY}{day}/{name}", b"id\n1\n")
    some = landing.listing("shop/orders", START, DAYS, at_least=4)
    assert dates(some) == [DAYS[0]] * 3 + [DAYS[1]] * 3
    assert some.until == DAYS[1]
    assert landing.listing("shop/orders", START, DAYS, at_least=7).until is None


def test_a_feed_without_a_folder_has_no_objects(landing):
    assert landing.dates("shop/orders", START) == []
    assert landing.listing("shop/orders", START).objects == []


@pytest.mark.parametrize("store", ["minio"], indirect=True)  # one of the stores is enough
def test_more_folders_and_objects_than_a_page_has(landing, put):
    days = [date.fromordinal(START.toordinal() + n) for n in range(3)]
    for number in range(1_050):
        put(f"{ENTITY}{number:04}-junk/a.csv", b"")
    for day in days:
        put(f"{ENTITY}{day}/a.csv", b"id\n1\n")
    assert landing.dates("shop/orders", START) == days
    assert dates(landing.listing("shop/orders", START)) == days


@pytest.mark.worlds("sail-folder")
def test_neither_plan_nor_build_lists_more_than_the_entity_or_the_dates(make_lakehouse, listed):
    shop = make_lakehouse(ORDERS)
    for day in (DAY1, DAY2):
        shop.land("shop/orders", day, "a.csv", csv(("A", 1, 1)))
    assert shop.build() == {}
    assert shop.plan().is_empty
    assert set(listed) == {(ENTITY, "", ""), (ENTITY, DAY1, DAY2)}


def version(landing):
    [result] = landing.listing("shop/orders", START).objects
    assert landing.version(result) == result.version
    return result.version


def test_an_upload_of_other_bytes_in_the_same_second_and_size_is_another_version(landing, put):
    versions = set()
    for content in (b"id\n1\n", b"id\n2\n", b"id\n3\n"):
        put(f"{ENTITY}{DAYS[0]}/a.csv", content)
        versions.add(version(landing))
    assert len(versions) == 3


def test_a_copy_that_keeps_the_time_of_the_old_file_is_another_version(tmp_path):
    root = Root.parse(str(tmp_path / "lakehouse"))
    path = Path(root.uri, f"{ENTITY}{DAYS[0]}/a.csv")
    versions = set()
    for content in (b"id\n1\n", b"id\n2\n"):
        hand(root)(f"{ENTITY}{DAYS[0]}/a.csv", content)
        os.utime(path, (1_760_000_000, 1_760_000_000))
        versions.add(version(Landing(root)))
    assert len(versions) == 2


def test_files_of_the_same_second_are_all_found(landing, put):
    for number in range(30):
        put(f"{ENTITY}{DAYS[0]}/{number:02}.csv", b"id\n%d\n" % number)
    assert [o.name for o in landing.listing("shop/orders", START).objects] == [f"{n:02}.csv" for n in range(30)]


def test_removed_files_and_dates_are_gone(three_days):
    erase = eraser(three_days.root)
    erase(f"{ENTITY}{DAYS[0]}/a.csv")
    assert dates(three_days.listing("shop/orders", START)) == DAYS[1:]
    if folder := three_days.root.local_folder:
        shutil.rmtree(folder / ENTITY)
        assert three_days.dates("shop/orders", START) == []
    else:
        assert three_days.dates("shop/orders", START) == DAYS[1:]


def test_a_file_that_goes_while_landing_is_listed_is_no_error(landing, put):
    for day in DAYS:
        put(f"{ENTITY}{day}/a.csv", b"id\n1\n")
    stream = landing._store.found(ENTITY)
    first = next(stream)
    for day in DAYS[1:]:
        eraser(landing.root)(f"{ENTITY}{day}/a.csv")
    assert first.key == f"{ENTITY}{DAYS[0]}/a.csv"
    assert all(stored.fault is None for stored in stream)
    assert dates(landing.listing("shop/orders", START)) == [DAYS[0]]


def test_what_lies_in_no_feed_s_folder_is_named(three_days, put):
    for key in ("typo/2026-01-01/a.csv", "orders/2026-01-01/a.csv", "late.csv", "_doc/a.txt"):
        put(f"landing/shop/{key}", b"id\n1\n")
    for key in ("sap/orders/2026-01-01/a.csv", "notes.txt", ".trash/a.csv", "x.part"):
        put(f"landing/{key}", b"id\n1\n")
    message = dict(three_days.strangers(["shop/orders", "shop/letters", "bank/accounts"]))
    assert sorted(message) == [
        "landing/notes.txt",
        "landing/sap/",
        "landing/shop/late.csv",
        "landing/shop/orders_old/",
        "landing/shop/typo/",
    ]
    assert message["landing/shop/orders_old/"] == ("no feed lands there, so nothing in it is loaded: did you mean shop/orders?")
    assert "feeds land in bank/accounts, shop/letters, shop/orders" in message["landing/sap/"]
    assert "is beside the folders" in message["landing/notes.txt"]


def test_nothing_is_strange_about_a_landing_without_files(landing):
    assert landing.strangers(["shop/orders"]) == []
