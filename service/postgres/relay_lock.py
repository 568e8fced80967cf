"""Lock of the active relay: a session advisory lock with a lease, on its own connection.

The lock belongs to the server session, so it needs a direct connection: PgBouncer in transaction
mode shares sessions and breaks it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
import msgspec

from service.domain.errors import DatabaseUnavailable
from service.postgres.outbox import WAKEUP_CHANNEL
from service.postgres.pool import connect, translated_errors
from service.postgres.sql import load

_SQL = load("outbox")


class RelayTerm(msgspec.Struct, frozen=True, kw_only=True):
    """New term, and the state of the stream that earlier terms recorded."""

    term: int
    stream_created_at: datetime | None
    stream_seq: int


class RelayLock:
    """Lock that the server frees after `lease_s` without a statement, by ending the session.

    Another relay takes over from a frozen or disconnected one within that time. On this side
    `is_held` becomes False before the server frees the lock.
    """

    def __init__(self, connection: asyncpg.Connection, lease_s: float) -> None:
        self.wakeup = asyncio.Event()
        """Set by `outbox.wake_relay`."""
        self._connection = connection
        self._lease_s = lease_s
        self._held_until = 0.0

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, lease_s: float) -> "AsyncIterator[RelayLock]":
        """Opens the connection. The lock is freed when the block ends."""
        connection = await connect(url, name="aftertone relay lock", timeout_s=lease_s)
        try:
            with translated_errors():
                await _SQL["guard_lock_session"].fetchrow(
                    connection, timeout_ms=f"{int(lease_s * 1000)}"
                )
                lock = cls(connection, lease_s)
                await connection.add_listener(WAKEUP_CHANNEL, lambda *_: lock.wakeup.set())
            yield lock
        finally:
            connection.terminate()

    @property
    def is_held(self) -> bool:
        return time.monotonic() < self._held_until

    async def try_acquire(self) -> RelayTerm | None:
        """Acquires the lock and raises the term. Returns None when another relay has the lock."""
        started = time.monotonic()
        with translated_errors():
            if not await _SQL["try_lock"].fetchval(self._connection):
                return None
            record = await _SQL["raise_term"].fetchrow(self._connection)
        assert record is not None
        self._held_until = started + self._lease_s
        return RelayTerm(**dict(record))

    async def renew_until_lost(self) -> None:
        """Renews the lease. Returns when it is lost; `is_held` is then False."""
        while self.is_held:
            await asyncio.sleep(self._lease_s / 4)
            started = time.monotonic()
            try:
                with translated_errors():
                    await _SQL["renew_lock"].execute(self._connection, timeout_s=self._lease_s / 2)
            except DatabaseUnavailable:
                self._held_until = 0.0
                return
            self._held_until = started + self._lease_s
