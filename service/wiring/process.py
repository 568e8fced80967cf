"""Signals, shutdown, health and metrics of every long-running process."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.admin import AdminServer
from service.domain.errors import DatabaseUnavailable
from service.logs import get_logger
from service.postgres.migrate import newest_migration, read_migrations
from service.postgres.pool import Database, Pooler
from service.settings import Settings
from service.traces import export_spans

log = get_logger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SIGNAL_EXIT_CODE = 128
_TIMEOUT_EXIT_CODE = 1
# Timeout of the connection, and of the statement.
_READINESS_TIMEOUT_S = 1.0


class Process:
    """Process that runs until SIGTERM or SIGINT.

    The first signal sets `stop`, and the process completes the work in progress. A second
    signal ends the process at once (exit code 128 + its number). The timeout also ends it (exit
    code 1).
    Both are safe: all work survives a kill.
    """

    def __init__(self, admin: AdminServer, stop_timeout_s: float) -> None:
        self.stop = asyncio.Event()
        self._admin = admin
        self._stop_timeout_s = stop_timeout_s
        self._callbacks: list[Callable[[], object]] = []
        self._checks: list[Callable[[], str | None]] = []

    def mark_started(self) -> None:
        """Reports the process as started and ready."""
        self._admin.started = True

    def add_readiness_check(self, check: Callable[[], str | None]) -> None:
        """Adds a check, which returns the reason while the process is not ready."""
        self._checks.append(check)

    def failed_check(self) -> str | None:
        return next(filter(None, (check() for check in self._checks)), None)

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Calls `callback` when the process begins to stop, or now if it has already begun."""
        if self.stop.is_set():
            callback()
        else:
            self._callbacks.append(callback)

    def handle_signal(self, number: int) -> None:
        if self.stop.is_set():
            log.warning("process killed by a second signal")
            os._exit(_SIGNAL_EXIT_CODE + number)
        log.info("process stopping", timeout_s=self._stop_timeout_s)
        self._admin.stopping = True
        self.stop.set()
        asyncio.get_running_loop().call_later(self._stop_timeout_s, _exit_on_timeout)
        for callback in self._callbacks:
            callback()


@asynccontextmanager
async def open_process(settings: Settings, database_url: str, name: str) -> AsyncIterator[Process]:
    """Handles signals and serves the admin port while the block runs.

    The readiness check has its own connection: a process with an exhausted pool stays ready, since
    requests would also wait in other processes.
    """
    required = read_migrations()[-1].number
    async with (
        export_spans(
            name.replace(" ", "-"), settings.traces_endpoint, settings.traces_sample_ratio
        ),
        Database.open(
            database_url,
            size=1,
            timeout_s=_READINESS_TIMEOUT_S,
            name=f"{name} health",
            pool_name="health",
            pooler=Pooler(settings.database_pooler),
        ) as database,
    ):

        async def not_ready() -> str | None:
            return process.failed_check() or await _not_ready(database, required)

        admin = AdminServer(not_ready)
        process = Process(admin, settings.stop_timeout_s)
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, process.handle_signal, number)
        async with admin.listen(settings.admin_host, settings.admin_port):
            yield process


async def _not_ready(database: Database, required: int) -> str | None:
    """Returns the reason why the process is not ready.

    S3 and NATS are not checked: an outage of them affects all processes, and many requests do not
    need them.
    """
    try:
        async with database.connection() as connection:
            newest = await newest_migration(connection)
    except DatabaseUnavailable:
        return "Postgres does not answer."
    if newest < required:
        return f"The database is at migration {newest} of {required}: run `aftertone migrate`."
    return None


def _exit_on_timeout() -> None:
    log.error("process killed after the stop timeout")
    os._exit(_TIMEOUT_EXIT_CODE)
