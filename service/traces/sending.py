"""Spans made and sent in batches by a thread of the OpenTelemetry SDK; imported only when asked."""

import logging
import threading
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes as AnyAttributes

from service.traces import Attributes, Kind

_SEND_TIMEOUT_S = 3.0
_STOP_WITHIN_S = 5.0


class Sender:
    """One process's spans on their way to the collector."""

    def __init__(self, process: str, endpoint: str, sample_ratio: float) -> None:
        self._provider = TracerProvider(
            sampler=ParentBased(_Linked(sample_ratio)),
            resource=Resource.create({"service.name": process}),
            shutdown_on_exit=False,
        )
        # Each further try would be a line; what is given up remains one.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_SEND_TIMEOUT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("aftertone")

    def begin(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        *,
        parent: str | None = None,
        link: str | None = None,
    ) -> Span:
        """A span below `parent`, or one of its own that follows `link`."""
        above = Context()
        if parent is not None:
            above = set_span_in_context(NonRecordingSpan(_context_of(parent)), above)
        return self._tracer.start_span(
            name,
            context=above,
            kind=SpanKind[kind.upper()],
            attributes=attributes,
            links=None if link is None else [Link(_context_of(link))],
        )

    def stop(self) -> None:
        """Sends what waits; what cannot be sent in time is dropped."""
        # The library's own bound is half a minute.
        stopping = threading.Thread(target=self._provider.shutdown, daemon=True)
        stopping.start()
        stopping.join(_STOP_WITHIN_S)


class _Linked(Sampler):
    """A share of all requests; what follows a span is traced if that one is."""

    def __init__(self, ratio: float) -> None:
        self._requests = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: AnyAttributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        chosen: Sampler = self._requests
        if links:
            chosen = ALWAYS_ON if links[0].context.trace_flags.sampled else ALWAYS_OFF
        return chosen.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        return f"Linked{{{self._requests.get_description()}}}"


def traceparent_of(span: Span) -> str:
    """W3C Trace Context, version 00."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _context_of(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
