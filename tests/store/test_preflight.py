"""Whether a root can be used, asked of real stores; and what is told of each setting that is wrong."""

import http.server
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import boto3
import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, GenericError

from lakehouse_assets.errors import SettingsError
from lakehouse_assets.services.service import free_port
from lakehouse_assets.store.preflight import check_readable, check_writable
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import s3_store

BOTH_CHECKS = pytest.mark.parametrize("check", [check_readable, check_writable])
BOTH_STORES = pytest.mark.parametrize("name", ["minio", "versitygw"])
MAY_READ = ["s3:GetObject", "s3:ListBucket"]
MAY_WRITE = ["s3:PutObject"]


def restricted(environment, actions):
    """The environment with credentials that allow these actions alone, and end after a while."""
    client = boto3.client(
        "sts",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    allowed = [{"Effect": "Allow", "Action": actions, "Resource": ["arn:aws:s3:::*"]}]
    policy = json.dumps({"Version": "2012-10-17", "Statement": allowed})
    given = client.assume_role(RoleArn="arn:aws:iam::1:role/any", RoleSessionName="test", Policy=policy)["Credentials"]
    names = {"AWS_ACCESS_KEY_ID": "AccessKeyId", "AWS_SECRET_ACCESS_KEY": "SecretAccessKey", "AWS_SESSION_TOKEN": "SessionToken"}
    return environment | {name: given[key] for name, key in names.items()}


@contextmanager
def serving(handler):
    """The address of an HTTP server of this test."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def answering(status, body=b"", **headers):
    """A handler that answers alike, whatever is asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            for name, value in {"Content-Length": len(body), **headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_):
            pass

    return Handler


def error_code(code):
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>none</Message></Error>".encode()


def told(check, root, environment):
    """What is said of a root that can't be used: one sentence or two, without anything secret."""
    with pytest.raises(SettingsError) as raised:
        check(root)
    text = str(raised.value)
    assert "\n" not in text
    assert "Signature" not in text
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert environment.get(name, "none at all") not in text
    return text


@BOTH_STORES
def test_a_look_at_a_root_writes_nothing(stores, settings, name):
    root = settings(stores(name))
    for _ in range(2):
        check_readable(root)
    assert root.files("") == []


@BOTH_STORES
def test_what_the_check_of_writing_leaves_is_one_empty_object_however_often_it_is_made(stores, settings, name):
    root = settings(stores(name))
    for _ in range(3):
        check_writable(root)
    assert root.files("") == [("ops/.conditional-put", 0)]


@BOTH_STORES
def test_of_several_who_put_one_object_at_once_a_single_one_succeeds(stores, settings, name):
    """What the check trusts: that the store means what it answers."""
    root = settings(stores(name))
    clients = [s3_store(root.bucket, root.prefix) for _ in range(6)]

    def puts(place):
        try:
            obstore.put(clients[place[0]], f"object-{place[1]}", b"x" * 1000, mode="create")
        except AlreadyExistsError:
            return 0
        return 1

    with ThreadPoolExecutor(len(clients)) as pool:
        winners = [sum(pool.map(puts, [(c, n) for c in range(len(clients))])) for n in range(15)]
    assert winners == [1] * 15


@BOTH_STORES
@BOTH_CHECKS
def test_a_bucket_that_is_not_there(stores, settings, name, check):
    environment = stores(name) | {"LAKEHOUSE_ROOT": "s3://no-such-bucket/lake"}
    assert told(check, settings(environment), environment) == (
        f"LAKEHOUSE_ROOT=s3://no-such-bucket/lake: there is no bucket no-such-bucket at {environment['AWS_ENDPOINT_URL']}. "
        "Create it, or name another."
    )


@BOTH_STORES
@BOTH_CHECKS
def test_an_access_key_that_the_store_does_not_know(stores, settings, name, check):
    environment = stores(name) | {"AWS_ACCESS_KEY_ID": "key-of-nobody"}
    text = told(check, settings(environment), environment)
    assert text == f"AWS_ACCESS_KEY_ID: {environment['AWS_ENDPOINT_URL']} doesn't know this key."


@BOTH_STORES
@BOTH_CHECKS
def test_a_secret_that_is_not_the_key_s(stores, settings, name, check):
    environment = stores(name) | {"AWS_SECRET_ACCESS_KEY": "secret-of-another"}
    assert told(check, settings(environment), environment) == (
        f"AWS_SECRET_ACCESS_KEY: {environment['AWS_ENDPOINT_URL']} says that it does not belong to AWS_ACCESS_KEY_ID."
    )


@BOTH_STORES
def test_a_session_token_that_the_store_did_not_give(stores, settings, name):
    environment = stores(name) | {"AWS_SESSION_TOKEN": "token-of-another"}
    text = told(check_readable, settings(environment), environment)
    assert text.startswith(f"AWS_SESSION_TOKEN: {environment['AWS_ENDPOINT_URL']} says that it is missing")


def test_credentials_whose_session_token_is_missing(minio, settings):
    environment = restricted(minio, MAY_READ)
    del environment["AWS_SESSION_TOKEN"]
    assert told(check_readable, settings(environment), environment).startswith("AWS_SESSION_TOKEN: ")


def test_a_region_that_is_not_the_store_s(stores, settings):
    """Asked of versitygw, because MinIO takes any."""
    environment = stores("versitygw") | {"AWS_REGION": "eu-nowhere-1"}
    text = told(check_readable, settings(environment), environment)
    assert text == f"AWS_REGION: {environment['AWS_ENDPOINT_URL']} has the bucket test-versitygw in another region."


def test_a_redirect_to_nowhere_is_a_matter_of_the_region_too(minio, settings):
    """What AWS answers where the bucket is in another one."""
    with serving(answering(301)) as endpoint:
        environment = minio | {"AWS_ENDPOINT_URL": endpoint}
        assert told(check_readable, settings(environment), environment).startswith(f"AWS_REGION: {endpoint} ")


@BOTH_CHECKS
def test_an_endpoint_where_nobody_listens(minio, settings, check):
    endpoint = f"http://127.0.0.1:{free_port(0)}"
    environment = minio | {"AWS_ENDPOINT_URL": endpoint}
    text = told(check, settings(environment), environment)
    assert text == f"AWS_ENDPOINT_URL: nothing answers at {endpoint}. Is the store up, and the address right?"


@BOTH_CHECKS
def test_an_endpoint_that_is_no_store(minio, settings, check):
    with serving(http.server.SimpleHTTPRequestHandler) as endpoint:
        environment = minio | {"AWS_ENDPOINT_URL": endpoint}
        assert told(check, settings(environment), environment) == (
            f"AWS_ENDPOINT_URL: the server at {endpoint} does not speak S3. Is the address right, is it http or https?"
        )


@pytest.mark.parametrize("page", [b"<!doctype html><html><meta charset=utf-8><p>Welcome</html>", b'{"status": "ok"}', b""])
def test_an_endpoint_that_answers_whatever_is_asked(minio, settings, page):
    with serving(answering(200, page)) as endpoint:
        environment = minio | {"AWS_ENDPOINT_URL": endpoint}
        assert "does not speak S3" in told(check_readable, settings(environment), environment)


def test_https_where_the_store_speaks_http(minio, settings):
    environment = minio | {"AWS_ENDPOINT_URL": minio["AWS_ENDPOINT_URL"].replace("http", "https")}
    assert "is it http or https?" in told(check_readable, settings(environment), environment)


@BOTH_CHECKS
@pytest.mark.parametrize("endpoint", ["localhost:9000", "localhost", "http://", "http://localhost:port", "ftp://localhost"])
def test_an_endpoint_that_is_written_wrongly(minio, settings, check, endpoint):
    environment = minio | {"AWS_ENDPOINT_URL": endpoint}
    assert told(check, settings(environment), environment) == (
        "AWS_ENDPOINT_URL: write an endpoint as http://host:port or https://host:port, without user, password or query. "
        "Keys go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    )


def test_an_endpoint_without_encryption_must_be_meant(minio, settings):
    environment = {name: value for name, value in minio.items() if name != "AWS_ALLOW_HTTP"}
    assert "set AWS_ALLOW_HTTP=true" in told(check_readable, settings(environment), environment)


def test_the_setting_that_names_the_endpoint_is_the_one_that_is_told(minio, settings):
    endpoint = f"http://127.0.0.1:{free_port(0)}"
    environment = minio | {"AWS_ENDPOINT_URL_S3": endpoint}
    text = told(check_readable, settings(environment), environment)
    assert text.startswith(f"AWS_ENDPOINT_URL_S3: nothing answers at {endpoint}.")


def test_aws_itself_out_of_reach_is_not_blamed_on_an_endpoint(minio, settings, monkeypatch):
    def fail(*_, **__):
        raise GenericError("Generic S3 error: error sending request")

    monkeypatch.setattr(obstore, "list_with_delimiter", fail)
    environment = {name: value for name, value in minio.items() if name != "AWS_ENDPOINT_URL"}
    assert "AWS does not answer. Is the network up?" in told(check_readable, settings(environment), environment)


def test_a_right_to_write_is_none_to_list(minio, settings):
    environment = restricted(minio, MAY_WRITE)
    root = settings(environment)
    assert told(check_readable, root, environment) == (
        f"LAKEHOUSE_ROOT={root.uri}: these credentials have no right to list there "
        f"({environment['AWS_ENDPOINT_URL']} answers AccessDenied)."
    )
    check_writable(root)


def test_a_right_to_read_is_none_to_write(minio, settings):
    environment = restricted(minio, MAY_READ)
    root = settings(environment)
    assert told(check_writable, root, environment) == (
        f"LAKEHOUSE_ROOT={root.uri}: these credentials have no right to write there "
        f"({environment['AWS_ENDPOINT_URL']} answers AccessDenied)."
    )
    check_readable(root)


def test_a_store_that_puts_an_object_over_another_although_told_not_to(minio, settings):
    with serving(answering(200, ETag='"any"')) as endpoint:
        environment = minio | {"AWS_ENDPOINT_URL": endpoint}
        root = settings(environment)
        text = told(check_writable, root, environment)
    assert text.startswith(
        f"LAKEHOUSE_ROOT={root.uri}: the store overwrote an existing object, although the put was conditional (If-None-Match). "
    )
    assert "Use a store with conditional puts" in text


def test_a_store_that_does_not_know_conditions(minio, settings):
    with serving(answering(501, error_code("NotImplemented"))) as endpoint:
        environment = minio | {"AWS_ENDPOINT_URL": endpoint}
        text = told(check_writable, settings(environment), environment)
    assert "the store does not support conditional puts (If-None-Match)" in text


def test_a_fault_that_nobody_foresaw_is_told_by_its_code(minio, settings):
    with serving(answering(400, error_code("QuotaExceeded"))) as endpoint:
        environment = minio | {"AWS_ENDPOINT_URL": endpoint}
        assert told(check_writable, settings(environment), environment).endswith(f"{endpoint} refused to write (QuotaExceeded).")


@BOTH_CHECKS
def test_no_credentials_at_all(minio, settings, check):
    environment = {name: value for name, value in minio.items() if "KEY" not in name}
    text = told(check, settings(environment), environment)
    assert text.startswith("LAKEHOUSE_ROOT is on S3, but there are no credentials: set AWS_ACCESS_KEY_ID and ")


def test_a_key_without_its_secret(minio, settings):
    environment = {name: value for name, value in minio.items() if name != "AWS_SECRET_ACCESS_KEY"}
    text = told(check_readable, settings(environment), environment)
    assert text == "AWS_SECRET_ACCESS_KEY is missing, although AWS_ACCESS_KEY_ID is set."


def test_a_profile_that_is_not_there(minio, settings):
    environment = {name: value for name, value in minio.items() if "KEY" not in name} | {"AWS_PROFILE": "of-nobody"}
    text = told(check_readable, settings(environment), environment)
    assert text == "AWS_PROFILE: there is no such profile in this user's AWS files."


def test_a_program_for_credentials_that_fails_is_not_quoted(minio, settings, tmp_path, monkeypatch):
    (tmp_path / "config").write_text("[default]\ncredential_process = sh -c 'echo hush >&2; exit 1'\n")
    environment = {name: value for name, value in minio.items() if "KEY" not in name}
    root = settings(environment)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    text = told(check_readable, root, environment)
    assert "botocore says CredentialRetrievalError" in text
    assert "hush" not in text


def test_a_folder_is_made_by_the_first_who_writes(tmp_path):
    root = Root.parse(str(tmp_path / "some" / "lake"))
    check_readable(root)
    assert not (tmp_path / "some").exists()
    check_writable(root)
    check_writable(root)
    assert (tmp_path / "some" / "lake").is_dir()


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "lake").write_text("")
    assert told(check_writable, Root.parse(str(tmp_path / "lake")), {}) == (
        f"LAKEHOUSE_ROOT={tmp_path / 'lake'}: not a folder that can be written to (File exists (os error 17)). Name another one."
    )


def test_a_folder_without_the_right_to_write(tmp_path, monkeypatch):
    """Root may write everywhere, so the system's refusal is played."""

    def refuse(*_, **__):
        raise PermissionError("Permission denied (os error 13)")

    monkeypatch.setattr(obstore, "put", refuse)
    assert told(check_writable, Root.parse(str(tmp_path)), {}) == (
        f"LAKEHOUSE_ROOT={tmp_path}: no right to write there. Give it to this user, or name another folder."
    )
