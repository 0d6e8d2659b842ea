import pytest

from tests.support.database import Database, Server, postgres_server


@pytest.fixture(scope="module")
def server():
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(server: Server) -> Database:
    return server.new_database()
