"""The drain against a real broker: each record lands once, whoever drains and wherever a drain ends, and no fault is silent."""

import contextlib
import gzip
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import obstore
import pytest
from confluent_kafka import Producer

from lakehouse_assets.errors import BrokerAwayError, DrainError
from lakehouse_assets.landing.drain import broker as broker_module
from lakehouse_assets.landing.drain import drain as drain_module
from lakehouse_assets.landing.drain.broker import Access, Broker
from lakehouse_assets.landing.drain.drain import Limits, Source, drain, lag
from lakehouse_assets.landing.drain.names import Head, Name
from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.services.kafka import Kafka
from lakehouse_assets.services.service import free_port
from lakehouse_assets.store.root import Root
from tests.support.broker import FEED, START, GuardedKafka, Topic, broker_in, certificates, running

SMALL = Limits(batch_records=20)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory) -> Iterator[Kafka]:
    with running(broker_in(tmp_path_factory.mktemp("kafka"))) as started:
        yield started


@pytest.fixture
def topic(kafka) -> Topic:
    return Topic(kafka.address).create()


@pytest.fixture
def landing(root: Root) -> Landing:
    return Landing(root)


@pytest.fixture(autouse=True)
def _small_takes(monkeypatch):
    """A batch is looked at after each take: so that few records make several."""
    monkeypatch.setattr(drain_module, "_TAKEN_AT_ONCE", 10)


def values(count, start=0):
    return [json.dumps({"n": n}).encode() for n in range(start, start + count)]


def landed(landing: Landing) -> list[dict]:
    """All lines of all objects."""
    return [
        json.loads(text)
        for path, _ in landing.root.files("landing")
        for text in gzip.decompress(bytes(obstore.get(landing.root.store, path).bytes())).splitlines()
    ]


def numbers(landing: Landing) -> Counter:
    return Counter(row["value"]["n"] for row in landed(landing) if row["value"])


def once(count: int) -> Counter:
    return Counter(range(count))


def test_each_record_lands_once_and_the_next_drain_goes_on_from_landing(topic, landing):
    topic.send(values(100))
    done = drain(topic.source, landing, SMALL)
    assert (done.records, done.unreadable, sum(done.lag.values())) == (100, 0, 0)
    assert done.objects >= 4
    assert numbers(landing) == once(100)
    assert {row["headers"][0]["value"] for row in landed(landing)} == {"tests"}
    assert all(row["key"] == str(row["value"]["n"]) for row in landed(landing))
    assert drain(topic.source, landing, SMALL).objects == 0
    topic.send(values(30, 100))
    assert sum(lag(topic.source, landing).values()) == 30
    elsewhere = Source(FEED, topic.name, Access(topic.address, group="another"), START)  # nothing depends on the group
    assert drain(elsewhere, landing, SMALL).records == 30
    assert numbers(landing) == once(130)
    assert sum(lag(topic.source, landing).values()) == 0


def test_objects_are_named_by_their_position_and_say_where_they_end(topic, landing):
    topic.send(values(45), partition=1)
    done = drain(topic.source, landing, SMALL)
    today = datetime.now(UTC).date().isoformat()
    files = sorted(path for path, _ in landing.root.files("landing"))
    at = 0
    for path in files:
        assert path.startswith(f"landing/{FEED}/{today}/{topic.name}-1-{at:020d}-{done.topic_id}")
        head = Head.of(bytes(obstore.get_range(landing.root.store, path, start=0, length=200)))
        at += head.records
        assert head.next == at
    assert at == 45


def test_an_object_is_of_the_date_of_its_first_record_but_never_before_the_one_ahead_of_it_nor_in_the_future(topic, landing):
    def send(moment: str, partition=0):
        producer = topic.producer()
        stamp = int(datetime.fromisoformat(f"{moment}T12:00+00:00").timestamp() * 1000)
        producer.produce(topic.name, value=b'{"n": 1}', partition=partition, timestamp=stamp)
        producer.flush()

    days = []
    for moment in ("2020-01-01", "2026-03-04", "2026-03-02", "2999-01-01"):
        send(moment)
        drain(topic.source, landing, Limits())
        days.append(max(path.split("/")[3] for path, _ in landing.root.files("landing")))
    assert days == ["2026-01-01", "2026-03-04", "2026-03-04", datetime.now(UTC).date().isoformat()]
    assert drain(topic.source, landing, Limits()).records == 0


