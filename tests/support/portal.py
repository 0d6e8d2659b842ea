"""A portal on Opendatasoft, as far as pollers see it: the Explore API v2.1 on 127.0.0.1, with faults on demand.

It answers pages of a data set's records, and refuses what the API refuses. A fault befalls the request with its number, from 1.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BASE = "/api/explore/v2.1/catalog/datasets/"


@dataclass
class Answer:
    """An answer. `length` is the length that is announced, and `held` is called before the second half of the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    held: Callable[[], object] = lambda: None


Fault = Callable[["Portal", Answer], Answer]
"""Makes an answer out of the one that would be right."""


def status(number: int, retry_after: str | None = None, code: str = "Fault") -> Fault:
    """An error, as the API writes it."""
    body = json.dumps({"error_code": code, "message": "A sentence, in which the key may be."}).encode()
    return lambda portal, right: Answer(number, body, {"Retry-After": retry_after} if retry_after else {})


def cut(portal: "Portal", right: Answer) -> Answer:
    """The connection ends in the middle of a page."""
    return Answer(body=right.body[: len(right.body) // 2], length=len(right.body))


def half_a_document(portal: "Portal", right: Answer) -> Answer:
    """A page that is whole by its length, and not by its content."""
    return Answer(body=right.body[: len(right.body) // 2])


def marked(portal: "Portal", right: Answer) -> Answer:
    """A page that begins with a byte order mark, which can stand at the beginning of a file alone."""
    return Answer(body=b"\xef\xbb\xbf" + right.body)


def error_in_a_page(portal: "Portal", right: Answer) -> Answer:
    """An error whose status says that all is well."""
    return Answer(body=json.dumps({"error_code": "ODSQLError", "message": "No."}).encode())


def silent(portal: "Portal", right: Answer) -> Answer:
    """Half a page, and then nothing for as long as the client waits."""
    return Answer(body=right.body, held=lambda: portal.closing.wait(30))


def grown(portal: "Portal", right: Answer) -> Answer:
    """A station was added meanwhile."""
    portal.records.append({**portal.records[-1], "number": len(portal.records)})
    return portal.page(portal.requests[-1])


def one_short(portal: "Portal", right: Answer) -> Answer:
    """A page with fewer records than there should be."""
    page = json.loads(right.body)
    return Answer(body=json.dumps(page | {"results": page["results"][:-1]}).encode())


@dataclass
class Portal:
    """One data set, with the requests that came for it: the parameters of each, and the key it brought."""

    dataset: str
    records: list[dict[str, Any]]
    faults: dict[int, Fault] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def offsets(self) -> list[int]:
        return [int(request["offset"]) for request in self.requests]

    def answer(self, target: str, key: str | None) -> Answer:
        parts = urlsplit(target)
        self.requests.append({name: values[-1] for name, values in parse_qs(parts.query).items()})
        self.keys.append(key)
        if parts.path != f"{BASE}{self.dataset}/records":
            return status(404, code="UnknownDataset")(self, Answer())
        right = self.page(self.requests[-1])
        fault = self.faults.get(len(self.requests), self.faults.get(0))
        return fault(self, right) if fault else right

    def page(self, request: Mapping[str, str]) -> Answer:
        limit, offset = int(request.get("limit", 10)), int(request.get("offset", 0))
        if limit > 100 or offset + limit > 10_000:
            return status(400, code="InvalidRESTParameterError")(self, Answer())
        ordered = sorted(self.records, key=lambda record: record.get(request.get("order_by", ""), 0))
        page = {"total_count": len(ordered), "results": ordered[offset : offset + limit]}
        return Answer(body=json.dumps(page, ensure_ascii=False).encode())


@contextmanager
def serving(dataset: str, records: Sequence[dict[str, Any]]) -> Iterator[Portal]:
    """A portal that answers until the block ends."""
    portal = Portal(dataset, list(records))

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            answer = portal.answer(self.path, self.headers.get("Authorization"))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
            self.end_headers()
            half = len(answer.body) // 2
            self.wfile.write(answer.body[:half])
            self.wfile.flush()
            answer.held()
            self.wfile.write(answer.body[half:])

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # the client has given up
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    portal.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield portal
    finally:
        portal.closing.set()
        server.shutdown()
        server.server_close()
