"""Writes the accounts, users, greetings and boxes of an import."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from service.domain.account import AccountFacts, Caller
from service.domain.errors import (
    AccountNotFound,
    GreetingNotFound,
    Invalid,
    Refused,
    UserNotFound,
    VmboxNotFound,
    VoicemailError,
)
from service.domain.greeting_rules import GreetingRole
from service.domain.retention import Retention, rule_of
from service.domain.schema import Document
from service.domain.vmbox import numbers_of
from service.postgres import imports as rows
from service.postgres.accounts import find_facts_by_realm
from service.postgres.pool import Database
from service.transfer.ids import record_id
from service.transfer.report import ImportReport, ImportResult, RecordKind
from service.transfer.source import (
    GreetingKind,
    Skipped,
    Source,
    SourceAccount,
    SourceBox,
    SourceError,
    SourceGreeting,
    SourceUser,
)
from service.transfer.writing import (
    describe_problems,
    retry_unavailable,
    spool_audio,
    without_invalid_fields,
)
from service.usecases.accounts import Accounts
from service.usecases.greetings import Greetings
from service.usecases.retention import RetentionLookup
from service.usecases.users import Users
from service.usecases.vmboxes import Vmboxes

_GREETING_FIELDS = frozenset(role.value for role in GreetingRole)
_MEDIA_NAMES = {GreetingKind.TEMPORARY: "temporary_unavailable"}


class ImportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of an import. `since` is the earliest time of a message.

    `below` is the parent of new top accounts; `into` is an account that replaces them.
    """

    below: AccountFacts
    into: AccountFacts | None = None
    since: datetime | None = None
    dry_run: bool = False


class BoxTarget(msgspec.Struct, frozen=True):
    """Box that receives messages, its name in the report, and its retention.

    With `deleted_at` it has been in the trash since that time, unless it was restored.
    """

    account: AccountFacts
    vmbox_id: UUID
    name: str
    retention: Retention
    deleted_at: datetime | None = None


class _Attachment(msgspec.Struct, frozen=True):
    """Greeting that becomes the greeting of a box."""

    box_key: str
    kind: GreetingKind
    media_id: UUID


