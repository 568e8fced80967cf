"""Lamps that follow the stream: events of a box become one level, acked once it is set.

No rows are kept: a level may be set twice, and any later event makes up for one that was missed.
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
from service.domain.events import NO_VMBOX, Event, EventType, VmboxEvent
from service.domain.lamp import Lamp, LampKey
from service.domain.message import parse_hex_id
from service.logs import get_logger
from service.metrics import DELIVERIES, DELIVERY_DURATION
from service.workers.waiting import wait_for

log = get_logger(__name__)

_BATCH = 64
_AT_ONCE = 16


class LampTimings(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait: for events, after a failure (twice as long each time), between looks at
    the bucket; and for the acks of another process, which may have been killed."""

    fetch_s: float = 1.0
    again_s: float = 1.0
    longest_s: float = 60.0
    look_s: float = 2.0
    ack_wait_s: float = 30.0


class LampSink(Protocol):
    """Where lamps are: a bucket, a switch. Raises Unavailable when nothing can be set or known."""

    @property
    def bucket(self) -> LampBucket:
        """What remembers the lamps; when it is new, all of them are set."""

    async def set(self, key: LampKey, told: Lamp | None) -> None:
        """To the level that an event told; None: to what the box says now."""

    async def end_account(self, account_id: UUID) -> None:
        """An account is gone."""


class LampConsumer:
    """Sets lamps as events come. Copies in other processes share the work."""

    def __init__(
        self,
        bus: Bus,
        name: str,
        levels: LampSink,
        fill: Callable[[LampSink], Awaitable[int]],
        patience: LampTimings | None = None,
    ) -> None:
        self._name = name
        self._levels = levels
        self._fill = fill
        self._patience = patience or LampTimings()
        self._prefix = bus.stream.subject_prefix
        self._consumer = bus.consumer(
            ConsumerSettings(durable=f"notifier-{name}", ack_wait_s=self._patience.ack_wait_s)
        )
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; what was fetched by then is dealt with."""
        log.info("The lamps follow.", channel=self._name)
        filling = asyncio.create_task(self._keep_filled())
        try:
            await self._follow(stop)
        finally:
            await _end(filling)
            await self._consumer.close()
        log.info("The lamps have stopped following.", channel=self._name)

    async def _follow(self, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            try:
                messages = await self._consumer.fetch(_BATCH, self._patience.fetch_s)
            except BusUnavailable as error:
                failures += 1
                if failures == 2:
                    log.warning("The lamps cannot read events.", reason=error.reason)
                await wait_for(stop, self._patience.again_s)
                continue
            failures = 0
            groups: dict[LampKey | None, list[StreamMessage]] = {}
            for message in messages:
                groups.setdefault(_key_of(message.subject, self._prefix), []).append(message)
            await asyncio.gather(*(self._deal_with(*group) for group in groups.items()))

    async def _deal_with(self, key: LampKey | None, messages: Sequence[StreamMessage]) -> None:
        async with self._free:
            began = time.monotonic()
            delay_s = await self._process(key, messages)
        DELIVERY_DURATION.labels(self._name).observe(time.monotonic() - began)
        DELIVERIES.labels(self._name, "done" if delay_s is None else "retry").inc()
        for message in messages:
            # An ack that fails lets it come again, which does no harm.
            with suppress(BusUnavailable):
                await (message.ack() if delay_s is None else message.nak(delay_s))

    async def _process(
        self, key: LampKey | None, messages: Sequence[StreamMessage]
    ) -> float | None:
        """None when the messages are done with, else when they are to come again."""
        try:
            await self._set(key, messages)
        except Unavailable as error:
            log.warning("A lamp waits.", channel=self._name, reason=error.reason, **_ids(key))
        except Exception:
            log.exception("A lamp could not be set.", channel=self._name, **_ids(key))
        else:
            return None
        tried = min(message.deliveries for message in messages)
        return float(min(self._patience.again_s * 2 ** min(tried, 16), self._patience.longest_s))

    async def _set(self, key: LampKey | None, messages: Sequence[StreamMessage]) -> None:
        if key is None:
            log.error("Events name no box.", channel=self._name, stream_seq=messages[0].stream_seq)
        elif key.vmbox_id == NO_VMBOX:
            await self._levels.end_account(key.account_id)
        else:
            await self._levels.set(key, self._told(messages))

    def _told(self, messages: Sequence[StreamMessage]) -> Lamp | None:
        """The latest level; None when the box must be asked: it is gone, an event is unreadable,
        or was given to somebody before who did not get to its end."""
        lamps = list[Lamp]()
        for message in messages:
            try:
                event = event_of(message.subject, message.headers, message.data, self._prefix)
                lamp = _lamp_of(event)
            except (MalformedEvent, msgspec.DecodeError):
                log.error(
                    "An event is unreadable; its box is asked.", stream_seq=message.stream_seq
                )
                return None
            if lamp is None or message.deliveries > 1:
                return None
            lamps.append(lamp)
        return max(lamps, key=lambda lamp: lamp.version)

    async def _keep_filled(self) -> None:
        trouble = ""
        while True:
            # The first look may come before the connection that is still being made.
            await asyncio.sleep(self._patience.again_s)
            try:
                if not await self._levels.bucket.ensure():
                    log.info("All lamps are set.", bucket=self._levels.bucket.name)
                    number = await self._fill(self._levels)
                    await self._levels.bucket.mark_filled()
                    log.info("All lamps were set.", number=number)
                trouble = ""
            except Unavailable as error:
                if trouble != (trouble := error.reason):
                    log.warning("The lamps cannot be looked after.", reason=trouble)
            except Exception:
                log.exception("The lamps could not be looked after.")
            await asyncio.sleep(self._patience.look_s)


async def _end(task: asyncio.Task[None]) -> None:
    """Until it has ended: a library that waits may take one cancellation for a time-out."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)


def _key_of(subject: str, prefix: str) -> LampKey | None:
    """Whose event it is; readable or not, it may be about a box."""
    account, _, rest = subject.removeprefix(f"{prefix}.").partition(".")
    box, _, kind = rest.partition(".")
    account_id = parse_hex_id(account)
    if box == "_":
        vmbox_id = NO_VMBOX if kind == EventType.ACCOUNT_DELETED else None
    else:
        vmbox_id = parse_hex_id(box)
    return LampKey(account_id, vmbox_id) if account_id and vmbox_id is not None else None


def _lamp_of(event: Event) -> Lamp | None:
    """What any event of a box tells, also one of a newer release; None when the box is gone."""
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
