"""Locks and terms of relay shards: session advisory locks with a lease, on their own connection.

The locks belong to the server session, so they need a direct connection: PgBouncer in transaction
mode shares sessions and breaks them. There is a lock for each bucket. Therefore two relays that
divide the buckets differently, because the number of shards changes, never publish the same box.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType

import asyncpg
import msgspec

from service.postgres.pool import Connection, connect, translated_errors
from service.postgres.sql import load

_SQL = load("relay_shards")

WAKEUP_CHANNEL = "outbox"


async def wake_relay(connection: Connection) -> None:
    """Sets `ShardLocks.wakeup` of all relays."""
    await _SQL["wake_relay"].fetchval(connection, channel=WAKEUP_CHANNEL)


class RelaySurvey(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions of all relays in the same order for each of them, and the buckets of the others."""

    shards: int
    session: int
    sessions: list[int]
    taken: frozenset[int]


class ShardLocks:
    """Locks that the server frees after `lease_s` without a statement, by ending the session.

    Another relay takes over from a frozen or disconnected one within that time. On this side
    `is_held` becomes False before the server frees the locks.
    """

    def __init__(self, connection: asyncpg.Connection, lease_s: float) -> None:
        self.wakeup = asyncio.Event()
        """Set by `wake_relay`."""
        self._connection = connection
        self._lease_s = lease_s
        self._held_until = 0.0
        self._terms: dict[int, int] = {}
        self._has_joined = False
        self._in_use = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, lease_s: float) -> "AsyncIterator[ShardLocks]":
        """Opens the connection. The locks are freed when the block ends."""
        connection = await connect(url, name="aftertone relay lock", timeout_s=lease_s)
        try:
            with translated_errors():
                await _SQL["guard_lock_session"].fetchrow(
                    connection, timeout_ms=f"{int(lease_s * 1000)}"
                )
                locks = cls(connection, lease_s)
                await connection.add_listener(WAKEUP_CHANNEL, lambda *_: locks.wakeup.set())
            yield locks
        finally:
            connection.terminate()

    @property
    def is_held(self) -> bool:
        """True while the lease lasts. Without it, the locks may belong to another relay."""
        return time.monotonic() < self._held_until

    @property
    def terms(self) -> Mapping[int, int]:
        """Terms of the locked buckets. The term is a fencing number: each relay increments it."""
        return MappingProxyType(self._terms)

    async def set_shards(self, shards: int) -> None:
        """Sets the number of shards for all relays."""
        async with self._in_use:
            with translated_errors():
                await _SQL["set_shards"].execute(self._connection, shards=shards)

    async def survey(self) -> RelaySurvey | None:
        """Renews the lease. Returns None while a relay of a release without shards is running.

        Ends the lease when the server does not answer.
        """
        async with self._in_use:
            started = time.monotonic()
            try:
                with translated_errors():
                    async with asyncio.timeout(self._lease_s / 2):
                        survey = await self._survey()
            except BaseException:
                self.give_up()
                raise
            self._held_until = started + self._lease_s
            return survey

    async def _survey(self) -> RelaySurvey | None:
        if not self._has_joined:
            self._has_joined = bool(await _SQL["join_relays"].fetchval(self._connection))
        record = await _SQL["survey_relays"].fetchrow(self._connection)
        assert record is not None
        if not self._has_joined:
            return None
        return RelaySurvey(
            shards=record["shards"],
            session=record["session"],
            sessions=record["sessions"],
            taken=frozenset(record["taken"]),
        )

    async def acquire(self, buckets: Sequence[int]) -> bool:
        """Locks all the buckets and raises their terms, or locks none and returns False."""
        async with self._in_use:
            with translated_errors():
                records = await _SQL["lock_buckets"].fetch(
                    self._connection, first=buckets[0], others=buckets[1:]
                )
                locked = [record["bucket"] for record in records]
                if len(locked) < len(buckets):
                    await self._unlock(locked)
                    return False
                terms = await _SQL["raise_terms"].fetch(self._connection, buckets=locked)
            self._terms |= {record["bucket"]: record["term"] for record in terms}
            return True

    async def release(self, buckets: Collection[int]) -> None:
        """Unlocks buckets whose events were all marked."""
        async with self._in_use:
            for bucket in buckets:
                del self._terms[bucket]
            with translated_errors():
                await self._unlock(list(buckets))

    async def _unlock(self, buckets: list[int]) -> None:
        if buckets:
            await _SQL["unlock_buckets"].fetch(self._connection, buckets=buckets)

    def give_up(self) -> None:
        """Ends the lease. The locks are freed when the connection closes."""
        self._held_until = 0.0
