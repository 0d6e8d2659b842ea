"""Checks that the root can be used, once at the start of a command or run, so that a wrong setting gives a clear message."""

import os
from collections.abc import Callable

import obstore
from obstore.exceptions import AlreadyExistsError

from lakehouse_assets.errors import SettingsError
from lakehouse_assets.store.errors import explained, unconditional
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import credentials_fingerprint, s3_settings

PROBE = "ops/.conditional-put"
"""An object that is only ever put on the condition that it does not exist. It is kept, so that the check takes one request."""


def check_there(root: Root) -> None:
    """Check that a root that is a folder exists. A missing one has nothing to read and is most likely a typo.

    Raises:
        SettingsError: the folder does not exist.
    """
    folder = root.local_folder
    if folder is not None and not folder.is_dir():
        raise SettingsError(
            f"LAKEHOUSE_ROOT={root.uri}: there is no such folder. Name another one, or create it by landing the first files: "
            "`lakehouse land`, or `lakehouse demo` for sample data."
        )


def check_readable(root: Root) -> None:
    """Check that a root on S3 can be listed. A folder always can.

    Raises:
        SettingsError: it can't be listed; the text says which setting is wrong.
    """
    if root.bucket is not None:
        _ask(root, "list", lambda: obstore.list_with_delimiter(root.store, prefix="ops"))


def check_writable(root: Root) -> None:
    """Check that objects can be put, and that conditional puts work: they keep two writers of a table apart.

    Raises:
        SettingsError: one of these fails; the text says which setting is wrong.
    """
    for _ in range(2):
        try:
            _ask(root, "write", lambda: obstore.put(root.store, PROBE, b"", mode="create"))
        except AlreadyExistsError:
            return
    raise unconditional(root, "overwrote an existing object, although the put was conditional")


def _ask(root: Root, right: str, request: Callable[[], object]) -> None:
    """Send a request that needs the right; its errors come out as plain sentences."""
    if root.bucket is not None:
        # Without these the client could not even send a request: it would panic, or try every source of a machine's role.
        _check_endpoint()
        _check_credentials()
    with explained(root, right):
        request()


def _check_endpoint() -> None:
    store = s3_settings()
    if store.endpoint.startswith("http:") and not store.allows_http:
        raise SettingsError(
            f"{store.endpoint_name}={store.endpoint} is not encrypted: set AWS_ALLOW_HTTP=true if that is intended, or use https."
        )


def _check_credentials() -> None:
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        if not os.environ.get("AWS_SECRET_ACCESS_KEY"):
            raise SettingsError("AWS_SECRET_ACCESS_KEY is missing, although AWS_ACCESS_KEY_ID is set.")
        return
    from botocore.exceptions import BotoCoreError, ProfileNotFound

    try:
        credentials_fingerprint()
    except ProfileNotFound:
        name = "AWS_PROFILE" if os.environ.get("AWS_PROFILE") else "AWS_DEFAULT_PROFILE"
        raise SettingsError(f"{name}: there is no such profile in this user's AWS files.") from None
    except BotoCoreError as error:
        # Its text may repeat the output of a credential process.
        raise SettingsError(f"There are no credentials for LAKEHOUSE_ROOT: botocore says {type(error).__name__}.") from None
