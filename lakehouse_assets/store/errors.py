"""Turns a store's error answers into plain sentences.

The store's own text never leaves this process, because it may repeat what it was sent, keys and signatures included.
"""

import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import ContextDecorator, contextmanager
from dataclasses import dataclass
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any
from urllib.parse import unquote, urlsplit

from obstore.exceptions import AlreadyExistsError, BaseError

from lakehouse_assets.errors import LakehouseError, SettingsError
from lakehouse_assets.store.root import Root
from lakehouse_assets.store.s3 import s3_settings

_CODE = re.compile(r"<Code>(\w+)</Code>|\(HTTP \d{3}[^)]*\)\s+(\w+): ")
"""The store's error code, as it appears in the store's answer and in DuckDB's messages."""

_STATUS = re.compile(r"(?i)(?:status code:?|HTTP)\s*(\d{3})")
_REQUEST = re.compile(r"(?:Error performing|HTTP) (?P<method>[A-Z]+)(?: error reading)? '?(?P<address>https?://[^\s?']+)")
_ANSWERED = re.compile(
    r"(?i)Error performing [A-Z]+ |status code:? ?\d{3}|HTTP error|S3 error|object.?store error|<Error>|signature="
)
"""Phrases with which obstore, delta-rs, DuckDB, botocore, Sail and Spark introduce a store's answer."""

_RIGHTS = {"PUT": "write", "POST": "write", "DELETE": "delete"}
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Answer:
    """A store's answer: its error code and the HTTP status. Each is empty if the store gave none."""

    code: str = ""
    status: str = ""


