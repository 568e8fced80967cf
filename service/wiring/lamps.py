"""The message-waiting lamps that settings name: what follows events, and setting all of them."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from service.bus import Bus, LampBucket
from service.domain.errors import BusUnavailable
from service.postgres.pool import Database
from service.settings import Settings, SettingsError
from service.wiring.factories import open_bus, open_database
from service.workers.channels.mwi import (
    AriClient,
    AriSettings,
    AsteriskLamps,
    KvLamps,
    LampConsumer,
    LampSink,
    LampTimings,
    resync,
)
from service.workers.progress import StepProgress

_BUCKET = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONNECTED_WITHIN_S = 10.0


@asynccontextmanager
async def following_lamps(
    settings: Settings, database: Database, bus: Bus
) -> AsyncIterator[list[LampConsumer]]:
    """The bucket's, and the switch's when there is one: each reads the stream for itself, so that
    a switch that is down holds up nothing else."""
    timings = LampTimings(ack_wait_s=settings.notifier_ack_wait_s)
    async with _levels(settings, database, bus) as levels:
        yield [
            LampConsumer(bus, name, level, lambda sink: resync(sink, database), timings)
            for name, level in levels.items()
        ]


async def resync_lamps(settings: Settings, progress: StepProgress) -> int:
    """Sets every lamp anew, once; how many. Raises Unavailable."""
    name, number = "aftertone cli", 0
    async with (
        open_database(settings, name) as database,
        open_bus(settings, name) as bus,
        _levels(settings, database, bus) as levels,
    ):
        for level in levels.values():
            await _ensure(level.bucket)
            number = await resync(level, database, progress)
            await level.bucket.mark_filled()
    return number


@asynccontextmanager
async def _levels(
    settings: Settings, database: Database, bus: Bus
) -> AsyncIterator[Mapping[str, LampSink]]:
    name, replicas = settings.lamp_bucket, settings.stream_replicas
    if not _BUCKET.fullmatch(name):
        raise SettingsError("AFTERTONE_LAMP_BUCKET is not usable: letters, digits, - and _ are.")
    async with AsyncExitStack() as stack:
        found: dict[str, LampSink] = {"mwi": KvLamps(database, LampBucket(bus, name, replicas))}
        if settings.ari_url:
            ari = await stack.enter_async_context(open_switch(settings))
            memory = LampBucket(bus, f"{name}_SWITCH", replicas)
            found["mwi-switch"] = AsteriskLamps(database, memory, ari)
        yield found


def open_switch(settings: Settings) -> AbstractAsyncContextManager[AriClient]:
    return AriClient.open(
        AriSettings(
            url=settings.ari_url,
            user=settings.ari_user,
            password=settings.ari_password,
            context=settings.ari_context,
            timeout_s=settings.ari_timeout_s,
        )
    )


async def _ensure(bucket: LampBucket) -> None:
    """The connection may still be on its way."""
    give_up = time.monotonic() + _CONNECTED_WITHIN_S
    while True:
        try:
            await bucket.ensure()
            return
        except BusUnavailable:
            if time.monotonic() > give_up:
                raise
        await asyncio.sleep(0.1)
