"""Consumer that sets lamps from events. Events are acknowledged after the lamp is set.

There are no delivery rows: a lamp can be set twice, and any later event replaces a missed one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol
from uuid import UUID

import msgspec

from service.bus import Bus, ConsumerSettings, LampBucket, MalformedEvent, StreamMessage, event_of
from service.domain.errors import BusUnavailable, Unavailable
from service.domain.events import ACCOUNT_EVENTS, NO_VMBOX, Event, EventType, VmboxEvent
from service.domain.lamp import Lamp, LampKey
from service.domain.message import parse_hex_id
from service.logs import get_logger
from service.metrics import DELIVERIES, DELIVERY_DURATION

log = get_logger(__name__)

_CONCURRENCY = 16


class LampTimings(msgspec.Struct, frozen=True, kw_only=True):
    """Timings of a consumer. The delay after a failure doubles from `retry_s` to `max_retry_s`.

    `check_s` is the interval between checks of the bucket. Events that a killed process did not
    acknowledge are redelivered after `ack_wait_s`.
    """

    fetch_s: float = 1.0
    retry_s: float = 1.0
    max_retry_s: float = 60.0
    check_s: float = 2.0
    ack_wait_s: float = 30.0


class LampSink(Protocol):
    """Destination of lamps: a bucket or a switch. Every method can raise Unavailable."""

    bucket: LampBucket
    """Bucket that records the lamps. When it is new, all lamps are set."""

    async def set(self, key: LampKey, lamp: Lamp | None) -> None:
        """Sets a lamp to the state in an event, or to the current state of the box if None."""

    async def refresh_account(self, account_id: UUID) -> None:
        """Clears the lamps of a deleted account."""


class LampConsumer:
    """Sets lamps from events. Copies in other processes share the work."""

    def __init__(
        self,
        bus: Bus,
        name: str,
        sink: LampSink,
        resync: Callable[[LampSink], Awaitable[int]],
        timings: LampTimings | None = None,
    ) -> None:
        self._name = name
        self._sink = sink
        self._resync = resync
        self._timings = timings or LampTimings()
        self._prefix = bus.stream.subject_prefix
        self._consumer = bus.consumer(
            ConsumerSettings(durable=f"notifier-{name}", ack_wait_s=self._timings.ack_wait_s)
        )
        self._slots = asyncio.Semaphore(_CONCURRENCY)

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set, and processes what was fetched before."""
        log.info("channel started", channel=self._name)
        resync_task = asyncio.create_task(self._resync_new_buckets())
        try:
            await self._consume(stop)
        finally:
            await _cancel(resync_task)
            await self._consumer.close()
        log.info("channel stopped", channel=self._name)

    async def _consume(self, stop: asyncio.Event) -> None:
        async for messages in self._consumer.batches(stop, self._timings.fetch_s):
            groups: dict[LampKey | None, list[StreamMessage]] = {}
            for message in messages:
                groups.setdefault(_key_of(message.subject, self._prefix), []).append(message)
            await asyncio.gather(*(self._handle(*group) for group in groups.items()))

    async def _handle(self, key: LampKey | None, messages: Sequence[StreamMessage]) -> None:
        async with self._slots:
            started = time.monotonic()
            delay_s = await self._process(key, messages)
        DELIVERY_DURATION.labels(self._name).observe(time.monotonic() - started)
        DELIVERIES.labels(self._name, "done" if delay_s is None else "retry").inc()
        for message in messages:
            # Without the ack, the event is redelivered, which has no effect.
            with suppress(BusUnavailable):
                await (message.ack() if delay_s is None else message.nak(delay_s))

    async def _process(
        self, key: LampKey | None, messages: Sequence[StreamMessage]
    ) -> float | None:
        """Returns the delay before redelivery, or None if the messages are processed."""
        try:
            await self._set(key, messages)
        except Unavailable as error:
            log.warning("setting lamp failed", channel=self._name, reason=error.reason, **_ids(key))
        except Exception:
            # A defect, or a malformed event. The message is redelivered; the others are processed.
            log.exception("setting lamp raised unexpected error", channel=self._name, **_ids(key))
        else:
            return None
        attempts = min(message.deliveries for message in messages)
        return float(min(self._timings.retry_s * 2 ** min(attempts, 16), self._timings.max_retry_s))

    async def _set(self, key: LampKey | None, messages: Sequence[StreamMessage]) -> None:
        if key is None:
            log.error(
                "event subject malformed", channel=self._name, stream_seq=messages[0].stream_seq
            )
        elif key.vmbox_id == NO_VMBOX:
            await self._sink.refresh_account(key.account_id)
        else:
            await self._sink.set(key, self._latest_lamp(messages))

    def _latest_lamp(self, messages: Sequence[StreamMessage]) -> Lamp | None:
        """Returns the newest state in the events, or None if it must be read from the database.

        That is the case after a deletion, a malformed event, or a redelivery.
        """
        lamps = list[Lamp]()
        for message in messages:
            try:
                event = event_of(message.subject, message.headers, message.data, self._prefix)
                lamp = _lamp_of(event)
            except (MalformedEvent, msgspec.DecodeError):
                log.error("event malformed, lamp read from database", stream_seq=message.stream_seq)
                return None
            if lamp is None or message.deliveries > 1:
                return None
            lamps.append(lamp)
        return max(lamps, key=lambda lamp: lamp.version)

    async def _resync_new_buckets(self) -> None:
        last_error = ""
        while True:
            # The connection may not be established yet.
            await asyncio.sleep(self._timings.retry_s)
            try:
                if not await self._sink.bucket.ensure():
                    log.info("lamp resync started", bucket=self._sink.bucket.name)
                    number = await self._resync(self._sink)
                    await self._sink.bucket.mark_filled()
                    log.info("lamp resync completed", number=number)
                last_error = ""
            except Unavailable as error:
                if last_error != (last_error := error.reason):
                    log.warning("lamp bucket unavailable", reason=last_error)
            except Exception:
                # A defect. The next check tries again.
                log.exception("lamp resync failed")
            await asyncio.sleep(self._timings.check_s)


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancels until the task ends: a library may mistake one cancellation for a timeout."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)


def _key_of(subject: str, prefix: str) -> LampKey | None:
    """Parses the subject. Works for malformed events too."""
    account, _, rest = subject.removeprefix(f"{prefix}.").partition(".")
    box, _, kind = rest.partition(".")
    account_id = parse_hex_id(account)
    vmbox_id = parse_hex_id(box)
    if box == "_" and kind in ACCOUNT_EVENTS:
        vmbox_id = NO_VMBOX
    return LampKey(account_id, vmbox_id) if account_id and vmbox_id is not None else None


def _lamp_of(event: Event) -> Lamp | None:
    """Returns the state in an event of any type, or None for a deletion."""
    if event.type == EventType.VMBOX_DELETED:
        return None
    data = msgspec.json.decode(event.data, type=VmboxEvent)
    return Lamp.of(
        mailbox=data.mailbox,
        new=data.counts.new,
        saved=data.counts.saved,
        epoch=data.epoch,
        sequence=data.sequence,
    )


def _ids(key: LampKey | None) -> dict[str, str]:
    return {"account_id": key.account_id.hex, "vmbox_id": key.vmbox_id.hex} if key else {}
