"""Asks an HTTP service for JSON, within limits of time and of requests. Knows no API.

What a service answers beside JSON never leaves this module, because it may repeat what it was sent, keys included.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any

import httpx

from lakehouse_assets.errors import PollError
from lakehouse_assets.retry import retried

_FIRST_PAUSE = 1.0

_LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes. No page of an API is as large: what goes on for longer would fill the memory."""

_BUSY = 429
_SERVER_FAULTS = 500


class AskAgainError(Exception):
    """A request failed by a fault that may pass. `pause` is how many seconds the service asks for."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass(frozen=True)
class Limits:
    """Seconds of a request and of all together, how many requests there are, and how often one is sent."""

    request_seconds: float
    seconds: float
    requests: int
    attempts: int


@dataclass
class Client:
    """A client of one service, whose time begins when it is made. `name` is how errors call the service."""

    name: str
    http: httpx.Client
    limits: Limits
    requests: int = 0
    _deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self._deadline = monotonic() + self.limits.seconds

    def ask(self, path: str, params: Mapping[str, str | int], fault: Callable[[Any], str | None]) -> tuple[bytes, Any]:
        """Return the answer to a request: its bytes, and the JSON document in them.

        It is asked again after an answer with status 429 or above 499, a broken connection, a time-out, or a document of which
        `fault` says what is wrong; after growing pauses, and no earlier than the service asks for.

        Raises:
            PollError: the service refuses, or the limits are reached.
        """
        try:
            return retried(
                lambda: self._ask_once(path, params, fault),
                attempts=self.limits.attempts,
                first_pause=_FIRST_PAUSE,
                on_error=AskAgainError,
                least_pause=lambda error: error.pause if isinstance(error, AskAgainError) else 0.0,
                seconds_left=self._seconds_left,
            )
        except AskAgainError as error:
            wait = f" and asks to wait for {error.pause:.0f} s" if error.pause else ""
            raise PollError(f"{self.name} {error}{wait}. Given up after {self.requests} requests; nothing was landed.") from None

    def _ask_once(self, path: str, params: Mapping[str, str | int], fault: Callable[[Any], str | None]) -> tuple[bytes, Any]:
        self._count_request()
        with self._transport_faults(), self.http.stream("GET", path, params=dict(params)) as answer:
            status, retry_after, body = answer.status_code, answer.headers.get("Retry-After"), self._body(answer)
        if status == _BUSY or status >= _SERVER_FAULTS:
            raise AskAgainError(f"answers with status {status}", _pause(retry_after))
        try:
            document = json.loads(body.decode())  # pages of UTF-8 alone can be joined
        except (ValueError, RecursionError):
            document = None
        if status != httpx.codes.OK:
            raise PollError(f"{self.name} {_refusal(status, document)}")
        if (wrong := "answers something that is not JSON" if document is None else fault(document)) is not None:
            raise AskAgainError(wrong)
        return body, document

    def _count_request(self) -> None:
        if self.requests >= self.limits.requests:
            raise PollError(f"{self.name} needs more than {self.limits.requests} requests a poll; nothing was landed.")
        if self._seconds_left() <= 0:
            raise PollError(f"{self.name} takes longer than {self.limits.seconds:.0f} s a poll; nothing was landed.")
        self.requests += 1

    def _seconds_left(self) -> float:
        return self._deadline - monotonic()

    def _body(self, answer: httpx.Response) -> bytes:
        """Read an answer. httpx limits the time between two of its pieces only, and a service may send them for ever."""
        until = min(monotonic() + self.limits.request_seconds, self._deadline)
        body = bytearray()
        for piece in answer.iter_bytes():
            body += piece
            if monotonic() > until:
                raise AskAgainError(f"does not end its answer within {self.limits.request_seconds:.0f} s")
            if len(body) > _LARGEST_ANSWER:
                raise PollError(f"{self.name} answers with more than {_LARGEST_ANSWER:,} bytes; nothing was landed.")
        return bytes(body)

    @contextmanager
    def _transport_faults(self) -> Iterator[None]:
        """Turn httpx's errors into reasons to ask again."""
        try:
            yield
        except httpx.TimeoutException:
            raise AskAgainError(f"does not answer within {self.limits.request_seconds:.0f} s") from None
        except httpx.ConnectError:
            raise AskAgainError("can't be reached") from None
        except httpx.RequestError:
            raise AskAgainError("breaks off its answer") from None


def _pause(retry_after: str | None) -> float:
    """Return the seconds that a header `Retry-After` asks for, which is a number or a date; 0 if it is missing or neither."""
    if retry_after is None:
        return 0.0
    if retry_after.strip().isascii() and retry_after.strip().isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return 0.0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def _refusal(status: int, document: Any) -> str:
    """Say what a status means for which asking again is of no use, with the error's code if the service names one."""
    code = document.get("error_code") if isinstance(document, dict) else None
    named = f" ({code})" if isinstance(code, str) and code.isidentifier() else ""
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return f"refuses access with status {status}{named}: is an API key missing or wrong?"
    if httpx.codes.is_redirect(status):
        return f"has moved (status {status}): set its new address. Redirects are not followed, since a key would go along."
    if status == httpx.codes.NOT_FOUND:
        return f"has no such data set (status 404{named}): check the address and the data set."
    return f"refuses the request with status {status}{named}."
