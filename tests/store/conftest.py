"""What the tests of stores share."""

import os

import pytest

from lakehouse_assets.store.root import Root


@pytest.fixture
def minio(stores):
    return stores("minio")


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """Sets a whole environment of a store; nothing of the machine's own stays in it."""

    def put(environment):
        for name in [n for n in os.environ if n.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no credentials"))
        # A machine in a cloud would give credentials of its own: botocore, and delta-rs, would ask for them there.
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        return Root.parse(environment["LAKEHOUSE_ROOT"])

    return put
