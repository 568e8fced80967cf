"""The lamps of the key-value bucket: never backwards, gone with their box."""

from uuid import UUID

from service.bus import LampBucket
from service.domain.lamp import Lamp, LampKey
from service.postgres.lamps import read_lamp
from service.postgres.pool import Database


class KvLamps:
    """For whoever watches the bucket: a web page, a presence server."""

    def __init__(self, database: Database, bucket: LampBucket) -> None:
        self.bucket = bucket
        self._database = database

    async def set(self, key: LampKey, told: Lamp | None) -> None:
        """Sets a lamp to the level that an event tells, or to what its box says now."""
        if told is None or not await self._follow(key, told):
            await self._look(key)

    async def end_account(self, account_id: UUID) -> None:
        """Looks at all lamps of an account; those whose boxes are gone go too."""
        for key in await self.bucket.keys_of(account_id.hex):
            await self._look(key)

    async def _follow(self, key: LampKey, told: Lamp) -> bool:
        """False when there is no such lamp: an event of the past must not make one."""
        while (held := await self.bucket.read(key)).lamp is not None:
            if told.version <= held.lamp.version:
                return True
            if await self.bucket.write(key, told, held.revision):
                return True
        return False

    async def _look(self, key: LampKey) -> None:
        """Looks until the lamp is as its box says: the box may go while its lamp is made."""
        while True:
            held = await self.bucket.read(key)
            # Behind the reading of the revision: what is written rests on what was true after it.
            async with self._database.connection() as connection:
                now = await read_lamp(connection, key)
            if now is None:
                if held.lamp is None and held.revision:
                    return
            elif held.lamp is not None and (held.lamp == now or held.lamp.version > now.version):
                return
            await self.bucket.write(key, now, held.revision)
