"""All settings, from the environment or a `.env` file. `.env.example` documents them for users.

Secrets of the store (`AWS_SECRET_ACCESS_KEY` and the like) are not read here: the libraries that need them read the environment
themselves.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from dotenv import load_dotenv
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lakehouse_assets.contracts.clock import zone_fault
from lakehouse_assets.contracts.problems import nearest
from lakehouse_assets.contracts.remembered import remember_in
from lakehouse_assets.contracts.topics import topic_fault
from lakehouse_assets.engine.remote import ADDRESS
from lakehouse_assets.engine.server import ServerConfig
from lakehouse_assets.engine.session import EngineConfig
from lakehouse_assets.errors import SettingsError
from lakehouse_assets.gold.holidays import DEFAULT_COUNTRIES, countries_fault
from lakehouse_assets.landing.drain.broker import Access
from lakehouse_assets.landing.drain.drain import Limits, Source
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import complete_environment

if TYPE_CHECKING:
    from lakehouse_assets.contracts.feeds import Feed
    from lakehouse_assets.contracts.system import Catalog
    from lakehouse_assets.gold.project import GoldProject
    from lakehouse_assets.publish.postgres import PostgresConfig
    from lakehouse_assets.publish.served import Target

_PLAIN_URL = re.compile(r"https?://[^\s@?#/]+(?:/[^\s?#]*)?")
_SECRET_OPTION = re.compile(r"(?i)token|secret|passw|pwd|key|auth|credential|signature|cookie|bearer")


LAYERS = ("raw", "silver", "gold")


class Settings(BaseSettings):
    """The settings of one process. An entry point (the code location, the command line) reads them once and passes them on."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    lakehouse_root: str = Field("./.lakehouse", description="The root of all data: a folder, or `s3://bucket/prefix`.")
    lakehouse_landing_root: str | None = Field(
        None, description="Another root whose landing is read, in place of LAKEHOUSE_ROOT's own: to try out a build."
    )
    lakehouse_engine: str = Field(
        "spark",
        description="The engine that computes silver: `spark`, a local server started on demand; `sail`, a Rust server in this "
        "process; `sc://host:port`, a remote Spark Connect server.",
    )
    lakehouse_start_date: date = Field(date(2026, 1, 1), description="The first partition of every table.")
    lakehouse_timezone: str = Field(
        "UTC", description="The time zone of the business day: gold's date and time keys of moments, and due times."
    )
    lakehouse_holiday_country: str = Field(
        DEFAULT_COUNTRIES,
        description="The country whose public holidays count in gold's calendar, by its code of ISO 3166; after a comma, more "
        "countries whose holidays gold lists.",
    )
    lakehouse_systems: str = Field(
        "lakehouse_assets.systems",
        description="The packages that declare source systems, as dotted names or folders, separated by commas.",
    )
    lakehouse_dbt_project: Path | None = Field(
        None, description="The dbt project with the gold models; by default the bundled one."
    )
    lakehouse_docs_url: str | None = Field(None, description="The address of the published docs; the UI links to it.")
    lakehouse_engine_memory: str = Field("2g", description="Heap size of the local Spark server, in Java's notation.")
    lakehouse_engine_idle_seconds: int = Field(300, ge=1, description="Idle time after which the local Spark server stops.")
    lakehouse_engine_port: int = Field(0, ge=0, le=65535, description="Port of the local Spark server; 0 picks a free one.")
    lakehouse_gold_waits_seconds: int = Field(
        300,
        ge=0,
        description="How long the gold sensor waits for raw and silver runs to end before it requests gold anyway.",
    )
    lakehouse_least_interval_seconds: int = Field(
        0, ge=0, description="Minimum time between two loads of a feed by the sensor; a feed may set its own."
    )
    lakehouse_parallel_runs: int = Field(
        1,
        ge=1,
        description="How many runs `lakehouse run` has under way at once, of systems that have nothing to do with each other.",
    )
    lakehouse_follow_list_seconds: float = Field(
        10,
        gt=0,
        description="How often `lakehouse sync --follow` lists landing on a store that tells of no changes, such as S3.",
    )
    lakehouse_follow_longest_seconds: float = Field(
        300,
        gt=0,
        description="The longest time between two passes of `lakehouse sync --follow`, for what no event tells.",
    )
    lakehouse_keep_runs_days: int = Field(
        30, ge=1, description="`lakehouse maintain` deletes Dagster's records of runs that ended longer ago."
    )
    kafka_bootstrap_servers: str | None = Field(
        None,
        description="The brokers of Kafka, host:port, separated by commas. The sensors that drain topics are on if it is set.",
    )
    kafka_topic: str | None = Field(
        None,
        description="The topics that are drained, separated by commas, if they are not those that feeds declare: `topic`, or "
        "`system/entity=topic`.",
    )
    kafka_group: str = Field("lakehouse", description="The consumer group in which the drain tells others how far it is.")
    kafka_security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext", description="How brokers are spoken to."
    )
    kafka_sasl_mechanism: str | None = Field(None, description="How the user logs in: SCRAM-SHA-512, SCRAM-SHA-256, PLAIN.")
    kafka_sasl_username: str | None = Field(None, description="The user. KAFKA_SASL_PASSWORD is read from the environment.")
    kafka_ssl_ca: Path | None = Field(
        None, description="The PEM file of the authorities that sign the brokers' certificates; None for those of the machine."
    )
    kafka_ssl_certificate: Path | None = Field(None, description="The PEM file of the client's certificate, if brokers want one.")
    kafka_ssl_key: Path | None = Field(
        None, description="The PEM file of its key. KAFKA_SSL_KEY_PASSWORD is read from the environment."
    )
    kafka_batch_bytes: int = Field(32 * 1024 * 1024, ge=1024, description="The most bytes of an object, before packing, about.")
    kafka_batch_seconds: float = Field(
        15.0, ge=0.5, description="The least time between two objects of a partition that are not full, while following."
    )
    lakehouse_postgres_url: str | None = Field(
        None, description="The PostgreSQL database to which tables are published: `postgresql://user@host:port/database`."
    )
    lakehouse_postgres_password: SecretStr | None = Field(None, description="The password of that user.")
    lakehouse_postgres_layers: str = Field(
        "gold", description="The layers whose tables are published there, separated by commas."
    )
    lakehouse_iceberg_catalog: str | None = Field(
        None,
        description="The Iceberg catalog in which tables are published: `embedded`, or the name of one in PyIceberg's configuration.",
    )
    lakehouse_iceberg_layers: str = Field("silver,gold", description="The layers whose tables it has, separated by commas.")
    lakehouse_postgres_reader: str = Field("lakehouse_reader", description="The role that may read the published tables.")
    lakehouse_alert_urls: SecretStr | None = Field(
        None,
        description="Where alerts are sent, separated by blanks: URLs of apprise, and ARNs of SNS topics. `digest,success=` before one "
        "says what it gets; by default `incidents`.",
    )
    lakehouse_alert_aws_profile: str | None = Field(None, description="The AWS profile of SNS, if it is not that of the store.")
    lakehouse_alert_quarantined: float = Field(
        0.1, ge=0, le=1, description="The share of a date's rows in quarantine above which there is an incident."
    )
    lakehouse_alert_lag: int = Field(100_000, ge=0, description="The lag of a Kafka topic above which there is an incident.")
    lakehouse_alert_days: int = Field(
        7, ge=1, description="How many days before the newest landing date are watched for quarantine, refused files and volume."
    )
    lakehouse_alert_remind_hours: float = Field(
        4, ge=0, description="When an open incident is first told again; each time twice as late, up to a week. 0 for never."
    )
    lakehouse_alert_settle_seconds: float = Field(
        300, ge=0, description="How long an incident has to be absent until it is over; it doubles each time it comes back."
    )
    lakehouse_alert_digest_hour: int = Field(8, ge=0, le=23, description="The hour of the digest, in LAKEHOUSE_TIMEZONE.")
    lakehouse_ui_url: str | None = Field(None, description="The address of the Dagster UI; alerts link to it.")
    given_home: Path | None = Field(
        None,
        validation_alias="DAGSTER_HOME",
        description="The folder of the Dagster instance; by default a separate one for each root.",
    )
    lakehouse_cache: Path = Field(Path("~/.cache/lakehouse"), description="The folder for jars and the engine's state.")

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        root = self.root
        if self.lakehouse_dbt_project and not (self.lakehouse_dbt_project.expanduser() / "dbt_project.yml").is_file():
            raise SettingsError(
                f"LAKEHOUSE_DBT_PROJECT: {self.lakehouse_dbt_project} is not a dbt project: it has no dbt_project.yml."
            )
        if self.lakehouse_engine not in ("spark", "sail"):
            address = ADDRESS.fullmatch(self.lakehouse_engine)
            if address is None:
                raise SettingsError("LAKEHOUSE_ENGINE: an engine is `spark`, `sail`, or the address of a server, sc://host:port.")
            if any(_SECRET_OPTION.search(option.partition("=")[0]) for option in (address["options"] or "").split(";")):
                raise SettingsError(
                    "LAKEHOUSE_ENGINE: a secret doesn't belong in the address. Set SPARK_CONNECT_AUTHENTICATE_TOKEN for a token."
                )
        if fault := zone_fault(self.lakehouse_timezone):
            raise SettingsError(f"LAKEHOUSE_TIMEZONE: {fault}.")
        if fault := countries_fault(self.lakehouse_holiday_country):
            raise SettingsError(f"LAKEHOUSE_HOLIDAY_COUNTRY: {fault}.")
        for setting in ("lakehouse_postgres_layers", "lakehouse_iceberg_layers"):
            if unknown := {*_names(getattr(self, setting))} - {*LAYERS}:
                raise SettingsError(f"{setting.upper()}: {min(unknown)!r} is not a layer. Layers are {', '.join(LAYERS)}.")
        if self.lakehouse_postgres_url:
            self._postgres_config()
        if self.lakehouse_docs_url and not _PLAIN_URL.fullmatch(self.lakehouse_docs_url):
            raise SettingsError(
                "LAKEHOUSE_DOCS_URL: write the address of the docs as https://host/path, without user, password or query: "
                "the UI shows it to everybody."
            )
        if self.lakehouse_ui_url and not _PLAIN_URL.fullmatch(self.lakehouse_ui_url):
            raise SettingsError(
                "LAKEHOUSE_UI_URL: write the address of the UI as https://host/path, without user, password or query: alerts show it."
            )
        for file in (self.kafka_ssl_ca, self.kafka_ssl_certificate, self.kafka_ssl_key):
            if file is not None and not file.is_file():
                raise SettingsError(f"KAFKA_SSL_*: there is no file {file}.")
        if self.kafka_security_protocol.startswith("sasl") and not (self.kafka_sasl_mechanism and self.kafka_sasl_username):
            raise SettingsError(
                f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} wants KAFKA_SASL_MECHANISM (such as SCRAM-SHA-512), "
                "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD."
            )
        if self.lakehouse_engine == "sail" and not re.fullmatch(r"[!-~]+", root.uri):
            raise SettingsError(
                f"LAKEHOUSE_ENGINE=sail can't read Delta tables below {root.uri}, because it has spaces or non-ASCII characters "
                "(Sail 0.7.2): name another folder in LAKEHOUSE_ROOT, or set LAKEHOUSE_ENGINE=spark."
            )
        return self

    @cached_property
    def root(self) -> Root:
        """The parsed root of all data."""
        root, landing = Root.parse(self.lakehouse_root), self.lakehouse_landing_root
        return replace(root, landing_uri=Root.parse(landing).uri) if landing else root

    @property
    def system_packages(self) -> tuple[str, ...]:
        """The packages that declare source systems."""
        return _names(self.lakehouse_systems)

    def _postgres_config(self) -> "PostgresConfig":
        from lakehouse_assets.publish.postgres import PostgresConfig

        assert self.lakehouse_postgres_url is not None
        return PostgresConfig(self.lakehouse_postgres_url, self.lakehouse_postgres_password, self.lakehouse_postgres_reader)

    def targets(self, catalog: "Catalog") -> "list[Target]":
        """The systems to which tables are published; without their settings, none."""
        found: list[Target] = []
        if not self.lakehouse_postgres_url and not self.lakehouse_iceberg_catalog:
            return found
        from lakehouse_assets.publish.served import served_tables

        manifest = self.gold_project.manifest()
        if self.lakehouse_postgres_url:
            from lakehouse_assets.publish.postgres import Postgres

            tables = served_tables(catalog, manifest, _names(self.lakehouse_postgres_layers))
            found.append(Postgres(self._postgres_config(), tables))
        if self.lakehouse_iceberg_catalog:
            from lakehouse_assets.publish.iceberg import Iceberg

            tables = served_tables(catalog, manifest, _names(self.lakehouse_iceberg_layers))
            file = self.local_state / "iceberg" / "catalog.db"
            found.append(Iceberg(self.lakehouse_iceberg_catalog, self.root, file, tables))
        return found

    @cached_property
    def gold_project(self) -> "GoldProject":
        """The dbt project with the gold models."""
        from lakehouse_assets.gold.project import GoldProject, built_in_folder

        own_project, built_in = self.lakehouse_dbt_project, built_in_folder(self.cache_folder)
        folder = own_project.expanduser().absolute() if own_project else built_in
        return GoldProject(
            folder,
            built_in,
            timezone=self.lakehouse_timezone,
            start=self.lakehouse_start_date,
            holiday_countries=self.lakehouse_holiday_country,
            cache=self.cache_folder,
        )

    def kafka_access(self) -> Access:
        """Return which brokers are asked, and how.

        Raises:
            SettingsError: none is set.
        """
        if not self.kafka_bootstrap_servers:
            raise SettingsError("KAFKA_BOOTSTRAP_SERVERS is not set: it names the brokers, host:port. See docs/streaming.md.")
        return Access(
            servers=self.kafka_bootstrap_servers,
            protocol=self.kafka_security_protocol,
            mechanism=self.kafka_sasl_mechanism,
            user=self.kafka_sasl_username,
            ca=_text(self.kafka_ssl_ca),
            certificate=_text(self.kafka_ssl_certificate),
            key=_text(self.kafka_ssl_key),
            group=self.kafka_group,
        )

    def kafka_sources(self, feeds: Iterable["Feed"]) -> list[Source]:
        """Return what is drained into what: the topics of `KAFKA_TOPIC`, or else those that the feeds declare.

        Raises:
            SettingsError: no broker is set, or a topic belongs to no feed, or it is not said to which.
        """
        declared = {feed.landing: feed.topic.name for feed in feeds if feed.topic}
        access = self.kafka_access()
        return [
            Source(feed, topic, access, self.lakehouse_start_date) for feed, topic in topics_of(declared, self.kafka_topic or "")
        ]

    def drain_limits(self, *, follow: bool = False, records: int | None = None, seconds: float | None = None) -> Limits:
        """Return when the drain puts a batch, and when it ends."""
        return Limits(
            batch_bytes=self.kafka_batch_bytes,
            interval=self.kafka_batch_seconds,
            follow=follow,
            records=records,
            seconds=seconds,
        )

    @property
    def cache_folder(self) -> Path:
        """The folder of what all roots of a user share."""
        return self.lakehouse_cache.expanduser().absolute()

    @property
    def local_state(self) -> Path:
        """The folder for local state such as the Dagster instance: the root, or for a root on S3 a folder below `.lakehouse`."""
        return self.root.local_folder or Path(".lakehouse", "s3", self.root.uri.removeprefix("s3://")).absolute()

    @property
    def engine_config(self) -> EngineConfig:
        """The configuration of the engine."""
        return EngineConfig(self.lakehouse_engine, self.local_spark)

    @property
    def local_spark(self) -> ServerConfig:
        """The configuration of the local Spark server."""
        return ServerConfig(
            cache=self.cache_folder,
            memory=self.lakehouse_engine_memory,
            idle_seconds=self.lakehouse_engine_idle_seconds,
            port=self.lakehouse_engine_port,
            reads_s3=self.root.bucket is not None,
        )

    @property
    def services_folder(self) -> Path:
        """The folder in which `lakehouse services` keeps data and state."""
        return Path(".lakehouse", "services").absolute()

    @property
    def dagster_home(self) -> Path:
        """The folder of the Dagster instance. `DAGSTER_HOME` overrides it, so that command line and UI share one."""
        return self.given_home.absolute() if self.given_home else self.local_state / "dagster"


