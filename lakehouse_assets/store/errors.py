"""What a store answers, told in a sentence: its own text never leaves this process, because it may repeat what it was sent."""

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
"""The store's word for what is wrong, as it stands in its answer, and as DuckDB tells it."""

_STATUS = re.compile(r"(?i)(?:status code:?|HTTP)\s*(\d{3})")
_REQUEST = re.compile(r"(?:Error performing|HTTP) (?P<method>[A-Z]+)(?: error reading)? '?(?P<address>https?://[^\s?']+)")
_ANSWERED = re.compile(
    r"(?i)Error performing [A-Z]+ |status code:? ?\d{3}|HTTP error|S3 error|object.?store error|<Error>|signature="
)
"""How obstore, delta-rs, DuckDB, botocore, Sail and Spark begin to tell what a store has answered."""

_RIGHTS = {"PUT": "write", "POST": "write", "DELETE": "delete"}
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Answer:
    """What a store answered: its word for what is wrong and the HTTP status; each is empty where it said none."""

    code: str = ""
    status: str = ""


class AnsweredError(BaseError):
    """A request that the store refused, by a client that gives its answer in parts."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.code or answer.status)
        self.answer = answer


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
        if root.bucket is None:
            raise _told_of_folder(root, error, right) from None
        raise _told(root, _answer(error), right) from None


class Unquoted(ContextDecorator):
    """A block, or a function or generator that this decorates, whose errors don't quote the store: see `store_error`."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and (told := store_error(self._root, error)) is not None:
            raise told from None

    def __call__(self, function: Any) -> Any:
        """The function, in whose errors the store is not quoted."""
        if not isgeneratorfunction(function):
            return super().__call__(function)

        @wraps(function)
        def steps(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with self:
                yield from function(*args, **kwargs)

        return steps


def store_error(root: Root, error: Exception) -> SettingsError | None:
    """An error in which a store's answer stands, told in a sentence without it; None for any other."""
    if root.bucket is None or isinstance(error, LakehouseError):
        return None
    said = "\n".join(map(str, _chain(error)))
    secrets = filter(None, map(os.environ.get, ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")))
    if _ANSWERED.search(said) is None and not any(secret in said for secret in secrets):
        return None
    request = _REQUEST.search(said)
    right = _RIGHTS.get(request["method"], "read") if request else "read or write"
    key = unquote(request["address"]).partition(f"{root.uri.removeprefix('s3://')}/")[2] if request else ""
    return _told(root, _answer(error), right, key)


def unquoted(root: Root, text: str) -> str:
    """What another program says, without a store's answer: where one stands in it, the sentence that tells it."""
    told = store_error(root, RuntimeError(text))
    return text if told is None else str(told)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _answer(error: BaseException) -> Answer:
    """What the store answered: in parts where a client gives these, else as the texts of the errors have it."""
    for cause in _chain(error):
        if isinstance(cause, AnsweredError):
            return cause.answer
        if isinstance(response := getattr(cause, "response", None), dict) and "Error" in response:  # botocore's ClientError
            return client_answer(response)
    said = "\n".join(map(str, _chain(error)))
    match, status = _CODE.search(said), _STATUS.search(said)
    code = match.group(1) or match.group(2) if match else ""
    if not code and "incorrectly configured region" in said:
        code = "PermanentRedirect"
    return Answer(code, status.group(1) if status else "")


def client_answer(response: Mapping[str, Any]) -> Answer:
    """The answer in what botocore's `ClientError` has as its `response`."""
    status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    code = str(response["Error"].get("Code", ""))
    return Answer(
        "" if code.isdigit() and code != "404" else code, status
    )  # a HEAD request has no text, so its code is the status


def _told_of_folder(root: Root, error: Exception, right: str) -> SettingsError:
    place = f"LAKEHOUSE_ROOT={root.uri}"
    if isinstance(error, PermissionError):
        return SettingsError(f"{place}: no right to {right} there. Give it to this user, or name another folder.")
    return SettingsError(f"{place}: no folder that can be written to ({str(error).splitlines()[0]}). Name another one.")


def _told(root: Root, answer: Answer, right: str, key: str = "") -> SettingsError:
    """The store's answer as a sentence. Its own text is left out: some stores put keys and signatures into it."""
    place, endpoint = f"LAKEHOUSE_ROOT={root.uri}", s3_settings().endpoint or "AWS"
    there = key or "there"
    code, status = answer.code, answer.status
    if code == "NoSuchBucket":
        return SettingsError(f"{place}: there is no bucket {root.bucket} at {endpoint}. Create it, or name another.")
    if code in ("InvalidAccessKeyId", "XAdminUserNotFound", "InvalidClientTokenId"):
        return SettingsError(f"AWS_ACCESS_KEY_ID: {endpoint} doesn't know this key.")
    if code == "SignatureDoesNotMatch":
        return SettingsError(f"AWS_SECRET_ACCESS_KEY: {endpoint} says that it does not belong to AWS_ACCESS_KEY_ID.")
    if code in ("ExpiredToken", "InvalidToken", "InvalidTokenId"):
        return SettingsError(f"AWS_SESSION_TOKEN: {endpoint} says that it is missing, has expired, or is not valid.")
    if code in ("AuthorizationHeaderMalformed", "PermanentRedirect"):
        return SettingsError(f"AWS_REGION: {endpoint} has the bucket {root.bucket} in another region.")
    if code == "NotImplemented" and right.startswith("write"):
        return unconditional(root, "does not put objects on a condition")
    if code in ("AccessDenied", "AllAccessDisabled") or (status == "403" and not code):
        return SettingsError(f"{place}: these credentials have no right to {right} {there} ({endpoint} answers AccessDenied).")
    if code:
        return SettingsError(f"{place}: {endpoint} refused to {right}{key and f' {key}'} ({code}).")
    if status in ("429", "500", "502", "503", "504"):
        return SettingsError(f"{place}: {endpoint} failed to {right}{key and f' {key}'} (HTTP {status}). Is the store well?")
    store = s3_settings()
    if not store.endpoint:
        return SettingsError(f"{place}: AWS does not answer. Is the network there? Any other store is named by AWS_ENDPOINT_URL.")
    if not _listens():
        return SettingsError(f"{store.endpoint_name}: nobody answers at {endpoint}. Is the store up, and the address right?")
    return SettingsError(
        f"{store.endpoint_name}: what answers at {endpoint} does not speak S3. Is the address right, is it http or https?"
    )


def unconditional(root: Root, does: str) -> SettingsError:
    """The error for a store without conditional puts; `does` says what it does instead."""
    return SettingsError(
        f"LAKEHOUSE_ROOT={root.uri}: the store {does} (If-None-Match). "
        "Two runs would overwrite each other's commits on it. Take a store with conditional puts: AWS S3, MinIO, versitygw."
    )


def _listens() -> bool:
    parts = urlsplit(s3_settings().endpoint)
    try:
        with socket.create_connection((parts.hostname, parts.port or _PORTS[parts.scheme]), timeout=3):
            return True
    except OSError:
        return False
