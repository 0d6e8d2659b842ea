"""Spans of a run, as a collector gets them by OTLP over HTTP."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from lakehouse_assets.books.runs import BUILT, FAILED, TableRun
from lakehouse_assets.materialization.spans import are_spans_wanted, send_spans

START = datetime(2026, 1, 31, 6, tzinfo=UTC)


class Collector(ThreadingHTTPServer):
    """Keeps the spans that it gets."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans: list[Span] = []


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.spans += [span for r in request.resource_spans for scope in r.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep silent."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


def test_a_run_is_a_trace_with_a_span_for_each_table(collector):
    sales = TableRun("r1", "silver", "crm_sales", BUILT, START, 2.5, date(2026, 1, 30), date(2026, 1, 31), 2, 10, 8, 1, 1)
    orders = TableRun("r1", "silver", "orders", FAILED, START, 1.0, error="ann@example.org is not a number")
    assert are_spans_wanted()
    send_spans("r1", [sales, orders])
    spans = {span.name: span for span in collector.spans}
    assert spans.keys() == {"run", "silver.crm_sales", "silver.orders"}
    whole, table = spans["run"], spans["silver.crm_sales"]
    assert {span.trace_id for span in spans.values()} == {whole.trace_id}
    assert table.parent_span_id == whole.span_id
    assert table.end_time_unix_nano - table.start_time_unix_nano == 2_500_000_000
    attributes = {a.key: a.value.int_value or a.value.string_value for a in table.attributes}
    assert (attributes["lakehouse.rows_in"], attributes["lakehouse.last_date"]) == (10, "2026-01-31")
    assert spans["silver.orders"].status.code == Status.STATUS_CODE_ERROR
    assert "ann@example.org" not in str(spans["silver.orders"])


def test_without_a_collector_nothing_is_sent(monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    assert not are_spans_wanted()
