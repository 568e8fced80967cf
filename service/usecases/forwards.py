"""Use cases of forwarding: a message goes to other mailboxes, with or without a comment before it.

The audio is stored first, under new keys; then the rows are written, one target after the other.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from service.audio.conversion.files import store_file
from service.audio.conversion.pool import ConversionPool
from service.audio.keys import message_key
from service.audio.store import AudioStore
from service.domain.account import AccountFacts, Quota
from service.domain.audio_errors import AudioMissing, GreetingHasNoAudio, NoAudio
from service.domain.audit import current_actor
from service.domain.batch import BatchResult, Reason
from service.domain.errors import (
    GreetingNotFound,
    Invalid,
    MessageExpired,
    MessageNotFound,
    NotFound,
    Refused,
    Rule,
    Unavailable,
)
from service.domain.forwarding import (
    AfterForward,
    ForwardTarget,
    action_of,
    add_step,
    check_comment_allowed,
)
from service.domain.message import (
    Audio,
    Folder,
    ForwardStep,
    Message,
    MessageId,
    month_of,
    parse_hex_id,
    uuid7,
)
from service.domain.schema import Document
from service.postgres import forwards as rows
from service.postgres.batches import filter_stored_ids
from service.postgres.forwards import Forward
from service.postgres.greetings import get_greeting
from service.postgres.messages import MessageKey
from service.postgres.pool import Connection, Database
from service.postgres.vmboxes import get_vmbox
from service.usecases.forward_audio import FORMATS, JoinedAudio, join_audio
from service.usecases.idempotency import Claim, CompletedRequest, fingerprint
from service.usecases.messages import Messages
from service.usecases.partitions import with_partitions
from service.usecases.uploads import Upload, delete_orphan

_FOLDERS = {AfterForward.SAVE: Folder.SAVED, AfterForward.DELETE: Folder.DELETED}


class ForwardRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Request to forward a message to mailboxes.

    `comment` is a greeting or received audio. If `action` is None, that of the mailbox applies.
    """

    targets: Sequence[str]
    comment: UUID | Upload | None = None
    action: AfterForward | None = None


class ForwardItem(msgspec.Struct, frozen=True):
    """Mailbox that gets the message, and its new id there."""

    target: UUID
    new_id: MessageId


class ForwardPlan(msgspec.Struct, frozen=True):
    """Plan of a request, stored so that a repeated request has the same result."""

    at: datetime
    items: list[ForwardItem]


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    """Message that is forwarded now. `joined` is empty without a comment."""

    account: AccountFacts
    key: MessageKey
    original: Message
    audio: Audio
    targets: Mapping[UUID, ForwardTarget]
    joined: Mapping[str, JoinedAudio]
    at: datetime


