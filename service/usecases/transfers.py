"""Moving and copying messages to other boxes: audio first, under keys of its own, then the rows."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

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
from service.usecases.idempotency import Answered, Claim, Idempotency, fingerprint
from service.usecases.partitions import with_partitions

log = get_logger(__name__)

COPIES_AT_ONCE = 16


class TransferItem(msgspec.Struct, frozen=True):
    """One message that is to appear in one box, and the id it will have there."""

    text: str
    target: UUID
    new_id: MessageId


class _Plan(msgspec.Struct, frozen=True):
    """What a request decided at its start, so that a repeated one comes to the same."""

    at: datetime
    errands: list[TransferItem]


@dataclass(frozen=True)
class Transfers:
    """The use cases of messages that change their box. `clock` gives aware UTC."""

    database: Database
    audio: AudioStore
    idempotency: Idempotency
    clock: Callable[[], datetime]
    retention_days: int

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
        """Moves messages to the one target, or copies them into each; new ids, in request order.

        An outage once something was done is the reason of what is left; under a `key` it is raised
        instead, and a repeated request goes on where this one stopped. Raises VmboxNotFound,
        KeyInUse, KeyReused, Unavailable.
        """
        plan = self._plan(ids, targets)
        if key is None:
            return await self._carried_out(account, source, plan, moved, None)
        content = fingerprint("move" if moved else "copy", ids, targets)
        async with self.idempotency.claim(
            account.account_id, source, key, content, msgspec.to_builtins(plan)
        ) as found:
            if isinstance(found, Answered):
                return msgspec.convert(found.answer, BatchResult)
            plan = msgspec.convert(found.plan, _Plan)
            result = await self._carried_out(account, source, plan, moved, found)
            await self.idempotency.answer(found, msgspec.to_builtins(result))
            return result

    def _plan(self, ids: Sequence[str], targets: Sequence[UUID]) -> _Plan:
        now = self.clock().replace(microsecond=0)
        errands = [
            TransferItem(text, target, MessageId.generate(now, now, os.urandom(10)))
            for text in dict.fromkeys(ids)
            for target in dict.fromkeys(targets)
        ]
        return _Plan(now, errands)

    async def _carried_out(
        self, account: AccountFacts, source: UUID, plan: _Plan, moved: bool, claim: Claim | None
    ) -> BatchResult:
        sources = await self._sources(account, source, plan)
        reasons: dict[MessageId, Reason | None] = {}
        outage: Unavailable | None = None
        for target in dict.fromkeys(errand.target for errand in plan.errands):
            for batch in in_batches([one for one in plan.errands if one.target == target]):
                try:
                    if outage is not None:
                        # What is left would wait for it again.
                        raise outage
                    done = await self._done(account, source, batch, sources, plan, moved, claim)
                except (VmboxNotFound, Unavailable) as error:
                    # Under a claim an outage is raised: a repeated request goes on. A refusal would
                    # end the claim, and what is done would be done again.
                    goes_on = claim is not None and isinstance(error, Unavailable)
                    if goes_on or None not in reasons.values():
                        raise
                    outage = error if isinstance(error, Unavailable) else None
                    done = [reason_of(error)] * len(batch)
                reasons.update(zip((one.new_id for one in batch), done, strict=True))
        return BatchResult(
            succeeded=[one.new_id for one in plan.errands if reasons[one.new_id] is None],
            failed=[
                (one.text, reason)
                for one in plan.errands
                if (reason := reasons[one.new_id]) is not None
            ],
        )

    async def _sources(
        self, account: AccountFacts, source: UUID, plan: _Plan
    ) -> dict[str, Message | Reason]:
        """The messages as they are now, or why they cannot be transferred."""
        wanted = [source, *dict.fromkeys(errand.target for errand in plan.errands)]
        texts = dict.fromkeys(errand.text for errand in plan.errands)
        ids = [parsed for text in texts if (parsed := MessageId.parse(text))]
        oldest = retained_since(self.clock(), self.retention_days)
        async with self.database.connection() as connection:
            living = await rows.living_vmboxes(connection, account.account_id, wanted)
            for vmbox_id in wanted:
                if vmbox_id not in living:
                    raise VmboxNotFound(vmbox_id.hex)
            messages = await rows.get_messages(connection, account.account_id, source, ids)
        return {str(key): _judged(message, oldest) for key, message in messages.items()}

    async def _done(
        self,
        account: AccountFacts,
        source: UUID,
        batch: Sequence[TransferItem],
        sources: dict[str, Message | Reason],
        plan: _Plan,
        moved: bool,
        claim: Claim | None,
    ) -> list[Reason | None]:
        """One transaction's worth: the copies first, then one statement for all rows."""
        already_done = set() if claim is None else await self._already_done(account, batch, claim)
        left = [errand for errand in batch if errand.new_id not in already_done]
        copied = await self._copied(account, left, sources)
        transfers = [one for one in copied.values() if isinstance(one, Transfer)]
        refused = await self._written(account, source, left, transfers, plan, moved)
        reasons = {new_id: one for new_id, one in copied.items() if isinstance(one, Reason)}
        return [(reasons | refused).get(errand.new_id) for errand in batch]

    async def _already_done(
        self, account: AccountFacts, batch: Sequence[TransferItem], claim: Claim
    ) -> set[MessageId]:
        """What an earlier run under this claim has done already."""
        await self.idempotency.renew(claim)
        async with self.database.connection() as connection:
            return await rows.landed_messages(
                connection, account.account_id, [errand.new_id for errand in batch]
            )

    async def _copied(
        self,
        account: AccountFacts,
        batch: Sequence[TransferItem],
        sources: dict[str, Message | Reason],
    ) -> dict[MessageId, Transfer | Reason]:
        """The audio of a batch copied, some at a time.

        An outage in the middle leaves what was copied to the orphan sweep.
        """
        free = asyncio.Semaphore(COPIES_AT_ONCE)

        async def copy(errand: TransferItem) -> Transfer | Reason:
            source = sources.get(errand.text, Reason.NOT_FOUND)
            if isinstance(source, Reason):
                return source
            async with free:
                return await self._copy_one(account, source, errand.new_id)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = {errand.new_id: group.create_task(copy(errand)) for errand in batch}
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return {new_id: task.result() for new_id, task in tasks.items()}

    async def _copy_one(
        self, account: AccountFacts, source: Message, new_id: MessageId
    ) -> Transfer | Reason:
        assert source.audio is not None
        extension = source.audio.key.rpartition(".")[2]
        upload_id = uuid7(self.clock(), os.urandom(10))
        key = message_key(new_id.month, account.account_id, new_id.id, upload_id, extension)
        try:
            await self.audio.copy(source.audio.key, key)
        except AudioMissing:
            # Removed and purged, or replaced, since it was read.
            return Reason.CONFLICT
        return Transfer(copied=source, new_id=new_id, new_key=key)

    async def _written(
        self,
        account: AccountFacts,
        source: UUID,
        batch: Sequence[TransferItem],
        transfers: Sequence[Transfer],
        plan: _Plan,
        moved: bool,
    ) -> dict[MessageId, Reason]:
        """Writes the rows; those that were refused, and why. Their copies are discarded."""
        if not transfers:
            return {}

        async def write(connection: Connection) -> list[Reason | None]:
            return await rows.transfer_messages(
                connection,
                account.account_id,
                source,
                batch[0].target,
                transfers,
                moved=moved,
                now=plan.at,
                retained_since=retained_since(self.clock(), self.retention_days),
                realm=account.realm,
            )

        try:
            reasons = await with_partitions(self.database, month_of(plan.at), self.clock(), write)
        except VmboxNotFound:
            await self._discard(transfers)
            raise
        refused = [
            (one, why) for one, why in zip(transfers, reasons, strict=True) if why is not None
        ]
        await self._discard([one for one, _ in refused])
        return {one.new_id: why for one, why in refused}

    async def _discard(self, transfers: Sequence[Transfer]) -> None:
        try:
            await self.audio.delete_many([transfer.new_key for transfer in transfers])
        except Unavailable:
            log.warning("Copies without rows were left for the orphan sweep", count=len(transfers))


def _judged(message: Message, oldest: datetime) -> Message | Reason:
    if message.audio is None:
        return Reason.NO_AUDIO
    return Reason.EXPIRED if message.received_at < oldest else message
