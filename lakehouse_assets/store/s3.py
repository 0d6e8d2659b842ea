"""An S3-compatible store as object client and DuckDB see it. delta-rs and the engines read the same `AWS_*` names by themselves.

Only what every S3 store has is spoken: GET, PUT (also on condition), LIST, DELETE, multipart uploads.
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
"""The client's own default tries for three minutes, which is no answer to a wrong endpoint."""


ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
"""The settings by which the libraries let an endpoint be named. Of the first two the first counts; delta-rs knows the last also."""

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
    """What the environment says of the store, its credentials aside. `endpoint` is empty where AWS is meant.

    `endpoint_name` is the setting that names the endpoint, or could.
    """

    endpoint_name: str
    endpoint: str
    region: str
    allows_http: bool


def s3_settings() -> S3Settings:
    """The settings of the store as the environment has them now. What the project reads of `AWS_*` is read in this module alone.

    Raises:
        SettingsError: the endpoint is no plain address. The text never repeats it, because it may hold a password or a signature.
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
    """Put into this process's environment what delta-rs wants to be told and others find by themselves.

    Raises:
        SettingsError: an endpoint is no plain address.
    """
    for name in ENDPOINTS:
        refuse_unless_plain(name)
    if any(os.environ.get(name, "").startswith("http://") for name in ENDPOINTS[:2]):
        os.environ.setdefault("AWS_ALLOW_HTTP", "true")
    if not has_keys():
        # Else delta-rs asks a cloud's metadata service and not AWS_PROFILE, where an endpoint is set.
        os.environ.setdefault("AWS_FORCE_CREDENTIAL_LOAD", "true")


def identity() -> tuple[str | None, ...]:
    """What tells a store and who uses it from others, as the environment has it: secrets included, so for comparison alone."""
    return tuple(os.environ.get(name) for name in _IDENTITY)


def refuse_unless_plain(name: str) -> None:
    """See whether a setting that names an endpoint, if it is there, is a plain address: without user, password, query.

    Raises:
        SettingsError: it is not.
    """
    endpoint = os.environ.get(name)
    if endpoint and not _ENDPOINT.fullmatch(endpoint):
        raise SettingsError(
            f"{name}: an endpoint is written http://host:port or https://host:port, without user, password or query. "
            "Keys go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )


def s3_store(bucket: str, prefix: str) -> S3Store:
    """The client for keys below a prefix. It takes endpoint, region and keys from the environment, else as boto3 finds them."""
    options: dict[str, Any] = {"prefix": prefix or None, "retry_config": _RETRIES}
    if not has_keys():
        from obstore.auth.boto3 import Boto3CredentialProvider

        try:
            options["credential_provider"] = Boto3CredentialProvider()
        except ValueError:
            raise SettingsError(_NO_CREDENTIALS) from None
    return S3Store(bucket, **options)


def load_s3_client(connection: "duckdb.DuckDBPyConnection", bucket: str) -> None:
    """Load DuckDB's S3 client from the installed package, and give it what the environment says of the store."""
    connection.execute(f"LOAD {_quoted(str(_extension()))}")
    found = _credentials()
    store = s3_settings()
    settings = {
        "KEY_ID": found.key,
        "SECRET": found.secret,
        "SESSION_TOKEN": found.token,
        "REGION": store.region,
        "SCOPE": f"s3://{bucket}",
    }
    if store.endpoint:
        scheme, _, host = store.endpoint.rstrip("/").partition("://")
        settings |= {"ENDPOINT": host, "URL_STYLE": "path", "USE_SSL": "true" if scheme == "https" else "false"}
    told = ", ".join(f"{name} {_quoted(value)}" for name, value in settings.items() if value)
    connection.execute(f"CREATE OR REPLACE SECRET lakehouse (TYPE s3, {told})")


def credentials_fingerprint() -> str:
    """Tells stores and credentials apart without telling them: another fingerprint once they have been renewed."""
    found = _credentials()
    return hashlib.sha256(f"{s3_settings().endpoint}/{found.key}/{found.secret}/{found.token}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Credentials:
    key: str
    secret: str
    token: str

    def __repr__(self) -> str:
        return "_Credentials(...)"


def _credentials() -> _Credentials:
    if has_keys():
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return _Credentials(*(os.environ.get(name, "") for name in names))
    from botocore.session import Session

    found = Session().get_credentials()
    if found is None:
        raise SettingsError(_NO_CREDENTIALS)
    frozen = found.get_frozen_credentials()
    return _Credentials(frozen.access_key, frozen.secret_key, frozen.token or "")


def has_keys() -> bool:
    """Whether the environment itself has a key."""
    return bool(os.environ.get("AWS_ACCESS_KEY_ID"))


def _extension() -> Path:
    """The package brings the extension for its own version of DuckDB, so that nothing is downloaded at run time."""
    package = find_spec("duckdb_extension_httpfs")
    if package is None or package.origin is None:
        raise SettingsError("The package duckdb-extension-httpfs is not installed: install the environment with `make setup`.")
    return next(Path(package.origin).parent.glob("extensions/*/httpfs.duckdb_extension"))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
