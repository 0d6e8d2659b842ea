"""Whether the root can be used: asked once at the start of a command or a run, so that a wrong setting is told in a sentence."""

import os
from collections.abc import Callable

import obstore
from obstore.exceptions import AlreadyExistsError

from lakehouse_assets.errors import SettingsError
from lakehouse_assets.store.errors import explained, unconditional
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import credentials_fingerprint, s3_settings

PROBE = "ops/.conditional-put"
"""An object that is only ever put on the condition that it is not there. It stays, so that the check is one request."""


def check_there(root: Root) -> None:
    """See whether a root that is a folder is there: one that is not has nothing to read, and is more likely a slip of the pen.

    Raises:
        SettingsError: it is not there.
    """
    folder = root.local_folder
    if folder is not None and not folder.is_dir():
        raise SettingsError(
            f"LAKEHOUSE_ROOT={root.uri}: there is no such folder. Name another one, or make it by landing the first files: "
            "`lakehouse land`, or `lakehouse demo` for sample data."
        )


def check_readable(root: Root) -> None:
    """See whether a root on S3 can be listed; a folder always can.

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
    raise unconditional(root, "put an object where one stood already, although told not to")


def _ask(root: Root, right: str, request: Callable[[], object]) -> None:
    if root.bucket is not None:
        # What the client can't make a request of is found here: it would panic, or try all that a machine's role could be.
        _check_endpoint()
        _check_credentials()
    with explained(root, right):
        request()


def _check_endpoint() -> None:
    store = s3_settings()
    if store.endpoint.startswith("http:") and not store.allows_http:
        raise SettingsError(
            f"{store.endpoint_name}={store.endpoint} is not encrypted: set AWS_ALLOW_HTTP=true if that is meant, or take https."
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
        raise SettingsError(f"{name}: there is no such profile in AWS's files of this user.") from None
    except BotoCoreError as error:
        # Its text may repeat what a program for credentials printed.
        raise SettingsError(f"There are no credentials for LAKEHOUSE_ROOT: botocore says {type(error).__name__}.") from None
