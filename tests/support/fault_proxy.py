"""An S3 store that fails now and then: a proxy on 127.0.0.1 in front of a real one, which spoils a seeded share of the requests.

What a client signs is passed on as it came, the `Host` it signed included, so the store accepts it. Rules spoil chosen requests; for
the rest, chance decides.
"""

import http.client
import random
import re
import socket
import struct
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

STALE_SECONDS = 300.0
"""No listing is older. Stores that list what was there a while ago do so for seconds; but a busy machine takes minutes for a round."""

SLOW_SECONDS = (0.05, 0.5)
RETRY_AFTER_SECONDS = 1

ALWAYS = -1

_OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection", "expect"}


class Fault(StrEnum):
    """What may happen to a request."""

    ERROR_BEFORE = "500 before: the store never sees the request"
    ERROR_AFTER = "500 after: the store has done what was asked"
    LOST_REPLY = "lost reply: the store has done what was asked, and the connection ends"
    SLOW_DOWN = "503 SlowDown, with Retry-After"
    RESET = "reset in the middle of a body, of the request or else of the answer"
    SLOW = "slow answer"
    STALE_LISTING = "landing is listed as it was a while ago"
    EXPIRED_400 = "400 ExpiredToken"
    EXPIRED_403 = "403 ExpiredToken"
    FULL = "507 XMinioStorageFull"


_BY_RULE_ALONE = (Fault.EXPIRED_400, Fault.EXPIRED_403, Fault.FULL)
BY_CHANCE = tuple(fault for fault in Fault if fault not in (*_BY_RULE_ALONE, Fault.STALE_LISTING))
"""What befalls any request; half of the listings of landing that are spoiled are stale."""

_ERRORS = {
    Fault.ERROR_BEFORE: (500, "InternalError"),
    Fault.ERROR_AFTER: (500, "InternalError"),
    Fault.SLOW_DOWN: (503, "SlowDown"),
    Fault.EXPIRED_400: (400, "ExpiredToken"),
    Fault.EXPIRED_403: (403, "ExpiredToken"),
    Fault.FULL: (507, "XMinioStorageFull"),
}


@dataclass
class Rule:
    """Spoils requests of a method whose key (`bucket/prefix/...`) a pattern finds: after the first `skip`, so many `times`.

    Both are patterns. `ALWAYS` is for ever.
    """

    fault: Fault
    method: str
    key: str
    times: int = 1
    skip: int = 0
    then: Callable[[], None] = lambda: None
    """What else happens at that moment."""

    def takes(self, method: str, key: str) -> bool:
        """Whether this request is the rule's; counts those that are."""
        if self.times == 0 or not re.fullmatch(self.method, method) or not re.search(self.key, key):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        self.then()
        return True


