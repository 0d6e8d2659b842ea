"""Kafka as the drain and the producer need it: who is asked and how, a topic's id and ends, a consumer. Errors as plain sentences."""

import logging
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakehouse_assets.errors import BrokerAwayError, DrainError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError

ANSWER_SECONDS = 15.0
"""For how long an answer is waited for."""

_QUEUE_KIB = 32 * 1024
"""How much a consumer holds that nobody has taken yet. A store that is slow holds up the consumer, and that the broker."""

_FOR_NAMES = str.maketrans("+/", "-_")

LOG = logging.getLogger("lakehouse.kafka")
LOG.addHandler(logging.NullHandler())  # what matters of its log comes as an error, too


@dataclass(frozen=True)
class Access:
    """Which brokers are asked, and how. Passwords are read from the environment, when a client is made.

    `ca`, `certificate` and `key` are PEM files. `group` is the consumer group in which the drain tells others how far it is; nothing
    depends on it.
    """

    servers: str
    protocol: str = "plaintext"
    mechanism: str | None = None
    user: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    group: str = "lakehouse"

    def options(self) -> dict[str, Any]:
        """Return librdkafka's options for any client."""
        given = {
            "bootstrap.servers": self.servers,
            "security.protocol": self.protocol,
            "sasl.mechanism": self.mechanism,
            "sasl.username": self.user,
            "sasl.password": os.environ.get("KAFKA_SASL_PASSWORD"),
            "ssl.ca.location": self.ca,
            "ssl.certificate.location": self.certificate,
            "ssl.key.location": self.key,
            "ssl.key.password": os.environ.get("KAFKA_SSL_KEY_PASSWORD"),
        }
        return {name: value for name, value in given.items() if value} | {
            "client.id": "lakehouse",
            "socket.connection.setup.timeout.ms": 10_000,
            "reconnect.backoff.max.ms": 2_000,
        }


@dataclass(frozen=True)
class TopicState:
    """A topic as it is: its id, and how many partitions it has."""

    topic_id: str
    partitions: int


