"""Which relay is active: a session advisory lock with a lease, on a connection of its own.

The lock belongs to the server session, so it needs a direct connection: PgBouncer in transaction
mode hands the session to others and breaks it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
import msgspec

from service.domain.errors import DatabaseUnavailable
from service.postgres.pool import connect, translated_errors
from service.postgres.sql import load

_SQL = load("outbox")


class HeldLock(msgspec.Struct, frozen=True, kw_only=True):
    """The place was taken: the new term, and what earlier ones knew of the stream."""

    term: int
    stream_created_at: datetime | None
    stream_seq: int


class RelayLock:
    """The server ends the session after `lease_s` of silence, and with it the lock.

    So a relay that is frozen or cut off is followed by another within that time, and `held` is
    false on its side no later than the lock is free.
    """

    def __init__(self, connection: asyncpg.Connection, lease_s: float) -> None:
        self._connection = connection
        self._lease_s = lease_s
        self._held_until = 0.0

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, lease_s: float) -> "AsyncIterator[RelayLock]":
        """Leaving frees the lock at once."""
        connection = await connect(url, name="aftertone relay lock", timeout_s=lease_s)
        try:
            with translated_errors():
                await connection.fetchrow(_SQL["guard_lock_session"], f"{int(lease_s * 1000)}")
            yield cls(connection, lease_s)
        finally:
            connection.terminate()

    @property
    def held(self) -> bool:
        return time.monotonic() < self._held_until

    async def try_take(self) -> HeldLock | None:
        """Takes the place if it is free. The term is raised by the session that has the lock."""
        began = time.monotonic()
        with translated_errors():
            if not await self._connection.fetchval(_SQL["try_lock"]):
                return None
            record = await self._connection.fetchrow(_SQL["raise_term"])
        assert record is not None
        self._held_until = began + self._lease_s
        return HeldLock(**dict(record))

    async def keep(self) -> None:
        """Renews the lease until it is lost; then `held` is false and this returns."""
        while self.held:
            await asyncio.sleep(self._lease_s / 4)
            began = time.monotonic()
            try:
                with translated_errors():
                    await self._connection.fetchval(_SQL["renew_lock"], timeout=self._lease_s / 2)
            except DatabaseUnavailable:
                self._held_until = 0.0
                return
            self._held_until = began + self._lease_s
