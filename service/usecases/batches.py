"""What one may ask about many messages: file and remove; each message by itself.

Up to 100 messages a transaction: the lock of a box is held for one statement at a time.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from service.domain.account import AccountFacts
from service.domain.batch import BatchResult, Reason
from service.domain.errors import Unavailable, VmboxNotFound
from service.domain.message import Folder, MessageId, retained_since
from service.postgres import batches as rows
from service.postgres.pool import Database

PER_TRANSACTION = 100
Item = TypeVar("Item")


@dataclass(frozen=True)
class Batches:
    """The use cases of many messages of one box. `clock` gives aware UTC."""

    database: Database
    clock: Callable[[], datetime]
    retention_days: int

    async def change_folder(
        self, account: AccountFacts, vmbox_id: UUID, ids: Sequence[str], folder: Folder
    ) -> BatchResult:
        """Puts messages into a folder. Raises VmboxNotFound."""
        oldest = retained_since(self.clock(), self.retention_days)

        async def file(batch: Sequence[MessageId]) -> list[Reason | None]:
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

        return await _each(ids, file)

    async def remove(
        self, account: AccountFacts, vmbox_id: UUID, ids: Sequence[str], folder: Folder | None
    ) -> BatchResult:
        """Removes messages, those of `folder` alone when one is given. Raises VmboxNotFound."""

        async def remove(batch: Sequence[MessageId]) -> list[Reason | None]:
            async with self.database.connection() as connection:
                return await rows.remove_messages(
                    connection, account.account_id, vmbox_id, batch, folder=folder, reason="api"
                )

        if not ids:
            await self._check(account, vmbox_id)
        return await _each(ids, remove)

    async def remove_all(
        self, account: AccountFacts, vmbox_id: UUID, folder: Folder | None
    ) -> BatchResult:
        """Removes every message of a box, or of one folder of it. Raises VmboxNotFound.

        What is stored meanwhile may be taken as well. After an outage in the middle, the rest is
        left for a repeated request.
        """
        await self._check(account, vmbox_id)
        result = BatchResult(succeeded=[], failed=[])
        while batch := await self._next(account, vmbox_id, folder):
            done = await self.remove(account, vmbox_id, [str(one) for one in batch], folder)
            result.succeeded.extend(done.succeeded)
        return result

    async def _check(self, account: AccountFacts, vmbox_id: UUID) -> None:
        async with self.database.connection() as connection:
            if not await rows.living_vmboxes(connection, account.account_id, [vmbox_id]):
                raise VmboxNotFound(vmbox_id.hex)

    async def _next(
        self, account: AccountFacts, vmbox_id: UUID, folder: Folder | None
    ) -> list[MessageId]:
        async with self.database.connection() as connection:
            return await rows.list_message_ids(
                connection, account.account_id, vmbox_id, folder, PER_TRANSACTION
            )


async def _each(
    ids: Sequence[str], work: Callable[[Sequence[MessageId]], Awaitable[list[Reason | None]]]
) -> BatchResult:
    """Runs `work` over the ids, a transaction's worth at a time; the result is in their order.

    What ends everything (no such box, an outage) is raised as long as nothing was done; later it
    is the reason of all that is left, which is not tried: it would wait for the same outage again.
    """
    outcomes: dict[str, Reason | None] = dict.fromkeys(ids, Reason.NOT_FOUND)
    known = [(text, parsed) for text in outcomes if (parsed := MessageId.parse(text))]
    outage: Exception | None = None
    for place, batch in enumerate(in_batches(known)):
        try:
            if outage is not None:
                raise outage
            reasons = await work([message_id for _, message_id in batch])
        except (VmboxNotFound, Unavailable) as error:
            if place == 0:
                raise
            outage = error
            reasons = [reason_of(error)] * len(batch)
        outcomes.update(zip((text for text, _ in batch), reasons, strict=True))
    return BatchResult(
        succeeded=[message_id for text, message_id in known if outcomes[text] is None],
        failed=[(text, reason) for text, reason in outcomes.items() if reason is not None],
    )


def reason_of(error: Exception) -> Reason:
    """Why what is left of a batch was not done."""
    return Reason.UNAVAILABLE if isinstance(error, Unavailable) else Reason.NOT_FOUND


def in_batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """The items, a transaction's worth at a time."""
    for start in range(0, len(items), PER_TRANSACTION):
        yield items[start : start + PER_TRANSACTION]
