"""Fan-out: an event of the stream becomes rows, once, and is acked; no event blocks another."""

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
from service.metrics import DELIVERIES, FANNED_OUT
from service.postgres import deliveries as rows
from service.postgres.deliveries import DeliveryRow
from service.postgres.pool import Database
from service.traces import consumer_span
from service.workers.channels import Channel, Delivery, Done, Ignored
from service.workers.waiting import wait_for

log = get_logger(__name__)

_BATCH = 64
_AT_ONCE = 8
_SHORT_PAUSE_S = 0.1
_OUTAGE_PAUSE_S = 1.0
_OUTAGE_DELAY_S = 5.0
_FAULT_DELAY_S = 10.0
# What happened so long before a channel's first start is told, too: it may have been started
# together with all else, and no two clocks agree.
_LOOKS_BACK_S = 3600.0
# An event that cannot be dealt out for a reason that nobody foresaw comes this often.
_MOST_DELIVERIES = 5
# It is stored as jsonb, which knows no NUL.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
# For the event ids of messages that have none.
_UNREADABLE = UUID("a6ecf9ae-4b0c-5d55-a1a4-4d1b2f3c9e70")


class FanOut:
    """Deals events out to a channel's targets. `fresh` is set whenever there are new rows."""

    def __init__(
        self,
        database: Database,
        consumer: Consumer,
        channel: Channel,
        fresh: asyncio.Event,
        *,
        subject_prefix: str,
        fetch_s: float,
    ) -> None:
        self._database = database
        self._consumer = consumer
        self._channel = channel
        self._fresh = fresh
        self._prefix = subject_prefix
        self._fetch_s = fetch_s
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._began: datetime | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; what was fetched by then is dealt with."""
        failures = 0
        await self._begin(stop)
        try:
            while not stop.is_set():
                try:
                    messages = await self._consumer.fetch(_BATCH, self._fetch_s)
                except BusUnavailable as error:
                    failures += 1
                    # The first may be the connection that is still being made.
                    if failures == 2:
                        log.warning("The channel cannot read events.", reason=error.reason)
                    await wait_for(stop, _SHORT_PAUSE_S if failures == 1 else _OUTAGE_PAUSE_S)
                    continue
                failures = 0
                await asyncio.gather(*map(self._deal_with, messages))
        finally:
            await self._consumer.close()

    async def _begin(self, stop: asyncio.Event) -> None:
        """Notes where a channel begins that is new: of what was before, nobody waits to be told."""
        while self._began is None and not stop.is_set():
            try:
                async with self._database.connection() as connection:
                    self._began = await rows.channel_began(
                        connection, self._channel.name, _LOOKS_BACK_S
                    )
            except Unavailable:
                await wait_for(stop, _OUTAGE_PAUSE_S)
            else:
                self._consumer.start_at(self._began)

    async def again(self, row: Delivery | DeliveryRow) -> Outcome:
        """Deals out an event whose marker an operator revived."""
        if not isinstance(row, Delivery):
            return Failed(error="no event can be read from it", permanent=True)
        async with self._database.transaction() as transaction:
            targets = await self._channel.targets(transaction, row.event)
            if targets:
                await rows.insert_targets(transaction, row.event, self._channel.name, targets)
        self._fresh.set()
        return Done() if targets else Ignored("it concerns nobody")

    async def _deal_with(self, message: StreamMessage) -> None:
        async with self._free:
            try:
                delay_s = await self._outcome(message)
            except Unavailable as error:
                log.warning("An event waits for the database.", reason=error.reason)
                delay_s = _OUTAGE_DELAY_S
            except Exception:
                log.exception("An event could not be put away.", stream_seq=message.stream_seq)
                delay_s = _FAULT_DELAY_S
            # An ack that fails lets it come again, and it is known by then.
            with suppress(BusUnavailable):
                await (message.ack() if delay_s is None else message.nak(delay_s))

    async def _outcome(self, message: StreamMessage) -> float | None:
        """None when the message is done with, else when it is to come again."""
        try:
            event = self._readable(message)
        except MalformedEvent as error:
            await self._bury(message, str(error))
            return None
        try:
            # A stream that was filled again holds what is old as something new.
            if self._began and event.created_at >= self._began and self._channel.wants(event):
                await self._fan_out(event)
        except (msgspec.DecodeError, MalformedEvent) as error:
            await self._bury(message, f"the data cannot be read: {error}")
        except Unavailable:
            raise
        except Exception as error:
            log.exception("An event could not be dealt out.", event_id=str(event.event_id))
            if message.deliveries < _MOST_DELIVERIES:
                return _FAULT_DELAY_S
            await self._bury(message, f"it could not be dealt out: {type(error).__name__}", event)
        return None

    def _readable(self, message: StreamMessage) -> Event:
        event = event_of(message.subject, message.headers, message.data, self._prefix)
        try:
            if event.type in DATA:
                decode_data(EventType(event.type), event.data)
            else:
                msgspec.json.decode(event.data, type=dict)
        except msgspec.DecodeError as error:
            raise MalformedEvent(f"the data cannot be read: {error}") from None
        if _NUL.search(event.data):
            raise MalformedEvent("the data cannot be stored")
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
            self._fresh.set()

    async def _bury(self, message: StreamMessage, reason: str, event: Event | None = None) -> None:
        DELIVERIES.labels(self._channel.name, "dead").inc()
        account_id = account_of(message.subject, self._prefix)
        event_id = event.event_id if event else unreadable_id(message)
        log.error(
            "An event cannot be dealt out; its row is dead.",
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


def unreadable_id(message: StreamMessage) -> UUID:
    """An event id from the place in the stream; when it was stored tells two streams apart."""
    return uuid5(_UNREADABLE, f"{message.stream_seq} {message.stored_at.isoformat()}")


def event_attributes(event: Event, channel: str) -> dict[str, str]:
    """Returns span attributes by OpenTelemetry's conventions for messaging."""
    attributes = messaging_attributes(event, "process", "process")
    return {**attributes, "messaging.consumer.group.name": channel}


def is_marker(row: Delivery | DeliveryRow) -> bool:
    return row.target == MARKER
