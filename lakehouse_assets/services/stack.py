"""All services together. Their ports and credentials are chosen once and kept in a file that only the user can read."""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock

from lakehouse_assets.errors import ServiceError
from lakehouse_assets.files import PRIVATE, write_whole
from lakehouse_assets.services.kafka import Kafka
from lakehouse_assets.services.postgres import Postgres
from lakehouse_assets.services.service import PortTakenError, Service, Status, Tell, free_port
from lakehouse_assets.services.store import BUCKET, REGION, MinIO, ObjectStore, VersityGateway

StoreKind = Literal["minio", "versitygw"]


@dataclass(frozen=True)
class StackSettings:
    """The store, ports and credentials that were chosen at the first start."""

    store: StoreKind
    store_port: int
    access_key: str
    secret_key: str
    kafka_port: int
    kafka_controller_port: int
    postgres_port: int
    postgres_password: str

    def __repr__(self) -> str:
        return "StackSettings(...)"


@dataclass(frozen=True)
class Stack:
    """The services in a folder. `cache` holds the programs and jars of all stacks of the user."""

    folder: Path
    cache: Path

    def up(self, tell: Tell, store: StoreKind | None = None) -> None:
        """Start all services that don't run, and wait until they answer. `store` defaults to the one chosen before, or MinIO.

        Raises:
            ServiceError: a service is unavailable or does not answer.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            decided = self._settings() or self._decide(store or "minio")
            if decided.store != (store or decided.store):
                raise ServiceError(
                    f"The store in {self.folder} is {decided.store}, and {store} can't read its objects: "
                    "use another folder, or stop the services and remove this one."
                )
            services = self._services(decided)
            # Prepare all before the first starts, so that none is left running if another is unavailable.
            for service in services:
                service.make_ready(tell)
            for service in services:
                try:
                    service.up(tell)
                except PortTakenError as error:
                    raise ServiceError(f"{error} Or set another port in {self._file}.") from None

    def down(self, tell: Tell) -> None:
        """Stop all running services. Their data is kept."""
        decided = self._settings()
        if decided is not None:
            with FileLock(self.folder / "lock"):
                for service in reversed(self._services(decided)):
                    service.down(tell)

    def status(self) -> list[Status]:
        """The status of each service; empty if the services were never started."""
        decided = self._settings()
        return [service.status() for service in self._services(decided)] if decided else []

    def environment(self) -> dict[str, str]:
        """The environment variables with which the lakehouse uses these services.

        Raises:
            ServiceError: the services were never started.
        """
        decided = self._settings()
        if decided is None:
            raise ServiceError("The services were never started: run `lakehouse services up` first.")
        store, kafka, postgres = self._services(decided)
        assert isinstance(store, ObjectStore)
        assert isinstance(postgres, Postgres)
        return {
            "LAKEHOUSE_ROOT": f"s3://{BUCKET}",
            "AWS_ENDPOINT_URL": store.url,
            "AWS_ACCESS_KEY_ID": decided.access_key,
            "AWS_SECRET_ACCESS_KEY": decided.secret_key,
            "AWS_REGION": REGION,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
            "LAKEHOUSE_POSTGRES_URL": postgres.url,
            "LAKEHOUSE_POSTGRES_PASSWORD": decided.postgres_password,
        }

    @property
    def _file(self) -> Path:
        return self.folder / "settings.json"

    def _settings(self) -> StackSettings | None:
        try:
            return StackSettings(**json.loads(self._file.read_text()))
        except FileNotFoundError:
            return None
        except (TypeError, ValueError):
            raise ServiceError(f"{self._file} can't be read: fix it, or stop the services and remove {self.folder}.") from None

    def _decide(self, store: StoreKind) -> StackSettings:
        """Choose ports and credentials, and save them."""
        decided = StackSettings(
            store=store,
            store_port=free_port(9000),
            access_key=f"lakehouse-{secrets.token_hex(4)}",
            secret_key=secrets.token_urlsafe(24),
            kafka_port=free_port(9092),
            kafka_controller_port=free_port(9093),
            postgres_port=free_port(5432),
            postgres_password=secrets.token_urlsafe(24),
        )
        write_whole(self._file, json.dumps(asdict(decided), indent=2), PRIVATE)
        return decided

    def _services(self, decided: StackSettings) -> list[Service]:
        programs, jars = self.cache / "programs", self.cache / "jars"
        store = MinIO if decided.store == "minio" else VersityGateway
        return [
            store(self.folder / "store", decided.store_port, programs, decided.access_key, decided.secret_key),
            Kafka(self.folder / "kafka", decided.kafka_port, decided.kafka_controller_port, jars),
            Postgres(self.folder / "postgres", decided.postgres_port, programs, decided.postgres_password),
        ]
