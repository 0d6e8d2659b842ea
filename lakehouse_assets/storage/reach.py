"""Whether the root can be used: asked once at the start of a command or a run, so that a wrong setting is told in a sentence."""

import os
import re
import socket
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from lakehouse_assets.errors import SettingsError
from lakehouse_assets.storage.root import Root

PROBE = "ops/.conditional-put"
"""An object that is only ever put on the condition that it is not there. It stays, so that the check is one request."""

_CODE = re.compile(r"<Code>(\w+)</Code>")


def check_readable(root: Root) -> None:
    """See whether a root on S3 can be listed; a folder always can, or is made.

    Raises:
        SettingsError: it can't; the text says which setting is wrong.
    """
    if root.bucket is None:
        return
    try:
        obstore.list_with_delimiter(root.store, prefix="ops")
    except (BaseError, FileNotFoundError, PermissionError) as error:
        raise _told(root, error, "list") from None


def check_writable(root: Root) -> None:
    """See whether objects can be put, and only where none stands: what keeps two writers of a table apart.

    Raises:
        SettingsError: they can't; the text says which setting is wrong.
    """
    for _ in range(2):
        try:
            obstore.put(root.store, PROBE, b"", mode="create")
        except AlreadyExistsError:
            return
        except (BaseError, FileNotFoundError, PermissionError, OSError) as error:
            raise _told(root, error, "write") from None
    raise SettingsError(
        f"LAKEHOUSE_ROOT={root.uri}: the store put an object where one stood already, although told not to (If-None-Match). "
        "Two runs would overwrite each other's commits on it. Take a store with conditional puts: AWS S3, MinIO, versitygw, Garage."
    )


def _told(root: Root, error: Exception, right: str) -> SettingsError:
    """The store's answer as a sentence. Its own text is left out: some stores put keys and signatures into it."""
    place, endpoint = f"LAKEHOUSE_ROOT={root.uri}", _endpoint()
    if root.bucket is None:
        return SettingsError(f"{place}: no right to {right} there. Give it to this user, or name another folder.")
    found = _CODE.search(str(error))
    code = found.group(1) if found else ""
    if code == "NoSuchBucket":
        return SettingsError(f"{place}: there is no bucket {root.bucket} at {endpoint}. Create it, or name another.")
    if code in ("InvalidAccessKeyId", "XAdminUserNotFound", "InvalidClientTokenId"):
        return SettingsError(f"AWS_ACCESS_KEY_ID: {endpoint} doesn't know this key.")
    if code == "SignatureDoesNotMatch":
        return SettingsError(f"AWS_SECRET_ACCESS_KEY: {endpoint} says that it does not belong to AWS_ACCESS_KEY_ID.")
    if code in ("ExpiredToken", "InvalidToken"):
        return SettingsError(f"AWS_SESSION_TOKEN: {endpoint} says that it has expired or is not valid.")
    if isinstance(error, PermissionError) or code in ("AccessDenied", "AllAccessDisabled"):
        return SettingsError(f"{place}: these credentials have no right to {right} there ({endpoint} answers AccessDenied).")
    if not code and not _listens():
        return SettingsError(f"AWS_ENDPOINT_URL: nobody answers at {endpoint}. Is the store up, and the address right?")
    return SettingsError(f"{place}: {endpoint} refused to {right} ({code or 'no S3 store answers there'}).")


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"


def _listens() -> bool:
    address = urlsplit(_endpoint())
    if not address.hostname:
        return True
    try:
        with socket.create_connection((address.hostname, address.port or (443 if address.scheme == "https" else 80)), timeout=3):
            return True
    except OSError:
        return False
