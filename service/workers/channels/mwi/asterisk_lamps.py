"""Lamps of an Asterisk switch, set from the current counts, one request at a time per number.

A NATS bucket stores the number under which the lamp of a box was set last. When the number of a
box changes, the old lamp is switched off.
"""

import asyncio
from uuid import UUID
from weakref import WeakValueDictionary

from service.bus import LampBucket
from service.domain.lamp import Lamp, LampKey
from service.postgres.lamps import read_lamp, read_lamp_of_mailbox
from service.postgres.pool import Database
from service.workers.channels.mwi.ari import AriClient


class AsteriskLamps:
    """Sets the lamps of a switch. Ignores the counts in events and reads them from the database."""

    def __init__(self, database: Database, bucket: LampBucket, ari: AriClient) -> None:
        self.bucket = bucket
        self._database = database
        self._ari = ari
        self._locks: WeakValueDictionary[tuple[UUID, str], asyncio.Lock] = WeakValueDictionary()

    async def set(self, key: LampKey, _lamp: Lamp | None) -> None:
        """Sets the lamp of a box, and clears the lamp of its previous number."""
        while True:
            entry = await self.bucket.read(key)
            async with self._database.connection() as connection:
                lamp = await read_lamp(connection, key)
            previous = entry.lamp.mailbox if entry.lamp else None
            current = lamp.mailbox if lamp else None
            if previous is not None and current != previous:
                await self._sync_mailbox(key.account_id, previous)
            if current == previous or await self.bucket.write(key, lamp, entry.revision):
                break
        if current is not None:
            await self._sync_mailbox(key.account_id, current)

    async def refresh_account(self, account_id: UUID) -> None:
        """Sets all lamps of an account. Lamps of deleted boxes are switched off."""
        for key in await self.bucket.keys_of(account_id.hex):
            await self.set(key, None)

    async def _sync_mailbox(self, account_id: UUID, mailbox: str) -> None:
        """Sends the counts, and sends them again if they changed during the request.

        So the last request has the current counts even if several processes send requests.
        """
        async with self._lock(account_id, mailbox):
            while True:
                lamp = await self._read(account_id, mailbox)
                if lamp is None:
                    await self._ari.delete(account_id, mailbox)
                else:
                    await self._ari.put(account_id, mailbox, new=lamp.new, saved=lamp.saved)
                if _counts(lamp) == _counts(await self._read(account_id, mailbox)):
                    return

    async def _read(self, account_id: UUID, mailbox: str) -> Lamp | None:
        async with self._database.connection() as connection:
            return await read_lamp_of_mailbox(connection, account_id, mailbox)

    def _lock(self, account_id: UUID, mailbox: str) -> asyncio.Lock:
        return self._locks.setdefault((account_id, mailbox), asyncio.Lock())


def _counts(lamp: Lamp | None) -> tuple[int, int] | None:
    return (lamp.new, lamp.saved) if lamp else None
