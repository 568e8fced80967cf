"""Use cases of transfers: move and copy messages to other mailboxes.

The audio is copied first, under new keys; then the rows are written.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from service.audio.keys import message_key
from service.audio.store import AudioStore
from service.domain.account import NO_QUOTAS, AccountFacts, Quotas
from service.domain.audio_errors import AudioMissing
from service.domain.batch import BatchResult, Reason
from service.domain.errors import Unavailable, VmboxNotFound
from service.domain.message import Message, MessageId, month_of, uuid7
from service.logs import get_logger
from service.postgres import batches as rows
from service.postgres.batches import Transfer
from service.postgres.pool import Connection, Database
from service.usecases.batches import in_batches, reason_of
from service.usecases.idempotency import Claim, CompletedRequest, Idempotency, fingerprint
from service.usecases.partitions import with_partitions
from service.usecases.retention import RetentionLookup
from service.usecases.uploads import check_stored_bytes

log = get_logger(__name__)

MAX_CONCURRENT_COPIES = 16


class TransferItem(msgspec.Struct, frozen=True):
    """Message to transfer to one mailbox, and its new id there."""

    requested_id: str
    target: UUID
    new_id: MessageId


class _Plan(msgspec.Struct, frozen=True):
    """Plan of a request, stored so that a repeated request has the same result."""

    at: datetime
    # The name in stored plans, which requests of another release may continue.
    items: list[TransferItem] = msgspec.field(name="errands")


@dataclass(frozen=True)
class Transfers:
    """Use cases of transfers. `clock` returns aware UTC."""

    database: Database
    audio: AudioStore
    idempotency: Idempotency
    clock: Callable[[], datetime]
    retention: RetentionLookup
    quotas: Quotas = NO_QUOTAS

    async def transfer(
        self,
        account: AccountFacts,
        source: UUID,
        ids: Sequence[str],
        targets: Sequence[UUID],
        *,
        moved: bool,
        key: str | None = None,
    ) -> BatchResult:
        """Moves messages to one target, or copies them to each. Returns the new ids in order.

        After a partial success, an outage becomes the reason of the remaining messages. With `key`,
        the outage is raised instead, and a repeated request continues. Raises VmboxNotFound,
        QuotaExceeded, Unavailable, IdempotencyKeyInUse, IdempotencyKeyReused.
        """
        plan = self._plan(ids, targets)
        if key is None:
            return await self._run(account, source, plan, moved, None)
        content = fingerprint("move" if moved else "copy", ids, targets)
        async with self.idempotency.claim(
            account.account_id, source, key, content, msgspec.to_builtins(plan)
        ) as claim:
            if isinstance(claim, CompletedRequest):
                return msgspec.convert(claim.answer, BatchResult)
            plan = msgspec.convert(claim.plan, _Plan)
            result = await self._run(account, source, plan, moved, claim)
            await self.idempotency.complete(claim, msgspec.to_builtins(result))
            return result

    def _plan(self, ids: Sequence[str], targets: Sequence[UUID]) -> _Plan:
        now = self.clock().replace(microsecond=0)
        items = [
            TransferItem(requested_id, target, MessageId.generate(now, now))
            for requested_id in dict.fromkeys(ids)
            for target in dict.fromkeys(targets)
        ]
        return _Plan(now, items)

    async def _run(
        self, account: AccountFacts, source: UUID, plan: _Plan, moved: bool, claim: Claim | None
    ) -> BatchResult:
        sources = await self._read_sources(account, source, plan)
        if not moved:
            await self._check_quota(account, plan, sources, claim)
        reasons: dict[MessageId, Reason | None] = {}
        outage: Unavailable | None = None
        for target in dict.fromkeys(item.target for item in plan.items):
            for batch in in_batches([item for item in plan.items if item.target == target]):
                try:
                    if outage is not None:
                        # Another attempt would wait for the same outage.
                        raise outage
                    outcomes = await self._transfer_batch(
                        account, source, batch, sources, plan, moved, claim
                    )
                except (VmboxNotFound, Unavailable) as error:
                    # An outage keeps the claim, so that a repeated request continues. A refusal
                    # would release it, and finished transfers would be repeated.
                    can_continue = claim is not None and isinstance(error, Unavailable)
                    if can_continue or None not in reasons.values():
                        raise
                    outage = error if isinstance(error, Unavailable) else None
                    outcomes = [reason_of(error)] * len(batch)
                reasons.update(zip((item.new_id for item in batch), outcomes, strict=True))
        return BatchResult(
            succeeded=[item.new_id for item in plan.items if reasons[item.new_id] is None],
            failed=[
                (item.requested_id, reason)
                for item in plan.items
                if (reason := reasons[item.new_id]) is not None
            ],
        )

    async def _read_sources(
        self, account: AccountFacts, source: UUID, plan: _Plan
    ) -> dict[str, Message | Reason]:
        """Returns the current messages, or the reasons why they cannot be transferred."""
        vmbox_ids = [source, *dict.fromkeys(item.target for item in plan.items)]
        requested_ids = dict.fromkeys(item.requested_id for item in plan.items)
        ids = [
            parsed for requested_id in requested_ids if (parsed := MessageId.parse(requested_id))
        ]
        oldest = (await self.retention.of_vmbox(account, source)).retained_since(self.clock())
        async with self.database.connection() as connection:
            living = await rows.filter_existing_vmboxes(connection, account.account_id, vmbox_ids)
            for vmbox_id in vmbox_ids:
                if vmbox_id not in living:
                    raise VmboxNotFound(vmbox_id.hex)
            messages = await rows.get_messages(connection, account.account_id, source, ids)
        return {str(key): _check_transferable(message, oldest) for key, message in messages.items()}

    async def _check_quota(
        self,
        account: AccountFacts,
        plan: _Plan,
        sources: dict[str, Message | Reason],
        claim: Claim | None,
    ) -> None:
        """Raises QuotaExceeded when the copies exceed the quota. A repeated request continues."""
        if claim is not None and await self._read_stored_ids(account, plan.items, claim):
            return
        copied = [sources.get(item.requested_id) for item in plan.items]
        audio = [source.audio for source in copied if isinstance(source, Message)]
        more = sum(item.size for item in audio if item is not None)
        async with self.database.connection() as connection:
            await check_stored_bytes(connection, account, self.quotas, more)

    async def _transfer_batch(
        self,
        account: AccountFacts,
        source: UUID,
        batch: Sequence[TransferItem],
        sources: dict[str, Message | Reason],
        plan: _Plan,
        moved: bool,
        claim: Claim | None,
    ) -> list[Reason | None]:
        """Copies the audio of a batch, then writes all rows in one statement."""
        stored_ids = set() if claim is None else await self._read_stored_ids(account, batch, claim)
        remaining = [item for item in batch if item.new_id not in stored_ids]
        copies = await self._copy_all(account, remaining, sources)
        transfers = [copy for copy in copies.values() if isinstance(copy, Transfer)]
        refused = await self._write_rows(account, source, remaining, transfers, plan, moved)
        reasons = {new_id: copy for new_id, copy in copies.items() if isinstance(copy, Reason)}
        return [(reasons | refused).get(item.new_id) for item in batch]

    async def _read_stored_ids(
        self, account: AccountFacts, batch: Sequence[TransferItem], claim: Claim
    ) -> set[MessageId]:
        """Returns the new ids that an earlier request with this claim has written."""
        await self.idempotency.renew(claim)
        async with self.database.connection() as connection:
            return await rows.filter_stored_ids(
                connection, account.account_id, [item.new_id for item in batch]
            )

    async def _copy_all(
        self,
        account: AccountFacts,
        batch: Sequence[TransferItem],
        sources: dict[str, Message | Reason],
    ) -> dict[MessageId, Transfer | Reason]:
        """Copies the audio of a batch. After an outage the orphan sweep deletes the copies."""
        slots = asyncio.Semaphore(MAX_CONCURRENT_COPIES)

        async def copy(item: TransferItem) -> Transfer | Reason:
            source = sources.get(item.requested_id, Reason.NOT_FOUND)
            if isinstance(source, Reason):
                return source
            async with slots:
                return await self._copy_message(account, source, item.new_id)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = {item.new_id: group.create_task(copy(item)) for item in batch}
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return {new_id: task.result() for new_id, task in tasks.items()}

    async def _copy_message(
        self, account: AccountFacts, source: Message, new_id: MessageId
    ) -> Transfer | Reason:
        assert source.audio is not None
        extension = source.audio.key.rpartition(".")[2]
        upload_id = uuid7(self.clock())
        key = message_key(new_id.month, account.account_id, new_id.id, upload_id, extension)
        try:
            await self.audio.copy(source.audio.key, key)
        except AudioMissing:
            # Another request has removed or replaced it since it was read.
            return Reason.CONFLICT
        return Transfer(copied=source, new_id=new_id, new_key=key)

    async def _write_rows(
        self,
        account: AccountFacts,
        source: UUID,
        batch: Sequence[TransferItem],
        transfers: Sequence[Transfer],
        plan: _Plan,
        moved: bool,
    ) -> dict[MessageId, Reason]:
        """Writes the rows; returns the refused ones with reasons and deletes their copies."""
        if not transfers:
            return {}
        retention = await self.retention.of_vmbox(account, source)

        async def write(connection: Connection) -> list[Reason | None]:
            return await rows.transfer_messages(
                connection,
                account.account_id,
                source,
                batch[0].target,
                transfers,
                moved=moved,
                now=plan.at,
                retained_since=retention.retained_since(self.clock()),
                realm=account.realm,
            )

        try:
            reasons = await with_partitions(self.database, month_of(plan.at), self.clock(), write)
        except VmboxNotFound:
            await self._delete_copies(transfers)
            raise
        refused = [
            (transfer, reason)
            for transfer, reason in zip(transfers, reasons, strict=True)
            if reason is not None
        ]
        await self._delete_copies([transfer for transfer, _ in refused])
        return {transfer.new_id: reason for transfer, reason in refused}

    async def _delete_copies(self, transfers: Sequence[Transfer]) -> None:
        try:
            await self.audio.delete_many([transfer.new_key for transfer in transfers])
        except Unavailable:
            log.warning("orphaned copies not deleted", count=len(transfers))


def _check_transferable(message: Message, oldest: datetime) -> Message | Reason:
    if message.audio is None:
        return Reason.NO_AUDIO
    return Reason.EXPIRED if message.received_at < oldest else message