@dataclass(frozen=True)
class Answer:
    """What the store answered."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class FaultProxy:
    """Runs within a `with` block. `counts` tells the requests that were spoiled, by fault, and `requests` how many there were."""

    upstream: str
    rate: float = 0.0
    """The share of requests that are spoiled by chance."""
    rules: list[Rule] = field(default_factory=list)
    counts: Counter[Fault] = field(default_factory=Counter)
    requests: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(0)
        self._lock = threading.Lock()
        self._listings: dict[str, deque[tuple[float, Answer]]] = defaultdict(deque)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self

    def __enter__(self) -> "FaultProxy":
        threading.Thread(target=self._server.serve_forever, name="fault-proxy", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """What `AWS_ENDPOINT_URL` is to say."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def storm(self, seed: object, rate: float) -> None:
        """Spoil requests by chance from now on."""
        self._random, self.rate = random.Random(repr(seed)), rate

    def calm(self) -> None:
        """Spoil nothing from now on."""
        self.rate, self.rules = 0.0, []

    def drawn(self, method: str, path: str) -> tuple[Fault | None, float]:
        """What is to happen to a request, and for how many seconds where it is slow."""
        key = unquote(urlsplit(path).path).lstrip("/")
        with self._lock:
            self.requests += 1
            slow = self._random.uniform(*SLOW_SECONDS)
            fault = next((rule.fault for rule in self.rules if rule.takes(method, key)), None)
            if fault is None and self._random.random() < self.rate:
                stale = [Fault.STALE_LISTING] * len(BY_CHANCE) if _lists_landing(method, path) else []
                fault = self._random.choice([*BY_CHANCE, *stale])
            if fault is not None and fault is not Fault.STALE_LISTING:
                self.counts[fault] += 1
        return fault, slow

    def earlier(self, path: str, now: Answer) -> Answer:
        """Another answer to the same listing of landing, a while old; where there is none, the one that is right now."""
        with self._lock:
            old = [a for at, a in self._listings[path] if time.monotonic() - at < STALE_SECONDS and a.body != now.body]
            if not old:
                return now
            self.counts[Fault.STALE_LISTING] += 1
            return self._random.choice(old)

    def remember(self, path: str, answer: Answer) -> None:
        """Keep a listing for `earlier`."""
        with self._lock:
            kept = self._listings[path]
            kept.append((time.monotonic(), answer))
            while time.monotonic() - kept[0][0] > STALE_SECONDS:
                kept.popleft()

    def ask(self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        """Pass a request on."""
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                if name.lower() not in _OF_ONE_CONNECTION:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            result = connection.getresponse()
            kept = [(name, value) for name, value in result.getheaders() if name.lower() not in _OF_ONE_CONNECTION]
            return Answer(result.status, result.reason, kept, result.read())
        finally:
            connection.close()


def _lists_landing(method: str, path: str) -> bool:
    """Whether a request lists landing. What Delta lists must be true at once: no store on which it isn't can hold its tables."""
    query = parse_qs(urlsplit(path).query)
    return method == "GET" and "list-type" in query and "landing/" in query.get("prefix", [""])[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    proxy: FaultProxy

    def shutdown_request(self, request: Any) -> None:
        """Close without saying goodbye first, which would keep a reset from being one."""
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nothing to tell of."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def _serve(self) -> None:
        proxy, path = self.server.proxy, self.path
        assert "chunked" not in self.headers.get("Transfer-Encoding", ""), "S3 clients tell the length of what they send"
        length = int(self.headers.get("Content-Length") or 0)
        fault, seconds = proxy.drawn(self.command, path)
        if fault is Fault.RESET and length:
            self.rfile.read(length // 2)
            self._reset()
            return
        body = self.rfile.read(length)
        if fault in (Fault.ERROR_BEFORE, Fault.SLOW_DOWN, *_BY_RULE_ALONE):
            self._send_error(fault)
            return
        if fault is Fault.SLOW:
            time.sleep(seconds)
        answer = proxy.ask(self.command, path, self.headers.items(), body)
        if _lists_landing(self.command, path) and answer.status == 200:
            if fault is Fault.STALE_LISTING:
                answer = proxy.earlier(path, answer)
            else:
                proxy.remember(path, answer)
        if fault is Fault.ERROR_AFTER:
            self._send_error(fault)
        elif fault is Fault.LOST_REPLY:
            self._reset()
        elif fault is Fault.RESET:
            self._send(answer, len(answer.body) // 2)
            self._reset()
        else:
            self._send(answer, len(answer.body))

    def _send(self, answer: Answer, length: int) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.headers:
            if name.lower() != "content-length" or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD" and answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[:length])
        self.wfile.flush()

    def _send_error(self, fault: Fault) -> None:
        status, code = _ERRORS[fault]
        text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{fault}</Message></Error>'
        headers = [("Content-Type", "application/xml")]
        if fault is Fault.SLOW_DOWN:
            headers.append(("Retry-After", str(RETRY_AFTER_SECONDS)))
        body = b"" if self.command == "HEAD" else text.encode()
        self._send(Answer(status, code, headers, body), len(body))

    def _reset(self) -> None:
        """End the connection by a reset, as a machine on the way does that has lost it."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - the names that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: `counts` tells."""