@dataclass
class Broker:
    """The brokers of a cluster, of which one topic is asked for.

    Raises (all methods):
        BrokerAwayError: none answers.
        DrainError: they refuse, or have no such topic.
    """

    access: Access
    topic: str
    _refusal: "KafkaError | None" = field(default=None, init=False)
    _admin_client: Any = field(default=None, init=False)

    def state(self) -> TopicState:
        """Return the topic's id and partitions."""
        from confluent_kafka import TopicCollection

        with self._explained():
            described = self._admin.describe_topics(TopicCollection([self.topic]), request_timeout=ANSWER_SECONDS)[
                self.topic
            ].result()
        # As Kafka's own tools write it, since it is a part of names: librdkafka's form of Base64 has slashes.
        return TopicState(str(described.topic_id).translate(_FOR_NAMES), len(described.partitions))

    def create(self, partitions: int = 3) -> None:
        """Create the topic if there is none, with as many copies as the brokers' default says."""
        from confluent_kafka import KafkaError, KafkaException
        from confluent_kafka.admin import NewTopic

        with self._explained():
            if self.topic in self._admin.list_topics(timeout=ANSWER_SECONDS).topics:
                return
            new = NewTopic(self.topic, partitions, replication_factor=-1)
            try:
                self._admin.create_topics([new], request_timeout=ANSWER_SECONDS)[self.topic].result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

    def begins(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the first offset that each partition still has."""
        from confluent_kafka.admin import OffsetSpec

        return self._offsets(partitions, OffsetSpec.earliest())

    def ends(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the offset after the last one of each partition that a consumer of committed records gets to."""
        from confluent_kafka.admin import OffsetSpec

        return self._offsets(partitions, OffsetSpec.latest())

    def reached(self, partitions: Collection[int], mark: str) -> dict[int, int]:
        """Return the position of each partition up to which a drain with this `mark` has told that nothing is left."""
        from confluent_kafka import KafkaException, TopicPartition

        # Not the admin client's list_consumer_group_offsets: of confluent-kafka 2.16.1, it ends the process if a coordinator has just
        # been chosen.
        consumer = self.consumer()
        try:
            committed = consumer.committed([TopicPartition(self.topic, p) for p in partitions], timeout=ANSWER_SECONDS)
        except KafkaException:
            return {}  # no drain has told anything, or this user may not read it: all that is ahead counts
        finally:
            consumer.close()
        return {t.partition: t.offset for t in committed if t.error is None and t.offset >= 0 and t.metadata == mark}

    def consumer(self) -> "Consumer":
        """Return a consumer of committed records that has nothing assigned. The caller closes it."""
        from confluent_kafka import Consumer

        with self._explained():
            return Consumer(
                self.access.options()
                | {
                    "group.id": self.access.group,
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "isolation.level": "read_committed",
                    # An offset that the broker doesn't have is a finding, not a reason to begin elsewhere.
                    "auto.offset.reset": "error",
                    "enable.partition.eof": True,
                    "check.crcs": True,
                    "queued.max.messages.kbytes": _QUEUE_KIB,
                    "error_cb": self._note,
                },
                logger=LOG,
            )

    def refuse(self) -> None:
        """Raise what the broker refused since it was last asked, if it did: a client tries again for ever, of no use."""
        if self._refusal is not None:
            raise self._error(self._refusal)

    def error(self, error: "KafkaError") -> DrainError:
        """Return an error of a client as a sentence."""
        return self._error(error)

    def _offsets(self, partitions: Collection[int], spec: Any) -> dict[int, int]:
        from confluent_kafka import IsolationLevel, TopicPartition

        asked = {TopicPartition(self.topic, p): spec for p in partitions}
        if not asked:
            return {}
        with self._explained():
            answers = self._admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=ANSWER_SECONDS
            )
            return {partition.partition: answer.result().offset for partition, answer in answers.items()}

    @property
    def _admin(self) -> Any:
        if self._admin_client is None:
            from confluent_kafka.admin import AdminClient

            self._admin_client = AdminClient(self.access.options() | {"error_cb": self._note}, logger=LOG)
        return self._admin_client

    def _note(self, error: "KafkaError") -> None:
        """Keep an error of which a client doesn't tell otherwise, because it tries again."""
        from confluent_kafka import KafkaError

        if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL) or error.fatal():
            self._refusal = error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from confluent_kafka import KafkaException

        self._refusal = None
        try:
            yield
        except KafkaException as error:
            if self._admin_client is not None:
                self._admin_client.poll(0)  # it has been told meanwhile why nobody answers
            raise self._error(self._refusal or error.args[0]) from None

    def _error(self, error: "KafkaError") -> DrainError:
        """Turn an error into what is wrong and what to do. librdkafka's own text is shown where it names no secret."""
        from confluent_kafka import KafkaError

        code, at = error.code(), f"Kafka at {self.access.servers}"
        if code == KafkaError._AUTHENTICATION or code == KafkaError.SASL_AUTHENTICATION_FAILED:
            return DrainError(
                f"{at} refuses this user: check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM "
                f"({self.access.mechanism or 'none is set'})."
            )
        if code == KafkaError._SSL:
            return DrainError(
                f"{at} can't be spoken to by TLS ({_kind(error)}): check KAFKA_SECURITY_PROTOCOL, and that KAFKA_SSL_CA names the "
                "PEM file of the authority that signed the broker's certificate."
            )
        if code == KafkaError._INVALID_ARG:
            return DrainError(f"{at}: a setting can't be used ({error.str()}). See KAFKA_* in .env.example.")
        if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION):
            return DrainError(f"{at} has no topic {self.topic}. Create it, or name another in KAFKA_TOPIC.")
        if code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
            return DrainError(f"{at} gives this user no right to the topic {self.topic}: give it READ and DESCRIBE.")
        if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return DrainError(
                f"{at} gives this user no right to the group {self.access.group}: give it READ, or name another in KAFKA_GROUP."
            )
        if code in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE):
            return BrokerAwayError(
                f"{at} does not answer within {ANSWER_SECONDS:.0f} s: is it up, is KAFKA_BOOTSTRAP_SERVERS right, and "
                f"KAFKA_SECURITY_PROTOCOL ({self.access.protocol}) that of its listener?"
            )
        if is_passing(error):
            return BrokerAwayError(f"{at} can't serve the topic {self.topic} at the moment ({error.str()}).")
        return DrainError(f"{at}: topic {self.topic}: {error.str()} ({error.name()}).")


def is_passing(error: "KafkaError") -> bool:
    """Return whether an error is one of the moment, such as while a broker starts or a partition gets another leader."""
    from confluent_kafka import KafkaError

    return error.retriable() or error.code() in {
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._WAIT_COORD,
    }


def _kind(error: "KafkaError") -> str:
    """Return what kind of TLS error it is. OpenSSL's text may repeat what it was sent."""
    text = error.str().lower()
    kinds = {
        "verify failed": "the certificate is not trusted",
        "wrong version": "the listener speaks no TLS",
        "disconnected": "it hangs up",
    }
    return next((kind for phrase, kind in kinds.items() if phrase in text), "the handshake fails")
