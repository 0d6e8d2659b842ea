"""Secrets appear nowhere: not in what a command prints, nor in any file, log, database or object that it leaves behind.

Each error path that leads past a secret is walked by commands as users start them, and all that they leave is searched.
"""

import http.client
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import boto3
import dagster as dg
import duckdb
import obstore
import pytest
from typer.testing import CliRunner

from lakehouse_assets import cli
from lakehouse_assets.cli import reading
from lakehouse_assets.errors import QueryError, SettingsError
from lakehouse_assets.gold.dbt import unquoted_output
from lakehouse_assets.orchestration.sensors import lakehouse_sensors
from lakehouse_assets.services.service import free_port
from lakehouse_assets.settings import Settings, load_settings
from lakehouse_assets.store.errors import Unquoted, store_error
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import s3_settings
from lakehouse_assets.systems import catalog

PLANTED = "hunter2-planted"
"""What no output may hold, beside keys, tokens and signatures."""

ADDRESSES = [
    ("AWS_ENDPOINT_URL", f"http://user:{PLANTED}@127.0.0.1:9"),
    ("AWS_ENDPOINT_URL", f"http://{PLANTED}@127.0.0.1:9"),
    ("AWS_ENDPOINT_URL", f"http://us/er:{PLANTED}@127.0.0.1:9"),
    ("AWS_ENDPOINT_URL", f"http:user:{PLANTED}@127.0.0.1:9"),
    ("AWS_ENDPOINT_URL", f"user:{PLANTED}@127.0.0.1:9"),
    ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{PLANTED}"),
    ("AWS_ENDPOINT_URL", f"https://127.0.0.1:9/?X-Amz-Signature={PLANTED}"),
    ("AWS_ENDPOINT_URL", f"https://127.0.0.1:9#{PLANTED}"),
    ("AWS_ENDPOINT_URL", f"https://127.0.0.1:9\n{PLANTED}"),
    ("AWS_ENDPOINT_URL_S3", f"http://user:{PLANTED}@127.0.0.1:9"),
    ("AWS_ENDPOINT", f"http://user:{PLANTED}@127.0.0.1:9"),
    ("LAKEHOUSE_ROOT", f"s3://user:{PLANTED}@lake/retail"),
    ("LAKEHOUSE_ROOT", f"s3://{PLANTED}@lake"),
    ("LAKEHOUSE_ROOT", f"s3://lake/retail?X-Amz-Signature={PLANTED}"),
    ("LAKEHOUSE_ROOT", f"s3:/user:{PLANTED}@lake"),
    ("LAKEHOUSE_ROOT", f"s3:user:{PLANTED}@lake"),
    ("LAKEHOUSE_ROOT", f"user:{PLANTED}@lake/retail"),
    ("LAKEHOUSE_ROOT", f"user:p%40{PLANTED}@lake/retail"),
    ("LAKEHOUSE_ROOT", f"user:a/b{PLANTED}@lake/retail"),
    ("LAKEHOUSE_ROOT", f"lake.s3.amazonaws.com/retail?X-Amz-Signature={PLANTED}"),
    ("LAKEHOUSE_ROOT", f"https://user:{PLANTED}@127.0.0.1/lake"),
    ("LAKEHOUSE_ENGINE", f"sc://user:{PLANTED}@127.0.0.1:15002"),
    ("LAKEHOUSE_ENGINE", f"sc://127.0.0.1:15002/;token={PLANTED}"),
    ("LAKEHOUSE_ENGINE", f"sc://127.0.0.1:15002/;use_ssl=true;x-api-KEY={PLANTED}"),
    ("LAKEHOUSE_ENGINE", f"spark://user:{PLANTED}@127.0.0.1"),
    ("LAKEHOUSE_DOCS_URL", f"https://user:{PLANTED}@docs.example.com"),
    ("LAKEHOUSE_DOCS_URL", f"https://docs.example.com/?key={PLANTED}"),
    ("LAKEHOUSE_DOCS_URL", f"docs.example.com/{PLANTED}"),
]


