"""Distributed tracing of requests and events. The only package that uses OpenTelemetry.

Without a collector there are no spans and the library is not imported. The trace ids of a caller
(W3C Trace Context) are still passed on: to the outbox, to NATS and to readers of the event feed.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.trace import Span as Span

    from service.traces.exporter import SpanExporter

    SpanManager = AbstractContextManager[Span | None]

SpanKindName = Literal["server", "client", "producer", "consumer"]
Attributes = Mapping[str, str | int]

_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<ids>[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})(?P<more>-.*)?"
)
_MAX_LENGTH = 128
_NULL_TRACE_ID, _NULL_SPAN_ID = f"{'0' * 32}-", f"-{'0' * 16}-"

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)
_exporter: "SpanExporter | None" = None


@asynccontextmanager
async def export_spans(process: str, endpoint: str, sample_ratio: float) -> AsyncIterator[None]:
    """Exports spans to the collector at `endpoint` (OTLP over HTTP) while the block runs.

    An empty endpoint disables tracing. Spans are dropped while the collector is slow or down. The
    end of the block waits a bounded time for the last spans.
    """
    global _exporter
    if not endpoint:
        yield
        return
    from service.traces.exporter import SpanExporter

    _exporter = SpanExporter(process, endpoint, sample_ratio)
    try:
        yield
    finally:
        exporter, _exporter = _exporter, None
        await asyncio.to_thread(exporter.stop)


def traceparent() -> str | None:
    """Returns the `traceparent` of the current span."""
    return _current.get()


def parse_traceparent(header: str | None) -> str | None:
    """Returns a caller's `traceparent` as version 00, or None when it is invalid."""
    match = _TRACEPARENT.fullmatch(header) if header and len(header) <= _MAX_LENGTH else None
    if match is None or match["version"] == "ff" or match["ids"].startswith(_NULL_TRACE_ID):
        return None
    if _NULL_SPAN_ID in match["ids"] or (match["version"] == "00" and match["more"]):
        return None
    return f"00-{match['ids']}"


def is_exporting() -> bool:
    """Returns whether spans are exported."""
    return _exporter is not None


def is_tracing() -> bool:
    """Returns whether the current context is traced. Cheap: for hot paths."""
    return _exporter is not None and _current.get() is not None


def begin_span(name: str, attributes: Attributes) -> "Span | None":
    """Starts a client span below the current one; the caller must call `end_span`."""
    parent = _current.get()
    if _exporter is None or parent is None:
        return None
    return _exporter.begin(name, "client", attributes, parent=parent)


def end_span(span: "Span | None", error: BaseException | None = None) -> None:
    """Ends a span. Only the type of an error is recorded: its text may quote private data."""
    if span is None:
        return
    if error is not None:
        mark_failed(span, type(error).__name__)
    span.end()


def mark_failed(span: "Span", error_type: str) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def server_span(caller: str | None) -> "SpanManager":
    """Span of an HTTP request, below the caller's span. Its name and route are set at its end."""
    parent = parse_traceparent(caller)
    if _exporter is None:
        return _set_current(parent) if parent else nullcontext()
    return _enter_span(_exporter.begin("HTTP", "server", {}, parent=parent))


def producer_span(name: str, attributes: Attributes, cause: str | None) -> "SpanManager":
    """Span of publishing an event, below the span that caused the event."""
    cause = parse_traceparent(cause)
    if _exporter is None or cause is None:
        return _set_current(cause)
    return _enter_span(_exporter.begin(name, "producer", attributes, parent=cause))


def consumer_span(name: str, attributes: Attributes, producer: str | None) -> "SpanManager":
    """Root span of handling an event, linked to the span of its producer."""
    producer = parse_traceparent(producer)
    if _exporter is None or producer is None:
        return _set_current(producer)
    return _enter_span(_exporter.begin(name, "consumer", attributes, link=producer))


@contextmanager
def _enter_span(span: "Span") -> Iterator["Span"]:
    from service.traces.exporter import traceparent_of

    with _set_current(traceparent_of(span)):
        try:
            yield span
        except BaseException as error:
            end_span(span, error)
            raise
        end_span(span)


@contextmanager
def _set_current(header: str | None) -> Iterator[None]:
    token = _current.set(header)
    try:
        yield
    finally:
        _current.reset(token)
