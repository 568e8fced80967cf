"""Use cases of the trash of a mailbox: list, restore and purge removed messages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from service.audio.store import AudioStore
from service.domain.account import NO_QUOTAS, AccountFacts, Quota, Quotas
from service.domain.batch import BatchResult, Reason
from service.domain.errors import DatabaseUnavailable, Unavailable, VmboxNotFound
from service.domain.message import (
    FUTURE_ALLOWANCE,
    LAST_ID,
    MessageId,
    RemovedMessage,
    TrashCursor,
)
from service.domain.page import Page
from service.logs import get_logger
from service.postgres import trash as rows
from service.postgres.batches import filter_existing_vmboxes
from service.postgres.holds import filter_held
from service.postgres.pool import Database
from service.usecases.audio_removal import remove_audio
from service.usecases.batches import PER_TRANSACTION, run_batches
from service.usecases.idempotency import Claim, CompletedRequest, Idempotency, fingerprint
from service.usecases.pages import read_page
from service.usecases.retention import RetentionLookup

log = get_logger(__name__)

# Later than all months.
_LAST_MONTH = 999_912

TrashPage = Page[RemovedMessage, TrashCursor]


@dataclass(frozen=True)
class Trash:
    """Use cases of removed messages. `clock` returns aware UTC.

    `trash_days` applies to accounts without their own.
    """

    database: Database
    audio: AudioStore
    idempotency: Idempotency
    clock: Callable[[], datetime]
    retention: RetentionLookup
    trash_days: int
    quotas: Quotas = NO_QUOTAS

    def grace_of(self, account: AccountFacts) -> timedelta:
        """Returns the time for which a removed message can be restored."""
        return timedelta(days=account.trash_days or self.trash_days)

    async def list_messages(
        self, account: AccountFacts, vmbox_id: UUID, start: TrashCursor | None, limit: int
    ) -> TrashPage:
        """Returns a page of the trash, the last removed message first. Raises VmboxNotFound."""
        now = self.clock()
        first = TrashCursor(now + FUTURE_ALLOWANCE, _LAST_MONTH, LAST_ID)
        retention = await self.retention.of_vmbox(account, vmbox_id)

        async def read(start: TrashCursor | None, limit: int) -> list[RemovedMessage]:
            async with self.database.connection() as connection:
                return await rows.list_trash(
                    connection,
                    account.account_id,
                    vmbox_id,
                    start or first,
                    limit,
                    removed_after=now - self.grace_of(account),
                    retained_since=retention.retained_since(now),
                )

        return await read_page(read, _cursor_of, start, limit)

    async def restore(
        self, account: AccountFacts, vmbox_id: UUID, ids: Sequence[str], key: str | None = None
    ) -> BatchResult:
        """Restores messages to their folders.

        After a partial success an outage becomes the reason of the remaining messages. With `key`
        it is raised instead, and a repeated request continues. Raises VmboxNotFound, Unavailable,
        IdempotencyKeyInUse, IdempotencyKeyReused.
        """
        async with self.database.connection() as connection:
            now = await rows.get_time(connection)
        if key is None:
            return await self._restore(account, vmbox_id, ids, now, None)
        content = fingerprint("restore", ids)
        async with self.idempotency.claim(
            account.account_id, vmbox_id, key, content, msgspec.to_builtins(now)
        ) as claim:
            if isinstance(claim, CompletedRequest):
                return msgspec.convert(claim.answer, BatchResult)
            # What was removed after the first run stays removed.
            began_at = msgspec.convert(claim.plan, datetime)
            result = await self._restore(account, vmbox_id, ids, began_at, claim)
            if any(reason is Reason.UNAVAILABLE for _, reason in result.failed):
                raise DatabaseUnavailable
            await self.idempotency.complete(claim, msgspec.to_builtins(result))
            return result

    async def purge(
        self, account: AccountFacts, vmbox_id: UUID, ids: Sequence[str] | None
    ) -> BatchResult:
        """Deletes removed messages with their audio: all, or those of `ids`. Keeps held messages.

        Raises VmboxNotFound, StorageUnavailable.
        """
        # If the store is down, the objects would remain for a day.
        await self.audio.ping()
        async with self.database.connection() as connection:
            if not await filter_existing_vmboxes(connection, account.account_id, [vmbox_id]):
                raise VmboxNotFound(vmbox_id.hex)
        if ids is not None:
            return await run_batches(ids, lambda batch: self._purge_batch(account, vmbox_id, batch))
        return BatchResult(succeeded=await self.purge_all(account, vmbox_id), failed=[])

    async def purge_all(self, account: AccountFacts, vmbox_id: UUID) -> list[MessageId]:
        """Deletes all removed messages, also of a mailbox that is being purged. Returns their ids.

        Keeps held messages.
        """
        purged: list[MessageId] = []
        while batch := await self._purge(account, vmbox_id, None):
            purged += batch
        return purged

    async def _restore(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        ids: Sequence[str],
        removed_until: datetime,
        claim: Claim | None,
    ) -> BatchResult:
        now = self.clock()
        retention = await self.retention.of_vmbox(account, vmbox_id)

        async def restore(batch: Sequence[MessageId]) -> list[Reason | None]:
            if claim is not None:
                await self.idempotency.renew(claim)
            async with self.database.connection() as connection:
                return await rows.restore_messages(
                    connection,
                    account.account_id,
                    vmbox_id,
                    batch,
                    removed_after=now - self.grace_of(account),
                    removed_until=removed_until,
                    retained_since=retention.retained_since(now),
                    max_stored_bytes=self.quotas.limit_of(account, Quota.STORED_BYTES),
                )

        return await run_batches(ids, restore)

    async def _purge_batch(
        self, account: AccountFacts, vmbox_id: UUID, batch: Sequence[MessageId]
    ) -> list[Reason | None]:
        purged = set(await self._purge(account, vmbox_id, batch))
        left = [message_id for message_id in batch if message_id not in purged]
        held: set[MessageId] = set()
        if left:
            async with self.database.connection() as connection:
                held = await filter_held(connection, account.account_id, vmbox_id, left)
        reasons = dict.fromkeys(left, Reason.NOT_FOUND) | dict.fromkeys(held, Reason.HELD)
        return [reasons.get(message_id) for message_id in batch]

    async def _purge(
        self, account: AccountFacts, vmbox_id: UUID, ids: Sequence[MessageId] | None
    ) -> list[MessageId]:
        async with self.database.connection() as connection:
            keys = await rows.purge_trash(
                connection, account.account_id, vmbox_id, ids, PER_TRANSACTION
            )
        try:
            removed = [key for key in keys.values() if key is not None]
            await remove_audio(self.database, self.audio, removed)
        except Unavailable:
            log.warning("purged audio not deleted", count=len(keys))
        return list(keys)


def _cursor_of(removed: RemovedMessage) -> TrashCursor:
    return TrashCursor(removed.removed_at, removed.message.id.month, removed.message.id.id)
