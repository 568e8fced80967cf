"""Span exporter over the OpenTelemetry SDK; imported only when tracing is on."""

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

from service.traces import Attributes, SpanKindName

_EXPORT_TIMEOUT_S = 3.0
_STOP_TIMEOUT_S = 5.0


class SpanExporter:
    """Creates the spans of one process and sends them in batches from a thread."""

    def __init__(self, process: str, endpoint: str, sample_ratio: float) -> None:
        self._provider = TracerProvider(
            sampler=ParentBased(_LinkAwareSampler(sample_ratio)),
            resource=Resource.create({"service.name": process}),
            shutdown_on_exit=False,
        )
        # The library warns about each retry. A batch that is dropped is still logged as an error.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_TIMEOUT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("aftertone")

    def begin(
        self,
        name: str,
        kind: SpanKindName,
        attributes: Attributes,
        *,
        parent: str | None = None,
        link: str | None = None,
    ) -> Span:
        """Starts a span below `parent`, or a root span with a link to `link`."""
        context = Context()
        if parent is not None:
            context = set_span_in_context(NonRecordingSpan(_context_of(parent)), context)
        return self._tracer.start_span(
            name,
            context=context,
            kind=SpanKind[kind.upper()],
            attributes=attributes,
            links=None if link is None else [Link(_context_of(link))],
        )

    def stop(self) -> None:
        """Sends the queued spans; drops those that cannot be sent in time."""
        # The library itself waits up to 30 seconds.
        stopping = threading.Thread(target=self._provider.shutdown, daemon=True)
        stopping.start()
        stopping.join(_STOP_TIMEOUT_S)


class _LinkAwareSampler(Sampler):
    """Samples a share of the requests; samples a linked span exactly when its link is sampled."""

    def __init__(self, ratio: float) -> None:
        self._ratio_sampler = TraceIdRatioBased(ratio)

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
        sampler: Sampler = self._ratio_sampler
        if links:
            sampler = ALWAYS_ON if links[0].context.trace_flags.sampled else ALWAYS_OFF
        return sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        return f"LinkAware{{{self._ratio_sampler.get_description()}}}"


def traceparent_of(span: Span) -> str:
    """Returns the W3C `traceparent` of a span, version 00."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _context_of(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
