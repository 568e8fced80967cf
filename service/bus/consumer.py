"""A durable pull consumer of the stream, which survives whatever happens to it on the server."""

import asyncio
import time
from collections.abc import Mapping, Sequence
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
# The library sometimes returns at once with nothing: this keeps such a loop from spinning.
_LEAST_WAIT_S = 0.1


class ConsumerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`events` are event types (`message.new`); none means all of them."""

    durable: str
    events: tuple[str, ...] = ()
    ack_wait_s: float = 30.0
    max_ack_pending: int = 1000


class Incoming:
    """A message of the stream, to be acked once it is dealt with."""

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
        """Never to be sent again. An ack may be lost: then it comes again all the same."""
        with translated_errors():
            await self._message.ack()

    async def nak(self, delay_s: float) -> None:
        """To be sent again after `delay_s`; never at once, or it would never end."""
        with translated_errors():
            await self._message.nak(delay=max(delay_s, _LEAST_WAIT_S))


class Consumer:
    """Explicit acks, everything from the stream's beginning (or `begin_at`), shared by all who use
    its name.

    It is made anew when the server has lost it or the stream was made again, and asked for anew
    after a reconnection, and when it stays silent though messages wait.
    """

    def __init__(
        self, bus: "Bus", stream: str, settings: ConsumerSettings, filters: Sequence[str]
    ) -> None:
        self._bus = bus
        self._stream = stream
        self._settings = settings
        self._filters = list(filters)
        self._since: datetime | None = None
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._connection = 0
        self._empty_fetches = 0

    def begin_at(self, since: datetime) -> None:
        """Made from now on, it leaves out what the stream took before `since`."""
        self._since = since

    async def fetch(self, limit: int, wait_s: float) -> list[Incoming]:
        """Up to `limit` messages; none when there are none for `wait_s`. Raises BusUnavailable."""
        begun = time.monotonic()
        try:
            subscription = await self._bound()
            messages = await self._fetched(subscription, limit, wait_s)
            if not messages:
                await self._note_silence()
        except BusUnavailable:
            await self._unbind()
            raise
        if messages:
            self._empty_fetches = 0
        elif time.monotonic() - begun < _LEAST_WAIT_S:
            await asyncio.sleep(_LEAST_WAIT_S)
        return [Incoming(message) for message in messages]

    async def close(self) -> None:
        """What was fetched and not acked goes to others after `ack_wait_s`."""
        await self._unbind()

    async def _bound(self) -> JetStreamContext.PullSubscription:
        client = self._bus.client()
        if self._subscription is not None and self._connection == self._bus.connections:
            return self._subscription
        await self._unbind()
        jetstream = client.jetstream(timeout=_API_TIMEOUT_S)
        with translated_errors():
            await jetstream.add_consumer(self._stream, await self._wanted(jetstream))
            self._subscription = await jetstream.pull_subscribe_bind(
                consumer=self._settings.durable, stream=self._stream
            )
        self._connection = self._bus.connections
        self._empty_fetches = 0
        return self._subscription

    async def _wanted(self, jetstream: JetStreamContext) -> ConsumerConfig:
        wanted = self._configuration()
        try:
            made = (await jetstream.consumer_info(self._stream, self._settings.durable)).config
        except nats.js.errors.NotFoundError:
            return wanted
        # Where it begins cannot be changed any more.
        return wanted.evolve(deliver_policy=made.deliver_policy, opt_start_time=made.opt_start_time)

    def _configuration(self) -> ConsumerConfig:
        begins = DeliverPolicy.ALL if self._since is None else DeliverPolicy.BY_START_TIME
        return ConsumerConfig(
            name=self._settings.durable,
            durable_name=self._settings.durable,
            deliver_policy=begins,
            opt_start_time=self._since,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._settings.ack_wait_s,
            max_ack_pending=self._settings.max_ack_pending,
            filter_subjects=self._filters or None,
        )

    async def _fetched(
        self, subscription: JetStreamContext.PullSubscription, limit: int, wait_s: float
    ) -> list[Msg]:
        with translated_errors():
            try:
                messages = await subscription.fetch(limit, timeout=wait_s)
            except TimeoutError:
                # The library's own, or the bare one where the server's answer comes at the last
                # moment.
                messages = []
        # Before Python 3.12 wait_for(), which the library uses, loses a cancellation that comes
        # together with a message.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        return messages

    async def _note_silence(self) -> None:
        """After some empty fetches: asks the server, and begins anew when messages wait there."""
        self._empty_fetches += 1
        if self._empty_fetches < _EMPTY_FETCHES:
            return
        self._empty_fetches = 0
        jetstream = self._bus.client().jetstream(timeout=_API_TIMEOUT_S)
        with translated_errors():
            try:
                info = await jetstream.consumer_info(self._stream, self._settings.durable)
            except nats.js.errors.NotFoundError:
                await self._begin_anew("The consumer is gone; it is made again.")
                return
        if info.num_pending and (info.num_ack_pending or 0) < self._settings.max_ack_pending:
            await self._begin_anew("The consumer was silent though messages wait.")

    async def _begin_anew(self, reason: str) -> None:
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
