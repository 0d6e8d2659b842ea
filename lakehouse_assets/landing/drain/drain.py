"""The drain: takes the committed records of a topic and puts them into landing, a batch of a partition at a time.

Where to go on is read from landing, and a batch is put under the name of the position from which it goes on, if there is none yet. So a
record lands once, whatever happens: a drain that is killed has put a batch or not; of two that drain the same records one puts its
batch, and the other drops its own and goes on after that one. No drain assigns partitions to another: each drains all of them.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from lakehouse_assets.errors import BrokerAwayError, DrainError
from lakehouse_assets.landing.drain.broker import ANSWER_SECONDS, Access, Broker, is_passing
from lakehouse_assets.landing.drain.names import Head, Name
from lakehouse_assets.landing.drain.packed import Packed
from lakehouse_assets.landing.drain.positions import Position, positions
from lakehouse_assets.landing.drain.records import Place, Record, line, lost_line
from lakehouse_assets.landing.objects import Landing

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

Tell = Callable[[str], None]

_TAKEN_AT_ONCE = 5_000
_WAIT_SECONDS = 0.1
_AWAY_SECONDS = 0.5
_LOOK_SECONDS = 10.0
"""How often a drain that follows looks whether the topic has more partitions, or is another one."""


@dataclass(frozen=True)
class Source:
    """What is drained into what: a feed's folder, the topic, and who has it. No object is dated before `start`."""

    feed: str
    topic: str
    access: Access
    start: date

    def mark(self, landing: Landing, topic_id: str) -> str:
        """Return what tells a position that this lakehouse has told the consumer group from all others."""
        return sha256(f"{landing.root.uri} {self.feed} {topic_id}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Limits:
    """When a batch is put, and when a drain ends.

    A batch is put once it has `batch_bytes` (before packing) or `batch_records`; otherwise at the end of the topic or, while
    following, `linger` seconds after its first record, but no sooner than `interval` seconds after the partition's last one: so a
    partition has at most 86,400 / `interval` objects a day, and those that are full. A drain ends after `records`, or `seconds`.
    """

    batch_records: int = 100_000
    batch_bytes: int = 32 * 1024 * 1024
    interval: float = 15.0
    linger: float = 0.2
    records: int | None = None
    seconds: float | None = None
    follow: bool = False


@dataclass
class Drained:
    """What a drain did, and what is left.

    `unreadable` are those of the `records` that can't be rows, `lost` offsets that the broker had deleted, `conflicts` batches that
    another drain had put first. `lag` is by partition; so is `next`, the offset from which the next drain goes on. `latency` is how
    many seconds the oldest record of a batch had been in Kafka when it was in landing: of the last batch, and the worst.
    """

    topic: str
    topic_id: str
    records: int = 0
    unreadable: int = 0
    lost: int = 0
    objects: int = 0
    bytes: int = 0
    conflicts: int = 0
    seconds: float = 0.0
    latency: float | None = None
    worst_latency: float | None = None
    next: dict[int, int] = field(default_factory=dict)
    lag: dict[int, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds if self.seconds else 0.0

    @property
    def sentence(self) -> str:
        """What was done, in words."""
        sentence = f"{self.topic}: {self.records:,} records in {self.objects} objects, {self.rate:,.0f} a second; "
        sentence += f"lag {sum(self.lag.values()):,}."
        sentence += f" {self.unreadable:,} can't be read and go to quarantine." if self.unreadable else ""
        sentence += f" Another drain was first {self.conflicts} times." if self.conflicts else ""
        return sentence

    def to_json(self) -> dict[str, Any]:
        """Return all of it, for JSON and for metadata."""
        by_partition = {"next": self.next, "lag": self.lag}
        return {
            **vars(self),
            **{name: {str(p): n for p, n in sorted(values.items())} for name, values in by_partition.items()},
            "rate": round(self.rate, 1),
        }


@dataclass
class _Batch:
    """The records of a partition from a position on, as far as they were taken."""

    position: int
    day: date
    began: float
    first_time: float | None
    next: int = 0
    records: int = 0
    unreadable: int = 0
    lost: int = 0
    leader_epoch: int | None = None
    packed: Packed = field(default_factory=Packed)
    _waiting: list[bytes] = field(default_factory=list)

    def add(self, text: bytes) -> None:
        self._waiting.append(text)

    def pack(self) -> None:
        """Pack the lines added since. A call for each line would take longer."""
        if self._waiting:
            self.packed.add(b"".join(self._waiting))
            self._waiting = []


@dataclass
class _Partition:
    """A partition: from where it goes on, and what was taken of it since."""

    number: int
    next: int
    beginning: str
    end: int
    day: date = date.min
    empty_up_to: int = 0
    """Up to where the consumer has found no further record, but maybe markers of transactions."""
    put_at: float = float("-inf")
    batch: _Batch | None = None
    is_done: bool = False
    is_stale: bool = False
    """Whether records that were taken already are before or behind where it goes on now."""


def lag(source: Source, landing: Landing) -> dict[int, int]:
    """Return by partition how many offsets the topic is ahead of landing. Takes no record.

    Offsets of markers count as well, up to when a drain has told the consumer group that nothing is behind them.

    Raises:
        DrainError: the topic, or landing, can't be read.
    """
    broker = Broker(source.access, source.topic)
    state = broker.state()
    numbers = range(state.partitions)
    ends, begins = broker.ends(numbers), broker.begins(numbers)
    known = positions(landing, source.feed, source.topic, state.topic_id, [n for n in numbers if ends[n] > 0]).of
    ahead = {n: ends[n] - (known[n].next if n in known else begins[n]) for n in numbers}
    some = [n for n, count in ahead.items() if count > 0]
    reached = broker.reached(some, source.mark(landing, state.topic_id)) if some else {}
    return {n: max(0, min(ahead[n], ends[n] - reached.get(n, 0))) for n in numbers}


def drain(
    source: Source,
    landing: Landing,
    limits: Limits,
    tell: Tell = lambda text: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Drained:
    """Drain a topic up to where it ended at the beginning; or until `stopped`, if the limits say so.

    Raises:
        BrokerAwayError: no broker answers. While following, that is told and waited for.
        DrainError: the broker refuses, or has fewer records than have landed.
        SettingsError: the store refuses.
    """
    return _Drain(source, landing, limits, tell, stopped).run()


def drain_all(
    sources: Sequence[Source], landing: Landing, limits: Limits, tell: Tell, stopped: Callable[[], bool] = lambda: False
) -> list[Drained]:
    """Drain topics: one after another, or while following, all at once, until one of them fails.

    Raises:
        see `drain`.
    """
    if not limits.follow or len(sources) < 2:
        return [drain(source, landing, limits, tell, stopped) for source in sources]
    with ThreadPoolExecutor(len(sources), "drain") as pool:
        pending = {pool.submit(drain, source, landing, limits, tell, lambda: stopped() or failed()) for source in sources}

        def failed() -> bool:
            return any(future.done() and future.exception() is not None for future in pending)

        return [future.result() for future in pending]


class _Drain:
    def __init__(self, source: Source, landing: Landing, limits: Limits, tell: Tell, stopped: Callable[[], bool]) -> None:
        self._source, self._landing, self._limits = source, landing, limits
        self._tell, self._stopped = tell, stopped
        self._broker = Broker(source.access, source.topic)
        self._began = time.monotonic()
        self._partitions: dict[int, _Partition] = {}
        self._done = Drained(source.topic, "")
        self._is_away = False

    def run(self) -> Drained:
        """Drain; while following, begin again from what is in landing whenever no broker answers."""
        while True:
            try:
                self._drain()
                break
            except BrokerAwayError as error:
                if not self._limits.follow:
                    raise
                if self._stopped():
                    self._warn(f"{error} What was not landed yet is drained again by the next drain.")
                    break
                self._wait_for(error)
        self._done.seconds = round(time.monotonic() - self._began, 3)
        return self._done

    def _drain(self) -> None:
        self._partitions = {}
        self._state = self._broker.state()
        self._done.topic_id = self._state.topic_id
        self._consumer: Consumer = self._broker.consumer()
        try:
            self._assign(range(self._state.partitions))
            self._loop()
            self._finish()
        finally:
            self._consumer.close()

    def _wait_for(self, error: BrokerAwayError) -> None:
        """Say that no broker answers, once, and wait for a while."""
        if not self._is_away:
            self._tell(f"{error} Waiting for it.")
        self._is_away = True
        time.sleep(_AWAY_SECONDS)

    def _assign(self, numbers: "range | list[int]") -> None:
        """Go on with these partitions where landing ends.

        Raises:
            DrainError: the broker has fewer records than have landed.
        """
        from confluent_kafka import TopicPartition

        ends, begins = self._broker.ends(numbers), self._broker.begins(numbers)
        starts = positions(
            self._landing, self._source.feed, self._source.topic, self._state.topic_id, [n for n in numbers if ends[n] > 0]
        )
        if starts.former and not starts.of and not self._partitions:
            self._warn(
                f"The topic {self._source.topic} is another one than that which landed before (id {self._state.topic_id}, before "
                f"{', '.join(sorted({topic_id for topic_id, _ in starts.former}))}): it was made anew. It is drained from its "
                "beginning. What the former one had beyond what has landed can't be had any more."
            )
        place = Place(self._source.topic, self._state.topic_id, 0)
        assigned = []
        for n in numbers:
            at = starts.of.get(n, Position(begins[n], date.min))
            if at.next > ends[n]:
                raise DrainError(
                    f"Partition {n} of {self._source.topic} ends at offset {ends[n]}, but landing has it up to {at.next}: the broker "
                    "has lost records, or was restored from an older copy, and gives their offsets to others. Nothing is drained, "
                    "because these would be missing: make the topic anew, and it is drained from its beginning."
                )
            partition = _Partition(n, at.next, place._replace(partition=n).beginning, ends[n], day=at.date)
            partition.is_done = partition.next >= partition.end
            self._partitions[n] = partition
            if begins[n] > at.next:
                self._lose(partition, begins[n])
            # With the epoch of the last record, the broker tells if the log before was replaced by another.
            epoch = -1 if at.leader_epoch is None or begins[n] > at.next else at.leader_epoch
            assigned.append(TopicPartition(self._source.topic, n, max(at.next, begins[n]), leader_epoch=epoch))
        self._consumer.incremental_assign(assigned)

    def _lose(self, partition: _Partition, begin: int) -> None:
        """Note that the broker has deleted what was to be drained next: as a record of its own, which ends in quarantine."""
        lost = begin - partition.next
        self._warn(
            f"Partition {partition.number} of {self._source.topic} begins at offset {begin}, but landing ends at {partition.next}: "
            f"{lost:,} offsets were deleted before they were drained. They are noted in quarantine."
        )
        batch = self._batch(partition, None)
        batch.add(lost_line(Place(self._source.topic, self._state.topic_id, partition.number), partition.next, begin))
        batch.next, batch.lost = begin, lost
        partition.is_done = False

    def _loop(self) -> None:
        """Take records until there is nothing left to do."""
        self._heard = looked = time.monotonic()
        while not self._is_over():
            self._take_some()
            self._broker.refuse()
            now = time.monotonic()
            try:
                self._put_due()
                if self._limits.follow and now - looked > _LOOK_SECONDS:
                    looked = now
                    self._look()
                if self._is_away:
                    self._tell(f"Kafka at {self._source.access.servers} answers again.")
                self._is_away = False
            except BrokerAwayError as error:
                if not self._limits.follow:
                    raise
                self._wait_for(error)
            if not self._limits.follow and now - self._heard > 2 * ANSWER_SECONDS:
                raise BrokerAwayError(
                    f"Kafka at {self._source.access.servers} has sent nothing for {now - self._heard:.0f} s, although the topic "
                    f"{self._source.topic} goes on: is it up? What was drained is in landing."
                )

    def _take_some(self) -> None:
        """Take what the consumer has, and pack it."""
        for partition in self._partitions.values():
            partition.is_stale = False
        for message in self._consumer.consume(_TAKEN_AT_ONCE, _WAIT_SECONDS):
            self._take(message)
        for partition in self._partitions.values():
            if partition.batch is not None:
                partition.batch.pack()

    def _put_due(self) -> None:
        for partition in self._partitions.values():
            if partition.batch is not None and self._is_due(partition.batch, partition):
                self._put(partition)

    def _finish(self) -> None:
        """Put what was taken, and say how far this drain is."""
        for partition in self._partitions.values():
            self._put(partition)
        self._broker.state()  # a commit that waits for its answer would wait for a broker, too
        self._tell_group(waits=True)
        ends = self._broker.ends(list(self._partitions))
        for n, partition in self._partitions.items():
            self._done.next.setdefault(n, partition.next)
            self._done.lag[n] = max(0, ends[n] - self._done.next[n])

    def _is_over(self) -> bool:
        limits = self._limits
        if self._stopped():
            return True
        if limits.seconds is not None and time.monotonic() - self._began >= limits.seconds:
            return True
        if limits.records is not None and self._done.records + self._taken() >= limits.records:
            return True
        return not limits.follow and all(partition.is_done for partition in self._partitions.values())

    def _taken(self) -> int:
        return sum(p.batch.records for p in self._partitions.values() if p.batch is not None)

    def _take(self, message: "Message") -> None:
        """Take one record, or one error, in the order in which they come."""
        from confluent_kafka import KafkaError

        if (error := message.error()) is not None:
            partition = self._partitions.get(message.partition() if message.partition() is not None else -1)
            if error.code() == KafkaError._PARTITION_EOF and partition is not None:
                self._heard = time.monotonic()
                if not partition.is_stale:
                    partition.is_done, partition.empty_up_to = True, message.offset()
                    self._reach(partition)
                return
            self._fail(error, partition)
            return
        self._heard = time.monotonic()
        partition = self._partitions[message.partition()]
        offset = message.offset()
        if partition.is_stale or (partition.is_done and not self._limits.follow):
            return
        kind, milliseconds = message.timestamp()
        stamp = milliseconds if kind else None
        batch = partition.batch or self._batch(partition, stamp)
        record = Record(offset, message.key(), message.value(), message.headers() or (), stamp)
        text, is_row = line(partition.beginning, record)
        batch.add(text)
        batch.next = offset + 1
        batch.records += 1
        batch.unreadable += not is_row
        batch.leader_epoch = message.leader_epoch()
        if batch.first_time is None and stamp is not None:
            batch.first_time = stamp / 1000
        if offset + 1 >= partition.end and not self._limits.follow:
            partition.is_done = True

    def _batch(self, partition: _Partition, stamp: int | None) -> _Batch:
        """Begin a batch, whose date is that of its first record: no earlier than that of the one before, and not in the future."""
        seconds = None if stamp is None else stamp / 1000
        day = max(min(_day(stamp), datetime.now(UTC).date()), self._source.start, partition.day)
        partition.batch = _Batch(partition.next, day, time.monotonic(), seconds)
        return partition.batch

    def _is_due(self, batch: _Batch, partition: _Partition) -> bool:
        """Return whether to put a partition's batch now."""
        limits, now = self._limits, time.monotonic()
        if batch.records >= limits.batch_records or batch.packed.size >= limits.batch_bytes:
            return True
        if not limits.follow:
            return partition.is_done
        return now - batch.began >= limits.linger and now - partition.put_at >= limits.interval

    def _put(self, partition: _Partition) -> None:
        """Put a partition's batch, unless another drain has put one from its position on: then go on after that one."""
        batch = partition.batch
        if batch is None or batch.next <= batch.position:
            return
        batch.pack()
        self._check_topic()
        name = Name(self._source.topic, self._state.topic_id, partition.number, batch.position)
        content = batch.packed.content(Head(batch.next, batch.records, batch.leader_epoch))
        partition.batch = None
        if not self._landing.put_new(self._source.feed, batch.day, str(name), content):
            self._done.conflicts += 1
            self._go_on_after_other(partition)
            return
        partition.next, partition.day, partition.put_at = batch.next, batch.day, time.monotonic()
        done = self._done
        done.records += batch.records
        done.unreadable += batch.unreadable
        done.lost += batch.lost
        done.objects += 1
        done.bytes += len(content)
        if batch.first_time is not None:
            done.latency = round(time.time() - batch.first_time, 3)
            done.worst_latency = max(done.worst_latency or done.latency, done.latency)
        self._reach(partition)

    def _go_on_after_other(self, partition: _Partition) -> None:
        from confluent_kafka import TopicPartition

        starts = positions(self._landing, self._source.feed, self._source.topic, self._state.topic_id, [partition.number])
        at = starts.of[partition.number]
        partition.next, partition.day = at.next, at.date
        partition.is_stale, partition.is_done = True, partition.next >= partition.end
        self._consumer.seek(TopicPartition(self._source.topic, partition.number, at.next))

    def _check_topic(self) -> None:
        """Refuse to land records if the topic is another one by now: they could be the new one's.

        Raises:
            DrainError: it is.
        """
        state = self._broker.state()
        if state.topic_id != self._state.topic_id:
            raise DrainError(
                f"The topic {self._source.topic} was made anew while it was drained (id {state.topic_id}, before "
                f"{self._state.topic_id}). Drain again: the new one is drained from its beginning."
            )

    def _look(self) -> None:
        """While following, look whether the topic has more partitions, and tell how far this drain is."""
        self._check_topic()
        state = self._broker.state()
        if state.partitions > len(self._partitions):
            self._warn(f"The topic {self._source.topic} has {state.partitions} partitions now, {len(self._partitions)} before.")
            self._assign(list(range(len(self._partitions), state.partitions)))
        self._tell_group()

    def _fail(self, error: Any, partition: _Partition | None) -> None:
        """Raise an error of the consumer, unless it tries again by itself, or its offset is gone and that can be noted."""
        from confluent_kafka import KafkaError

        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE) and partition is not None:
            begin = self._broker.begins([partition.number])[partition.number]
            if begin > partition.next:
                self._skip(partition, begin)
                return
        if error.code() == KafkaError._LOG_TRUNCATION:
            raise DrainError(
                f"Partition of {self._source.topic}: the broker's log before the position where landing ends is not the one that was "
                "drained: records were lost and others took their offsets. Make the topic anew, and it is drained from its beginning."
            )
        if not is_passing(error):
            raise self._broker.error(error)

    def _skip(self, partition: _Partition, begin: int) -> None:
        """Go on where the broker begins, after it has deleted records while the drain was on its way to them."""
        from confluent_kafka import TopicPartition

        self._put(partition)
        if begin > partition.next:
            self._lose(partition, begin)
            self._consumer.seek(TopicPartition(self._source.topic, partition.number, begin))

    def _reach(self, partition: _Partition) -> None:
        """Note up to which position nothing is left to land."""
        if partition.batch is None:
            self._done.next[partition.number] = max(partition.next, partition.empty_up_to)

    def _tell_group(self, *, waits: bool = False) -> None:
        """Tell the consumer group how far this drain is, so that Kafka's own tools show the lag. Nothing goes on from there."""
        from confluent_kafka import KafkaException, TopicPartition

        mark = self._source.mark(self._landing, self._state.topic_id)
        offsets = [
            TopicPartition(self._source.topic, n, position, metadata=mark)
            for n, position in self._done.next.items()
            if position > 0
        ]
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=not waits)
            except KafkaException as error:
                self._warn(
                    f"{self._broker.error(error.args[0])} What was drained is in landing; Kafka's own tools show an older lag."
                )

    def _warn(self, text: str) -> None:
        self._done.warnings.append(text)
        self._tell(f"warning: {text}")


def _day(stamp: int | None) -> date:
    """Return the UTC date of a record's time; one beyond all others if it has none, or one that no calendar has."""
    if stamp is None:
        return date.max
    try:
        return datetime.fromtimestamp(stamp / 1000, UTC).date()
    except (ValueError, OverflowError, OSError):
        return date.max if stamp > 0 else date.min
