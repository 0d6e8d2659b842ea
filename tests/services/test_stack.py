"""MinIO (or versitygw), Kafka and PostgreSQL as `lakehouse services` runs them: real ones, by the command line.

PostgreSQL runs as a user of its own where the tests run as root, so their folders lie where all users may enter.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import boto3
import psycopg2
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from lakehouse_assets.errors import ServiceError
from lakehouse_assets.services.service import free_port
from lakehouse_assets.services.stack import Stack

NAMES = ["minio", "kafka", "postgres"]
ONLY_AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may not run PostgreSQL as itself")


class Services:
    """The command line in a folder."""

    def __init__(self, home):
        self.home = home
        self.folder = home / ".lakehouse" / "services"

    def start(self, *arguments, **more):
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("AWS_") or name.endswith("BUNDLE")
        }
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("lakehouse")), "services", *arguments],
            cwd=self.home,
            env=environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, code=0, **more):
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=300)
        assert process.returncode == code, out + err
        assert "Traceback" not in err
        return subprocess.CompletedProcess(arguments, code, out, err)

    def environment(self):
        return dict(line.split("=", 1) for line in self.run("env").stdout.splitlines())

    def decided(self):
        return json.loads((self.folder / "settings.json").read_text())

    def pids(self):
        """By service, what its file says."""
        return {f.parent.name: json.loads(f.read_text())["pid"] for f in sorted(self.folder.glob("*/process.json"))}

    def programs(self):
        """The numbers of all programs that have something to do with the folder."""
        shown = subprocess.run(["ps", "-eww", "-o", "pid=,stat=,args="], capture_output=True, text=True, check=True).stdout
        lines = [line.split(None, 2) for line in shown.splitlines()]
        return sorted(int(pid) for pid, stat, *args in lines if str(self.folder) in "".join(args) and not stat.startswith("Z"))

    def clean_up(self):
        self.start("down").communicate(timeout=120)
        for pid in self.programs():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.home)


@pytest.fixture(scope="module")
def make_services():
    """Makes folders that all users may enter, with nothing in them."""
    made = []

    def make(mode=0o755):
        home = Path(tempfile.mkdtemp(prefix="lakehouse services, größer-", dir="/tmp"))  # what paths may have, too
        home.chmod(mode)
        made.append(Services(home))
        return made[-1]

    yield make
    for services in made:
        services.clean_up()


@pytest.fixture(scope="module")
def services(make_services):
    """Services that run; the first start is one of two at once."""
    services = make_services()
    both = [services.start("up") for _ in range(2)]
    services.told = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], services.told
    return services


@pytest.fixture(scope="module")
def environment(services):
    return services.environment()


def bucket(environment):
    store = boto3.resource(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    return store.Bucket(environment["LAKEHOUSE_ROOT"].removeprefix("s3://"))


def put_object(environment, key, content):
    bucket(environment).put_object(Key=key, Body=content)


def get_object(environment, key):
    return bucket(environment).Object(key).get()["Body"].read()


def produce(environment, topic, message):
    producer = Producer({"bootstrap.servers": environment["KAFKA_BOOTSTRAP_SERVERS"]})
    producer.produce(topic, message)
    assert producer.flush(30) == 0


def consume(environment, topic):
    """The first message of a topic."""
    consumer = Consumer(
        {"bootstrap.servers": environment["KAFKA_BOOTSTRAP_SERVERS"], "group.id": "test", "enable.auto.commit": False}
    )
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        return message.value()
    finally:
        consumer.close()


def connect(environment):
    return psycopg2.connect(environment["LAKEHOUSE_POSTGRES_URL"], password=environment["LAKEHOUSE_POSTGRES_PASSWORD"])


def sql(environment, text):
    connection = connect(environment)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()


def states(text):
    """What a table of `status` says: by service, its state."""
    rows = [line.split() for line in text.replace("│", " ").splitlines()]
    return {row[0]: " ".join(row[1 : row.index(next(w for w in row if ":" in w))]) for row in rows if row and row[0] in NAMES}


def test_before_the_first_start_there_are_no_settings(make_services):
    done = make_services().run("env", code=1)
    assert done.stdout == ""
    assert done.stderr == "error: The services were never started: run `lakehouse services up` first.\n"


def test_before_the_first_start_nothing_runs(make_services):
    services = make_services()
    assert states(services.run("status", code=1).stdout) == {}
    services.run("down")
    assert not services.home.joinpath(".lakehouse").exists()


def test_two_first_starts_at_once_are_one_stack(services):
    assert services.programs() == sorted(services.pids().values())
    assert len(services.programs()) == len(NAMES)


def test_both_of_two_starts_at_once_tell_where_all_answer(services):
    for out, err in services.told:
        assert out == ""
        for name in NAMES:
            assert f"{name} answers at 127.0.0.1:" in err


def test_up_once_more_changes_nothing_and_is_quick(services):
    before = services.pids()
    began = time.monotonic()
    services.run("up")
    assert time.monotonic() - began < 10  # about 1 s on a machine that does nothing else
    assert services.pids() == before


def test_status_shows_that_all_run(services):
    assert states(services.run("status").stdout) == dict.fromkeys(NAMES, "running")


def test_a_proxy_for_the_world_outside_is_not_asked_for_this_machine(services):
    nobody = f"http://127.0.0.1:{free_port(0)}"
    proxy = {"HTTP_PROXY": nobody, "http_proxy": nobody, "NO_PROXY": "", "no_proxy": ""}
    services.run("up", **proxy)
    assert states(services.run("status", **proxy).stdout) == dict.fromkeys(NAMES, "running")


def test_what_was_decided_can_be_read_by_the_user_alone(services):
    assert oct((services.folder / "settings.json").stat().st_mode & 0o777) == "0o600"


@pytest.mark.skipif(shutil.which("ss") is None, reason="ss tells on which addresses somebody listens")
def test_all_listen_on_this_machine_alone(services):
    decided = services.decided()
    for port in (decided["store_port"], decided["kafka_port"], decided["kafka_controller_port"], decided["postgres_port"]):
        shown = subprocess.run(["ss", "-ltnH", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
        addresses = {line.split()[3].rsplit(":", 1)[0] for line in shown.splitlines()}
        assert addresses
        assert addresses <= {"127.0.0.1", "[::ffff:127.0.0.1]", "[::1]"}


def test_objects_can_be_put_and_got_with_the_settings(environment):
    put_object(environment, "hello", b"one object")
    assert get_object(environment, "hello") == b"one object"


def test_messages_can_be_sent_and_read_with_the_settings(environment):
    produce(environment, "hello", b"one message")
    assert consume(environment, "hello") == b"one message"


def test_tables_can_be_made_with_the_settings(environment):
    sql(environment, "CREATE TABLE hello AS SELECT 'one row' AS text")
    assert sql(environment, "SELECT text FROM hello") == [("one row",)]


def test_the_lakehouse_itself_works_with_the_settings(services, environment):
    (services.home / ".env").write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
    shown = subprocess.run(
        [str(Path(sys.executable).with_name("lakehouse")), "plan", "--json"],
        cwd=services.home,
        env={n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "LAKEHOUSE_ROOT"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["tables"] == []


def test_no_other_password_opens_the_database(environment):
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(environment["LAKEHOUSE_POSTGRES_URL"], password="another")


def test_secrets_are_in_no_log_and_no_command_line_and_nothing_that_up_says(services):
    decided = services.decided()
    logs = [file for file in services.folder.rglob("*log*") if file.is_file() and file.stat().st_size < 10_000_000]
    assert {f"{name}/log" for name in ("store", "kafka", "postgres")} <= {str(f.relative_to(services.folder)) for f in logs}
    shown = [subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, check=True).stdout]
    shown += [file.read_bytes() for file in logs]
    shown += [text.encode() for out_err in services.told for text in out_err]
    for secret in (decided["secret_key"], decided["postgres_password"]):
        assert not [text for text in shown if secret.encode() in text]


def test_secrets_are_in_no_file_but_that_of_the_settings(services):
    secrets = [services.decided()[name].encode() for name in ("secret_key", "postgres_password")]
    holding = []
    for file in services.folder.rglob("*"):
        with suppress(FileNotFoundError):  # Kafka renames files all the time
            if file.is_file() and file.stat().st_size < 1_000_000 and any(secret in file.read_bytes() for secret in secrets):
                holding.append(file.name)
    assert holding == ["settings.json"]


def test_another_kind_of_store_is_refused_where_one_was_decided(services):
    before = services.pids()
    message = services.run("up", "--store", "versitygw", code=1).stderr
    assert message.startswith(f"error: The store in {services.folder} is minio, and versitygw can't read its objects: ")
    assert services.pids() == before


def test_a_killed_service_is_told_and_started_again_and_the_others_stay(services):
    before = services.pids()
    os.kill(before["store"], signal.SIGKILL)
    assert states(services.run("status", code=1).stdout) == {"minio": "stopped", "kafka": "running", "postgres": "running"}
    services.run("up")
    after = services.pids()
    assert after.pop("store") != before.pop("store")
    assert after == before


def test_after_down_and_up_data_and_ports_and_passwords_are_as_before(services, environment):
    put_object(environment, "kept", b"an object")
    produce(environment, "kept", b"a message")
    sql(environment, "CREATE TABLE kept AS SELECT 'a row' AS text")
    # Somebody is still there, such as Dagster's web server: PostgreSQL does not wait for them.
    connection = connect(environment)

    services.run("down")
    assert services.programs() == []
    assert states(services.run("status", code=1).stdout) == dict.fromkeys(NAMES, "stopped")
    connection.close()

    services.run("up")
    assert services.environment() == environment
    assert get_object(environment, "kept") == b"an object"
    assert consume(environment, "kept") == b"a message"
    assert sql(environment, "SELECT text FROM kept") == [("a row",)]
    assert "was not properly shut down" not in (services.folder / "postgres" / "log").read_text()


def test_versitygw_can_be_the_store(make_services, monkeypatch):
    """With the store alone, because the others are the same."""
    services = make_services()
    cache = Path(os.environ.get("LAKEHOUSE_CACHE", "~/.cache/lakehouse")).expanduser()
    stack = Stack(services.folder, cache)
    every = Stack._services
    messages = []
    with monkeypatch.context() as patch:
        patch.setattr(Stack, "_services", lambda self, decided: every(self, decided)[:1])
        stack.up(messages.append, "versitygw")
        assert [(s.name, s.state) for s in stack.status()] == [("versitygw", "running")]
    environment = services.environment()
    put_object(environment, "folder/hello", b"one object")
    assert (services.folder / "store/data/lakehouse/folder/hello").read_bytes() == b"one object"
    refused = services.run("up", "--store", "minio", code=1).stderr
    assert refused.startswith(f"error: The store in {services.folder} is versitygw, and minio can't read its objects: ")
    services.run("down")
    assert services.programs() == []


@ONLY_AS_ROOT
def test_a_folder_that_postgresql_s_user_may_not_enter_is_told_and_nothing_starts(make_services):
    services = make_services(mode=0o700)
    message = services.run("up", code=1).stderr.splitlines()[-1]
    assert message.startswith("error: postgres: ")
    assert message.endswith(f"has no access to {services.home}. Run as another user, or from a folder that all users can access.")
    assert services.programs() == []
    assert list(services.folder.rglob("password")) == []


def test_settings_that_can_t_be_read_are_told(make_services):
    services = make_services()
    services.folder.mkdir(parents=True)
    for text in ("{", '{"store": "minio"}', "[]"):
        (services.folder / "settings.json").write_text(text)
        message = services.run("env", code=1).stderr
        assert message.startswith(f"error: {services.folder / 'settings.json'} can't be read: ")


def test_a_taken_port_is_told_with_the_place_where_it_can_be_changed(tmp_path, monkeypatch):
    stack = Stack(tmp_path, tmp_path)
    decided = {name: free_port(0) for name in ("store_port", "kafka_port", "kafka_controller_port", "postgres_port")}
    decided |= {"store": "minio", "access_key": "key", "secret_key": "hush", "postgres_password": "hush"}
    (tmp_path / "settings.json").write_text(json.dumps(decided))
    store = stack._services(stack._settings())[0]
    monkeypatch.setattr(store, "prepare", lambda tell: None)
    monkeypatch.setattr(Stack, "_services", lambda self, decided: [store])
    with socket.create_server(("127.0.0.1", store.port)), pytest.raises(ServiceError) as raised:
        stack.up(print)
    assert str(raised.value) == (
        f"minio: port {store.port} of 127.0.0.1 is in use. Stop the process that uses it. "
        f"Or set another port in {tmp_path / 'settings.json'}."
    )


def test_what_was_decided_is_not_shown_by_accident(services):
    decided = Stack(services.folder, services.folder)._settings()
    assert repr(decided) == "StackSettings(...)"
