"""Builds the sinks of message-waiting lamps and their consumers."""

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
_CONNECT_TIMEOUT_S = 10.0


@asynccontextmanager
async def open_lamp_consumers(
    settings: Settings, database: Database, bus: Bus
) -> AsyncIterator[list[LampConsumer]]:
    """Opens a consumer for each sink. They are independent, so Asterisk cannot delay the bucket."""
    timings = LampTimings(ack_wait_s=settings.notifier_ack_wait_s)
    async with _open_sinks(settings, database, bus) as sinks:
        yield [
            LampConsumer(bus, name, sink, lambda sink: resync(sink, database), timings)
            for name, sink in sinks.items()
        ]


async def resync_lamps(settings: Settings, progress: StepProgress) -> int:
    """Sets every lamp from the counts of its box; returns their number. Raises Unavailable."""
    name, count = "aftertone cli", 0
    async with (
        open_database(settings, name) as database,
        open_bus(settings, name) as bus,
        _open_sinks(settings, database, bus) as sinks,
    ):
        for sink in sinks.values():
            await _ensure_bucket(sink.bucket)
            count = await resync(sink, database, progress)
            await sink.bucket.mark_filled()
    return count


@asynccontextmanager
async def _open_sinks(
    settings: Settings, database: Database, bus: Bus
) -> AsyncIterator[Mapping[str, LampSink]]:
    name, replicas = settings.lamp_bucket, settings.stream_replicas
    if not _BUCKET.fullmatch(name):
        raise SettingsError(
            "AFTERTONE_LAMP_BUCKET is not valid: expected 1 to 64 letters, digits, `-` or `_`."
        )
    async with AsyncExitStack() as stack:
        sinks: dict[str, LampSink] = {"mwi": KvLamps(database, LampBucket(bus, name, replicas))}
        if settings.ari_url:
            ari = await stack.enter_async_context(open_asterisk(settings))
            bucket = LampBucket(bus, f"{name}_SWITCH", replicas)
            sinks["mwi-switch"] = AsteriskLamps(database, bucket, ari)
        yield sinks


def open_asterisk(settings: Settings) -> AbstractAsyncContextManager[AriClient]:
    return AriClient.open(
        AriSettings(
            url=settings.ari_url,
            user=settings.ari_user,
            password=settings.ari_password,
            context=settings.ari_context,
            timeout_s=settings.ari_timeout_s,
        )
    )


async def _ensure_bucket(bucket: LampBucket) -> None:
    """Creates the bucket, once the connection is established."""
    deadline = time.monotonic() + _CONNECT_TIMEOUT_S
    while True:
        try:
            await bucket.ensure()
            return
        except BusUnavailable:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.1)
