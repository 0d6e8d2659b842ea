"""One warehouse for all tests of the models' SQL: compiling the project takes longer than all of them."""

from collections.abc import Callable

import pytest

from lakehouse_assets.settings import Settings
from tests.support.warehouse import Sql, Warehouse


@pytest.fixture(scope="session")
def compiled_project(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """The warehouse itself; its tables are those of the last test that built them."""
    return Warehouse(Settings().gold_project, tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="session")
def warehouse(compiled_project: Warehouse) -> Callable[..., Sql]:
    """A function from silver rows by table to a function that runs SQL over the models."""
    return compiled_project.build


@pytest.fixture(scope="session")
def compiled(compiled_project: Warehouse) -> dict[str, str]:
    """The SQL of each model and test."""
    return compiled_project.compiled
