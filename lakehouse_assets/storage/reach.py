"""Whether the root can be used: asked once at the start of a command or a run, so that a wrong setting is told in a sentence."""

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from lakehouse_assets.errors import SettingsError
from lakehouse_assets.storage.root import Root
from lakehouse_assets.storage.s3 import credentials_mark

PROBE = "ops/.conditional-put"
"""An object that is only ever put on the condition that it is not there. It stays, so that the check is one request."""

_CODE = re.compile(r"<Code>(\w+)</Code>")
_PORTS = {"http": 80, "https": 443}


def check_readable(root: Root) -> None:
    """See whether a root on S3 can be listed; a folder always can, or is made.

    Raises:
        SettingsError: it can't; the text says which setting is wrong.
    """
    if root.bucket is not None:
        _ask(root, "list", lambda: obstore.list_with_delimiter(root.store, prefix="ops"))


def check_writable(root: Root) -> None:
    """See whether objects can be put, and only where none stands: what keeps two writers of a table apart.

    Raises:
        SettingsError: they can't; the text says which setting is wrong.
    """
    for _ in range(2):
        try:
            _ask(root, "write", lambda: obstore.put(root.store, PROBE, b"", mode="create"))
        except AlreadyExistsError:
            return
    raise _unconditional(root, "put an object where one stood already, although told not to")


@contextmanager
def explained(root: Root, right: str) -> Iterator[None]:
    """Tell in a sentence what the store refuses within the block. `right` says what is asked: `list`, `read`, `write`.

    Raises:
        SettingsError: the store refused; the text says which setting is wrong.
    """
    try:
        yield
    except AlreadyExistsError:
        raise
    except (BaseError, OSError) as error:
        raise _told(root, error, right) from None


def _ask(root: Root, right: str, request: Callable[[], object]) -> None:
    if root.bucket is not None:
        # What the client can't make a request of is found here: it would panic, or try all that a machine's role could be.
        _check_endpoint()
        _check_credentials()
    with explained(root, right):
        request()


def _check_endpoint() -> None:
    name, endpoint = _endpoint_setting()
    if not endpoint:
        return
    if _address(endpoint) is None:
        raise SettingsError(f"{name}={_shown(endpoint)}: an endpoint is written http://host:port or https://host:port.")
    if endpoint.startswith("http:") and os.environ.get("AWS_ALLOW_HTTP", "").lower() not in ("true", "1", "yes", "on", "y"):
        raise SettingsError(
            f"{name}={_shown(endpoint)} is not encrypted: set AWS_ALLOW_HTTP=true if that is meant, or take https."
        )


def _check_credentials() -> None:
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        if not os.environ.get("AWS_SECRET_ACCESS_KEY"):
            raise SettingsError("AWS_SECRET_ACCESS_KEY is missing, although AWS_ACCESS_KEY_ID is set.")
        return
    from botocore.exceptions import BotoCoreError, ProfileNotFound

    try:
        credentials_mark()
    except ProfileNotFound:
        profile = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
        raise SettingsError(f"AWS_PROFILE={profile}: there is no such profile in AWS's files of this user.") from None
    except BotoCoreError as error:
        # Its text may repeat what a program for credentials printed.
        raise SettingsError(f"There are no credentials for LAKEHOUSE_ROOT: botocore says {type(error).__name__}.") from None


def _told(root: Root, error: Exception, right: str) -> SettingsError:
    """The store's answer as a sentence. Its own text is left out: some stores put keys and signatures into it."""
    place, endpoint = f"LAKEHOUSE_ROOT={root.uri}", _shown(_endpoint_setting()[1]) or "AWS"
    if root.bucket is None:
        if isinstance(error, PermissionError):
            return SettingsError(f"{place}: no right to {right} there. Give it to this user, or name another folder.")
        return SettingsError(f"{place}: no folder that can be written to ({str(error).splitlines()[0]}). Name another one.")
    found = _CODE.search(str(error))
    code = found.group(1) if found else ""
    if code == "NoSuchBucket":
        return SettingsError(f"{place}: there is no bucket {root.bucket} at {endpoint}. Create it, or name another.")
    if code in ("InvalidAccessKeyId", "XAdminUserNotFound", "InvalidClientTokenId"):
        return SettingsError(f"AWS_ACCESS_KEY_ID: {endpoint} doesn't know this key.")
    if code == "SignatureDoesNotMatch":
        return SettingsError(f"AWS_SECRET_ACCESS_KEY: {endpoint} says that it does not belong to AWS_ACCESS_KEY_ID.")
    if code in ("ExpiredToken", "InvalidToken", "InvalidTokenId"):
        return SettingsError(f"AWS_SESSION_TOKEN: {endpoint} says that it is missing, has expired, or is not valid.")
    if code in ("AuthorizationHeaderMalformed", "PermanentRedirect") or "incorrectly configured region" in str(error):
        return SettingsError(f"AWS_REGION: {endpoint} has the bucket {root.bucket} in another region.")
    if code == "NotImplemented" and right.startswith("write"):
        return _unconditional(root, "does not put objects on a condition")
    if isinstance(error, PermissionError) or code in ("AccessDenied", "AllAccessDisabled"):
        return SettingsError(f"{place}: these credentials have no right to {right} there ({endpoint} answers AccessDenied).")
    if code:
        return SettingsError(f"{place}: {endpoint} refused to {right} ({code}).")
    name, setting = _endpoint_setting()
    if not setting:
        return SettingsError(f"{place}: AWS does not answer. Is the network there? Any other store is named by AWS_ENDPOINT_URL.")
    if not _listens():
        return SettingsError(f"{name}: nobody answers at {endpoint}. Is the store up, and the address right?")
    return SettingsError(f"{name}: what answers at {endpoint} does not speak S3. Is the address right, is it http or https?")


def _unconditional(root: Root, does: str) -> SettingsError:
    return SettingsError(
        f"LAKEHOUSE_ROOT={root.uri}: the store {does} (If-None-Match). "
        "Two runs would overwrite each other's commits on it. Take a store with conditional puts: AWS S3, MinIO, versitygw."
    )


def _endpoint_setting() -> tuple[str, str]:
    """The setting that names the endpoint, and what it says; empty where AWS is meant."""
    name = "AWS_ENDPOINT_URL_S3" if os.environ.get("AWS_ENDPOINT_URL_S3") else "AWS_ENDPOINT_URL"
    return name, os.environ.get(name, "")


def _shown(endpoint: str) -> str:
    """An endpoint without the name and password that it may have before its host."""
    return re.sub(r"[^/@]*@", "", endpoint)


def _address(endpoint: str) -> tuple[str, int] | None:
    """Host and port; None where the text is no endpoint."""
    parts = urlsplit(endpoint)
    try:
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        return None
    return (parts.hostname, port) if parts.hostname else None


def _listens() -> bool:
    address = _address(_endpoint_setting()[1])
    if address is None:
        return True
    try:
        with socket.create_connection(address, timeout=3):
            return True
    except OSError:
        return False
