"""A real Kafka broker for tests, and what producers and administrators do to it."""

import contextlib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from lakehouse_assets.landing.drain.broker import Access
from lakehouse_assets.landing.drain.drain import Source
from lakehouse_assets.services.kafka import Kafka
from lakehouse_assets.services.service import free_port
from lakehouse_assets.settings import Settings

FEED = "orders/order_events"
START = date(2026, 1, 1)


class GuardedKafka(Kafka):
    """A broker that speaks TLS, and asks who is there by SCRAM-SHA-512. `certificates` has ca.pem and broker.pem, with its key."""

    def __init__(self, *arguments: Any, certificates: Path, user: str, password: str) -> None:
        super().__init__(*arguments)
        self._certificates, self._user, self._password = certificates, user, password

    def prepare(self, tell) -> None:
        super().prepare(tell)
        text = self._properties.read_text().replace("PLAINTEXT:PLAINTEXT,", "PLAINTEXT:SASL_SSL,")
        scram = f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{self._user}" password="{self._password}";'
        self._properties.write_text(
            f"{text}sasl.enabled.mechanisms=SCRAM-SHA-512\n"
            "sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512\n"
            f"listener.name.plaintext.scram-sha-512.sasl.jaas.config={scram}\n"
            f"ssl.keystore.type=PEM\nssl.keystore.location={self._certificates}/broker.pem\n"
            f"ssl.truststore.type=PEM\nssl.truststore.location={self._certificates}/ca.pem\n"
        )

    def is_healthy(self) -> bool:
        context = ssl.create_default_context(cafile=str(self._certificates / "ca.pem"))
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=3) as plain:
                context.wrap_socket(plain, server_hostname="127.0.0.1").close()
        except OSError:
            return False
        return True

    def format_arguments(self) -> Sequence[str]:
        return ["--add-scram", f"SCRAM-SHA-512=[name={self._user},password={self._password}]"]


def broker_in(folder: Path, kind: type[Kafka] = Kafka, **options: Any) -> Kafka:
    """A broker with its data in a folder, not yet started."""
    jars = Settings().cache_folder / "jars"
    return kind(folder, free_port(0), free_port(0), jars, **options)


@contextlib.contextmanager
def running(kafka: Kafka) -> Iterator[Kafka]:
    kafka.up(print)
    try:
        yield kafka
    finally:
        kafka.down(print)


@dataclass
class Topic:
    """A topic of its own for a test."""

    address: str
    name: str = field(default_factory=lambda: f"t{uuid4().hex[:12]}")
    options: Mapping[str, Any] = field(default_factory=dict)

    def create(self, partitions: int = 2) -> "Topic":
        new = NewTopic(
            self.name, partitions, 1, config={"max.message.bytes": "4000000", "message.timestamp.after.max.ms": str(2**63 - 1)}
        )
        self.admin.create_topics([new])[self.name].result()
        deadline = time.monotonic() + 20
        while (
            self.name not in self.admin.list_topics(timeout=10).topics
            or len(self.admin.list_topics(self.name, timeout=10).topics[self.name].partitions) < partitions
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return self

    def delete(self) -> None:
        self.admin.delete_topics([self.name])[self.name].result()

    def grow(self, partitions: int) -> None:
        self.admin.create_partitions([NewPartitions(self.name, partitions)])[self.name].result()

    def delete_before(self, partition: int, offset: int) -> None:
        """Do what retention does."""
        place = TopicPartition(self.name, partition, offset)
        self.admin.delete_records([place])[place].result()

    def send(self, values: Sequence[bytes | None], partition: int | None = None, **options: Any) -> None:
        """Send values; their keys are their numbers."""
        producer = self.producer(**options)
        for number, value in enumerate(values):
            where = {} if partition is None else {"partition": partition}
            producer.produce(self.name, key=str(number), value=value, headers=[("source", b"tests")], **where)
        assert producer.flush(30) == 0

    def producer(self, **options: Any) -> Producer:
        return Producer(
            {"bootstrap.servers": self.address, "message.max.bytes": 4_000_000, "linger.ms": 1, **self.options, **options}
        )

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.address, **self.options})

    @property
    def source(self) -> Source:
        return Source(FEED, self.name, Access(self.address, group=f"g-{self.name}"), START)


def certificates(folder: Path) -> Path:
    """Make an authority, and the broker's certificate with its key, as PEM files."""
    folder.mkdir()

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(*new, "-x509", "-days", "2", "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(
        *new,
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=broker",
        "-addext",
        names,
        "-addext",
        "basicConstraints=CA:FALSE",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    )
    (folder / "broker.pem").write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return folder
