"""What the drain costs: orders produced, drained into landing, and the same records by a bare consumer that throws them away.

    python benchmarks/stream.py [--orders 200000] [--partitions 3]

Runs a broker of its own. Each step is a process of its own: messages a second of wall and of CPU time, and its peak memory.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from measured import cost_of

from lakehouse_assets.services.kafka import Kafka
from lakehouse_assets.services.service import free_port
from lakehouse_assets.settings import Settings

BARE = """
import sys
from confluent_kafka import Consumer, TopicPartition
servers, topic = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": servers, "group.id": "bare", "enable.partition.eof": True, "enable.auto.commit": False,
    "isolation.level": "read_committed", "queued.max.messages.kbytes": 32768})
partitions = consumer.list_topics(topic).topics[topic].partitions
consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
count, left = 0, set(partitions)
while left:
    for message in consumer.consume(5000, 0.1):
        if message.error():
            left.discard(message.partition())
        else:
            count += len(message.value() or b"") >= 0
print(count)
"""


def main() -> None:
    """Measure, and print a line a step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=200_000)
    arguments = parser.parse_args()
    lakehouse = str(Path(sys.executable).with_name("lakehouse"))
    with tempfile.TemporaryDirectory(prefix="stream-") as place:
        folder = Path(place)
        kafka = Kafka(folder / "kafka", free_port(0), free_port(0), Settings().cache_folder / "jars")
        kafka.up(print)
        try:
            environment = {
                "LAKEHOUSE_ROOT": f"{place}/lakehouse",
                "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
                "KAFKA_TOPIC": "orders",
            }
            os.environ |= environment
            made = cost_of([lakehouse, "produce", "--count", str(arguments.orders), "--seed", "1", "--json"], environment, folder)
            records = json.loads(made.output)["records"]
            drained = cost_of([lakehouse, "drain", "--json"], environment, folder)
            [done] = json.loads(drained.output)["topics"]
            if done["records"] != records:
                raise RuntimeError(f"{records:,} records were produced, {done['records']:,} drained.")
            bare = cost_of([sys.executable, "-c", BARE, kafka.address, "orders"], environment, folder)
            if int(bare.output) != records:
                raise RuntimeError(f"{records:,} records were produced, {bare.output} consumed.")
        finally:
            kafka.down(print)
        print(f"{arguments.orders:,} orders, {records:,} records, {done['bytes'] / 1e6:.1f} MB in {done['objects']} objects")
        for name, cost in (("produce", made), ("drain", drained), ("bare consumer", bare)):
            print(
                f"{name:14} {records / cost.wall:>9,.0f} messages/s, {records / cost.cpu:>9,.0f} a CPU second, "
                f"{cost.peak_megabytes:>6.0f} MB, {cost.cpu:.1f} CPU s"
            )


if __name__ == "__main__":
    main()
