"""Drains in Dagster: a sensor that is on where a broker is named, and asks for a drain only if the topic is ahead."""

import dagster as dg
import pytest

from lakehouse_assets.errors import SettingsError
from lakehouse_assets.orchestration import drains
from lakehouse_assets.settings import topics_of
from lakehouse_assets.systems.orders import EVENTS

pytestmark = pytest.mark.worlds("sail-folder")


def sensor_of(lakehouse, **settings):
    changed = lakehouse.settings.model_copy(update=settings)
    [sensor] = drains.drain_sensors(changed, lakehouse.catalog)
    return sensor


def test_it_is_on_only_where_a_broker_is_named(make_lakehouse):
    lakehouse = make_lakehouse(EVENTS)
    assert sensor_of(lakehouse, kafka_bootstrap_servers=None).default_status == dg.DefaultSensorStatus.STOPPED
    assert sensor_of(lakehouse, kafka_bootstrap_servers="k:9092").default_status == dg.DefaultSensorStatus.RUNNING


@pytest.mark.parametrize(("lag", "requests"), [({0: 0, 1: 0}, 0), ({0: 0, 1: 7}, 1)])
def test_it_asks_for_a_drain_if_the_topic_is_ahead(make_lakehouse, monkeypatch, lag, requests):
    monkeypatch.setattr(drains, "lag", lambda source, landing: lag)
    sensor = sensor_of(make_lakehouse(EVENTS), kafka_bootstrap_servers="k:9092")
    with dg.DagsterInstance.ephemeral() as instance:
        result = sensor(dg.build_sensor_context(instance))
    assert isinstance(result, dg.RunRequest) is bool(requests)
    assert ("lag 0" in (result.skip_message or "")) if not requests else result.tags["lakehouse/lag"] == "7"


def test_topics_may_have_other_names_than_feeds_declare():
    declared = {"orders/order_events": "orders", "shop/payments": "payments"}
    assert topics_of(declared, "") == list(declared.items())
    assert topics_of(declared, "orders") == [("orders/order_events", "orders")]
    assert topics_of(declared, "shop/payments=p.v2, orders") == [("shop/payments", "p.v2"), ("orders/order_events", "orders")]
    for wrong, says in (
        ("other", "write system/entity=other"),
        ("x/y=z", "not a feed with a topic"),
        ("shop/payments=_z", "can be landed"),
    ):
        with pytest.raises(SettingsError, match=says):
            topics_of(declared, wrong)