@dataclass(frozen=True, kw_only=True)
class StructureWriter:
    """Writes all records but messages. Keeps the targets of accounts and boxes in memory."""

    root: Caller
    database: Database
    accounts: Accounts
    users: Users
    vmboxes: Vmboxes
    greetings: Greetings
    retention: RetentionLookup
    source: Source
    options: ImportOptions
    report: ImportReport
    max_upload_bytes: int
    account_targets: dict[str, AccountFacts] = field(default_factory=dict)
    box_targets: dict[str, BoxTarget] = field(default_factory=dict)
    _numbers: dict[tuple[UUID, str], str] = field(default_factory=dict)
    _other_user_ids: dict[str, UUID] = field(default_factory=dict)
    _attachments: list[_Attachment] = field(default_factory=list)

    async def write(self) -> None:
        """Writes accounts, users, greetings and boxes, in this order."""
        async for account in self.source.accounts():
            await self._write(RecordKind.ACCOUNT, account)
        async for user in self.source.users():
            await self._write(RecordKind.USER, user)
        async for greeting in self.source.greetings():
            await self._write(RecordKind.GREETING, greeting)
        async for box in self.source.boxes():
            await self._write(RecordKind.BOX, box)
        for attachment in self._attachments:
            await self._attach(attachment)

    async def _write(
        self,
        kind: RecordKind,
        record: SourceAccount | SourceUser | SourceGreeting | SourceBox | Skipped,
    ) -> None:
        """Writes a record; what this service refuses is reported."""
        if isinstance(record, Skipped):
            self.report.add_skipped(kind, record)
            return
        name = record.label
        try:
            match record:
                case SourceAccount():
                    await self._write_account(record)
                case SourceUser():
                    self.report.count(kind, await self._write_user(record, name))
                case SourceGreeting():
                    self.report.count(kind, await self._write_greeting(record))
                case SourceBox():
                    await self._write_box(record, name)
        except Invalid as error:
            self.report.add_skipped(kind, Skipped(name, describe_problems(error)))
        except (Refused, VoicemailError, SourceError) as error:
            self.report.add_skipped(kind, Skipped(name, str(error)))

    async def _write_account(self, record: SourceAccount) -> None:
        options = self.options
        if record.parent_key is None and options.into is not None:
            self._map_account(record, options.into, ImportResult.EXISTING)
            return
        parent = options.below if record.parent_key is None else None
        parent = parent or self.account_targets.get(record.parent_key or "")
        if parent is None:
            raise SourceError("its parent account was not imported")
        account_id = record_id(self.source.name, RecordKind.ACCOUNT, record.key)
        found = await self._find_account(account_id, record.realm)
        if found is not None:
            self._map_account(record, found, ImportResult.EXISTING)
            return
        document = {**record.document, "name": record.name, "realm": record.realm}
        created = _provisional(account_id, parent, record)
        if not options.dry_run:
            created = await self._create_account(parent, document, account_id)
        self._map_account(record, created, ImportResult.NEW)

    async def _create_account(
        self, parent: AccountFacts, document: Document, account_id: UUID
    ) -> AccountFacts:
        async def create(document: Document) -> AccountFacts:
            return (
                await self.accounts.create_child(
                    self.root, parent.account_id, document, account_id=account_id
                )
            ).facts

        created, left_out = await retry_unavailable(
            lambda: without_invalid_fields(document, create)
        )
        self._report_left_out(RecordKind.ACCOUNT, created.name, left_out)
        return created

    async def _find_account(self, account_id: UUID, realm: str) -> AccountFacts | None:
        """Returns the account with the id, or with the realm. Raises SourceError if deleted."""
        try:
            return (await self.accounts.get(self.root, account_id)).facts
        except AccountNotFound:
            pass
        async with self.database.connection() as connection:
            if await rows.is_account_known(connection, account_id):
                raise SourceError("the account was deleted in this service")
            return await find_facts_by_realm(connection, realm)

    def _map_account(
        self, record: SourceAccount, target: AccountFacts, result: ImportResult
    ) -> None:
        self.account_targets[record.key] = target
        self.report.add_target(RecordKind.ACCOUNT, record.label, result, target.account_id.hex)

    def _account_of(self, key: str) -> AccountFacts:
        account = self.account_targets.get(key)
        if account is None:
            raise SourceError("its account was not imported")
        return account

    async def _write_user(self, record: SourceUser, name: str) -> ImportResult:
        account = self._account_of(record.account_key)
        user_id = record_id(self.source.name, RecordKind.USER, record.key)
        try:
            await self.users.get(account, user_id)
            return ImportResult.EXISTING
        except UserNotFound:
            pass
        async with self.database.connection() as connection:
            other = await rows.find_user_by_name(
                connection, account.account_id, str(record.document.get("username", ""))
            )
        if other is not None:
            self._other_user_ids[record.key] = other
            return ImportResult.EXISTING
        if not self.options.dry_run:
            document = {key: value for key, value in record.document.items() if key != "password"}
            _, left_out = await retry_unavailable(
                lambda: without_invalid_fields(
                    document, lambda checked: self.users.create(account, checked, user_id)
                )
            )
            self._report_left_out(RecordKind.USER, name, left_out)
        return ImportResult.NEW

    def _user_id(self, key: str) -> UUID:
        other = self._other_user_ids.get(key)
        return other or record_id(self.source.name, RecordKind.USER, key)

    async def _write_greeting(self, record: SourceGreeting) -> ImportResult:
        account = self._account_of(record.account_key)
        media_id = record_id(self.source.name, RecordKind.GREETING, record.key)
        if record.box_key is not None and record.kind is not None:
            self._attachments.append(_Attachment(record.box_key, record.kind, media_id))
        try:
            await self.greetings.get(account, media_id)
            return ImportResult.EXISTING
        except GreetingNotFound:
            pass
        if self.options.dry_run:
            return ImportResult.NEW
        document = {"name": f"{record.kind or 'imported'} greeting", **record.document}
        owner = None if record.owner_key is None else self._user_id(record.owner_key)

        async def create() -> None:
            if record.open is None:
                await self.greetings.create(account, document, None, owner, media_id)
                return
            async with spool_audio(
                record.open, self.max_upload_bytes, record.content_type, record.filename
            ) as upload:
                await self.greetings.create(account, document, upload, owner, media_id)

        await retry_unavailable(create)
        return ImportResult.NEW

    async def _write_box(self, record: SourceBox, name: str) -> None:
        account = self._account_of(record.account_key)
        self._reserve_number(account, record)
        vmbox_id = record_id(self.source.name, RecordKind.BOX, record.key)
        label = f"{account.name}/{name}"
        found = await self._find_box(account, vmbox_id, record)
        result = ImportResult.NEW if found is None else ImportResult.EXISTING
        if found is None and not self.options.dry_run:
            _, left_out = await retry_unavailable(
                lambda: without_invalid_fields(
                    self._box_document(record.document),
                    lambda checked: self._create_box(account, checked, vmbox_id, record.deleted_at),
                )
            )
            self._report_left_out(RecordKind.BOX, label, left_out)
        retention = await self._retention_of(account, found or vmbox_id, record.document)
        target = BoxTarget(account, found or vmbox_id, label, retention, record.deleted_at)
        self.box_targets[record.key] = target
        self.report.add_target(RecordKind.BOX, label, result, target.vmbox_id.hex)

    async def _create_box(
        self,
        account: AccountFacts,
        document: Document,
        vmbox_id: UUID,
        deleted_at: datetime | None,
    ) -> None:
        """Creates a box, under the lowest free number if it has none, or in the trash."""
        if deleted_at is not None:
            await self.vmboxes.import_deleted(account, document, vmbox_id, deleted_at)
            return
        numbered = "mailbox" in document
        create = self.vmboxes.create if numbered else self.vmboxes.create_numbered
        await create(account, document, vmbox_id=vmbox_id)

    async def _retention_of(
        self, account: AccountFacts, vmbox_id: UUID, document: Document
    ) -> Retention:
        # The boxes and their rules are new, so the cached facts of the account may lack them.
        account = msgspec.structs.replace(account, has_vmbox_retention=True)
        retention = await self.retention.of_vmbox(account, vmbox_id)
        if self.options.dry_run:
            return retention.with_rule(rule_of(document), account.max_retention_days)
        return retention

    def _reserve_number(self, account: AccountFacts, record: SourceBox) -> None:
        """Raises SourceError if another box of the source has the number."""
        for number in _numbers_of(record):
            first = self._numbers.setdefault((account.account_id, number), record.key)
            if first != record.key:
                raise SourceError(f"its number belongs to the box {first} in the same account")

    async def _find_box(
        self, account: AccountFacts, vmbox_id: UUID, record: SourceBox
    ) -> UUID | None:
        """Returns the box with the id, or with the number. Raises SourceError if deleted here."""
        account_id, deleted_at = account.account_id, record.deleted_at
        async with self.database.connection() as connection:
            if not await rows.is_vmbox_known(connection, account_id, vmbox_id):
                numbers = _numbers_of(record)
                return await rows.find_vmbox_by_numbers(connection, account_id, numbers)
            if deleted_at is not None and await rows.is_vmbox_in_trash(
                connection, account_id, vmbox_id, deleted_at
            ):
                return vmbox_id
        try:
            await self.vmboxes.get(account, vmbox_id)
        except VmboxNotFound:
            raise SourceError("the box was deleted in this service") from None
        return vmbox_id

    def _box_document(self, document: Document) -> Document:
        """Returns the document with the ids of this service."""
        changes: dict[str, Any] = {}
        if isinstance(owner := document.get("owner_id"), str):
            changes["owner_id"] = self._user_id(owner).hex
        if isinstance(media := document.get("media"), dict):
            changes["media"] = {
                name: record_id(self.source.name, RecordKind.GREETING, key).hex
                if name in _GREETING_FIELDS and isinstance(key, str)
                else key
                for name, key in media.items()
            }
        return {**document, **changes}

    async def _attach(self, attachment: _Attachment) -> None:
        """Sets a greeting of a box, unless the box has one of this kind."""
        target = self.box_targets.get(attachment.box_key)
        if target is None or self.options.dry_run:
            return
        name = _MEDIA_NAMES.get(attachment.kind, attachment.kind.value)

        def change(settings: Document) -> Document:
            media = settings.get("media", {})
            if name in media:
                return settings
            return {**settings, "media": {**media, name: attachment.media_id.hex}}

        try:
            await retry_unavailable(
                lambda: self.vmboxes.change(target.account, target.vmbox_id, change)
            )
        except (Invalid, VmboxNotFound) as error:
            reason = describe_problems(error) if isinstance(error, Invalid) else str(error)
            self.report.add_incomplete(RecordKind.GREETING, f"{target.name} {name}", reason)

    def _report_left_out(self, kind: RecordKind, name: str, left_out: str) -> None:
        if left_out:
            self.report.add_incomplete(kind, name, f"imported without {left_out}")


def _numbers_of(record: SourceBox) -> Collection[str]:
    """Returns the number that a box takes. A box in the trash takes none."""
    taken = record.deleted_at is None
    return numbers_of({"mailbox": record.document.get("mailbox")}) if taken else ()


def _provisional(account_id: UUID, parent: AccountFacts, record: SourceAccount) -> AccountFacts:
    """Returns the account that a dry run does not create."""
    return AccountFacts(
        account_id=account_id,
        parent_id=parent.account_id,
        ancestors=(*parent.ancestors, parent.account_id),
        name=record.name,
        realm=record.realm,
        max_message_count=None,
        wire_profile=None,
        auth_epoch=0,
        revision=0,
        retention=rule_of(record.document),
    )
