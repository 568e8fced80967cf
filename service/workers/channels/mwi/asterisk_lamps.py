"""The lamps of a switch: set from the counts as they are now, one request at a time per number.

A bucket remembers under which number a box's lamp was set last, so that a number which a box has
given up goes dark.
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
    """What events tell does not matter here: the switch is told what the database says."""

    def __init__(self, database: Database, bucket: LampBucket, ari: AriClient) -> None:
        self.bucket = bucket
        self._database = database
        self._ari = ari
        self._locks: WeakValueDictionary[tuple[UUID, str], asyncio.Lock] = WeakValueDictionary()

    async def set(self, key: LampKey, _told: Lamp | None) -> None:
        """Makes the lamp of a box right, and the one of the number that it had before."""
        while True:
            held = await self.bucket.read(key)
            async with self._database.connection() as connection:
                now = await read_lamp(connection, key)
            before = held.lamp.mailbox if held.lamp else None
            if before is not None and (now is None or now.mailbox != before):
                await self._make_right(key.account_id, before)
            known = now is None if before is None else now is not None and now.mailbox == before
            if known or await self.bucket.write(key, now, held.revision):
                break
        if now is not None:
            await self._make_right(key.account_id, now.mailbox)

    async def end_account(self, account_id: UUID) -> None:
        """Looks at all lamps of an account; those whose boxes are gone go out."""
        for key in await self.bucket.keys_of(account_id.hex):
            await self.set(key, None)

    async def _make_right(self, account_id: UUID, mailbox: str) -> None:
        """Until the switch was told what is still so afterwards: of several processes that tell it
        different counts, the last one to do so looks again."""
        async with self._lock(account_id, mailbox):
            while True:
                now = await self._now(account_id, mailbox)
                if now is None:
                    await self._ari.forget(account_id, mailbox)
                else:
                    await self._ari.put(account_id, mailbox, new=now.new, saved=now.saved)
                if _shown(now) == _shown(await self._now(account_id, mailbox)):
                    return

    async def _now(self, account_id: UUID, mailbox: str) -> Lamp | None:
        async with self._database.connection() as connection:
            return await read_lamp_of_mailbox(connection, account_id, mailbox)

    def _lock(self, account_id: UUID, mailbox: str) -> asyncio.Lock:
        return self._locks.setdefault((account_id, mailbox), asyncio.Lock())


def _shown(lamp: Lamp | None) -> tuple[int, int] | None:
    return (lamp.new, lamp.saved) if lamp else None
