"""Sends records to a topic, as fast as the broker takes them or at a rate."""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from lakehouse_assets.errors import BrokerAwayError
from lakehouse_assets.landing.drain.broker import LOG, Broker

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

_GIVEN_UP_SECONDS = 60


def produce(
    broker: Broker,
    batches: Iterable[list[tuple[str, bytes | None]]],
    *,
    rate: float | None = None,
    compression: str = "zstd",
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Send the records of each batch, key and value, and return how many the broker has taken. `rate` is in batches a second.

    A topic that isn't there is created.

    Each is sent once, even if the broker's answer is lost (an idempotent producer).

    Raises:
        BrokerAwayError: no broker answers.
        DrainError: the broker refuses a record, or to create the topic.
    """
    from confluent_kafka import Producer

    broker.create()
    taken, refused = 0, None

    def note(error: "KafkaError | None", _: "Message") -> None:
        nonlocal taken, refused
        taken, refused = taken + (error is None), refused or error

    options = {
        "enable.idempotence": True,
        "compression.type": compression,
        "linger.ms": 5,
        "message.max.bytes": 4 * 1024 * 1024,
        "message.timeout.ms": _GIVEN_UP_SECONDS * 1000,
        # Of Java's clients: the same key goes to the same partition, whoever sends it.
        "partitioner": "murmur2_random",
    }
    producer = Producer(broker.access.options() | options | {"on_delivery": note}, logger=LOG)
    began = time.monotonic()
    for number, batch in enumerate(batches):
        for key, value in batch:
            while True:
                try:
                    producer.produce(broker.topic, key=key.encode(), value=value, headers=[("source", b"produce")])
                    break
                except BufferError:  # the broker is slower
                    producer.poll(0.1)
        producer.poll(0)
        if rate is not None and (ahead := (number + 1) / rate - (time.monotonic() - began)) > 0:
            time.sleep(ahead)
        if refused is not None or stopped():
            break
    left = producer.flush(_GIVEN_UP_SECONDS)
    if refused is not None:
        raise broker.error(refused)
    if left:
        raise BrokerAwayError(
            f"Kafka at {broker.access.servers} has not taken the last {left:,} records; {taken:,} are in the topic."
        )
    return taken
