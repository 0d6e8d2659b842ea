"""A Kafka broker that is its own controller (KRaft), from the jars that Apache publishes."""

import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from lakehouse_assets.engine.jars import JarSet, resolved
from lakehouse_assets.engine.java import find_java
from lakehouse_assets.errors import ServiceError
from lakehouse_assets.services.service import Service, Tell

JARS = JarSet("kafka-4.2.1", (("org.apache.kafka", "kafka_2.13", "4.2.1"), ("org.apache.kafka", "kafka-tools", "4.2.1")))

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


class Kafka(Service):
    """One broker on 127.0.0.1, without encryption or users: only this machine can connect."""

    name = "kafka"

    def __init__(self, folder: Path, port: int, controller_port: int, jars: Path) -> None:
        super().__init__(folder, port)
        self._controller_port = controller_port
        self._jars = jars

    def prepare(self, tell: Tell) -> None:
        """Resolve the jars and format the data folder."""
        if not (self._jars / JARS.name).exists():
            tell("Fetching Kafka's jars from Maven Central, once ...")
        data = self.folder / "data"
        ports = {"port": self.port, "controller_port": self._controller_port}
        # The file names the data folder by a relative path, because Kafka would split an absolute one at a comma.
        self._properties.write_text(_PROPERTIES.format(**ports))
        if not (data / "meta.properties").exists():
            cluster = ["--standalone", "-t", uuid4().hex[:22]]
            arguments = ["format", *cluster, "-c", str(self._properties), *self.format_arguments()]
            command = [*self._java("kafka.tools.StorageTool"), *arguments]
            done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                output = (done.stderr or done.stdout).strip().splitlines()
                reason = output[-1] if output else "no reason given"
                raise ServiceError(f"kafka: its data folder {data} can't be formatted: {reason}")

    def command(self) -> Sequence[str]:
        """See `Service.command`."""
        return [*self._java("kafka.Kafka"), str(self._properties)]

    def format_arguments(self) -> Sequence[str]:
        """What else its data folder is formatted with."""
        return []

    def ports(self) -> Sequence[int]:
        """See `Service.ports`."""
        return [self.port, self._controller_port]

    def is_healthy(self) -> bool:
        """Whether it answers the first request that every client sends, ApiVersions (https://kafka.apache.org/protocol)."""
        request = struct.pack(">hhih", 18, 0, 1, -1)  # key, version, correlation id, no client id
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=3) as connection:
                connection.sendall(struct.pack(">i", len(request)) + request)
                return len(connection.recv(8, socket.MSG_WAITALL)) == 8
        except OSError:
            return False

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _java(self, main_class: str) -> list[str]:
        """The command that runs one of Kafka's main classes."""
        java = find_java()
        jars = ":".join(str(jar) for jar in resolved(java, self._jars, JARS))
        return [str(java.executable), "-Xmx256m", "-XX:+UseSerialGC", "-cp", jars, main_class]
