"""Spans for OpenTelemetry: a run, and within it each table that it built, with the times and counts that `ops.runs` has of it.

They are sent by OTLP over HTTP, once a run, if the environment names a collector by OpenTelemetry's own variables. A collector that is
away costs a few seconds and a warning.
"""

import os
from collections.abc import Sequence
from datetime import timedelta

from lakehouse_assets.books.runs import FAILED, TableRun

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PATIENCE_SECONDS = 5
_COUNTS = ("dates", "rows_in", "rows_out", "rows_quarantined", "rows_superseded", "bytes")


def are_spans_wanted() -> bool:
    """Whether the environment names a collector."""
    return any(os.environ.get(name) for name in _ENDPOINTS)


def send_spans(run_id: str, runs: Sequence[TableRun]) -> None:
    """Send a trace of a run: a span named `run`, and below it one named `<layer>.<table>` for each table.

    Attributes are `lakehouse.` and the name of the column of `ops.runs`. A table that failed has the status error; its reason stays
    in `ops.runs`.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import Status, StatusCode, set_span_in_context

    if not runs:
        return
    provider = TracerProvider(resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "lakehouse")}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=_PATIENCE_SECONDS)))
    tracer = provider.get_tracer("lakehouse")
    whole = tracer.start_span("run", start_time=min(_began(run) for run in runs), attributes={"lakehouse.run_id": run_id})
    for run in runs:
        counts = {f"lakehouse.{name}": value for name in _COUNTS if (value := getattr(run, name)) is not None}
        span = tracer.start_span(
            f"{run.layer}.{run.table_name}",
            context=set_span_in_context(whole),
            start_time=_began(run),
            attributes={**counts, "lakehouse.run_id": run_id, "lakehouse.status": run.status, "lakehouse.engine": run.engine},
        )
        if run.first_date is not None:
            span.set_attributes({"lakehouse.first_date": str(run.first_date), "lakehouse.last_date": str(run.last_date)})
        if run.status == FAILED:
            span.set_status(Status(StatusCode.ERROR))
        span.end(_ended(run))
    if any(run.status == FAILED for run in runs):
        whole.set_status(Status(StatusCode.ERROR))
    whole.end(max(_ended(run) for run in runs))
    provider.shutdown()


def _began(run: TableRun) -> int:
    """Return the moment in nanoseconds since 1970."""
    return int(run.started.timestamp() * 1e9)


def _ended(run: TableRun) -> int:
    return int((run.started + timedelta(seconds=run.seconds)).timestamp() * 1e9)