def test_an_object_that_someone_packed_again_still_says_where_to_go_on(topic, landing):
    topic.send(values(10), partition=0)
    drain(topic.source, landing, Limits())
    [(path, _)] = landing.root.files("landing")
    obstore.put(landing.root.store, path, gzip.compress(gzip.decompress(bytes(obstore.get(landing.root.store, path).bytes()))))
    assert drain(topic.source, landing, Limits()).records == 0
    obstore.put(landing.root.store, path, b"cut off")
    with pytest.raises(DrainError, match="unknown up to which offset"):
        drain(topic.source, landing, Limits())


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_is_read(topic, landing, codec):
    topic.send(values(50), **{"compression.type": codec, "linger.ms": 50})
    drain(topic.source, landing, Limits())
    assert numbers(landing) == once(50)


def test_only_committed_records_land_and_markers_are_no_lag(topic, landing):
    producer: Producer = topic.producer(**{"transactional.id": topic.name})
    producer.init_transactions()
    for begin, ends in ((0, True), (100, False), (10, True)):
        producer.begin_transaction()
        for value in values(10, begin):
            producer.produce(topic.name, value=value, partition=0)
        producer.commit_transaction() if ends else (producer.flush(), producer.abort_transaction())
    done = drain(topic.source, landing, SMALL)
    assert numbers(landing) == once(20)
    assert done.records == 20
    assert sum(lag(topic.source, landing).values()) == 0
    producer.begin_transaction()
    producer.produce(topic.name, value=b'{"n": 20}', partition=0)
    producer.flush()
    assert drain(topic.source, landing, SMALL).records == 0  # it is not committed yet
    producer.commit_transaction()
    assert drain(topic.source, landing, SMALL).records == 1
    assert numbers(landing) == once(21)


def test_what_the_broker_deleted_before_it_was_drained_is_noted(topic, landing):
    topic.send(values(10), partition=0)
    drain(topic.source, landing, Limits())
    topic.send(values(10, 10), partition=0)
    topic.delete_before(0, 15)
    done = drain(topic.source, landing, Limits())
    assert (done.lost, done.records) == (5, 5)
    assert "5 offsets were deleted" in done.warnings[0]
    [note] = [row for row in landed(landing) if "last_offset" in row]
    assert (note["offset"], note["last_offset"]) == (10, 14)
    assert drain(topic.source, landing, Limits()).warnings == []
    assert numbers(landing) == Counter([*range(10), *range(15, 20)])


def test_a_topic_made_anew_is_drained_from_its_beginning_and_said(topic, landing):
    topic.send(values(10))
    before = drain(topic.source, landing, Limits())
    topic.delete()
    time.sleep(0.5)
    topic.create()
    topic.send(values(10, 10))
    after = drain(topic.source, landing, Limits())
    assert after.topic_id != before.topic_id
    assert "made anew" in after.warnings[0]
    assert numbers(landing) == once(20)
    assert drain(topic.source, landing, Limits()).warnings == []


def test_more_partitions_are_drained_too(topic, landing):
    topic.send(values(10))
    drain(topic.source, landing, Limits())
    topic.grow(4)
    time.sleep(0.5)
    topic.send(values(40, 10))
    assert len(drain(topic.source, landing, Limits()).next) == 4
    assert numbers(landing) == once(50)


def test_a_broker_with_fewer_records_than_have_landed_is_refused(topic, landing):
    topic.send(values(10), partition=0)
    done = drain(topic.source, landing, Limits())
    name = Name(topic.name, done.topic_id, 0, 10)
    landing.put_new(FEED, datetime.now(UTC).date(), str(name), Head(50, 40).gzip_header())
    with pytest.raises(DrainError, match="ends at offset 10, but landing has it up to 50"):
        drain(topic.source, landing, Limits())


def test_no_topic_and_no_broker_are_said(kafka, landing, monkeypatch):
    with pytest.raises(DrainError, match="has no topic nothing"):
        drain(Topic(kafka.address, "nothing").source, landing, Limits())
    monkeypatch.setattr(broker_module, "ANSWER_SECONDS", 1.0)
    with pytest.raises(BrokerAwayError, match="does not answer within 1 s"):
        drain(Topic(f"127.0.0.1:{free_port(0)}").source, landing, Limits())


