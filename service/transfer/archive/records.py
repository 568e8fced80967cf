"""Reads pages of records for an archive, in the order of their ids."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from service.domain.account import Account
from service.domain.message import Audio, MessageId
from service.domain.sealed_secret import SecretPurpose
from service.postgres import exports as rows
from service.postgres.exports import AccountPosition, ExportedGreeting, ExportedMessage
from service.postgres.pool import Database
from service.security import SecretBox
from service.transfer.archive.format import (
    ArchivedAccount,
    ArchivedAudio,
    ArchivedBox,
    ArchivedGreeting,
    ArchivedMessage,
    ArchivedRow,
    ArchivedUser,
    ArchiveSection,
    audio_member,
)

CHUNK = 500
"""Rows of one member, and of one checkpoint."""

Page = list[tuple[ArchivedRow, Audio | None]]
_NIL = UUID(int=0)


@dataclass(frozen=True)
class RecordReader:
    """Reads records. Without `secrets`, boxes have no PINs.

    `trash_days`: the days for which deleted boxes can be restored, in accounts without their own.
    """

    database: Database
    secrets: SecretBox | None
    clock: Callable[[], datetime]
    trash_days: int

    async def count_messages(self, account_id: UUID) -> int:
        """Returns the number of messages of an account and the accounts below it."""
        position, count = AccountPosition(-1, _NIL), 0
        while True:
            async with self.database.connection() as connection:
                accounts = await rows.export_accounts(connection, account_id, position, CHUNK)
                for account in accounts:
                    count += await rows.count_exported_messages(
                        connection, account.account_id, deleted_after=self._deleted_after(account)
                    )
            if len(accounts) < CHUNK:
                return count
            position = AccountPosition(len(accounts[-1].ancestors), accounts[-1].account_id)

    async def read(
        self, section: ArchiveSection, account: Account, top_id: UUID, after: str, limit: int
    ) -> Page:
        """Returns rows of one account after the id `after`; "" is the start."""
        readers: dict[ArchiveSection, Callable[..., Coroutine[Any, Any, Page]]] = {
            ArchiveSection.USERS: self._users,
            ArchiveSection.GREETINGS: self._greetings,
            ArchiveSection.BOXES: self._boxes,
            ArchiveSection.MESSAGES: self._messages,
        }
        if section is ArchiveSection.ACCOUNTS:
            return [] if after else [(_account(account, top_id), None)]
        return await readers[section](account, after, limit)

    def _deleted_after(self, account: Account) -> datetime:
        """Returns the earliest time of deletion of a box that can still be restored."""
        return self.clock() - timedelta(days=account.trash_days or self.trash_days)

    async def _users(self, account: Account, after: str, limit: int) -> Page:
        account_id = account.account_id
        async with self.database.connection() as connection:
            users = await rows.export_users(connection, account_id, _uuid(after), limit)
        return [
            (
                ArchivedUser(
                    id=user.user_id.hex, account_id=account_id.hex, document=user.document
                ),
                None,
            )
            for user in users
        ]

    async def _greetings(self, account: Account, after: str, limit: int) -> Page:
        account_id = account.account_id
        async with self.database.connection() as connection:
            greetings = await rows.export_greetings(connection, account_id, _uuid(after), limit)
        return [(_greeting(account_id, greeting), greeting.audio) for greeting in greetings]

    async def _boxes(self, account: Account, after: str, limit: int) -> Page:
        account_id, deleted_after = account.account_id, self._deleted_after(account)
        async with self.database.connection() as connection:
            boxes = await rows.export_vmboxes(
                connection, account_id, _uuid(after), limit, deleted_after=deleted_after
            )
        page: Page = []
        for box in boxes:
            document = dict(box.document)
            if box.pin_sealed is not None and self.secrets is not None:
                context = SecretPurpose.PIN.context(account_id, box.vmbox_id)
                document["pin"] = self.secrets.open(box.pin_sealed, context)
            archived = ArchivedBox(
                id=box.vmbox_id.hex,
                account_id=account_id.hex,
                document=document,
                deleted_at=box.deleted_at,
            )
            page.append((archived, None))
        return page

    async def _messages(self, account: Account, after: str, limit: int) -> Page:
        account_id, deleted_after = account.account_id, self._deleted_after(account)
        start = MessageId.parse(after) or MessageId(0, _NIL)
        async with self.database.connection() as connection:
            exported = await rows.export_messages(
                connection, account_id, start, limit, deleted_after=deleted_after
            )
        return [(_message(account_id, item), item.message.audio) for item in exported]


def _account(account: Account, top_id: UUID) -> ArchivedAccount:
    is_top = account.account_id == top_id or account.parent_id is None
    return ArchivedAccount(
        id=account.account_id.hex,
        parent_id=None if is_top or account.parent_id is None else account.parent_id.hex,
        name=account.name,
        realm=account.realm,
        document=account.document,
    )


def _greeting(account_id: UUID, greeting: ExportedGreeting) -> ArchivedGreeting:
    row_id, audio = greeting.media_id.hex, greeting.audio
    return ArchivedGreeting(
        id=row_id,
        account_id=account_id.hex,
        owner_id=None if greeting.owner_id is None else greeting.owner_id.hex,
        document=greeting.document,
        audio=None
        if audio is None
        else _audio(ArchiveSection.GREETINGS, account_id, row_id, audio),
    )


def _message(account_id: UUID, exported: ExportedMessage) -> ArchivedMessage:
    message = exported.message
    assert message.audio is not None, "the statement selects messages with audio"
    return ArchivedMessage(
        id=str(message.id),
        account_id=account_id.hex,
        box_id=message.vmbox_id.hex,
        received_at=message.received_at,
        length_ms=message.length_ms,
        folder=message.folder,
        caller_id_number=message.caller_id.number,
        caller_id_name=message.caller_id.name,
        call_id=message.call_id,
        from_uri=message.from_uri,
        to_uri=message.to_uri,
        changed_at=exported.changed_at,
        audio=_audio(ArchiveSection.MESSAGES, account_id, str(message.id), message.audio),
        removed_at=exported.removed_at,
        transcription=message.transcription,
        words=exported.words,
        forwarded=message.forwarded,
    )


def _audio(section: ArchiveSection, account_id: UUID, row_id: str, audio: Audio) -> ArchivedAudio:
    return ArchivedAudio(
        name=audio_member(section, account_id.hex, row_id, audio.extension),
        content_type=audio.content_type,
        size=audio.size,
        sha256=audio.sha256.hex(),
    )


def _uuid(after: str) -> UUID:
    return UUID(hex=after) if after else _NIL
