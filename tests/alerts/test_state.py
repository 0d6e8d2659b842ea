"""What the books show: one lakehouse with one thing of each kind wrong, as it is found, and as messages speak of it."""

import dataclasses
from datetime import UTC, date, datetime, timedelta

import pytest

from lakehouse_assets.alerts.incidents import NOTES, OF_BOOKS, Kind
from lakehouse_assets.alerts.message import written
from lakehouse_assets.alerts.rounds import pace_of
from lakehouse_assets.alerts.state import found_in_books
from lakehouse_assets.alerts.telling import Topic, Wishes, due, observed, open_now
from lakehouse_assets.books.manifest import Manifests
from lakehouse_assets.contracts.contract import Volume
from lakehouse_assets.contracts.deliveries import Due
from lakehouse_assets.delta.tables import open_table
from tests.support.group import PRODUCTS
from tests.support.lakehouse import Lakehouse
from tests.support.things import entity

pytestmark = pytest.mark.worlds("sail-folder")

PERSON = "jo.doe@example.com"
NOW = datetime(2026, 1, 9, 9, tzinfo=UTC)
ALL = Wishes("a", frozenset(Topic))


def things():
    plain = entity("upsert")
    [given] = plain.inputs
    feed = dataclasses.replace(given.feed, due=Due(by="06:00", since=date(2026, 1, 1)))
    contract = dataclasses.replace(plain.contract, freshness=timedelta(days=1), volume=Volume(dates=5, at_least=3))
    return dataclasses.replace(plain, contract=contract, inputs=(dataclasses.replace(given, feed=feed),))


def csv(*values: str) -> str:
    return "id,changed,said,op,sent\n" + "".join(f"{n},1,{value},u,x\n" for n, value in enumerate(values))


@pytest.fixture(scope="module")
def built(world, engine):
    """Three sound days; one with too few rows, one with bad rows, one that is refused; a file that is none; an export that shrank."""
    lakehouse = Lakehouse(world.settings(), [things(), PRODUCTS], engine)
    for day in range(1, 4):
        lakehouse.land("shop/things", f"2026-01-0{day}", "a.csv", csv(*["x"] * 10))
    lakehouse.land("shop/things", "2026-01-04", "a.csv", csv("x"))
    lakehouse.land("shop/things", "2026-01-05", "a.csv", csv(*["x"] * 8, "bad", f"bad {PERSON}", "bad"))
    lakehouse.land("shop/things", "2026-01-06", "a.csv", csv(*["x"] * 9, "fatal"))
    lakehouse.land("shop/things", "2026-01-05", f"{PERSON}.csv", f"address\n{PERSON}\n")
    lakehouse.land("shop/products", "2026-01-01", "a.csv", "id,at,said,sent\n" + "".join(f"{n},1,x,a\n" for n in range(9)))
    lakehouse.land("shop/products", "2026-01-08", "a.csv", "id,at,said,sent\n1,1,x,a\n")
    lakehouse.build()
    return lakehouse


@pytest.fixture(scope="module")
def found(built):
    return found_in_books(built.settings, built.catalog, NOW)


def test_each_thing_that_is_wrong_is_an_incident(found):
    assert found.kinds == OF_BOOKS
    by_kind = {}
    for incident in found.incidents:
        by_kind.setdefault(incident.kind, []).append((incident.place, incident.detail))
    assert by_kind == {
        Kind.refused_partition: [("silver.shop_things", "2026-01-06")],
        Kind.quarantine: [("silver.shop_things", "2026-01-05")],
        Kind.refused_file: [("raw.shop_things", "2026-01-05/***")],
        Kind.volume: [("silver.shop_things", "2026-01-04")],
        Kind.delivery: [
            ("shop/things", "2026-01-07/due"),
            ("shop/things", "2026-01-08/due"),
            ("shop/things", "2026-01-09/due"),
        ],
        Kind.held_delivery: [("shop/products", "2026-01-08")],
        Kind.stale: [("silver.shop_things", "")],
        Kind.digest: [("2026-01-09", "")],
    }


def test_messages_say_how_many_and_hold_nothing_of_a_row_or_a_person(found, built):
    records = observed({}, found, [ALL], NOW, pace_of(built.settings))
    message = written(due(records, ALL, NOW, pace_of(built.settings)), open_now(records), found.summary, "here")
    for text in (
        "1 rows came in on 2026-01-04; 10 are usual.",
        "the delivery of 2026-01-08 has 1 rows, the one before 9",
        "its newest rows are of 2026-01-05; files of 2026-01-08 have landed. Up to 1 days are allowed.",
        "The newest files are of 2026-01-08: 1 rows for 1 tables; 1 loaded, 0 in quarantine.",
    ):
        assert text in message.text
    for secret in (PERSON, "jo.doe", "fatal", "bad"):
        assert secret not in message.text + message.title + repr(records)


def test_old_dates_are_not_watched_and_thresholds_are_settings(built):
    def kinds(**settings):
        changed = built.settings.model_copy(update=settings)
        return {i.kind for i in found_in_books(changed, built.catalog, NOW).incidents}

    assert not kinds(lakehouse_alert_days=2) & {Kind.quarantine, Kind.volume, Kind.refused_file}
    assert Kind.quarantine in kinds(lakehouse_alert_quarantined=0.18)
    assert Kind.quarantine not in kinds(lakehouse_alert_quarantined=0.19)
    strict = found_in_books(built.settings.model_copy(update={"lakehouse_alert_quarantined": 0.05}), built.catalog, NOW)
    # What is in quarantine of raw is the file of which nothing could be loaded.
    assert [i.place for i in strict.incidents if i.kind is Kind.quarantine] == ["silver.shop_things"]
    assert Kind.digest not in kinds(lakehouse_alert_digest_hour=10)


def test_what_is_mended_is_an_incident_no_more(built, found):
    built.land("shop/things", "2026-01-06", "a.csv", csv(*["x"] * 10))
    built.build_raw(built.tables[0], [date(2026, 1, 6)])
    assert Kind.refused_partition not in {i.kind for i in found_in_books(built.settings, built.catalog, NOW).incidents}
    built.land("shop/things", "2026-01-08", "a.csv", csv(*["x"] * 10))
    assert built.build() == {}
    now = found_in_books(built.settings, built.catalog, NOW)
    gone = {i.key for i in found.incidents} - {i.key for i in now.incidents}
    assert gone == {
        "refused_partition/silver.shop_things/2026-01-06",
        "delivery/shop/things/2026-01-08/due",
        "stale/silver.shop_things",
    }


def test_a_model_that_failed_is_behind_and_a_pass_that_did_not_is_a_success(built):
    opened = {("gold", name): open_table(built.settings.root.table("silver", "shop_things")) for name in ("dim_a", "dim_b")}
    for failed, kind, place in ((["dim_b"], Kind.behind, "gold.dim_b"), ([], Kind.success, "pass:2")):
        Manifests(built.settings.root).publish(
            opened, built=opened and ["dim_b"] if not failed else [], failed=failed, run_id="run"
        )
        found = found_in_books(built.settings, built.catalog, datetime.now(UTC)).incidents
        assert [i.place for i in found if i.kind in (Kind.behind, Kind.success)] == [place]
        assert kind in {i.kind for i in found}
    assert Kind.success in NOTES