def test_two_drains_at_once_land_each_record_once(topic, landing):
    topic.send(values(2_000))
    limits = [Limits(batch_records=70), Limits(batch_records=110)]
    done = []
    threads = [threading.Thread(target=lambda x=x: done.append(drain(topic.source, landing, x))) for x in limits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(d.records for d in done) == 2_000
    assert numbers(landing) == once(2_000)


class Killed(BaseException):
    """What ends a drain where a test wants it to."""


@pytest.mark.parametrize("seed", range(3))
def test_a_drain_that_is_killed_anywhere_leaves_each_record_once(topic, landing, monkeypatch, seed):
    _kill_and_go_on(topic, landing, monkeypatch, random.Random(seed), 6)


@pytest.mark.soak
def test_fifty_kills(topic, landing, monkeypatch):
    _kill_and_go_on(topic, landing, monkeypatch, random.Random(50), 50)


def _kill_and_go_on(topic, landing, monkeypatch, draw, kills):
    """Kill drains before and after a put, and where they ask the broker, while records come; then let one end."""
    sent, put_new, state = 0, Landing.put_new, Broker.state
    for _ in range(kills):
        count = draw.randint(0, 80)
        topic.send(values(count, sent))
        sent += count
        left = [draw.randint(0, 12)]
        puts_first = draw.random() < 0.5

        def dies(left=left):
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        def put(self, *arguments, puts_first=puts_first, dies=dies):
            if not puts_first:
                dies()
            is_new = put_new(self, *arguments)
            if puts_first:
                dies()
            return is_new

        def ask(self, dies=dies):
            dies()
            return state(self)

        with monkeypatch.context() as patch:
            patch.setattr(Landing, "put_new", put)
            patch.setattr(Broker, "state", ask)
            with contextlib.suppress(Killed):
                drain(topic.source, landing, Limits(batch_records=draw.randint(1, 40)))
    drain(topic.source, landing, SMALL)
    assert numbers(landing) == once(sent)


def test_a_drain_that_follows_lands_what_comes_and_outlives_the_broker(tmp_path, landing, monkeypatch):
    monkeypatch.setattr(broker_module, "ANSWER_SECONDS", 5.0)
    monkeypatch.setattr(drain_module, "_LOOK_SECONDS", 1.0)
    kafka = broker_in(tmp_path / "kafka")
    stop, messages = threading.Event(), []
    with running(kafka):
        topic = Topic(kafka.address).create()
        limits = Limits(follow=True, interval=0.5, linger=0.1)
        done = []
        thread = threading.Thread(
            target=lambda: done.append(drain(topic.source, landing, limits, messages.append, stop.is_set)), daemon=True
        )
        thread.start()
        topic.send(values(50))
        _wait_for(lambda: numbers(landing) == once(50), 60)
        kafka.down(print)
        _wait_for(lambda: any("Waiting for it" in text for text in messages), 60)
        kafka.up(print)
        topic.send(values(50, 50))
        _wait_for(lambda: numbers(landing) == once(100), 60)
        stop.set()
        thread.join(30)
    assert done[0].records == 100
    assert any("answers again" in text for text in messages)


def _wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def test_tls_and_scram(tmp_path, landing, monkeypatch):
    secret = "a-secret-of-tests"
    pem = certificates(tmp_path / "pem")
    kafka = broker_in(tmp_path / "kafka", GuardedKafka, certificates=pem, user="drain", password=secret)
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", secret)
    options = {
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "drain",
        "sasl.password": secret,
        "ssl.ca.location": f"{pem}/ca.pem",
    }
    with running(kafka):
        topic = Topic(kafka.address, options=options).create()
        topic.send(values(20))
        good = Access(kafka.address, "sasl_ssl", "SCRAM-SHA-512", "drain", ca=f"{pem}/ca.pem", group="g")
        assert drain(Source(FEED, topic.name, good, START), landing, Limits()).records == 20
        assert numbers(landing) == once(20)

        monkeypatch.setattr(broker_module, "ANSWER_SECONDS", 3.0)
        for wrong, password, says in (
            (good, "wrong", "refuses this user"),
            (Access(kafka.address, "sasl_ssl", "SCRAM-SHA-512", "drain"), secret, "can't be spoken to by TLS"),
            (Access(kafka.address), secret, "KAFKA_SECURITY_PROTOCOL"),
        ):
            monkeypatch.setenv("KAFKA_SASL_PASSWORD", password)
            with pytest.raises(DrainError, match=says) as refused:
                drain(Source(FEED, topic.name, wrong, START), landing, Limits())
            assert password not in str(refused.value)
