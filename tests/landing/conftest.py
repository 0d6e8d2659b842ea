"""A landing folder on each kind of store, and a hand that puts files there under names that obstore would refuse."""

import os

import pytest

from lakehouse_assets.landing.objects import Landing
from lakehouse_assets.store.root import Root
from tests.support.hand import Put, hand


@pytest.fixture(params=["folder", "minio", "versitygw"])
def store(request, tmp_path, monkeypatch) -> str:
    """Each kind of store in turn: this process's environment leads to it."""
    if request.param == "folder":
        monkeypatch.setenv("LAKEHOUSE_ROOT", str(tmp_path / "lakehouse"))
    else:
        for name, value in request.getfixturevalue("stores")(request.param).items():
            monkeypatch.setenv(name, value)
    return request.param


@pytest.fixture
def landing(store) -> Landing:
    return Landing(Root.parse(os.environ["LAKEHOUSE_ROOT"]))


@pytest.fixture
def put(landing) -> Put:
    return hand(landing.root)
