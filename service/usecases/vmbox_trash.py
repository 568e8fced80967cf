"""Use cases of the trash of an account: list, restore and purge deleted mailboxes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.account import AccountFacts, Quota, Quotas
from service.domain.batch import Reason, VmboxBatchResult
from service.domain.errors import (
    DatabaseUnavailable,
    GreetingNotFound,
    NumberTaken,
    RestoredNumberTaken,
    Unavailable,
    VmboxNotFound,
)
from service.domain.events import NO_VMBOX
from service.domain.message import FUTURE_ALLOWANCE, LAST_ID, parse_hex_id
from service.domain.page import Page
from service.domain.schema import Document
from service.domain.vmbox import (
    DeletedVmbox,
    VmboxTrashCursor,
    greetings_of,
    texts_of_numbers,
    without_greetings,
)
from service.postgres import vmbox_trash as rows
from service.postgres.accounts import lock_account_for_share
from service.postgres.greetings import filter_existing_greetings
from service.postgres.keeper import BoxKey, empty_box
from service.postgres.pool import Connection, Database
from service.postgres.trash import get_time
from service.postgres.vmboxes import count_vmboxes
from service.usecases.batches import PER_TRANSACTION
from service.usecases.idempotency import Claim, CompletedRequest, Idempotency, fingerprint
from service.usecases.optimistic_update import retry_on_conflict
from service.usecases.pages import read_page
from service.usecases.trash import Trash


@dataclass(frozen=True)
class VmboxTrash:
    """Use cases of deleted mailboxes. `clock` returns aware UTC.

    `trash` has the time for which they can be restored, and purges their messages.
    """

    database: Database
    idempotency: Idempotency
    clock: Callable[[], datetime]
    trash: Trash
    quotas: Quotas

    async def list(
        self, account: AccountFacts, start: VmboxTrashCursor | None, limit: int
    ) -> Page[DeletedVmbox, VmboxTrashCursor]:
        """Returns a page of the mailboxes that can be restored, the last deleted first."""
        now = self.clock()
        first = VmboxTrashCursor(now + FUTURE_ALLOWANCE, LAST_ID)

        async def read(start: VmboxTrashCursor | None, limit: int) -> list[DeletedVmbox]:
            async with self.database.connection() as connection:
                return await rows.list_vmbox_trash(
                    connection,
                    account.account_id,
                    start or first,
                    limit,
                    deleted_after=now - self.trash.grace_of(account),
                )

        return await read_page(read, _cursor_of, start, limit)

    async def restore(
        self, account: AccountFacts, ids: Sequence[str], key: str | None = None
    ) -> VmboxBatchResult:
        """Restores mailboxes with their messages, each in its own transaction.

        After a partial success an outage becomes the reason of the remaining mailboxes. With `key`
        it is raised instead, and a repeated request continues. Raises RestoredNumberTaken if only
        one mailbox is requested; Unavailable, IdempotencyKeyInUse, IdempotencyKeyReused.
        """
        async with self.database.connection() as connection:
            now = await get_time(connection)
        if key is None:
            return await self._restore_all(account, ids, now, None)
        content = fingerprint("restore_vmboxes", ids)
        async with self.idempotency.claim(
            account.account_id, NO_VMBOX, key, content, msgspec.to_builtins(now)
        ) as claim:
            if isinstance(claim, CompletedRequest):
                return msgspec.convert(claim.answer, VmboxBatchResult)
            # What was deleted after the first run stays deleted.
            began_at = msgspec.convert(claim.plan, datetime)
            result = await self._restore_all(account, ids, began_at, claim)
            if any(reason is Reason.UNAVAILABLE for _, reason in result.failed):
                raise DatabaseUnavailable
            await self.idempotency.complete(claim, msgspec.to_builtins(result))
            return result

    async def purge(self, account: AccountFacts, ids: Sequence[str] | None) -> VmboxBatchResult:
        """Deletes mailboxes with their messages permanently: all deleted ones, or those of `ids`.

        They cannot be restored from the start on. The keeper continues an interrupted purge, and
        deletes a mailbox with held messages after the end of the hold. Raises StorageUnavailable.
        """
        # If the store is down, the objects would remain for a day.
        await self.trash.audio.ping()
        result = VmboxBatchResult()
        parsed_ids = None if ids is None else [each for each in map(parse_hex_id, ids) if each]
        while batch := await self._begin_purge(account, parsed_ids):
            for vmbox_id in batch:
                await self._purge_vmbox(account, vmbox_id)
            result.succeeded.extend(batch)
        purged = {vmbox_id.hex for vmbox_id in result.succeeded}
        result.failed.extend((text, Reason.NOT_FOUND) for text in ids or () if text not in purged)
        return result

    async def _restore_all(
        self, account: AccountFacts, ids: Sequence[str], until: datetime, claim: Claim | None
    ) -> VmboxBatchResult:
        result = VmboxBatchResult()
        outage: Unavailable | None = None
        for text in dict.fromkeys(ids):
            try:
                if outage is not None:
                    raise outage
                reason = await self._restore_or_reason(account, text, until, claim)
            except RestoredNumberTaken as error:
                if len(ids) == 1:
                    raise
                result.numbers[text] = list(error.numbers)
                reason = Reason.NUMBER_TAKEN
            except Unavailable as error:
                if not result.succeeded:
                    raise
                outage, reason = error, Reason.UNAVAILABLE
            if reason is None:
                result.succeeded.append(UUID(text))
            else:
                result.failed.append((text, reason))
        return result

    async def _restore_or_reason(
        self, account: AccountFacts, text: str, until: datetime, claim: Claim | None
    ) -> Reason | None:
        vmbox_id = parse_hex_id(text)
        if vmbox_id is None:
            return Reason.NOT_FOUND
        if claim is not None:
            await self.idempotency.renew(claim)

        async def attempt() -> Reason | bool | None:
            try:
                return await self._restore(account, vmbox_id, until) or True
            except VmboxNotFound:
                return Reason.NOT_FOUND
            except GreetingNotFound:
                # It was deleted after the mailbox was read.
                return None

        outcome = await retry_on_conflict(attempt)
        return outcome if isinstance(outcome, Reason) else None

    async def _restore(
        self, account: AccountFacts, vmbox_id: UUID, until: datetime
    ) -> Reason | None:
        """Restores one mailbox; one that is not deleted stays as it is."""
        document: Document | None = None
        try:
            async with self.database.transaction() as connection:
                await lock_account_for_share(connection, account.account_id)
                document = await rows.lock_deleted_vmbox(
                    connection,
                    account.account_id,
                    vmbox_id,
                    deleted_after=self.clock() - self.trash.grace_of(account),
                    deleted_until=until,
                )
                if document is None:
                    return None
                limit = self.quotas.limit_of(account, Quota.BOXES)
                if limit and await count_vmboxes(connection, account.account_id, limit) >= limit:
                    return Reason.QUOTA_EXCEEDED
                is_restored = await rows.restore_vmbox(
                    connection,
                    account.account_id,
                    vmbox_id,
                    await _with_existing_greetings(connection, account.account_id, document),
                    max_stored_bytes=self.quotas.limit_of(account, Quota.STORED_BYTES),
                )
                return None if is_restored else Reason.QUOTA_EXCEEDED
        except NumberTaken:
            raise RestoredNumberTaken(await self._taken_numbers(account, document or {})) from None

    async def _taken_numbers(self, account: AccountFacts, document: Document) -> Sequence[str]:
        numbers = texts_of_numbers(document)
        async with self.database.connection() as connection:
            taken = await rows.list_taken_numbers(connection, account.account_id, numbers)
        return [written for comparable, written in numbers.items() if comparable in taken]

    async def _begin_purge(
        self, account: AccountFacts, vmbox_ids: Sequence[UUID] | None
    ) -> Sequence[UUID]:
        async with self.database.connection() as connection:
            return await rows.begin_purge(
                connection, account.account_id, vmbox_ids, PER_TRANSACTION
            )

    async def _purge_vmbox(self, account: AccountFacts, vmbox_id: UUID) -> None:
        box = BoxKey(account.account_id, vmbox_id)
        removed = PER_TRANSACTION
        while removed == PER_TRANSACTION:
            async with self.database.connection() as connection:
                removed = await empty_box(connection, box, self.clock(), PER_TRANSACTION)
        await self.trash.purge_all(account, vmbox_id)
        async with self.database.connection() as connection:
            await rows.delete_emptied_vmbox(connection, account.account_id, vmbox_id)


async def _with_existing_greetings(
    connection: Connection, account_id: UUID, document: Document
) -> Document:
    """Returns the document without greetings that were deleted after the mailbox."""
    media_ids = {parse_hex_id(text) for text in greetings_of(document).values()} - {None}
    existing = await filter_existing_greetings(
        connection, account_id, [media_id for media_id in media_ids if media_id]
    )
    return without_greetings(document, kept={media_id.hex for media_id in existing})


def _cursor_of(vmbox: DeletedVmbox) -> VmboxTrashCursor:
    return VmboxTrashCursor(vmbox.deleted_at, vmbox.vmbox_id)
