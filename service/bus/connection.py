"""Connection to NATS: creates the stream and publishes events."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, StreamInfo

from service.bus.access import BusAccess
from service.bus.consumer import Consumer, ConsumerSettings
from service.bus.envelope import headers_of, messaging_attributes
from service.bus.errors import translated_errors
from service.bus.failing_servers import FailingServer, order_servers
from service.domain.errors import BusUnavailable
from service.domain.events import MAX_EVENT_BYTES, SUBJECT_PREFIX, Event, subject_of
from service.logs import get_logger
from service.traces import producer_span, traceparent

log = get_logger(__name__)

_STREAM_EXISTS = 10058
_MAX_HEADER_BYTES = 4096
MIN_PAYLOAD_BYTES = MAX_EVENT_BYTES + _MAX_HEADER_BYTES
"""Minimum `max_payload` of the server for the largest event."""
_RECONNECT_WAIT_S = 0.5


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Configuration of the stream. `max_bytes` -1 means no limit."""

    name: str = "VOICEMAIL"
    subject_prefix: str = SUBJECT_PREFIX
    max_bytes: int = -1
    replicas: int = 1
    max_age_s: float = 7 * 86_400
    duplicate_window_s: float = 600


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """State of the stream. A changed `created_at` means that it was created again, empty."""

    created_at: datetime
    last_seq: int


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """Acknowledgement: position of the event in the stream; True if it was already stored."""

    stream_seq: int
    duplicate: bool


