"""The object store: MinIO, or versitygw, which keeps objects as plain files."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from lakehouse_assets.errors import ServiceError
from lakehouse_assets.services.programs import built_with_go, find_program
from lakehouse_assets.services.service import Service, Tell

BUCKET = "lakehouse"
REGION = "us-east-1"


class ObjectStore(Service):
    """The base of both stores: an administrator's keys, and the bucket."""

    module: str
    bucket: str = BUCKET

    def __init__(self, folder: Path, port: int, programs: Path, access_key: str, secret_key: str) -> None:
        super().__init__(folder, port)
        self._programs = programs
        self._access_key = access_key
        self._secret_key = secret_key

    @property
    def url(self) -> str:
        """The value for `AWS_ENDPOINT_URL`."""
        return f"http://{self.address}"

    def prepare(self, tell: Tell) -> None:
        """See `Service.prepare`."""
        (self.folder / "data").mkdir(exist_ok=True)
        self._program = find_program(self.name) or built_with_go(self.name, self.module, self._programs, tell)

    def after_start(self) -> None:
        """Create the bucket if it does not exist."""
        import boto3
        from botocore.config import Config
        from botocore.exceptions import ClientError

        keys = {"aws_access_key_id": self._access_key, "aws_secret_access_key": self._secret_key}
        client = boto3.client("s3", endpoint_url=self.url, region_name=REGION, config=Config(proxies={}), **keys)
        try:
            client.create_bucket(Bucket=self.bucket)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise ServiceError(
                    f"{self.name}: the bucket {self.bucket} can't be created ({code}). The store's log is {self.log}."
                ) from None


class MinIO(ObjectStore):
    """MinIO. The project is archived, but its last version can still be built from source."""

    name = "minio"
    module = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"

    def command(self) -> Sequence[str]:
        """See `Service.command`."""
        addresses = ["--address", self.address, "--console-address", "127.0.0.1:0"]
        return [str(self._program), "server", "--quiet", *addresses, str(self.folder / "data")]

    def environment(self) -> Mapping[str, str]:
        """See `Service.environment`."""
        return {"MINIO_ROOT_USER": self._access_key, "MINIO_ROOT_PASSWORD": self._secret_key, "MINIO_UPDATE": "off"}

    def is_healthy(self) -> bool:
        """Whether its readiness check succeeds."""
        return _http_status(f"{self.url}/minio/health/ready") == 200


class VersityGateway(ObjectStore):
    """Versity's gateway over a folder: a second S3 store, so that the project does not depend on features that only MinIO has."""

    name = "versitygw"
    module = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

    def command(self) -> Sequence[str]:
        """See `Service.command`."""
        (self.folder / "iam").mkdir(exist_ok=True)
        flags = ["--port", self.address, "--health", "/health", "--iam-dir", str(self.folder / "iam"), "--quiet"]
        return [str(self._program), *flags, "posix", str(self.folder / "data")]

    def environment(self) -> Mapping[str, str]:
        """See `Service.environment`."""
        return {"ROOT_ACCESS_KEY": self._access_key, "ROOT_SECRET_KEY": self._secret_key}

    def is_healthy(self) -> bool:
        """Whether its health check succeeds."""
        return _http_status(f"{self.url}/health") == 200


def _http_status(url: str) -> int | None:
    """The HTTP status of a request; None if nothing answers."""
    # Without a proxy: one from the environment can't reach this machine's own addresses.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=3) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return None
