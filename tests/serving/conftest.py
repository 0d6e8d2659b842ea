import pytest

from lakehouse_assets.storage.root import Root


@pytest.fixture
def root(tmp_path):
    return Root.parse(str(tmp_path / "lakehouse"))
