"""Lamps of the key-value bucket. A value never goes backwards and is deleted with its box."""

from uuid import UUID

from service.bus import LampBucket
from service.domain.lamp import Lamp, LampKey
from service.postgres.lamps import read_lamp
from service.postgres.pool import Database


class KvLamps:
    """Sets lamps in the bucket, for subscribers such as a web page or a presence server."""

    def __init__(self, database: Database, bucket: LampBucket) -> None:
        self.bucket = bucket
        self._database = database

    async def set(self, key: LampKey, lamp: Lamp | None) -> None:
        """Sets a lamp to the state in an event, or to the current state of the box if None."""
        if lamp is None or not await self._apply(key, lamp):
            await self._refresh(key)

    async def refresh_account(self, account_id: UUID) -> None:
        """Sets all lamps of an account. Those of deleted boxes are deleted."""
        for key in await self.bucket.keys_of(account_id.hex):
            await self._refresh(key)

    async def _apply(self, key: LampKey, lamp: Lamp) -> bool:
        """Returns False if the lamp does not exist, because an old event must not create it."""
        while (entry := await self.bucket.read(key)).lamp is not None:
            if lamp.version <= entry.lamp.version:
                return True
            if await self.bucket.write(key, lamp, entry.revision):
                return True
        return False

    async def _refresh(self, key: LampKey) -> None:
        """Writes the state of the box until a read shows no difference.

        The box can be deleted while its lamp is created.
        """
        while True:
            entry = await self.bucket.read(key)
            # Read after the revision, so that the write is based on a newer state.
            async with self._database.connection() as connection:
                lamp = await read_lamp(connection, key)
            if lamp is None:
                if entry.lamp is None and entry.revision:
                    return
            elif entry.lamp is not None and (
                entry.lamp == lamp or entry.lamp.version > lamp.version
            ):
                return
            await self.bucket.write(key, lamp, entry.revision)
