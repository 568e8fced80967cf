"""Moving and copying messages to other boxes: audio first, under keys of its own, then the rows."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.audio.store import AudioStore, message_key
from service.domain.account import AccountFacts
from service.domain.batch import BatchResult, Reason
from service.domain.errors import AudioMissing, Unavailable, VmboxNotFound
from service.domain.message import Message, MessageId, month_of, retained_since, uuid7
from service.logs import get_logger
from service.postgres import batches as rows
from service.postgres.batches import Transfer
from service.postgres.pool import Connection, Database
from service.usecases.batches import in_batches, reason_of
from service.usecases.partitions import with_partitions

log = get_logger(__name__)

COPIES_AT_ONCE = 16
Outcome = Message | Reason


@dataclass(frozen=True)
class Transfers:
    """The use cases of messages that change their box. `clock` gives aware UTC."""

    database: Database
    audio: AudioStore
    clock: Callable[[], datetime]
    retention_days: int

    async def move(
        self, account: AccountFacts, source: UUID, ids: Sequence[str], target: UUID
    ) -> BatchResult:
        """Moves messages: new ids in the present month. Raises VmboxNotFound."""
        outcomes = await self.outcomes(account, source, ids, [target], moved=True)
        return _result(outcomes)

    async def copy(
        self, account: AccountFacts, source: UUID, ids: Sequence[str], targets: Sequence[UUID]
    ) -> BatchResult:
        """Copies messages into each of the targets. Raises VmboxNotFound."""
        outcomes = await self.outcomes(account, source, ids, targets, moved=False)
        return _result(outcomes)

    async def outcomes(
        self,
        account: AccountFacts,
        source: UUID,
        ids: Sequence[str],
        targets: Sequence[UUID],
        *,
        moved: bool,
    ) -> list[tuple[str, Outcome]]:
        """What came of each (message, target), in the order of the request.

        Nothing is refused as a whole once something was done: an outage is then the reason of
        what is left. Raises VmboxNotFound and Unavailable before that.
        """
        texts = list(dict.fromkeys(ids))
        found = await self._found(account, source, texts, targets)
        outcomes: dict[tuple[str, UUID], Outcome] = {}
        for target in dict.fromkeys(targets):
            for batch in in_batches(texts):
                sources = [found.get(text, Reason.NOT_FOUND) for text in batch]
                try:
                    done = await self._transferred(account, source, sources, target, moved=moved)
                except (VmboxNotFound, Unavailable) as error:
                    if not any(isinstance(outcome, Message) for outcome in outcomes.values()):
                        raise
                    done = [reason_of(error)] * len(batch)
                outcomes.update(zip(((text, target) for text in batch), done, strict=True))
        return [
            (text, outcomes[text, target]) for text in texts for target in dict.fromkeys(targets)
        ]

    async def _found(
        self, account: AccountFacts, source: UUID, texts: list[str], targets: Sequence[UUID]
    ) -> dict[str, Outcome]:
        """The messages as they are now, or why they cannot be transferred."""
        ids = [parsed for text in texts if (parsed := MessageId.parse(text))]
        oldest = retained_since(self.clock(), self.retention_days)
        async with self.database.connection() as connection:
            wanted = [source, *targets]
            living = await rows.living_vmboxes(connection, account.account_id, wanted)
            for vmbox_id in wanted:
                if vmbox_id not in living:
                    raise VmboxNotFound(vmbox_id.hex)
            messages = await rows.get_messages(connection, account.account_id, source, ids)
        return {str(key): _judged(message, oldest) for key, message in messages.items()}

    async def _transferred(
        self,
        account: AccountFacts,
        source: UUID,
        sources: Sequence[Outcome],
        target: UUID,
        *,
        moved: bool,
    ) -> list[Outcome]:
        """One transaction's worth: the copies first, then one statement for all rows."""
        now = self.clock().replace(microsecond=0)
        copied = await self._copied(account, sources, now)
        transfers = [one for one in copied if isinstance(one, Transfer)]
        if not transfers:
            return [one for one in copied if isinstance(one, Reason)]

        async def write(connection: Connection) -> list[Outcome]:
            return await rows.transfer_messages(
                connection,
                account.account_id,
                source,
                target,
                transfers,
                moved=moved,
                now=now,
                retained_since=retained_since(now, self.retention_days),
                realm=account.realm,
            )

        try:
            written = await with_partitions(self.database, month_of(now), now, write)
        except VmboxNotFound:
            await self._discard(transfers)
            raise
        refused = [
            transfer
            for transfer, outcome in zip(transfers, written, strict=True)
            if isinstance(outcome, Reason)
        ]
        await self._discard(refused)
        outcome = iter(written)
        return [next(outcome) if isinstance(one, Transfer) else one for one in copied]

    async def _copied(
        self, account: AccountFacts, sources: Sequence[Outcome], now: datetime
    ) -> list[Transfer | Reason]:
        """The sources with their audio copied, some at a time.

        An outage in the middle leaves what was copied to the orphan sweep.
        """
        free = asyncio.Semaphore(COPIES_AT_ONCE)

        async def copy(source: Outcome) -> Transfer | Reason:
            if isinstance(source, Reason):
                return source
            async with free:
                return await self._copy_one(account, source, now)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(copy(source)) for source in sources]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _copy_one(
        self, account: AccountFacts, source: Message, now: datetime
    ) -> Transfer | Reason:
        assert source.audio is not None
        new_id = MessageId.mint(now, now, os.urandom(10))
        extension = source.audio.key.rpartition(".")[2]
        upload_id = uuid7(now, os.urandom(10))
        key = message_key(new_id.month, account.account_id, new_id.id, upload_id, extension)
        try:
            await self.audio.copy(source.audio.key, key)
        except AudioMissing:
            # Removed and purged, or replaced, since it was read.
            return Reason.CONFLICT
        return Transfer(copied=source, new_id=new_id, new_key=key)

    async def _discard(self, transfers: Sequence[Transfer]) -> None:
        try:
            await self.audio.delete_many([transfer.new_key for transfer in transfers])
        except Unavailable:
            log.warning("Copies without rows were left for the orphan sweep", count=len(transfers))


def _judged(message: Message, oldest: datetime) -> Outcome:
    if message.audio is None:
        return Reason.NO_AUDIO
    return Reason.EXPIRED if message.received_at < oldest else message


def _result(outcomes: Sequence[tuple[str, Outcome]]) -> BatchResult:
    return BatchResult(
        succeeded=[outcome.id for _, outcome in outcomes if isinstance(outcome, Message)],
        failed=[(text, outcome) for text, outcome in outcomes if isinstance(outcome, Reason)],
    )
