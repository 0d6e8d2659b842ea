"""The S3 settings, and the object client and DuckDB set up with them. delta-rs and the engines read the same `AWS_*` variables.

Uses only what every S3 store supports: GET, PUT (conditional too), LIST, DELETE, multipart uploads.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore.store import S3Store

from lakehouse_assets.errors import SettingsError

if TYPE_CHECKING:
    import duckdb

_RETRIES = {"max_retries": 5, "retry_timeout": timedelta(seconds=20)}
"""The client's default keeps trying for three minutes, too long a wait for the report of a wrong endpoint."""


ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
"""The variables from which libraries take an endpoint. The first overrides the second; only delta-rs reads the last."""

_ENDPOINT = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?")

_IDENTITY = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)

_NO_CREDENTIALS = (
    "LAKEHOUSE_ROOT is on S3, but there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or AWS_PROFILE, or run where the machine has a role."
)


@dataclass(frozen=True)
class S3Settings:
    """The store's settings in the environment, without credentials. `endpoint` is empty for AWS.

    `endpoint_name` is the variable that sets the endpoint, or the one to set.
    """

    endpoint_name: str
    endpoint: str
    region: str
    allows_http: bool


def s3_settings() -> S3Settings:
    """The store's settings in the environment now. Only this module reads `AWS_*` settings of the store.

    Raises:
        SettingsError: the endpoint is not a plain address. The text never repeats it: it may hold a password or a signature.
    """
    name = next((n for n in ENDPOINTS[:2] if os.environ.get(n)), ENDPOINTS[1])
    refuse_unless_plain(name)
    return S3Settings(
        endpoint_name=name,
        endpoint=os.environ.get(name, ""),
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        allows_http=os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1", "yes", "on", "y"),
    )


def complete_environment() -> None:
    """Add to this process's environment what delta-rs must be given and the other libraries find automatically.

    Raises:
        SettingsError: an endpoint is not a plain address.
    """
    for name in ENDPOINTS:
        refuse_unless_plain(name)
    if any(os.environ.get(name, "").startswith("http://") for name in ENDPOINTS[:2]):
        os.environ.setdefault("AWS_ALLOW_HTTP", "true")
    if not has_keys():
        # Otherwise, with an endpoint set, delta-rs asks a cloud's metadata service instead of AWS_PROFILE.
        os.environ.setdefault("AWS_FORCE_CREDENTIAL_LOAD", "true")


def identity() -> tuple[str | None, ...]:
    """The variables that identify the store and its user. Contains secrets: use it for comparison only."""
    return tuple(os.environ.get(name) for name in _IDENTITY)


def refuse_unless_plain(name: str) -> None:
    """Check that an endpoint setting, if set, is a plain address: without user, password or query.

    Raises:
        SettingsError: it is not a plain address.
    """
    endpoint = os.environ.get(name)
    if endpoint and not _ENDPOINT.fullmatch(endpoint):
        raise SettingsError(
            f"{name}: write an endpoint as http://host:port or https://host:port, without user, password or query. "
            "Keys go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )


def s3_store(bucket: str, prefix: str) -> S3Store:
    """The client for keys below a prefix. Takes endpoint, region and keys from the environment; without keys, asks boto3."""
    options: dict[str, Any] = {"prefix": prefix or None, "retry_config": _RETRIES}
    if not has_keys():
        from obstore.auth.boto3 import Boto3CredentialProvider

        try:
            options["credential_provider"] = Boto3CredentialProvider()
        except ValueError:
            raise SettingsError(_NO_CREDENTIALS) from None
    return S3Store(bucket, **options)


def load_s3_client(connection: "duckdb.DuckDBPyConnection", bucket: str) -> None:
    """Load DuckDB's S3 client from the installed package and configure it with the store's settings and credentials."""
    connection.execute(f"LOAD {_quoted(str(_extension()))}")
    credentials = _credentials()
    store = s3_settings()
    settings = {
        "KEY_ID": credentials.key,
        "SECRET": credentials.secret,
        "SESSION_TOKEN": credentials.token,
        "REGION": store.region,
        "SCOPE": f"s3://{bucket}",
    }
    if store.endpoint:
        scheme, _, host = store.endpoint.rstrip("/").partition("://")
        settings |= {"ENDPOINT": host, "URL_STYLE": "path", "USE_SSL": "true" if scheme == "https" else "false"}
    options = ", ".join(f"{name} {_quoted(value)}" for name, value in settings.items() if value)
    connection.execute(f"CREATE OR REPLACE SECRET lakehouse (TYPE s3, {options})")


def credentials_fingerprint() -> str:
    """A hash of the endpoint and the credentials. It reveals neither, and changes when the credentials are renewed."""
    credentials = _credentials()
    secrets = f"{credentials.key}/{credentials.secret}/{credentials.token}"
    return hashlib.sha256(f"{s3_settings().endpoint}/{secrets}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Credentials:
    key: str
    secret: str
    token: str

    def __repr__(self) -> str:
        return "_Credentials(...)"


def _credentials() -> _Credentials:
    """The keys in the environment, or what botocore finds."""
    if has_keys():
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return _Credentials(*(os.environ.get(name, "") for name in names))
    from botocore.session import Session

    session_credentials = Session().get_credentials()
    if session_credentials is None:
        raise SettingsError(_NO_CREDENTIALS)
    frozen = session_credentials.get_frozen_credentials()
    return _Credentials(frozen.access_key, frozen.secret_key, frozen.token or "")


def has_keys() -> bool:
    """Whether the environment holds an access key."""
    return bool(os.environ.get("AWS_ACCESS_KEY_ID"))


def _extension() -> Path:
    """The httpfs extension in the installed package, built for its version of DuckDB: nothing is downloaded at run time."""
    package = find_spec("duckdb_extension_httpfs")
    if package is None or package.origin is None:
        raise SettingsError("The package duckdb-extension-httpfs is not installed: install the environment with `make setup`.")
    return next(Path(package.origin).parent.glob("extensions/*/httpfs.duckdb_extension"))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