@dataclass(frozen=True)
class Forwards:
    """Use cases of forwarding."""

    database: Database
    messages: Messages
    pool: ConversionPool

    @property
    def audio(self) -> AudioStore:
        return self.messages.audio

    async def forward(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        message_id: MessageId,
        request: ForwardRequest,
        key: str | None = None,
    ) -> BatchResult:
        """Forwards a message. Returns the new ids, and the reason for each failed mailbox.

        After a partial success, an outage becomes the reason of the remaining mailboxes. With
        `key`, the outage is raised instead, and a repeated request continues. Raises
        VmboxNotFound, MessageNotFound, MessageExpired, NoAudio, Invalid, AudioEmpty, NotAudio,
        CommentUnreadable, ConversionUnavailable, IdempotencyKeyInUse, IdempotencyKeyReused,
        Unavailable.
        """
        source = MessageKey(account.account_id, vmbox_id, message_id)
        plan = self._plan(request)
        if key is None:
            return await self._run(account, source, request, plan, None)
        async with self.messages.idempotency.claim(
            account.account_id,
            vmbox_id,
            key,
            _fingerprint(message_id, request),
            msgspec.to_builtins(plan),
        ) as claim:
            if isinstance(claim, CompletedRequest):
                return msgspec.convert(claim.answer, BatchResult)
            plan = msgspec.convert(claim.plan, ForwardPlan)
            result = await self._run(account, source, request, plan, claim)
            await self.messages.idempotency.complete(claim, msgspec.to_builtins(result))
            return result

    def _plan(self, request: ForwardRequest) -> ForwardPlan:
        now = self.messages.now()
        targets = dict.fromkeys(map(parse_hex_id, request.targets))
        return ForwardPlan(
            now, [ForwardItem(each, MessageId.generate(now, now)) for each in targets if each]
        )

    async def _run(
        self,
        account: AccountFacts,
        source: MessageKey,
        request: ForwardRequest,
        plan: ForwardPlan,
        claim: Claim | None,
    ) -> BatchResult:
        stored = await self._read_stored(source, plan, claim)
        remaining = [item for item in plan.items if item.new_id not in stored]
        reasons: dict[MessageId, Reason | None] = dict.fromkeys(stored)
        try:
            original = await self._read_original(account, source)
            settings = await self._read_settings(source)
            if request.comment is not None:
                check_comment_allowed(settings)
            if remaining:
                comment = request.comment
                async with self._open_job(account, original, comment, remaining, plan.at) as job:
                    reasons |= await self._forward_all(job, remaining, claim)
        except (NotFound, Refused):
            # After a first run, the original or the greeting may have been removed.
            if not stored:
                raise
            reasons |= {item.new_id: Reason.CONFLICT for item in remaining}
            return _result_of(request, plan, reasons)
        result = _result_of(request, plan, reasons)
        if result.succeeded:
            action = request.action or action_of(settings)
            await self._act(account, original, action, result, claim)
        return result

    async def _read_settings(self, source: MessageKey) -> Document:
        async with self.database.connection() as connection:
            return (await get_vmbox(connection, source.account_id, source.vmbox_id)).vmbox.document

    async def _read_stored(
        self, source: MessageKey, plan: ForwardPlan, claim: Claim | None
    ) -> set[MessageId]:
        """Returns the new ids that an earlier request with this claim has written."""
        if claim is None:
            return set()
        async with self.database.connection() as connection:
            ids = [item.new_id for item in plan.items]
            return await filter_stored_ids(connection, source.account_id, ids)

    async def _read_original(self, account: AccountFacts, source: MessageKey) -> Message:
        original = await self.messages.get(account, source.vmbox_id, source.message_id)
        retention = await self.messages.retention.of_vmbox(account, source.vmbox_id)
        oldest = retention.retained_since(self.messages.clock())
        if original.received_at < oldest:
            raise MessageExpired(str(source.message_id), oldest)
        return original

    @asynccontextmanager
    async def _open_job(
        self,
        account: AccountFacts,
        original: Message,
        requested: UUID | Upload | None,
        items: Sequence[ForwardItem],
        at: datetime,
    ) -> AsyncIterator[_Job]:
        """Joins comment and original before the first row is written."""
        if original.audio is None:
            raise NoAudio
        account_id, ids = account.account_id, [item.target for item in items]
        async with self.database.connection() as connection:
            targets = await rows.list_forward_targets(connection, account_id, ids)
            comment = await _read_comment(connection, account_id, requested)
        extensions = {target.media_extension for target in targets.values()} if comment else set()
        formats = {FORMATS[name] for name in extensions}
        parts = [comment, original.audio] if comment else []
        async with join_audio(self.pool, account_id, self.audio, parts, formats) as joined:
            yield _Job(
                account=account,
                key=MessageKey(account_id, original.vmbox_id, original.id),
                original=original,
                audio=original.audio,
                targets=targets,
                joined={name: joined[FORMATS[name]] for name in extensions},
                at=at,
            )

    async def _forward_all(
        self, job: _Job, items: Sequence[ForwardItem], claim: Claim | None
    ) -> dict[MessageId, Reason | None]:
        reasons: dict[MessageId, Reason | None] = {}
        outage: Unavailable | None = None
        for item in items:
            try:
                if outage is not None:
                    # Another attempt would wait for the same outage.
                    raise outage
                if claim is not None:
                    await self.messages.idempotency.renew(claim)
                reasons[item.new_id] = await self._forward_to(job, item)
            except Unavailable as error:
                # An outage keeps the claim, so that a repeated request continues.
                if claim is not None or None not in reasons.values():
                    raise
                outage, reasons[item.new_id] = error, Reason.UNAVAILABLE
        return reasons

    async def _forward_to(self, job: _Job, item: ForwardItem) -> Reason | None:
        """Stores the audio and the row for one mailbox. Returns the reason of a failure."""
        target = job.targets.get(item.target)
        if target is None:
            return Reason.NOT_FOUND
        try:
            forward = await self._store_audio(job, item, job.joined.get(target.media_extension))
        except AudioMissing:
            # Another request has removed or replaced it since it was read.
            return Reason.CONFLICT

        async def write(connection: Connection) -> Reason | None:
            return await rows.forward_message(
                connection,
                forward,
                now=job.at,
                realm=job.account.realm,
                max_message_count=job.account.max_message_count,
                max_stored_bytes=self.messages.quotas.limit_of(job.account, Quota.STORED_BYTES),
            )

        now = self.messages.clock()
        reason = await with_partitions(self.database, month_of(job.at), now, write)
        if reason is not None:
            await delete_orphan(self.audio, forward.audio.key)
        return reason

    async def _store_audio(
        self, job: _Job, item: ForwardItem, joined: JoinedAudio | None
    ) -> Forward:
        """Stores the joined audio, or a copy of the original, under a new key."""
        original, account_id = job.audio, job.account.account_id
        extension = joined.format.extension if joined else original.extension
        upload_id, new_id = uuid7(self.messages.clock()), item.new_id
        key = message_key(new_id.month, account_id, new_id.id, upload_id, extension)
        if joined is None:
            await self.audio.copy(original.key, key)
            audio = msgspec.structs.replace(original, key=key)
        else:
            audio = await store_file(self.audio, key, joined.file, joined.format.content_type)
        return Forward(
            source=job.key,
            source_key=original.key,
            target=item.target,
            new_id=new_id,
            audio=audio,
            length_ms=joined.length_ms if joined else job.original.length_ms,
            steps=add_step(job.original.forwarded, _step_of(job)),
        )

    async def _act(
        self,
        account: AccountFacts,
        original: Message,
        action: AfterForward,
        result: BatchResult,
        claim: Claim | None,
    ) -> None:
        """Changes the folder of the original. Without a claim, an outage is part of the result."""
        folder = _FOLDERS.get(action)
        if folder is None or (folder is Folder.SAVED and original.folder is Folder.DELETED):
            return
        try:
            await self.messages.change_folder(account, original.vmbox_id, original.id, folder)
        except (MessageNotFound, MessageExpired):
            # Another request has removed it, or it has expired since it was read.
            return
        except Unavailable:
            if claim is not None:
                raise
            result.failed.append((str(original.id), Reason.UNAVAILABLE))


