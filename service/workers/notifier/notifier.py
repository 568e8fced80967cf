"""Notifier of one channel: its fan-out and its delivery workers."""

import asyncio

from service.bus import Bus, ConsumerSettings
from service.logs import get_logger
from service.postgres.pool import Database
from service.workers.channels import Channel
from service.workers.notifier.dispatch import Dispatcher
from service.workers.notifier.fan_out import FanOut
from service.workers.notifier.timings import NotifierTimings

log = get_logger(__name__)


class Notifier:
    """Runs a channel. Copies in other processes share the work."""

    def __init__(
        self, database: Database, bus: Bus, channel: Channel, timings: NotifierTimings
    ) -> None:
        self._channel = channel
        self._rows_added = asyncio.Event()
        consumer = bus.consumer(
            ConsumerSettings(
                durable=f"notifier-{channel.name}",
                events=channel.events,
                ack_wait_s=timings.ack_wait_s,
            )
        )
        self._fan_out = FanOut(
            database,
            consumer,
            channel,
            self._rows_added,
            subject_prefix=bus.stream.subject_prefix,
            fetch_s=timings.fetch_s,
        )
        self._dispatcher = Dispatcher(database, channel, self._fan_out, self._rows_added, timings)

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set. Deliveries in progress are completed or released."""
        log.info("channel started", channel=self._channel.name)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fan_out.run(stop))
            group.create_task(self._dispatcher.run(stop))
            group.create_task(self._wake_dispatcher(stop))
        log.info("channel stopped", channel=self._channel.name)

    async def _wake_dispatcher(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._rows_added.set()
