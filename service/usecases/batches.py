"""Use cases of many messages: change the folder, remove.

A transaction has at most 100 messages, so that it holds the lock of a mailbox for a short time.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from service.domain.account import AccountFacts
from service.domain.batch import BatchResult, Reason
from service.domain.errors import Unavailable, VmboxNotFound
from service.domain.message import Folder, MessageId
from service.postgres import batches as rows
from service.postgres.pool import Database
from service.usecases.retention import RetentionLookup

PER_TRANSACTION = 100
Item = TypeVar("Item")


@dataclass(frozen=True)
class Batches:
    """Use cases of many messages of one mailbox. `clock` returns aware UTC."""

    database: Database
    clock: Callable[[], datetime]
    retention: RetentionLookup

    async def change_folder(
        self, account: AccountFacts, vmbox_id: UUID, ids: Sequence[str], folder: Folder
    ) -> BatchResult:
        """Moves messages to a folder. Raises VmboxNotFound."""
        retention = await self.retention.of_vmbox(account, vmbox_id)
        oldest = retention.retained_since(self.clock())

        async def change(batch: Sequence[MessageId]) -> list[Reason | None]:
            async with self.database.connection() as connection:
                return await rows.change_folders(
                    connection,
                    account.account_id,
                    vmbox_id,
                    batch,
                    folder,
                    retained_since=oldest,
                    reason="api",
                )

        return await run_batches(ids, change)

    async def remove(
        self, account: AccountFacts, vmbox_id: UUID, ids: Sequence[str], folder: Folder | None
    ) -> BatchResult:
        """Removes messages. With `folder`, removes only those in it. Raises VmboxNotFound."""

        async def remove(batch: Sequence[MessageId]) -> list[Reason | None]:
            async with self.database.connection() as connection:
                return await rows.remove_messages(
                    connection, account.account_id, vmbox_id, batch, folder=folder, reason="api"
                )

        if not ids:
            await self._check_vmbox(account, vmbox_id)
        return await run_batches(ids, remove)

    async def remove_all(
        self, account: AccountFacts, vmbox_id: UUID, folder: Folder | None
    ) -> BatchResult:
        """Removes all messages of a mailbox or of one folder. Raises VmboxNotFound.

        Messages that are stored at the same time may be removed too. After an outage, a repeated
        request removes the rest.
        """
        await self._check_vmbox(account, vmbox_id)
        result = BatchResult(succeeded=[], failed=[])
        while batch := await self._next_batch(account, vmbox_id, folder):
            removed = await self.remove(account, vmbox_id, list(map(str, batch)), folder)
            result.succeeded.extend(removed.succeeded)
        return result

    async def _check_vmbox(self, account: AccountFacts, vmbox_id: UUID) -> None:
        async with self.database.connection() as connection:
            if not await rows.filter_existing_vmboxes(connection, account.account_id, [vmbox_id]):
                raise VmboxNotFound(vmbox_id.hex)

    async def _next_batch(
        self, account: AccountFacts, vmbox_id: UUID, folder: Folder | None
    ) -> list[MessageId]:
        async with self.database.connection() as connection:
            return await rows.list_message_ids(
                connection, account.account_id, vmbox_id, folder, PER_TRANSACTION
            )


async def run_batches(
    ids: Sequence[str], work: Callable[[Sequence[MessageId]], Awaitable[list[Reason | None]]]
) -> BatchResult:
    """Calls `work` for each batch of ids in turn. The result has the order of the ids.

    A missing mailbox or an outage in the first batch is raised. In a later batch it becomes the
    reason of all remaining ids, which are not attempted.
    """
    outcomes: dict[str, Reason | None] = dict.fromkeys(ids, Reason.NOT_FOUND)
    parsed_ids = [(text, parsed) for text in outcomes if (parsed := MessageId.parse(text))]
    outage: Exception | None = None
    for index, batch in enumerate(in_batches(parsed_ids)):
        try:
            if outage is not None:
                raise outage
            reasons = await work([message_id for _, message_id in batch])
        except (VmboxNotFound, Unavailable) as error:
            if index == 0:
                raise
            outage = error
            reasons = [reason_of(error)] * len(batch)
        outcomes.update(zip((text for text, _ in batch), reasons, strict=True))
    return BatchResult(
        succeeded=[message_id for text, message_id in parsed_ids if outcomes[text] is None],
        failed=[(text, reason) for text, reason in outcomes.items() if reason is not None],
    )


def reason_of(error: Exception) -> Reason:
    """Returns the reason for messages that were not attempted after `error`."""
    return Reason.UNAVAILABLE if isinstance(error, Unavailable) else Reason.NOT_FOUND


def in_batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yields the items in batches of one transaction."""
    for start in range(0, len(items), PER_TRANSACTION):
        yield items[start : start + PER_TRANSACTION]