@pytest.mark.parametrize(("name", "value"), ADDRESSES)
def test_an_address_with_a_secret_is_refused_when_settings_are_read_and_not_repeated(name, value, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_FORCE_CREDENTIAL_LOAD", "true")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert str(raised.value).startswith(f"{name}: ")
    assert "\n" not in str(raised.value)
    assert PLANTED not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
        ("AWS_ENDPOINT_URL", "https://my_store-1.example.com:9000/"),
        ("AWS_ENDPOINT_URL", "https://example.com/s3/v1"),
        ("AWS_ENDPOINT_URL", "http://[::1]:9000"),
        ("AWS_ENDPOINT_URL", ""),
        ("LAKEHOUSE_ROOT", "s3://lake/retail"),
        ("LAKEHOUSE_ROOT", "me@home/lake"),
        ("LAKEHOUSE_ROOT", "at 10:30/lake"),
        ("LAKEHOUSE_ENGINE", "sc://127.0.0.1:15002"),
        ("LAKEHOUSE_ENGINE", "sc://host:443/;use_ssl=true;x-databricks-cluster-id=0123-456789-abc"),
        ("LAKEHOUSE_DOCS_URL", "https://docs.example.com/@team/lakehouse"),
    ],
)
def test_a_plain_address_is_taken(name, value, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for own in ("AWS_FORCE_CREDENTIAL_LOAD", "AWS_ALLOW_HTTP"):
        monkeypatch.setenv(own, "true")
    monkeypatch.setenv(name, value)
    result = load_settings()
    assert (s3_settings().endpoint if name.startswith("AWS_") else getattr(result, name.lower())) == value


S3 = Root.parse("s3://lake/retail")


@pytest.mark.parametrize(
    "error",
    [
        OSError(
            f"Generic S3 error: Error performing PUT http://x/lake/retail/raw/a in 1s - Server returned status code: 500: {PLANTED}"
        ),
        RuntimeError(f"<Error><Code>Odd</Code><Message>{PLANTED}</Message></Error>"),
        ValueError("something else altogether, with secret-of-this-test in it"),
    ],
)
def test_what_quotes_a_store_is_told_without_the_quotation_even_from_within_another_error(error, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-this-test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)

    @Unquoted(S3)
    def fail():
        raise RuntimeError("a table can't be written") from error

    @Unquoted(S3)
    def fail_later():
        yield 1
        fail()

    for call in (fail, lambda: list(fail_later())):
        with pytest.raises(SettingsError) as raised:
            call()
        shown = "".join(traceback.format_exception(raised.value))
        assert PLANTED not in shown
        assert "secret-of-this-test" not in shown
    if isinstance(error, OSError):
        assert str(raised.value) == "LAKEHOUSE_ROOT=s3://lake/retail: AWS failed to write raw/a (HTTP 500). Is the store healthy?"


def test_an_error_that_quotes_no_store_stays_as_it_is(tmp_path):
    error = OSError("No space left on device")
    assert store_error(S3, error) is None
    assert store_error(Root.parse(str(tmp_path)), OSError("status code: 500")) is None


DUCKDB_SAID = (
    "HTTP Error: HTTP GET error reading 'http://127.0.0.1:9/lake/retail/silver/a.parquet' in region 'us-east-1' (HTTP 400 Bad Request)"
    f"\n\nExpiredToken: {PLANTED} has expired\n\nBad Request - this can be caused by the S3 region being set incorrectly."
)
"""DuckDB puts the store's message into its own."""


def test_a_question_that_fails_while_it_is_shown_does_not_quote_the_store(monkeypatch, tmp_path):
    class Relation:
        columns = ("n",)

        def show(self, **_):
            raise duckdb.HTTPException(DUCKDB_SAID)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEHOUSE_ROOT", S3.uri)
    monkeypatch.setattr(reading, "preflight", lambda settings: settings)
    monkeypatch.setattr("lakehouse_assets.serving.query.query", lambda *_: Relation())
    done = CliRunner().invoke(cli.app, ["query", "SELECT 1"]).exception
    assert isinstance(done, QueryError)
    assert str(done).startswith("AWS_SESSION_TOKEN: ")
    assert PLANTED not in str(done)


def test_what_dbt_prints_does_not_quote_the_store(capsys):
    with unquoted_output(S3):
        sys.stdout.write(f"Failure in model dim_customer\n  Runtime Error\n  {DUCKDB_SAID}\n")
        sys.stdout.write("Done. PASS=1 ERROR=1\n")
    printed = capsys.readouterr().out
    assert PLANTED not in printed
    assert "AWS_SESSION_TOKEN: " in printed
    assert printed.endswith("\nDone. PASS=1 ERROR=1\n")


def test_a_tick_that_fails_does_not_quote_the_store(monkeypatch):
    def fail(*_, **__):
        raise OSError(f"Generic S3 error: Error performing GET http://127.0.0.1:9/lake - status code: 500: {PLANTED}")

    monkeypatch.setattr("lakehouse_assets.orchestration.sensors.make_system_plan", fail)
    monkeypatch.setattr("lakehouse_assets.orchestration.sensors.make_gold_sensor_plan", fail)
    sensors = lakehouse_sensors(Settings(lakehouse_root=S3.uri), catalog())
    assert [sensor.name for sensor in sensors] == [*(f"arrivals_{system}" for system in catalog().systems), "gold"]
    with dg.DagsterInstance.ephemeral() as instance:
        for sensor in sensors:
            with pytest.raises(SettingsError) as raised, dg.build_sensor_context(instance=instance) as context:
                list(sensor(context))
            assert PLANTED not in "".join(traceback.format_exception(raised.value))


@dataclass
class Command:
    """The command line in a folder of its own, with nothing of this machine's settings but those that are given."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=lambda: [PLANTED, "Signature="])
    printed: list[str] = field(default_factory=list)

    def fail(self, *arguments: str, **more: str) -> str:
        """Run a command that fails; what it printed."""
        return self.run(*arguments, code=1, **more)

    def run(self, *arguments: str, code: int = 0, **more: str) -> str:
        """Run a command that ends with a code; what it printed."""
        own = [n for n in os.environ if n.startswith(("AWS_", "LAKEHOUSE_", "DAGSTER_"))]
        done = subprocess.run(
            [str(Path(sys.executable).with_name("lakehouse")), *arguments],
            env={name: value for name, value in os.environ.items() if name not in own}
            | {"AWS_EC2_METADATA_DISABLED": "true", "LAKEHOUSE_CACHE": str(self.folder / "cache"), "LAKEHOUSE_ENGINE": "sail"}
            | self.environment
            | more,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        self.printed += [done.stdout, done.stderr]
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def assert_nothing_secret(self, store: obstore.store.S3Store | None = None) -> None:
        """Search all that was printed, each file below the folder (databases and their logs, too), and each object of a store."""
        result = {"what was printed": "\n".join(self.printed).encode()}
        result |= {str(f): f.read_bytes() for f in self.folder.rglob("*") if f.is_file()}
        if store is not None:
            paths = [meta["path"] for batch in obstore.list(store) for meta in batch]
            result |= {path: bytes(obstore.get(store, path).bytes()) for path in paths}
        for secret in self.secrets:
            for form in {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}:
                assert [place for place, content in result.items() if form.encode() in content] == []


@pytest.fixture
def command(tmp_path):
    return Command(tmp_path)


@pytest.mark.parametrize(("name", "value"), [ADDRESSES[0], ADDRESSES[11]])
def test_a_command_that_refuses_an_address_leaves_nothing_of_it(command, name, value):
    command.environment = {"LAKEHOUSE_ROOT": "s3://lake", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": PLANTED} | {
        name: value
    }
    message = command.fail("sync")
    assert message.startswith(f"error: {name}: ")
    assert len(message.splitlines()) == 1
    command.assert_nothing_secret()
    assert list(command.folder.iterdir()) == []


def test_nobody_at_the_endpoint_nor_at_the_proxy(command):
    command.environment = {"LAKEHOUSE_ROOT": "s3://lake", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": PLANTED}
    dead = f"127.0.0.1:{free_port(0)}"
    assert "nothing answers" in command.fail("plan", AWS_ENDPOINT_URL=f"http://{dead}")
    command.fail("plan", AWS_ENDPOINT_URL="http://store.invalid", http_proxy=f"http://user:{PLANTED}@{dead}")
    command.assert_nothing_secret()


@pytest.fixture
def minio(stores):
    """The way to MinIO with credentials that end after a while: their token goes along with each request."""
    environment = stores("minio")
    client = boto3.client(
        "sts",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    given = client.assume_role(RoleArn="arn:aws:iam::1:role/any", RoleSessionName="test")["Credentials"]
    names = {"AWS_ACCESS_KEY_ID": "AccessKeyId", "AWS_SECRET_ACCESS_KEY": "SecretAccessKey", "AWS_SESSION_TOKEN": "SessionToken"}
    return environment | {name: given[key] for name, key in names.items()}


def test_keys_that_the_store_refuses(command, minio):
    command.environment = minio
    command.secrets += [minio["AWS_SECRET_ACCESS_KEY"], minio["AWS_SESSION_TOKEN"]]
    assert "AWS_SECRET_ACCESS_KEY: " in command.fail("plan", AWS_SECRET_ACCESS_KEY=PLANTED)
    assert "AWS_SESSION_TOKEN: " in command.fail("query", "SELECT 1", AWS_SESSION_TOKEN=PLANTED)
    assert "AWS_ACCESS_KEY_ID: " in command.fail("sync", AWS_ACCESS_KEY_ID="of-nobody", AWS_SESSION_TOKEN="")
    command.assert_nothing_secret()


@dataclass(frozen=True)
class Refusal:
    """Which requests are refused: by method, a part of the path and its end; of reads by range those alone that begin `within`."""

    method: str
    part: str
    end: str = ""
    within: int | None = None

    def meets(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        first = re.match(r"bytes=(\d+)-", headers.get("Range", ""))
        return (
            (method, path[-len(self.end) :] if self.end else "") == (self.method, self.end)
            and self.part in path
            and (self.within is None or (first is not None and int(first[1]) < self.within))
        )


REFUSED = {
    "crm/customers": Refusal("PUT", "/raw/crm_customers/"),
    "crm/products": Refusal("GET", "/landing/crm/products/"),
    "erp/product_categories": Refusal("PUT", "/silver/erp_product_categories/", ".parquet"),
    "erp/customer_locations": Refusal("GET", "/raw/erp_customer_locations/", ".parquet"),
    "erp/customer_demographics": Refusal("GET", "/silver/erp_customer_demographics/", ".parquet"),
}
"""One request of each entity that its pass needs: delta-rs writes raw, obstore reads landing, Sail writes and reads, DuckDB reads."""


@contextmanager
def gate(store: str, refused: Collection[Refusal]) -> Iterator[str]:
    """A way to a store that answers some requests by itself: with an error that repeats all that it was sent."""
    host = urlsplit(store).netloc

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if any(refusal.meets(self.command, self.path, self.headers) for refusal in refused):
                headers = "".join(f"<{name}>{value}</{name}>" for name, value in self.headers.items())
                self.tell(403, f"<Error><Code>Odd</Code><Message>{PLANTED}</Message>{headers}</Error>".encode())
                return
            connection = http.client.HTTPConnection(host, timeout=30)
            connection.request(self.command, self.path, sent or None, dict(self.headers))
            response = connection.getresponse()
            passed = ("etag", "last-modified", "content-type", "content-range", "accept-ranges")
            headers = [(name, value) for name, value in response.getheaders() if name.lower() in passed]
            length = response.getheader("Content-Length") if self.command == "HEAD" else None
            self.tell(response.status, response.read(), headers, length)
            connection.close()

        def tell(self, status, content, headers=(), length=None):
            self.send_response(status)
            for name, value in (*headers, ("Content-Length", length or str(len(content)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):
            pass  # a client that hangs up

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_a_store_that_repeats_all_it_was_sent_is_not_quoted(command, minio, monkeypatch):
    """By none of its clients, in no table, log, event or object."""
    for name, value in minio.items():
        monkeypatch.setenv(name, value)
    root = Root.parse(minio["LAKEHOUSE_ROOT"])
    samples = Path(__file__).parents[2] / "sample_data"
    for entity in REFUSED:
        [sample] = samples.glob(f"{entity}/*/*")
        lines = sample.read_text().splitlines(keepends=True)[:2]
        obstore.put(root.store, f"landing/{entity}/2026-01-31/{sample.name}", "".join(lines).encode())
    command.secrets += [minio["AWS_SECRET_ACCESS_KEY"], minio["AWS_SESSION_TOKEN"]]
    with gate(minio["AWS_ENDPOINT_URL"], REFUSED.values()) as address:
        command.environment = minio | {"AWS_ENDPOINT_URL": address}
        done = json.loads(command.fail("sync", "--json").partition("\n")[0])
    failed = {f"{t['layer']}/{t['table']}": t["error"] for t in done["tables"] if t["error"] and "not built" not in t["error"]}
    place = f"LAKEHOUSE_ROOT={root.uri}: {address} refused to "
    assert failed["raw/crm_customers"].startswith(f"{place}write raw/crm_customers/")
    assert failed["raw/crm_products"].startswith(f"{place}read landing/crm/products/")
    assert failed["silver/erp_product_categories"].startswith(f"{place}write silver/erp_product_categories/")
    assert failed["silver/erp_customer_locations"].startswith(f"{place}read raw/erp_customer_locations/")
    assert failed["silver/erp_customer_demographics"].startswith(f"{place}read silver/erp_customer_demographics/")
    command.assert_nothing_secret(root.store)


def test_a_store_that_ceases_to_answer_within_a_build_of_gold_is_not_quoted(command, minio, monkeypatch):
    """Nor by dbt, whose process reads for itself and prints what it has met; nor by a question, which reads when it is shown."""
    for name, value in minio.items():
        monkeypatch.setenv(name, value)
    root = Root.parse(minio["LAKEHOUSE_ROOT"])
    samples = Path(__file__).parents[2] / "sample_data"
    [sample] = samples.glob("crm/customers/*/*")
    # Enough customers that the end of their file, which is read when a table is opened, is not all of it.
    lines = sample.read_text().splitlines(keepends=True)[:2000]
    obstore.put(root.store, f"landing/{sample.relative_to(samples).parent}/{sample.name}", "".join(lines).encode())
    command.secrets += [minio["AWS_SECRET_ACCESS_KEY"], minio["AWS_SESSION_TOKEN"]]
    command.environment = minio
    command.run("sync")
    root.delete([path for path, _ in root.files("gold")])
    refused = [
        Refusal("GET", "/silver/crm_customers/", ".parquet", within=10_000),
        Refusal("PUT", "/landing/crm/products/"),
    ]
    with gate(minio["AWS_ENDPOINT_URL"], refused) as address:
        command.environment = minio | {"AWS_ENDPOINT_URL": address}
        done = json.loads(command.fail("sync", "--json").partition("\n")[0])
        message = command.fail("query", "SELECT * FROM silver.crm_customers")
        assert f"error: LAKEHOUSE_ROOT={root.uri}: {address} refused to read silver/crm_customers/" in message
        command.fail("land", "crm/products", str(next(samples.glob("crm/products/*/*"))), "--date", "2026-02-01")
    error = {t["table"]: t["error"] for t in done["tables"]}["bridge_customer"]
    assert f"gold/bridge_customer: dbt can't build it: LAKEHOUSE_ROOT={root.uri}: {address} refused to read " in error
    command.assert_nothing_secret(root.store)