class Bus:
    """Connection that is established and restored in the background.

    A process can start while NATS is down. Every method can raise BusUnavailable.
    """

    def __init__(self, stream: StreamSettings, ack_timeout_s: float) -> None:
        self.connections = 0
        """Number of connections established so far."""
        self.stream = stream
        self._ack_timeout_s = ack_timeout_s
        self._client: Client | None = None
        self._closing = False
        self._last_error = ""
        self._reported_drift: frozenset[str] = frozenset()
        self._servers: list[str] = []
        self._failing = FailingServer()
        self._avoided = ""
        self._leaving: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        name: str,
        stream: StreamSettings,
        access: BusAccess = BusAccess(),  # noqa: B008 - immutable
        ack_timeout_s: float = 2.0,
    ) -> "AsyncIterator[Bus]":
        """`url` may list several servers, separated by commas. Does not wait for a connection."""
        bus = cls(stream, ack_timeout_s)
        bus._servers = [server.strip() for server in url.split(",")]
        random.shuffle(bus._servers)
        options = bus._options(name, access)
        task = asyncio.create_task(bus._keep_connected(options))
        try:
            yield bus
        finally:
            bus._closing = True
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def connected(self) -> bool:
        return self._client is not None and bool(self._client.is_connected)

    def client(self) -> Client:
        """For use in this package only."""
        # While disconnected, the client would buffer messages and send them later.
        if self._client is None or not self._client.is_connected:
            raise BusUnavailable("not connected")
        return self._client

    def consumer(self, settings: ConsumerSettings) -> Consumer:
        """Returns a durable consumer. It is created on the server by the first fetch."""
        filters = [f"{self.stream.subject_prefix}.*.*.{event}" for event in settings.events]
        return Consumer(self, self.stream.name, settings, filters)

    async def publish(self, event: Event) -> Ack:
        """Publishes `event` and waits for the acknowledgement.

        After a failure the stream may still store the event, now or later. Publish it again with
        the same ID before any other event of its box.
        """
        client = self.client()
        subject = subject_of(event, self.stream.subject_prefix)
        attributes = messaging_attributes(event, "publish", "send")
        with (
            producer_span(f"publish {event.type}", attributes, event.traceparent),
            translated_errors(),
        ):
            headers = headers_of(event, traceparent())
            _check_size(client, headers, event.data)
            with self.watched():
                ack = await client.jetstream().publish(
                    subject, event.data, timeout=self._ack_timeout_s, headers=headers
                )
        if ack.stream != self.stream.name:
            raise BusUnavailable(f"the stream {ack.stream} received the event")
        return Ack(stream_seq=ack.seq, duplicate=bool(ack.duplicate))

    async def declare(self) -> StreamState:
        """Creates the stream if it does not exist. Logs differences from the settings."""
        client = self.client()
        # Not watched: a node that is cut off still describes its streams.
        with translated_errors():
            info = await self._ensure_stream(client.jetstream(timeout=self._ack_timeout_s))
        self._report_drift(info.config)
        # Missing only for servers older than the first release of JetStream.
        created_at = info.created or datetime.fromtimestamp(0, UTC)
        return StreamState(created_at=created_at, last_seq=info.state.last_seq)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watches a request. When all requests fail for a while, another server is used."""
        try:
            yield
        except Exception:
            # Any error counts, also one of the client library that has no type of its own.
            if len(self._servers) > 1 and self.connected and self._failing.record_failure():
                self._leaving = asyncio.create_task(self._leave_server(self.client()))
            raise
        self._failing.record_success()

    async def _leave_server(self, client: Client) -> None:
        self._avoided = _address_of(client)
        log.warning("nats server avoided, its requests failed", server=self._avoided)
        await _close(client)

    async def _ensure_stream(self, jetstream: JetStreamContext) -> StreamInfo:
        try:
            return await jetstream.stream_info(self.stream.name)
        except nats.js.errors.NotFoundError:
            pass
        try:
            info = await jetstream.add_stream(configuration(self.stream))
        except nats.js.errors.BadRequestError as error:
            if error.err_code != _STREAM_EXISTS:
                raise
            return await jetstream.stream_info(self.stream.name)
        log.info("stream created", stream=self.stream.name)
        return info

    def _report_drift(self, actual: StreamConfig) -> None:
        drift = drift_of(actual, self.stream)
        if drift and drift != self._reported_drift:
            log.warning(
                "stream differs from settings",
                stream=self.stream.name,
                fields=sorted(drift),
            )
        self._reported_drift = drift

    async def _keep_connected(self, options: dict[str, Any]) -> None:
        """Connects again after the client closed itself, which some errors of the server cause."""
        while True:
            closed = asyncio.Event()
            client = Client()

            async def on_close(event: asyncio.Event = closed) -> None:
                event.set()

            try:
                self._servers = order_servers(self._servers, self._avoided)
                await client.connect(**options, servers=self._servers, closed_cb=on_close)
                self._client = client
                self._on_connect(client)
                await closed.wait()
                log.warning("nats connection closed", reason=str(client.last_error))
            except Exception as error:
                # Catches every error: the next attempt may succeed, and only this loop makes one.
                await self._on_error(error)
            finally:
                await _close(client)
            await asyncio.sleep(_RECONNECT_WAIT_S)

    def _options(self, name: str, access: BusAccess) -> dict[str, Any]:
        return {
            **access.options(),
            "name": name,
            # The client keeps the order of the list, so that a failing server can be avoided.
            "dont_randomize": True,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": _RECONNECT_WAIT_S,
            "connect_timeout": 5,
            # Detects a silent server within 10 s.
            "ping_interval": 5,
            "max_outstanding_pings": 1,
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnect,
            "reconnected_cb": self._on_reconnect,
            "lame_duck_mode_cb": self._on_lame_duck,
        }

    def _on_connect(self, client: Client) -> None:
        self.connections += 1
        self._last_error = ""
        log.info("nats connected", server=_address_of(client))
        if client.max_payload < MIN_PAYLOAD_BYTES:
            log.error(
                "nats max_payload too small",
                max_payload=client.max_payload,
                minimum=MIN_PAYLOAD_BYTES,
            )

    async def _on_reconnect(self) -> None:
        if self._client is not None:
            self._on_connect(self._client)

    async def _on_disconnect(self) -> None:
        if not self._closing:
            log.warning("nats disconnected")

    async def _on_lame_duck(self) -> None:
        log.info("nats server shutting down")

    async def _on_error(self, error: Exception) -> None:
        # The client reports every attempt to reconnect. Repeated errors are logged once.
        reason = f"{type(error).__name__}: {error}"
        if reason != self._last_error:
            log.warning("nats error", reason=reason)
        self._last_error = reason


def _address_of(client: Client) -> str:
    """Returns host and port of the connected server, without a password."""
    url = client.connected_url
    return f"{url.hostname}:{url.port}" if url else ""


def _check_size(client: Client, headers: dict[str, str], data: bytes) -> None:
    """Raises BusUnavailable for a message that would make the server close the connection."""
    framing = len("NATS/1.0\r\n\r\n")
    size = framing + sum(len(name) + len(value) + 4 for name, value in headers.items()) + len(data)
    if size > client.max_payload:
        raise BusUnavailable(f"event of {size} bytes exceeds max_payload {client.max_payload}")


_COMPARED_FIELDS = (
    "subjects",
    "retention",
    "storage",
    "discard",
    "max_age",
    "max_bytes",
    "num_replicas",
    "duplicate_window",
)


def drift_of(actual: StreamConfig, stream: StreamSettings) -> frozenset[str]:
    """Returns the fields in which a stream differs from the settings."""
    expected = configuration(stream)
    return frozenset(
        field for field in _COMPARED_FIELDS if getattr(actual, field) != getattr(expected, field)
    )


def configuration(stream: StreamSettings) -> StreamConfig:
    return StreamConfig(
        name=stream.name,
        subjects=[f"{stream.subject_prefix}.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=stream.max_age_s,
        max_bytes=stream.max_bytes,
        num_replicas=stream.replicas,
        duplicate_window=stream.duplicate_window_s,
    )


async def _close(client: Client) -> None:
    # Closing a client that never connected raises an exception.
    with suppress(Exception):
        await client.close()
