"""The notifier of one channel: its fan-out and its workers, as long as the process lives."""

import asyncio

from service.bus import Bus, ConsumerSettings
from service.logs import get_logger
from service.postgres.pool import Database
from service.workers.channels import Channel
from service.workers.notifier.dispatch import Dispatch
from service.workers.notifier.fan_out import FanOut
from service.workers.notifier.timings import NotifierTimings

__all__ = ["Notifier", "NotifierTimings"]

log = get_logger(__name__)


class Notifier:
    """Runs a channel. Copies in other processes share the work; each event is dealt out once."""

    def __init__(
        self, database: Database, bus: Bus, channel: Channel, pace: NotifierTimings | None = None
    ) -> None:
        self._channel = channel
        self._fresh = asyncio.Event()
        pace = pace or NotifierTimings()
        consumer = bus.consumer(
            ConsumerSettings(
                durable=f"notifier-{channel.name}",
                events=channel.events,
                ack_wait_s=pace.ack_wait_s,
            )
        )
        self._fan_out = FanOut(
            database,
            consumer,
            channel,
            self._fresh,
            subject_prefix=bus.stream.subject_prefix,
            fetch_s=pace.fetch_s,
        )
        self._dispatch = Dispatch(database, channel, self._fan_out, self._fresh, pace)

    async def run(self, stop: asyncio.Event) -> None:
        """Returns soon after `stop` is set; what is in hand is finished or given back."""
        log.info("The channel runs.", channel=self._channel.name)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fan_out.run(stop))
            group.create_task(self._dispatch.run(stop))
            group.create_task(self._wake(stop))
        log.info("The channel has stopped.", channel=self._channel.name)

    async def _wake(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._fresh.set()
