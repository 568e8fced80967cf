"""The connection to NATS: declares the stream, publishes and waits for the ack."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, StreamInfo

from service.bus.consumer import Consumer, ConsumerSettings
from service.bus.envelope import headers_of
from service.bus.errors import translated_errors
from service.domain.errors import BusUnavailable
from service.domain.events import MAX_EVENT_BYTES, SUBJECT_PREFIX, Event, subject_of
from service.logs import get_logger
from service.traces import producer_span, traceparent

log = get_logger(__name__)

_STREAM_EXISTS = 10058
_ROOM_FOR_HEADERS = 4096
LEAST_PAYLOAD = MAX_EVENT_BYTES + _ROOM_FOR_HEADERS
"""What the server's `max_payload` must be for the largest event."""
_RECONNECT_WAIT_S = 0.5


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the stream is to be. `max_bytes` -1 means as much as the server has."""

    name: str = "VOICEMAIL"
    subject_prefix: str = SUBJECT_PREFIX
    max_bytes: int = -1
    replicas: int = 1
    max_age_s: float = 7 * 86_400
    duplicate_window_s: float = 600


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """What the stream is: another `created_at` is another stream, which has lost everything."""

    created_at: datetime
    last_seq: int


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """The stream has the event, at `stream_seq`; `duplicate` when it had it before."""

    stream_seq: int
    duplicate: bool


class Bus:
    """One connection, kept up in the background: a process starts while NATS is away.

    Whatever NATS raises is BusUnavailable here.
    """

    def __init__(self, stream: StreamSettings, ack_timeout_s: float) -> None:
        self.connections = 0
        """Grows by one whenever the connection is made again."""
        self._stream = stream
        self._ack_timeout_s = ack_timeout_s
        self._client: Client | None = None
        self._closing = False
        self._last_failure = ""
        self._reported_drift: frozenset[str] = frozenset()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        name: str,
        stream: StreamSettings,
        credentials_file: str = "",
        ack_timeout_s: float = 2.0,
    ) -> "AsyncIterator[Bus]":
        """`url` may name several servers, with commas; returns without waiting for one."""
        bus = cls(stream, ack_timeout_s)
        options = bus._options(url, name, credentials_file)
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

    @property
    def stream(self) -> StreamSettings:
        return self._stream

    def client(self) -> Client:
        """For this package alone. Raises BusUnavailable."""
        # While it is disconnected the library would buffer, and send again later.
        if self._client is None or not self._client.is_connected:
            raise BusUnavailable("not connected")
        return self._client

    def consumer(self, settings: ConsumerSettings) -> Consumer:
        """A durable consumer of the stream; nothing is asked of the server before its first use."""
        filters = [f"{self._stream.subject_prefix}.*.*.{event}" for event in settings.events]
        return Consumer(self, self._stream.name, settings, filters)

    async def publish(self, event: Event) -> Ack:
        """Returns once the stream has stored `event`, or has it already.

        After a failure the event may be stored all the same, now or later: send it again with the
        same id before anything else of its box.
        """
        client = self.client()
        subject = subject_of(event, self._stream.subject_prefix)
        with (
            producer_span(f"publish {event.type}", _told(event), event.traceparent),
            translated_errors(),
        ):
            headers = headers_of(event, traceparent())
            _check_size(client, headers, event.data)
            answer = await client.jetstream().publish(
                subject, event.data, timeout=self._ack_timeout_s, headers=headers
            )
        if answer.stream != self._stream.name:
            raise BusUnavailable(f"the stream {answer.stream} took the subject")
        return Ack(stream_seq=answer.seq, duplicate=bool(answer.duplicate))

    async def declare(self) -> Stream:
        """Makes the stream unless it is there. One that differs is reported and left alone."""
        client = self.client()
        with translated_errors():
            info = await self._find_or_make(client.jetstream(timeout=self._ack_timeout_s))
        self._report_drift(info.config)
        # The library leaves it out only for servers older than JetStream's first release.
        created_at = info.created or datetime.fromtimestamp(0, UTC)
        return Stream(created_at=created_at, last_seq=info.state.last_seq)

    async def _find_or_make(self, jetstream: JetStreamContext) -> StreamInfo:
        try:
            return await jetstream.stream_info(self._stream.name)
        except nats.js.errors.NotFoundError:
            pass
        try:
            info = await jetstream.add_stream(configuration(self._stream))
        except nats.js.errors.BadRequestError as error:
            if error.err_code != _STREAM_EXISTS:
                raise
            return await jetstream.stream_info(self._stream.name)
        log.info("The stream was made.", stream=self._stream.name)
        return info

    def _report_drift(self, found: StreamConfig) -> None:
        drift = drift_of(found, self._stream)
        if drift and drift != self._reported_drift:
            log.warning(
                "The stream is not configured as the settings say; it is left as it is.",
                stream=self._stream.name,
                fields=sorted(drift),
            )
        self._reported_drift = drift

    async def _keep_connected(self, options: dict[str, Any]) -> None:
        """The library reconnects, but closes for good after an error that the server sends."""
        while True:
            closed = asyncio.Event()
            client = Client()
            try:
                await client.connect(**options, closed_cb=_setter(closed))
                self._client = client
                self._note_connection(client)
                await closed.wait()
                log.warning("NATS closed the connection.", reason=str(client.last_error))
            except Exception as error:
                # Whatever it was, the next attempt may succeed; nothing else would make one.
                await self._note_failure(error)
            finally:
                await _close(client)
            await asyncio.sleep(_RECONNECT_WAIT_S)

    def _options(self, url: str, name: str, credentials_file: str) -> dict[str, Any]:
        return {
            "servers": [server.strip() for server in url.split(",")],
            "name": name,
            "user_credentials": credentials_file or None,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": _RECONNECT_WAIT_S,
            "connect_timeout": 5,
            # A server that is gone without a word is noticed within 10 s.
            "ping_interval": 5,
            "max_outstanding_pings": 1,
            "error_cb": self._note_failure,
            "disconnected_cb": self._note_disconnection,
            "reconnected_cb": self._note_reconnection,
            "lame_duck_mode_cb": self._note_lame_duck,
        }

    def _note_connection(self, client: Client) -> None:
        self.connections += 1
        self._last_failure = ""
        log.info("Connected to NATS.", server=client.connected_url and client.connected_url.netloc)
        if client.max_payload < LEAST_PAYLOAD:
            log.error(
                "The server's max_payload is too small for the largest events.",
                max_payload=client.max_payload,
                needed=LEAST_PAYLOAD,
            )

    async def _note_reconnection(self) -> None:
        if self._client is not None:
            self._note_connection(self._client)

    async def _note_disconnection(self) -> None:
        if not self._closing:
            log.warning("The connection to NATS is gone.")

    async def _note_lame_duck(self) -> None:
        log.info("The NATS server is about to stop.")

    async def _note_failure(self, error: Exception) -> None:
        # The library reports every attempt to reconnect: one line for each kind is enough.
        failure = f"{type(error).__name__}: {error}"
        if failure != self._last_failure:
            log.warning("NATS reports an error.", reason=failure)
        self._last_failure = failure


def _told(event: Event) -> dict[str, str]:
    """OpenTelemetry's names for messaging."""
    return {
        "messaging.system": "nats",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": event.type,
        "messaging.message.id": str(event.event_id),
    }


def _check_size(client: Client, headers: dict[str, str], data: bytes) -> None:
    """The server counts headers too, and answers what is too large by closing the connection."""
    framing = len("NATS/1.0\r\n\r\n")
    size = framing + sum(len(name) + len(value) + 4 for name, value in headers.items()) + len(data)
    if size > client.max_payload:
        raise BusUnavailable(f"an event of {size} bytes; the server takes {client.max_payload}")


_DECLARED = (
    "subjects",
    "retention",
    "storage",
    "discard",
    "max_age",
    "max_bytes",
    "num_replicas",
    "duplicate_window",
)


def drift_of(found: StreamConfig, stream: StreamSettings) -> frozenset[str]:
    """The fields in which a stream is not what it is to be."""
    wanted = configuration(stream)
    return frozenset(
        field for field in _DECLARED if getattr(found, field) != getattr(wanted, field)
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
    # A client that never got to a server trips over its own state here.
    with suppress(Exception):
        await client.close()


def _setter(event: asyncio.Event) -> Any:
    async def set_it() -> None:
        event.set()

    return set_it
