"""Base class of the sources that are tables of a switch."""

from typing import ClassVar

from service.transfer.freeswitch.audio import StorageFolder
from service.transfer.freeswitch.tables import Tables


class SwitchSource:
    """Tables, and the folder with the audio that is not in the database."""

    messages_table: ClassVar[str]

    def __init__(self, tables: Tables, folder: StorageFolder) -> None:
        self._tables = tables
        self._folder = folder

    async def close(self) -> None:
        await self._tables.close()

    async def count_messages(self) -> int | None:
        return await self._tables.count(self.messages_table)
