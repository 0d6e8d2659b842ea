"""A real PostgreSQL, and databases in it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2

from lakehouse_assets.services.postgres import USER, Postgres
from lakehouse_assets.services.service import free_port
from lakehouse_assets.settings import Settings

PASSWORD = "open-sesame"


@dataclass(frozen=True)
class Database:
    """An empty database of its own. `url` has no password."""

    address: str
    name: str

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@{self.address}/{self.name}"

    def connect(self, **more: Any) -> Any:
        """A connection; each statement is a transaction unless `autocommit` is set to False."""
        host, _, port = self.address.partition(":")
        parts = {"host": host, "port": port, "user": USER, "password": PASSWORD, "dbname": self.name} | more
        connection = psycopg2.connect(**parts)
        connection.autocommit = True
        return connection

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run SQL; the rows of the result, if it has any."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    address: str

    def new_database(self) -> Database:
        """Create a database."""
        database = Database(self.address, f"test_{uuid4().hex[:8]}")
        Database(self.address, "postgres").rows(f"CREATE DATABASE {database.name}")
        return database


@contextmanager
def postgres_server() -> Iterator[Server]:
    """Start a server in a folder that all users may enter: as root, PostgreSQL runs as another."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    folder.chmod(0o755)
    server = Postgres(folder / "postgres", free_port(0), Settings().cache_folder / "programs", PASSWORD)
    try:
        server.up(lambda _: None)
        yield Server(server.address)
    finally:
        server.down(lambda _: None)
        shutil.rmtree(folder, ignore_errors=True)