async def _read_comment(
    connection: Connection, account_id: UUID, comment: UUID | Upload | None
) -> Audio | Upload | None:
    """Returns the audio of a comment. Raises Invalid for a greeting without audio."""
    if not isinstance(comment, UUID):
        return comment
    try:
        audio = (await get_greeting(connection, account_id, comment)).audio
    except GreetingNotFound:
        raise Invalid.of("prepend", Rule.NOT_FOUND, value=comment.hex) from None
    if audio is None:
        text = str(GreetingHasNoAudio())
        raise Invalid.of("prepend", Rule.NOT_FOUND, value=comment.hex, message=text)
    return audio


def _step_of(job: _Job) -> ForwardStep:
    actor = current_actor()
    return ForwardStep(
        vmbox_id=job.key.vmbox_id,
        media_id=str(job.key.message_id),
        principal=actor.principal.value,
        principal_id=actor.principal_id,
        at=job.at,
    )


def _result_of(
    request: ForwardRequest, plan: ForwardPlan, reasons: Mapping[MessageId, Reason | None]
) -> BatchResult:
    unknown = [text for text in dict.fromkeys(request.targets) if parse_hex_id(text) is None]
    failed = [(item.target.hex, reason) for item in plan.items if (reason := reasons[item.new_id])]
    return BatchResult(
        succeeded=[item.new_id for item in plan.items if reasons[item.new_id] is None],
        failed=[*failed, *((text, Reason.NOT_FOUND) for text in unknown)],
    )


def _fingerprint(message_id: MessageId, request: ForwardRequest) -> bytes:
    comment = request.comment
    content = (
        (comment.content_type, comment.spool.sha256()) if isinstance(comment, Upload) else comment
    )
    return fingerprint("forward", str(message_id), request.targets, content, request.action)