def topics_of(declared: Mapping[str, str], named: str) -> list[tuple[str, str]]:
    """Return feeds with their topics. `declared` are the topics of feeds; `named` are those to use in their place, if any.

    Raises:
        SettingsError: a topic belongs to no feed, or it is not said to which, or its name can't be landed.
    """
    entries = [entry.strip() for entry in named.split(",") if entry.strip()]
    if not entries:
        return list(declared.items())
    found = []
    for entry in entries:
        feed, equals, topic = entry.rpartition("=")
        if not equals:
            owners = [landing for landing, name in declared.items() if name == topic] or list(declared)
            if len(owners) != 1:
                known = ", ".join(declared) or "none"
                raise SettingsError(f"KAFKA_TOPIC: write system/entity={topic}. Feeds with a topic are: {known}.")
            feed = owners[0]
        if feed not in declared:
            raise SettingsError(
                f"KAFKA_TOPIC: {feed!r} is not a feed with a topic{nearest(feed, declared)}. "
                'Declare topic=Topic("…") in its source file.'
            )
        if fault := topic_fault(topic):
            raise SettingsError(f"KAFKA_TOPIC: {fault}.")
        found.append((feed, topic))
    return found


def _text(file: Path | None) -> str | None:
    return None if file is None else str(file.expanduser().absolute())


def _names(text: str) -> tuple[str, ...]:
    """The names in a list with commas."""
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def load_settings() -> Settings:
    """Read the settings from the environment and `.env`. What parsing of contracts and code finds is kept in the cache's folder.

    Raises:
        SettingsError: a value is invalid, or is an address that may hold a secret. The text names each setting and its fault, but
            never such a value.
    """
    # Loaded into this process's environment, because the store's client libraries read `AWS_*` from there.
    load_dotenv(".env")
    complete_environment()
    try:
        settings = Settings()
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"Invalid settings: {faults}. See .env.example.") from None
    remember_in(settings.cache_folder / "contracts")
    return settings


def load_catalog(settings: Settings) -> "Catalog":
    """The feeds and silver tables of all systems. Also adds these tables to the dbt project as sources.

    The bundled dbt project knows only the tables of the bundled systems.

    Raises:
        ContractError: systems have faults; the text lists all of them, one per line.
        SettingsError: there is no such package of systems.
    """
    from lakehouse_assets.systems import BUILT_IN, catalog

    declared = catalog(settings.system_packages)
    if settings.lakehouse_dbt_project or settings.system_packages == BUILT_IN:
        settings.gold_project.add_sources(declared)
    return declared
