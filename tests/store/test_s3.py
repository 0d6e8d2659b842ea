"""Credentials of every kind, as the object client, DuckDB and delta-rs find them, on a real store."""

import os
import subprocess
import sys
from unittest.mock import patch

import boto3
import duckdb
import obstore
import pyarrow as pa
import pyarrow.parquet
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse_assets.errors import SettingsError
from lakehouse_assets.settings import load_settings
from lakehouse_assets.store.s3 import credentials_fingerprint, load_s3_client

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
ROWS = pa.table({"name": ["one", "two"]})


@pytest.fixture
def by_keys(minio):
    """Keys in the environment."""
    return minio


@pytest.fixture
def by_session(minio):
    """Keys in the environment that end after a while, with their token."""
    client = boto3.client(
        "sts",
        endpoint_url=minio["AWS_ENDPOINT_URL"],
        region_name=minio["AWS_REGION"],
        aws_access_key_id=minio["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=minio["AWS_SECRET_ACCESS_KEY"],
    )
    given = client.assume_role(RoleArn="arn:aws:iam::1:role/any", RoleSessionName="test")["Credentials"]
    return minio | dict(zip(KEYS, (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]), strict=True))


def profile(environment, file):
    """The environment with its keys in a file of profiles in place of the environment."""
    names = [name for name in KEYS if name in environment]
    lines = [f"{name.lower()} = {environment[name]}" for name in names]
    file.write_text("\n".join(["[default]", "aws_access_key_id = other", "aws_secret_access_key = other", "[lake]", *lines]))
    rest = {name: value for name, value in environment.items() if name not in names}
    return rest | {"AWS_PROFILE": "lake", "AWS_SHARED_CREDENTIALS_FILE": str(file)}


@pytest.fixture
def by_profile(minio, tmp_path):
    """A profile of AWS's shared credentials file."""
    return profile(minio, tmp_path / "credentials")


@pytest.fixture
def by_profile_with_session(by_session, tmp_path):
    """A profile whose keys end after a while."""
    return profile(by_session, tmp_path / "credentials")


@pytest.fixture(params=["by_keys", "by_session", "by_profile", "by_profile_with_session"])
def root(request, settings):
    """A root on a store that is reached with each kind of credentials."""
    return settings(request.getfixturevalue(request.param))


def test_objects_are_put_and_listed(root):
    obstore.put(root.store, "landing/crm/customers.csv", b"id\n1\n")
    assert root.files("landing") == [("landing/crm/customers.csv", 5)]


def test_duckdb_reads_an_object(root):
    out = pa.BufferOutputStream()
    pa.parquet.write_table(ROWS, out)
    obstore.put(root.store, "raw/rows.parquet", out.getvalue().to_pybytes())
    with duckdb.connect() as connection:
        load_s3_client(connection, root.bucket)
        rows = connection.execute(f"SELECT name FROM read_parquet('{root.path('raw', 'rows.parquet')}') ORDER BY name").fetchall()
    assert rows == [("one",), ("two",)]


def test_delta_rs_writes_and_reads_a_table(root, monkeypatch):
    # Where an endpoint is set, delta-rs looks into profiles only when told to.
    monkeypatch.setenv("AWS_FORCE_CREDENTIAL_LOAD", "true")
    write_deltalake(root.table("raw", "rows"), ROWS)
    assert DeltaTable(root.table("raw", "rows")).to_pyarrow_table().to_pydict() == ROWS.to_pydict()


def test_a_profile_is_enough_for_delta_rs(by_profile, settings, tmp_path, monkeypatch):
    root = settings(by_profile)
    monkeypatch.chdir(tmp_path)
    with patch.dict(os.environ):  # what it adds to the environment goes with the test
        load_settings()
        write_deltalake(root.table("raw", "rows"), ROWS)
        assert DeltaTable(root.table("raw", "rows")).to_pyarrow_table().to_pydict() == ROWS.to_pydict()


def test_duckdb_tells_nobody_the_secret(by_keys, settings):
    root = settings(by_keys)
    with duckdb.connect() as connection:
        load_s3_client(connection, root.bucket)
        [shown] = connection.execute("SELECT secret_string FROM duckdb_secrets()").fetchone()
    assert by_keys["AWS_SECRET_ACCESS_KEY"] not in shown


def test_duckdb_uses_the_credentials_for_the_root_s_bucket_alone(by_keys, settings):
    root = settings(by_keys)
    with duckdb.connect() as connection:
        load_s3_client(connection, root.bucket)
        rows = connection.execute("SELECT scope FROM duckdb_secrets()").fetchall()
    assert rows == [([f"s3://{root.bucket}"],)]


def test_credentials_with_quotes_are_passed_to_duckdb_whole(by_keys, settings):
    root = settings(by_keys | {"AWS_REGION": "it's, or 'is' it"})
    with duckdb.connect() as connection:
        load_s3_client(connection, root.bucket)
        [shown] = connection.execute("SELECT secret_string FROM duckdb_secrets()").fetchone()
    assert "region=it's, or 'is' it" in shown


def test_without_credentials_duckdb_is_told_what_to_set(by_keys, settings):
    root = settings({name: value for name, value in by_keys.items() if name not in KEYS})
    with duckdb.connect() as connection, pytest.raises(SettingsError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        load_s3_client(connection, root.bucket)


def test_without_credentials_there_is_no_mark(by_keys, settings):
    settings({name: value for name, value in by_keys.items() if name not in KEYS})
    with pytest.raises(SettingsError, match="LAKEHOUSE_ROOT is on S3, but there are no credentials"):
        credentials_fingerprint()


def test_the_mark_stays_while_nothing_changes(by_keys, settings):
    settings(by_keys)
    code = "from lakehouse_assets.store.s3 import credentials_fingerprint; print(credentials_fingerprint())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert credentials_fingerprint() == done.stdout.strip()


@pytest.mark.parametrize("name", [*KEYS, "AWS_ENDPOINT_URL"])
def test_the_mark_changes_with_whatever_tells_credentials_and_stores_apart(by_session, settings, name):
    settings(by_session)
    before = credentials_fingerprint()
    settings(by_session | {name: "http://another"})
    assert credentials_fingerprint() != before


def test_the_mark_of_a_profile_changes_with_its_file(by_profile, settings, tmp_path):
    settings(by_profile)
    before = credentials_fingerprint()
    file = tmp_path / "credentials"
    file.write_text(file.read_text().replace("test-secret-of-this-session", "renewed"))
    assert credentials_fingerprint() != before


def test_the_mark_does_not_tell_the_secret(by_session, settings):
    settings(by_session)
    mark = credentials_fingerprint()
    assert len(mark) == 16
    for name in KEYS:
        secret = by_session[name]
        assert not any(secret[first : first + 6] in mark for first in range(len(secret) - 5))
