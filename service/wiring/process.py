"""The frame of every process that serves: its signals, its end, its health and its metrics."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.admin import Admin
from service.domain.errors import DatabaseUnavailable
from service.logs import get_logger
from service.postgres.migrate import newest_migration, read_migrations
from service.postgres.pool import Database
from service.settings import Settings
from service.traces import export_spans

log = get_logger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BY_SIGNAL = 128
_TOO_LATE = 1
# For a connection, and for the statement; the library adds a second where nothing answers at all.
_LOOK_WITHIN_S = 1.0


class Process:
    """One that serves until SIGTERM or SIGINT.

    The first signal sets `stop`: what is in hand is finished. A second one ends the process at
    once (exit code 128 + its number), and so does the end of the time it has (exit code 1):
    whatever is cut short was made to survive a kill.
    """

    def __init__(self, admin: Admin, stop_timeout_s: float) -> None:
        self.stop = asyncio.Event()
        self._admin = admin
        self._stop_timeout_s = stop_timeout_s
        self._acts: list[Callable[[], object]] = []

    def started(self) -> None:
        """Everything that it needs is open."""
        self._admin.started = True

    def on_stop(self, act: Callable[[], object]) -> None:
        """`act` is called once it is to stop; now, when that has come to pass already."""
        if self.stop.is_set():
            act()
        else:
            self._acts.append(act)

    def signalled(self, number: int) -> None:
        if self.stop.is_set():
            log.warning("Stopped at once by a second signal")
            os._exit(_BY_SIGNAL + number)
        log.info("Stopping; a second signal ends it at once", within_s=self._stop_timeout_s)
        self._admin.stopping = True
        self.stop.set()
        asyncio.get_running_loop().call_later(self._stop_timeout_s, _give_up)
        for act in self._acts:
            act()


@asynccontextmanager
async def serving(settings: Settings, database_url: str, name: str) -> AsyncIterator[Process]:
    """A process that answers on the admin port while the block runs.

    Readiness has a connection of its own: a pool that is wholly in use is no reason to send
    requests elsewhere, where they would wait as well.
    """
    needed = read_migrations()[-1].number
    async with (
        export_spans(
            name.replace(" ", "-"), settings.traces_endpoint, settings.traces_sample_ratio
        ),
        Database.open(
            database_url,
            size=1,
            timeout_s=_LOOK_WITHIN_S,
            name=f"{name} health",
            pool_name="health",
        ) as database,
    ):
        admin = Admin(lambda: _not_ready(database, needed))
        process = Process(admin, settings.stop_timeout_s)
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, process.signalled, number)
        async with admin.listening(settings.admin_host, settings.admin_port):
            yield process


async def _not_ready(database: Database, needed: int) -> str | None:
    """S3 and NATS are none of it: without them there is still much to serve, and no other copy
    of this process would reach them."""
    try:
        async with database.connection() as connection:
            newest = await newest_migration(connection)
    except DatabaseUnavailable:
        return "Postgres does not answer."
    if newest < needed:
        return f"The database is at migration {newest} and {needed} is needed: `aftertone migrate`."
    return None


def _give_up() -> None:
    log.error("Not stopped in time; what is left is cut short")
    os._exit(_TOO_LATE)
