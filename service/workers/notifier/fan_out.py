"""Fan-out: turns each event of the stream into delivery rows once, then acknowledges it."""

import asyncio
import re
from contextlib import suppress
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from service.bus import (
    Consumer,
    MalformedEvent,
    StreamMessage,
    account_of,
    event_of,
    messaging_attributes,
)
from service.domain.delivery import MARKER, Failed, Outcome
from service.domain.errors import BusUnavailable, Unavailable
from service.domain.events import DATA, Event, EventType, decode_data
from service.logs import get_logger
from service.metrics import DELIVERIES, FANNED_OUT, UNEXPECTED_ERRORS
from service.postgres import deliveries as rows
from service.postgres.deliveries import DeliveryRow
from service.postgres.pool import Database
from service.traces import consumer_span
from service.workers.channels import Channel, Delivery, Done, Ignored
from service.workers.waiting import wait_for

log = get_logger(__name__)

_CONCURRENCY = 8
_OUTAGE_PAUSE_S = 1.0
_OUTAGE_DELAY_S = 5.0
_FAULT_DELAY_S = 10.0
# A new channel also delivers events of this period before its first start, because it may have been
# started together with the other processes, and because clocks differ.
_LOOKBACK_S = 3600.0
# Attempts to fan out an event that causes unexpected errors.
_MAX_DELIVERIES = 5
# The data is stored as jsonb, which does not allow NUL.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
# Namespace of the event IDs that malformed messages get.
_MALFORMED = UUID("a6ecf9ae-4b0c-5d55-a1a4-4d1b2f3c9e70")


class FanOut:
    """Writes the delivery rows of events. Sets `rows_added` after it has written some."""

    def __init__(
        self,
        database: Database,
        consumer: Consumer,
        channel: Channel,
        rows_added: asyncio.Event,
        *,
        subject_prefix: str,
        fetch_s: float,
    ) -> None:
        self._database = database
        self._consumer = consumer
        self._channel = channel
        self._rows_added = rows_added
        self._prefix = subject_prefix
        self._fetch_s = fetch_s
        self._slots = asyncio.Semaphore(_CONCURRENCY)
        self._start_time: datetime | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set, and processes what was fetched before."""
        await self._load_start_time(stop)
        try:
            async for messages in self._consumer.batches(stop, self._fetch_s):
                await asyncio.gather(*map(self._handle, messages))
        finally:
            await self._consumer.close()

    async def _load_start_time(self, stop: asyncio.Event) -> None:
        """Loads or sets the start time of the channel. It skips older events."""
        while self._start_time is None and not stop.is_set():
            try:
                async with self._database.connection() as connection:
                    self._start_time = await rows.register_channel(
                        connection, self._channel.name, _LOOKBACK_S
                    )
            except Unavailable:
                await wait_for(stop, _OUTAGE_PAUSE_S)
            except Exception:
                # An error of the database, or a defect. The notifier must not end.
                UNEXPECTED_ERRORS.inc()
                log.exception("registering channel failed")
                await wait_for(stop, _FAULT_DELAY_S)
            else:
                self._consumer.start_at(self._start_time)

    async def fan_out_marker(self, row: Delivery | DeliveryRow) -> Outcome:
        """Writes the delivery rows of an event whose marker an operator retries."""
        if not isinstance(row, Delivery):
            return Failed(error="the row has no event", permanent=True)
        async with self._database.transaction() as transaction:
            targets = await self._channel.targets(transaction, row.event)
            if targets:
                await rows.insert_targets(transaction, row.event, self._channel.name, targets)
        self._rows_added.set()
        return Done() if targets else Ignored("the event has no target")

    async def _handle(self, message: StreamMessage) -> None:
        async with self._slots:
            try:
                delay_s = await self._process(message)
            except Unavailable as error:
                log.warning("fan-out postponed, database unavailable", reason=error.reason)
                delay_s = _OUTAGE_DELAY_S
            except Exception:
                # The row of a malformed event cannot be stored. Other events must not wait for it.
                log.exception("storing malformed event failed", stream_seq=message.stream_seq)
                delay_s = _FAULT_DELAY_S
            # Without the ack, the event is redelivered, which has no effect.
            with suppress(BusUnavailable):
                await (message.ack() if delay_s is None else message.nak(delay_s))

    async def _process(self, message: StreamMessage) -> float | None:
        """Returns the delay before redelivery, or None if the message is processed."""
        try:
            event = self._decode(message)
        except MalformedEvent as error:
            await self._insert_dead(message, str(error))
            return None
        try:
            # Republished events can be older than the start of the channel.
            if self._channel.handles(event) and not self._is_before_start(event):
                await self._fan_out(event)
        except (msgspec.DecodeError, MalformedEvent) as error:
            await self._insert_dead(message, f"the data is malformed: {error}")
        except Unavailable:
            raise
        except Exception as error:
            # A defect of the channel. The event is tried again, then stored as dead.
            log.exception("fan-out failed", event_id=str(event.event_id))
            if message.deliveries < _MAX_DELIVERIES:
                return _FAULT_DELAY_S
            await self._insert_dead(message, f"fan-out failed: {type(error).__name__}", event)
        return None

    def _is_before_start(self, event: Event) -> bool:
        return self._start_time is None or event.created_at < self._start_time

    def _decode(self, message: StreamMessage) -> Event:
        event = event_of(message.subject, message.headers, message.data, self._prefix)
        try:
            if event.type in DATA:
                decode_data(EventType(event.type), event.data)
            else:
                msgspec.json.decode(event.data, type=dict)
        except msgspec.DecodeError as error:
            raise MalformedEvent(f"the data is malformed: {error}") from None
        if _NUL.search(event.data):
            raise MalformedEvent("the data contains NUL")
        return event

    async def _fan_out(self, event: Event) -> None:
        name = self._channel.name
        with consumer_span(f"fan out {name}", event_attributes(event, name), event.traceparent):
            async with self._database.transaction() as transaction:
                key = (event.account_id, event.event_id, name)
                if not await rows.insert_marker(transaction, *key):
                    return
                targets = await self._channel.targets(transaction, event)
                if targets:
                    await rows.insert_targets(transaction, event, name, targets)
        FANNED_OUT.labels(name).inc()
        if targets:
            self._rows_added.set()

    async def _insert_dead(
        self, message: StreamMessage, reason: str, event: Event | None = None
    ) -> None:
        DELIVERIES.labels(self._channel.name, "dead").inc()
        account_id = account_of(message.subject, self._prefix)
        event_id = event.event_id if event else malformed_event_id(message)
        log.error(
            "fan-out failed, event dead",
            channel=self._channel.name,
            account_id=account_id.hex,
            event_id=str(event_id),
            stream_seq=message.stream_seq,
        )
        async with self._database.connection() as connection:
            await rows.insert_dead_marker(
                connection,
                account_id,
                event_id,
                self._channel.name,
                error=reason,
                event=event,
                state={"subject": message.subject, "stream_seq": message.stream_seq},
            )


def malformed_event_id(message: StreamMessage) -> UUID:
    """Derives an event ID from the sequence in the stream and the time of storage."""
    return uuid5(_MALFORMED, f"{message.stream_seq} {message.stored_at.isoformat()}")


def event_attributes(event: Event, channel: str) -> dict[str, str]:
    """Returns span attributes by OpenTelemetry's conventions for messaging."""
    attributes = messaging_attributes(event, "process", "process")
    return {**attributes, "messaging.consumer.group.name": channel}


def is_marker(row: Delivery | DeliveryRow) -> bool:
    return row.target == MARKER
