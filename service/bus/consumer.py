"""Durable pull consumer that recovers from the loss of its stream or of its server-side state."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from service.bus.errors import translated_errors
from service.domain.errors import BusUnavailable
from service.logs import get_logger

if TYPE_CHECKING:
    from service.bus.connection import Bus

log = get_logger(__name__)

_EMPTY_FETCHES = 3
_API_TIMEOUT_S = 2.0
# The client sometimes returns an empty batch at once. This avoids a busy loop.
_MIN_WAIT_S = 0.1
_RETRY_DELAY_S = 1.0
_BATCH = 64


class ConsumerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a consumer. `events` are event types (`message.new`); empty means all."""

    durable: str
    events: tuple[str, ...] = ()
    ack_wait_s: float = 30.0
    max_ack_pending: int = 1000


class StreamMessage:
    """Message of the stream, to be acknowledged after it is processed."""

    def __init__(self, message: Msg) -> None:
        metadata = message.metadata
        self._message = message
        self.subject: str = message.subject
        self.headers: Mapping[str, str] = message.headers or {}
        self.data: bytes = message.data
        self.stream_seq: int = metadata.sequence.stream
        self.stored_at: datetime = metadata.timestamp
        self.deliveries: int = metadata.num_delivered

    async def ack(self) -> None:
        """Acknowledges the message. If the acknowledgement is lost, it is redelivered."""
        with translated_errors():
            await self._message.ack()

    async def nak(self, delay_s: float) -> None:
        """Requests redelivery after `delay_s`, at least 0.1 s, to avoid a busy loop."""
        with translated_errors():
            await self._message.nak(delay=max(delay_s, _MIN_WAIT_S))


class Consumer:
    """Consumer with explicit acknowledgement, shared by all processes that use its name.

    It starts at the beginning of the stream or at `start_at`. It is created again when the server
    or the stream lost it, and bound again after a reconnect or when it stalls.
    """

    def __init__(
        self, bus: "Bus", stream: str, settings: ConsumerSettings, filters: Sequence[str]
    ) -> None:
        self._bus = bus
        self._stream = stream
        self._settings = settings
        self._filters = list(filters)
        self._start_time: datetime | None = None
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._connection = 0
        self._empty_fetches = 0

    def start_at(self, start_time: datetime) -> None:
        """Sets the start time to use if the consumer is created after this call."""
        self._start_time = start_time

    async def fetch(self, limit: int, wait_s: float) -> list[StreamMessage]:
        """Returns up to `limit` messages after at most `wait_s`. Raises BusUnavailable."""
        started = time.monotonic()
        try:
            subscription = await self._bind()
            messages = await self._fetch_batch(subscription, limit, wait_s)
            if not messages:
                await self._check_stalled()
        except BusUnavailable:
            await self._unbind()
            raise
        if messages:
            self._empty_fetches = 0
        elif time.monotonic() - started < _MIN_WAIT_S:
            await asyncio.sleep(_MIN_WAIT_S)
        return [StreamMessage(message) for message in messages]

    async def batches(
        self, stop: asyncio.Event, wait_s: float
    ) -> AsyncIterator[list[StreamMessage]]:
        """Yields batches until `stop` is set. Retries while NATS is unavailable."""
        failures = 0
        while not stop.is_set():
            try:
                messages = await self.fetch(_BATCH, wait_s)
            except BusUnavailable as error:
                failures += 1
                # The first failure may come before the connection is established.
                if failures == 2:
                    log.warning(
                        "reading events failed",
                        consumer=self._settings.durable,
                        reason=error.reason,
                    )
                await asyncio.sleep(_RETRY_DELAY_S if failures > 1 else _MIN_WAIT_S)
            else:
                failures = 0
                yield messages

    async def close(self) -> None:
        """Unsubscribes. Unacknowledged messages are redelivered after `ack_wait_s`."""
        await self._unbind()

    async def _bind(self) -> JetStreamContext.PullSubscription:
        client = self._bus.client()
        if self._subscription is not None and self._connection == self._bus.connections:
            return self._subscription
        await self._unbind()
        jetstream = client.jetstream(timeout=_API_TIMEOUT_S)
        with translated_errors(), self._bus.watched():
            await jetstream.add_consumer(self._stream, await self._current_configuration(jetstream))
            self._subscription = await jetstream.pull_subscribe_bind(
                consumer=self._settings.durable, stream=self._stream
            )
        self._connection = self._bus.connections
        self._empty_fetches = 0
        return self._subscription

    async def _current_configuration(self, jetstream: JetStreamContext) -> ConsumerConfig:
        configuration = self._configuration()
        try:
            existing = (await jetstream.consumer_info(self._stream, self._settings.durable)).config
        except nats.js.errors.NotFoundError:
            return configuration
        # The start of an existing consumer cannot be changed.
        return configuration.evolve(
            deliver_policy=existing.deliver_policy, opt_start_time=existing.opt_start_time
        )

    def _configuration(self) -> ConsumerConfig:
        policy = DeliverPolicy.ALL if self._start_time is None else DeliverPolicy.BY_START_TIME
        return ConsumerConfig(
            name=self._settings.durable,
            durable_name=self._settings.durable,
            deliver_policy=policy,
            opt_start_time=self._start_time,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._settings.ack_wait_s,
            max_ack_pending=self._settings.max_ack_pending,
            filter_subjects=self._filters or None,
        )

    async def _fetch_batch(
        self, subscription: JetStreamContext.PullSubscription, limit: int, wait_s: float
    ) -> list[Msg]:
        with translated_errors():
            try:
                messages = await subscription.fetch(limit, timeout=wait_s)
            except TimeoutError:
                # The client raises it, or asyncio if the response arrives at the last moment.
                messages = []
        # Before Python 3.12, wait_for(), which the client uses, loses a cancellation that arrives
        # together with a message.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        return messages

    async def _check_stalled(self) -> None:
        """After some empty fetches, binds again if the server has pending messages."""
        self._empty_fetches += 1
        if self._empty_fetches < _EMPTY_FETCHES:
            return
        self._empty_fetches = 0
        jetstream = self._bus.client().jetstream(timeout=_API_TIMEOUT_S)
        with translated_errors(), self._bus.watched():
            try:
                info = await jetstream.consumer_info(self._stream, self._settings.durable)
            except nats.js.errors.NotFoundError:
                await self._reset("consumer lost")
                return
        if info.num_pending and (info.num_ack_pending or 0) < self._settings.max_ack_pending:
            await self._reset("consumer stalled")

    async def _reset(self, reason: str) -> None:
        log.warning(reason, stream=self._stream, consumer=self._settings.durable)
        await self._unbind()

    async def _unbind(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            try:
                with translated_errors():
                    await subscription.unsubscribe()
            except BusUnavailable:
                pass  # the subscription ended with its connection
