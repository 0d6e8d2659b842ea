"""A standalone Spark cluster on this machine: master, two workers and a Connect server, from the jars that pyspark brings."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse_assets.engine.jars import S3A, resolved, spark_home
from lakehouse_assets.engine.java import OPENED, find_java
from lakehouse_assets.engine.server import port_answers, s3_conf
from lakehouse_assets.services.service import free_port

START_SECONDS = 90
SHORT_LIVED = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Options for a JVM that does not live long enough to gain from what it does by default."""


@dataclass
class Cluster:
    """Started in a folder, with the environment's `AWS_*` settings; `url` is what `LAKEHOUSE_ENGINE` is to say."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    url: str = ""

    def up(self) -> "Cluster":
        java = find_java()
        jars = [
            *sorted(Path(spark_home(), "jars").glob("*.jar")),
            *resolved(java, Path("~/.cache/lakehouse/jars").expanduser(), S3A),
        ]
        class_path = ":".join(str(jar) for jar in jars)
        master_port, connect_port = free_port(0), free_port(0)
        master = f"spark://127.0.0.1:{master_port}"
        common = [str(java.executable), *OPENED, *SHORT_LIVED, "-Xmx1g"]
        environment = {
            "SPARK_HOME": str(spark_home()),
            "SPARK_SCALA_VERSION": "2.13",  # what Spark's own scripts set
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_WORKER_DIR": str(self.folder / "work"),
        }

        def start(name: str, *command: str) -> None:
            log = (self.folder / f"{name}.log").open("w")
            self.processes.append(
                subprocess.Popen([*common, *command], env={**os.environ, **environment}, cwd=self.folder, stdout=log, stderr=log)
            )

        start(
            "master",
            "-cp",
            class_path,
            "org.apache.spark.deploy.master.Master",
            *f"--host 127.0.0.1 --port {master_port}".split(),
        )
        self._wait("master", master_port)
        for worker in ("worker-1", "worker-2"):
            # Executors are started by their worker, in its environment: that is how the keys of the store come to them.
            start(worker, "-cp", class_path, "org.apache.spark.deploy.worker.Worker", "--cores", "1", "--memory", "1g", master)
        conf = s3_conf() | {
            "spark.master": master,
            "spark.app.name": "lakehouse",
            "spark.driver.host": "127.0.0.1",
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": str(connect_port),
            "spark.executor.memory": "512m",
            "spark.executor.extraClassPath": class_path,
            "spark.executor.extraJavaOptions": " ".join((*OPENED, *SHORT_LIVED)),
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
            "spark.ui.enabled": "false",
            "spark.log.level": "WARN",
        }
        options = [f"-D{name}={value}" for name, value in conf.items()]
        start("connect", *options, "-cp", class_path, "org.apache.spark.sql.connect.service.SparkConnectServer")
        self._wait("connect", connect_port)
        self.url = f"sc://127.0.0.1:{connect_port}"
        return self

    @contextmanager
    def running(self) -> "Iterator[Cluster]":
        try:
            yield self.up()
        finally:
            self.down()

    def down(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def executors(self) -> int:
        """How many executors the workers have started."""
        return len(list(self.folder.glob("work/app-*/*")))

    def _wait(self, name: str, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not port_answers(port):
            if time.monotonic() > deadline or any(p.poll() is not None for p in self.processes):
                raise AssertionError(f"{name} did not start: {(self.folder / f'{name}.log').read_text()[-2000:]}")
            time.sleep(0.2)