class AnsweredError(BaseError):
    """The store refused a request, and the client gave the answer already parsed."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.code or answer.status)
        self.answer = answer


@contextmanager
def explained(root: Root, right: str) -> Iterator[None]:
    """Turn store errors raised in the block into a plain sentence. `right` is the requested right: `list`, `read` or `write`.

    Raises:
        SettingsError: the store refused; the text says which setting is wrong.
    """
    try:
        yield
    except AlreadyExistsError:
        raise
    except (BaseError, OSError) as error:
        if root.bucket is None:
            raise _folder_error(root, error, right) from None
        raise _answer_error(root, _answer(error), right) from None


class Unquoted(ContextDecorator):
    """Context manager and decorator (of functions and generators): errors that leave it don't quote the store (`store_error`)."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and (safe_error := store_error(self._root, error)) is not None:
            raise safe_error from None

    def __call__(self, function: Any) -> Any:
        """Wrap the function, so that its errors don't quote the store."""
        if not isgeneratorfunction(function):
            return super().__call__(function)

        @wraps(function)
        def steps(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with self:
                yield from function(*args, **kwargs)

        return steps


def store_error(root: Root, error: Exception) -> SettingsError | None:
    """A plain-sentence replacement for an error that quotes a store's answer; None for any other error."""
    if root.bucket is None or isinstance(error, LakehouseError):
        return None
    message = "\n".join(map(str, _chain(error)))
    secrets = filter(None, map(os.environ.get, ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")))
    if _ANSWERED.search(message) is None and not any(secret in message for secret in secrets):
        return None
    request = _REQUEST.search(message)
    right = _RIGHTS.get(request["method"], "read") if request else "read or write"
    key = unquote(request["address"]).partition(f"{root.uri.removeprefix('s3://')}/")[2] if request else ""
    return _answer_error(root, _answer(error), right, key)


def unquoted(root: Root, text: str) -> str:
    """Another program's output; if it quotes a store's answer, the plain sentence of `store_error` in its place."""
    safe_error = store_error(root, RuntimeError(text))
    return text if safe_error is None else str(safe_error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _answer(error: BaseException) -> Answer:
    """The store's answer, as the client parsed it; otherwise parsed from the messages of the errors."""
    for cause in _chain(error):
        if isinstance(cause, AnsweredError):
            return cause.answer
        if isinstance(response := getattr(cause, "response", None), dict) and "Error" in response:  # botocore's ClientError
            return client_answer(response)
    message = "\n".join(map(str, _chain(error)))
    match, status = _CODE.search(message), _STATUS.search(message)
    code = match.group(1) or match.group(2) if match else ""
    if not code and "incorrectly configured region" in message:
        code = "PermanentRedirect"
    return Answer(code, status.group(1) if status else "")


def client_answer(response: Mapping[str, Any]) -> Answer:
    """The answer in the `response` of botocore's `ClientError`."""
    status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    code = str(response["Error"].get("Code", ""))
    # The answer to a HEAD request has no body, so botocore puts the status into the code.
    return Answer("" if code.isdigit() else code, status)


def _folder_error(root: Root, error: Exception, right: str) -> SettingsError:
    """The error for a root that is a folder and can't be used."""
    setting = f"LAKEHOUSE_ROOT={root.uri}"
    if isinstance(error, PermissionError):
        return SettingsError(f"{setting}: no right to {right} there. Give it to this user, or name another folder.")
    return SettingsError(f"{setting}: not a folder that can be written to ({str(error).splitlines()[0]}). Name another one.")


def _answer_error(root: Root, answer: Answer, right: str, key: str = "") -> SettingsError:
    """The store's answer as a sentence. Its own text is left out, because some stores put keys and signatures into it."""
    setting, endpoint = f"LAKEHOUSE_ROOT={root.uri}", s3_settings().endpoint or "AWS"
    code, status = answer.code, answer.status
    if code == "NoSuchBucket":
        return SettingsError(f"{setting}: there is no bucket {root.bucket} at {endpoint}. Create it, or name another.")
    if code in ("InvalidAccessKeyId", "XAdminUserNotFound", "InvalidClientTokenId"):
        return SettingsError(f"AWS_ACCESS_KEY_ID: {endpoint} doesn't know this key.")
    if code == "SignatureDoesNotMatch":
        return SettingsError(f"AWS_SECRET_ACCESS_KEY: {endpoint} says that it does not belong to AWS_ACCESS_KEY_ID.")
    if code in ("ExpiredToken", "InvalidToken", "InvalidTokenId"):
        return SettingsError(f"AWS_SESSION_TOKEN: {endpoint} says that it is missing, has expired, or is not valid.")
    if code in ("AuthorizationHeaderMalformed", "PermanentRedirect"):
        return SettingsError(f"AWS_REGION: {endpoint} has the bucket {root.bucket} in another region.")
    if code == "NotImplemented" and right.startswith("write"):
        return unconditional(root, "does not support conditional puts")
    if code in ("AccessDenied", "AllAccessDisabled") or (status == "403" and not code):
        return SettingsError(
            f"{setting}: these credentials have no right to {right} {key or 'there'} ({endpoint} answers AccessDenied)."
        )
    if code:
        return SettingsError(f"{setting}: {endpoint} refused to {right}{key and f' {key}'} ({code}).")
    if status in ("429", "500", "502", "503", "504"):
        return SettingsError(f"{setting}: {endpoint} failed to {right}{key and f' {key}'} (HTTP {status}). Is the store healthy?")
    store = s3_settings()
    if not store.endpoint:
        return SettingsError(f"{setting}: AWS does not answer. Is the network up? For any other store, set AWS_ENDPOINT_URL.")
    if not _listens():
        return SettingsError(f"{store.endpoint_name}: nothing answers at {endpoint}. Is the store up, and the address right?")
    return SettingsError(
        f"{store.endpoint_name}: the server at {endpoint} does not speak S3. Is the address right, is it http or https?"
    )


def unconditional(root: Root, does: str) -> SettingsError:
    """The error for a store without conditional puts. `does` describes what the store does instead."""
    return SettingsError(
        f"LAKEHOUSE_ROOT={root.uri}: the store {does} (If-None-Match). "
        "Two runs would overwrite each other's commits on it. Use a store with conditional puts: AWS S3, MinIO, versitygw."
    )


def _listens() -> bool:
    """Whether something accepts connections at the endpoint."""
    parts = urlsplit(s3_settings().endpoint)
    try:
        with socket.create_connection((parts.hostname, parts.port or _PORTS[parts.scheme]), timeout=3):
            return True
    except OSError:
        return False
