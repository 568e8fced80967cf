"""OpenTelemetry collector for tests: receives OTLP over HTTP and stores the spans."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan


class SpanSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A span; ids in hex, as in `traceparent`. A link is (trace id, span id)."""

    process: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: list[tuple[str, str]]
    attributes: dict[str, str]
    failed: bool


class Collector:
    """The received spans, in no order."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[SpanSeen] = []

    async def take(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        batch = ExportTraceServiceRequest.FromString(await request.read())
        for resource in batch.resource_spans:
            attributes = {
                item.key: item.value.string_value for item in resource.resource.attributes
            }
            for scope in resource.scope_spans:
                self.spans += [_seen(attributes["service.name"], span) for span in scope.spans]
        return web.Response(body=ExportTraceServiceResponse().SerializeToString())

    def one(self, name: str) -> SpanSeen:
        """Returns the only span of this name."""
        [span] = [item for item in self.spans if item.name == name]
        return span


def _seen(process: str, span: WireSpan) -> SpanSeen:
    return SpanSeen(
        process=process,
        name=span.name,
        kind=WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        attributes={
            item.key: item.value.string_value or str(item.value.int_value)
            for item in span.attributes
        },
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
    )


@asynccontextmanager
async def running_collector() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        collector.url = f"http://{host}:{port}/v1/traces"
        yield collector
    finally:
        await runner.cleanup()
