"""All settings, from the environment or a `.env` file. Documented for users in `.env.example`.

Secrets (`AWS_SECRET_ACCESS_KEY` and the like) are not read here: the libraries that need them take them from the environment.
"""

import re
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dotenv import load_dotenv
from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lakehouse_assets.bundled import built_in_project
from lakehouse_assets.engine.remote import ADDRESS
from lakehouse_assets.engine.server import ServerConfig
from lakehouse_assets.engine.session import EngineConfig
from lakehouse_assets.errors import SettingsError
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import complete_environment

if TYPE_CHECKING:
    from lakehouse_assets.contracts.system import Catalog
    from lakehouse_assets.gold.project import GoldProject

_PLAIN_URL = re.compile(r"https?://[^\s@?#/]+(?:/[^\s?#]*)?")
_SECRET_OPTION = re.compile(r"(?i)token|secret|passw|pwd|key|auth|credential|signature|cookie|bearer")


class Settings(BaseSettings):
    """The settings of one process. Read once at an entry point (the code location, the command line) and passed on."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    lakehouse_root: str = Field("./.lakehouse", description="Where all data lies: a folder, or `s3://bucket/prefix`.")
    lakehouse_engine: str = Field(
        "spark",
        description="Where silver is computed: `spark`, a local server started on demand; `sail`, a server in Rust within the "
        "process; `sc://host:port`, a Spark Connect server that others run.",
    )
    lakehouse_start_date: date = Field(date(2026, 1, 1), description="The first partition of every table.")
    lakehouse_systems: str = Field(
        "lakehouse_assets.systems",
        description="The packages that declare source systems, by their dotted names or as folders, separated by commas.",
    )
    lakehouse_dbt_project: Path | None = Field(
        None, description="The dbt project whose models are gold; by default the one that comes with the lakehouse."
    )
    lakehouse_docs_url: str | None = Field(None, description="Where the docs are published; the UI links to it.")
    lakehouse_engine_memory: str = Field("2g", description="Heap of the local Spark server, as Java writes it.")
    lakehouse_engine_idle_seconds: int = Field(300, ge=1, description="The local Spark server ends after this long unused.")
    lakehouse_engine_port: int = Field(0, ge=0, le=65535, description="Port of the local Spark server; 0 takes a free one.")
    lakehouse_gold_waits_seconds: int = Field(
        300,
        ge=0,
        description="So long the gold sensor waits for raw and silver runs to end before it asks for gold all the same.",
    )
    lakehouse_least_interval_seconds: int = Field(
        0, ge=0, description="So long after a feed was loaded its files wait for the sensor's next run; a feed may say so itself."
    )
    lakehouse_keep_runs_days: int = Field(
        30, ge=1, description="`lakehouse maintain` deletes what Dagster knows of runs that ended longer ago."
    )
    given_home: Path | None = Field(
        None, validation_alias="DAGSTER_HOME", description="The Dagster instance; by default a folder of its own for each root."
    )
    lakehouse_cache: Path = Field(Path("~/.cache/lakehouse"), description="Where jars and the state of the engine are kept.")

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        root = self.root
        if self.lakehouse_dbt_project and not (self.lakehouse_dbt_project.expanduser() / "dbt_project.yml").is_file():
            raise SettingsError(
                f"LAKEHOUSE_DBT_PROJECT: {self.lakehouse_dbt_project} is not the folder of a dbt project: it has no dbt_project.yml."
            )
        if self.lakehouse_engine not in ("spark", "sail"):
            found = ADDRESS.fullmatch(self.lakehouse_engine)
            if found is None:
                raise SettingsError("LAKEHOUSE_ENGINE: an engine is `spark`, `sail`, or the address of a server, sc://host:port.")
            if any(_SECRET_OPTION.search(option.partition("=")[0]) for option in (found["options"] or "").split(";")):
                raise SettingsError(
                    "LAKEHOUSE_ENGINE: a secret doesn't belong in the address. Set SPARK_CONNECT_AUTHENTICATE_TOKEN for a token."
                )
        if self.lakehouse_docs_url and not _PLAIN_URL.fullmatch(self.lakehouse_docs_url):
            raise SettingsError(
                "LAKEHOUSE_DOCS_URL: the address of the docs is written https://host/path, without user, password or query: "
                "the UI shows it to everybody."
            )
        if self.lakehouse_engine == "sail" and not re.fullmatch(r"[!-~]+", root.uri):
            raise SettingsError(
                f"LAKEHOUSE_ENGINE=sail can't read Delta tables below {root.uri}, because of its blanks or letters beyond ASCII "
                "(Sail 0.7.2): name another folder in LAKEHOUSE_ROOT, or take LAKEHOUSE_ENGINE=spark."
            )
        return self

    @cached_property
    def root(self) -> Root:
        """The root as an object that knows the paths below it."""
        return Root.parse(self.lakehouse_root)

    @property
    def system_packages(self) -> tuple[str, ...]:
        """The packages that declare source systems."""
        return tuple(filter(None, (name.strip() for name in self.lakehouse_systems.split(","))))

    @property
    def gold_project(self) -> "GoldProject":
        """The dbt project whose models are gold."""
        from lakehouse_assets.gold.project import GoldProject

        given, built_in = self.lakehouse_dbt_project, built_in_project(self._cache)
        return GoldProject(given.expanduser().absolute() if given else built_in, package=built_in)

    @property
    def _cache(self) -> Path:
        return self.lakehouse_cache.expanduser().absolute()

    @property
    def local_state(self) -> Path:
        """Where this machine keeps what is not data: the Dagster instance. For a root on S3 a folder of its own below `.lakehouse`."""
        return self.root.local_folder or Path(".lakehouse", "s3", self.root.uri.removeprefix("s3://")).absolute()

    @property
    def engine_config(self) -> EngineConfig:
        """The engine that these settings mean."""
        return EngineConfig(self.lakehouse_engine, self.local_spark)

    @property
    def local_spark(self) -> ServerConfig:
        """The local Spark server that these settings mean."""
        return ServerConfig(
            cache=self._cache,
            memory=self.lakehouse_engine_memory,
            idle_seconds=self.lakehouse_engine_idle_seconds,
            port=self.lakehouse_engine_port,
            reads_s3=self.root.bucket is not None,
        )

    @property
    def services_folder(self) -> Path:
        """Where `lakehouse services` keeps their data and state."""
        return Path(".lakehouse", "services").absolute()

    @property
    def dagster_home(self) -> Path:
        """Folder of the Dagster instance: the one that `DAGSTER_HOME` names, so that command line and UI share it."""
        return self.given_home.absolute() if self.given_home else self.local_state / "dagster"


def load_settings() -> Settings:
    """The settings of the environment.

    Raises:
        SettingsError: a value can't be read, or is an address that may hold a secret; the text names each setting and its fault,
            never such a value.
    """
    # Into the environment of this process, because the libraries that speak to the store take `AWS_*` from there.
    load_dotenv(".env")
    complete_environment()
    try:
        return Settings()
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"Settings can't be read: {faults}. See .env.example.") from None


def load_catalog(settings: Settings) -> "Catalog":
    """The feeds and silver tables of all systems. From now on the dbt project knows each of these tables as a source.

    The project that comes with the lakehouse knows the tables of the systems that come with it, and no others.

    Raises:
        ContractError: something is wrong with a system; all that is, a line each.
        SettingsError: there is no such package of systems.
    """
    from lakehouse_assets.systems import BUILT_IN, catalog

    declared = catalog(settings.system_packages)
    if settings.lakehouse_dbt_project or settings.system_packages == BUILT_IN:
        settings.gold_project.add_sources(declared)
    return declared
