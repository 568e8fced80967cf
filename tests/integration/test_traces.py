"""Traces of a request through all processes; without a collector, only ids are passed on."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import pytest

from service.bus import StreamSettings
from service.embedded.servers import EmbeddedServers
from service.postgres.pool import Database
from service.traces import begin_span, end_span, export_spans, server_span
from tests.support.builders import a_vmbox, stored
from tests.support.collector import Collector, SpanSeen, running_collector
from tests.support.log_scan import CONFIDENTIAL
from tests.support.relay import everything_in, running_relay
from tests.support.running import AccountClient, RunningService, data_of, multipart
from tests.support.waiting import wait_until
from tests.support.webhook_receiver import WebhookReceiver

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_, TRACE, CALLER_SPAN, _ = CALLER.split("-")
UNSAMPLED = "00-2af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
ROUTE = "/v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages"


async def test_an_event_is_published_below_the_request_that_caused_it(
    servers: EmbeddedServers, database_url: str, database: Database, stream: StreamSettings
) -> None:
    url = servers.nats.url()
    async with running_collector() as collector:
        async with (
            export_spans("tests", collector.url, 1.0),
            running_relay(database_url, url, stream),
        ):
            # A new connection has statements of its own.
            await database.ping()
            with server_span(CALLER):
                async with database.connection() as connection:
                    box = await a_vmbox(connection)
            with server_span(UNSAMPLED):
                async with database.connection() as connection:
                    await stored(connection, box)

            async def both_are_sent() -> bool:
                return len(await everything_in(url, stream)) == 2

            await wait_until(both_are_sent)
        spans = {span.name: span for span in collector.spans}
    # The second caller wants no trace, and its ids travel.
    assert spans.keys() == {"HTTP", "insert_vmbox", "publish vmbox.created"}
    request, publish = spans["HTTP"], spans["publish vmbox.created"]
    assert (request.trace_id, request.parent_id) == (TRACE, CALLER_SPAN)
    assert {spans["insert_vmbox"].parent_id, publish.parent_id} == {request.span_id}
    created, new = [item.headers["traceparent"] for item in await everything_in(url, stream)]
    assert created == f"00-{TRACE}-{publish.span_id}-01"
    assert (new[:36], new[-3:]) == (UNSAMPLED[:36], "-00")


async def test_spans_are_dropped_while_the_collector_is_away() -> None:
    async with export_spans("tests", "http://127.0.0.1:9/v1/traces", 1.0):
        for _ in range(100):
            with server_span(None) as span:
                assert span is not None
                end_span(begin_span("a statement", {}), ValueError("told to nobody"))
    with server_span(None) as span:
        assert span is None


@asynccontextmanager
async def traced_processes(service: RunningService, url: str) -> AsyncIterator[RunningService]:
    """An API, the only relay and a notifier that export traces; they end with the test."""
    expected = {"AFTERTONE_TRACES_ENDPOINT": url}
    await service.processes["relay"].stop()
    api, relay, notifier = await asyncio.gather(
        service.another_api(**expected),
        service.start("relay", **expected),
        service.start("notifier", "webhook", **expected),
    )
    try:
        yield api
    finally:
        await asyncio.gather(api.stop(), relay.stop(), notifier.stop())
        await service.start("relay")


@pytest.mark.long
async def test_a_trace_leads_from_a_stored_message_to_its_webhook(
    service: RunningService, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    async with running_collector() as collector, WebhookReceiver().running() as receiver:
        document = {"name": "Hook", "uri": receiver.url(), "hook": "message.new"}
        data_of(await account.http.put(account.path("webhooks"), json={"data": document}), 201)
        async with traced_processes(service, collector.url) as api:
            await store_message(api, account, vmbox_id)

            async def is_delivered() -> bool:
                return len(receiver.received) == 1

            await wait_until(is_delivered)
        assert_a_chain(collector, receiver.received[0].event["traceparent"])
    assert_nothing_confidential(collector.spans)


async def store_message(api: RunningService, account: AccountClient, vmbox_id: str) -> None:
    """Stores a message in a request of a traced call."""
    message = multipart(b"audio", "audio/mpeg", {"caller_id_name": "Jane Traced"})
    async with api.client(account.token) as client:
        path = account.path("vmboxes", vmbox_id, "messages")
        stored = await client.put(path, headers={"traceparent": CALLER}, **message)
    data_of(stored, 201)


def assert_a_chain(collector: Collector, actual: str) -> None:
    request = collector.one(f"PUT {ROUTE}")
    assert (request.kind, request.process) == ("server", "aftertone-api")
    assert (request.trace_id, request.parent_id) == (TRACE, CALLER_SPAN)
    assert request.attributes == {
        "http.request.method": "PUT",
        "http.route": ROUTE,
        "http.response.status_code": "201",
    }
    insert, put = collector.one("insert_message"), collector.one("S3 put")
    for call in (insert, put):
        assert (call.kind, call.trace_id, call.parent_id) == ("client", TRACE, request.span_id)
    assert insert.attributes["db.operation.name"] == "insert_message"

    publish = collector.one("publish message.new")
    assert (publish.kind, publish.process) == ("producer", "aftertone-relay")
    assert (publish.trace_id, publish.parent_id) == (TRACE, request.span_id)
    assert actual == f"00-{TRACE}-{publish.span_id}-01"

    fan_out, delivery = collector.one("fan out webhook"), collector.one("deliver webhook")
    for consumer in (fan_out, delivery):
        assert (consumer.kind, consumer.process) == ("consumer", "aftertone-notifier-webhook")
        assert (consumer.links, consumer.parent_id) == ([(TRACE, publish.span_id)], "")
        assert consumer.trace_id != TRACE
        assert (
            consumer.attributes["messaging.message.id"]
            == publish.attributes["messaging.message.id"]
        )
    marked = collector.one("insert_marker")
    assert (marked.trace_id, marked.parent_id) == (fan_out.trace_id, fan_out.span_id)
    assert not [span.name for span in collector.spans if span.failed]


def assert_nothing_confidential(spans: Sequence[SpanSeen]) -> None:
    texts = [text for span in spans for text in (span.name, *span.attributes.values())]
    assert [kind for text in texts for kind in CONFIDENTIAL.kinds_in(text)] == []


async def test_without_a_collector_trace_ids_travel_with_events(
    account: AccountClient,
) -> None:
    traces = {f"Box {n}": f"00-{uuid4().hex}-{uuid4().hex[:16]}-0{n % 2}" for n in range(16)}
    await asyncio.gather(
        *(
            account.http.put(
                account.path("vmboxes"),
                json={"data": {"name": name, "mailbox": str(uuid4().int)[:12]}},
                headers={"traceparent": trace},
            )
            for name, trace in traces.items()
        )
    )
    await account.a_vmbox(name="Untraced")
    database = account.service.environment["AFTERTONE_DATABASE_URL"]
    connection = await asyncpg.connect(database)
    rows = await connection.fetch(
        "SELECT data #>> '{vmbox,name}' AS name, traceparent FROM outbox WHERE account_id = $1",
        UUID(account.account_id),
    )
    await connection.close()
    assert {row["name"]: row["traceparent"] for row in rows} == {**traces, "Untraced": None}


def test_without_a_collector_the_library_is_not_even_imported() -> None:
    program = (
        "import sys, service.wiring, service.wiring.notifiers;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    said = subprocess.check_output((sys.executable, "-c", program), text=True)  # noqa: S603
    assert said.strip() == "[]"
