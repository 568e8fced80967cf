"""Transfers with an idempotency key while a mailbox is deleted."""

from dataclasses import dataclass
from typing import cast

from service.audio.store import AudioStore
from service.domain.batch import BatchResult, Reason
from service.postgres.pool import Database
from service.postgres.vmboxes import delete_vmbox
from service.usecases.idempotency import Idempotency
from service.usecases.retention import RetentionLookup
from service.usecases.transfers import Transfers
from tests.support.builders import NOW, Box, a_vmbox, an_account, some_audio, stored
from tests.support.keeper import put


@dataclass
class DeletesBeforeCopying:
    """Audio store that deletes a box during the second copy."""

    store: AudioStore
    database: Database
    box: Box
    copies: int = 0

    async def copy(self, source: str, target: str) -> None:
        self.copies += 1
        if self.copies == 2:
            async with self.database.connection() as connection:
                await delete_vmbox(connection, self.box.account_id, self.box.vmbox_id)
        await self.store.copy(source, target)

    async def delete_many(self, keys: list[str]) -> None:
        await self.store.delete_many(keys)


async def test_a_copy_with_a_key_gets_a_response_after_a_partial_success(
    database: Database, bucket: AudioStore
) -> None:
    account = an_account()
    async with database.connection() as connection:
        source, first, second = [await a_vmbox(connection, account.account_id) for _ in range(3)]
        audio = some_audio()
        await put(bucket, audio.key)
        place = await stored(connection, source, audio=audio)
    deleting = cast(AudioStore, DeletesBeforeCopying(bucket, database, second))
    transfers = Transfers(
        database, deleting, Idempotency(database), lambda: NOW, RetentionLookup(database)
    )

    async def copied() -> BatchResult:
        return await transfers.transfer(
            account,
            source.vmbox_id,
            [str(place.message_id)],
            [first.vmbox_id, second.vmbox_id],
            moved=False,
            key="key",
        )

    result = await copied()
    assert len(result.succeeded) == 1
    assert result.failed == [(str(place.message_id), Reason.NOT_FOUND)]
    assert await copied() == result
