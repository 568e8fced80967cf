"""Use cases of mailboxes: create, read, list, change, delete."""

import re
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.account import NO_QUOTAS, AccountFacts, Quota, Quotas
from service.domain.callback import DEFAULT_NUMBERS, find_number_problems
from service.domain.errors import (
    Forbidden,
    GreetingNotFound,
    Invalid,
    MailboxNumbersExhausted,
    NumberTaken,
    PreconditionFailed,
    Problem,
    QuotaExceeded,
    Rule,
)
from service.domain.greeting_rules import find_time_problems
from service.domain.message import parse_hex_id, uuid7
from service.domain.page import NameCursor, Page
from service.domain.recipient import Recipient, recipients_of
from service.domain.retention import RetentionRule, rule_of
from service.domain.schema import Document, Fields, merge
from service.domain.sealed_secret import SecretPurpose
from service.domain.vmbox import (
    FIELDS,
    Vmbox,
    addresses_of,
    fields_for_change,
    greetings_of,
    numbers_of,
    split_pin,
    validate_settings,
)
from service.postgres import vmboxes as rows
from service.postgres.accounts import lock_account_for_share
from service.postgres.greetings import filter_existing_greetings
from service.postgres.imports import import_deleted_vmbox
from service.postgres.pool import Connection, Database
from service.postgres.retention import mark_vmbox_retention
from service.postgres.vmboxes import StoredVmbox
from service.security import SecretBox
from service.usecases.account_cache import AccountCache
from service.usecases.optimistic_update import retry_on_conflict
from service.usecases.pages import CHUNK, DOCUMENTS, read_documents

Precondition = Callable[[Vmbox], bool]
"""Condition on the current state of a mailbox, under which it may be changed."""


@dataclass(frozen=True)
class Vmboxes:
    """Use cases of mailboxes. `clock` returns aware UTC."""

    database: Database
    secrets: SecretBox
    clock: Callable[[], datetime]
    quotas: Quotas = NO_QUOTAS
    callback_numbers: re.Pattern[str] = DEFAULT_NUMBERS
    account_cache: AccountCache | None = None

    async def create(
        self,
        account: AccountFacts,
        document: Document,
        fields: Fields = FIELDS,
        vmbox_id: UUID | None = None,
    ) -> Vmbox:
        """Creates a mailbox. An import chooses the `vmbox_id`.

        Raises Invalid (also for a used number), AccountNotFound, QuotaExceeded.
        """
        vmbox_id = vmbox_id or uuid7(self.clock())
        async with (
            self._collecting_problems(account.account_id, vmbox_id, document),
            self.database.transaction() as connection,
        ):
            settings = self._validate(document, fields)
            return await self._insert(connection, account, vmbox_id, settings)

    async def create_numbered(
        self,
        account: AccountFacts,
        document: Document,
        fields: Fields = FIELDS,
        vmbox_id: UUID | None = None,
    ) -> Vmbox:
        """Creates a mailbox under the lowest free number of four digits, from 1000 on.

        Raises as `create`, and MailboxNumbersExhausted, EditConflict.
        """

        async def attempt() -> Vmbox | None:
            new_id = vmbox_id or uuid7(self.clock())
            try:
                async with (
                    self._collecting_problems(account.account_id, new_id, document),
                    self.database.transaction() as connection,
                ):
                    number = await rows.lowest_free_number(connection, account.account_id)
                    if number is None:
                        raise MailboxNumbersExhausted
                    settings = self._validate({**document, "mailbox": number}, fields)
                    return await self._insert(connection, account, new_id, settings)
            except NumberTaken:
                return None

        return await retry_on_conflict(attempt)

    async def import_deleted(
        self, account: AccountFacts, document: Document, vmbox_id: UUID, deleted_at: datetime
    ) -> None:
        """Creates a mailbox in the trash of the account. Raises Invalid, AccountNotFound.

        Quotas do not apply, and its numbers stay free, until it is restored.
        """
        settings, pin = split_pin(self._validate(document, FIELDS))
        encrypted_pin = self._encrypt(pin, account.account_id, vmbox_id)
        async with self.database.transaction() as connection:
            await self._announce_rule(connection, account.account_id, settings)
            await lock_account_for_share(connection, account.account_id)
            await import_deleted_vmbox(
                connection, account.account_id, vmbox_id, settings, encrypted_pin, deleted_at
            )

    async def get(self, account: AccountFacts, vmbox_id: UUID) -> Vmbox:
        """Returns a mailbox with its PIN and counts. Raises VmboxNotFound."""
        async with self.database.connection() as connection:
            return self._decrypt(await rows.get_vmbox(connection, account.account_id, vmbox_id))

    async def list(
        self,
        account: AccountFacts,
        start: NameCursor | None,
        limit: int,
        *,
        descending: bool = False,
        with_pins: bool = False,
        vmbox_ids: Collection[UUID] | None = None,
        predicate: Callable[[Vmbox], bool] | None = None,
        keys: Collection[str] | None = None,
    ) -> Page[Vmbox, NameCursor]:
        """Returns a page of mailboxes by name. `vmbox_ids` restricts it to some of them.

        Without `with_pins` their `pin` is None. `keys` restricts the keys of the documents.
        """
        # Only a predicate needs the complete documents.
        read_keys = None if keys is None or predicate else sorted(keys)

        async def read(start: NameCursor | None, limit: int) -> list[Vmbox]:
            async with self.database.connection() as connection:
                stored = await rows.list_vmboxes(
                    connection,
                    account.account_id,
                    start,
                    limit,
                    descending=descending,
                    vmbox_ids=vmbox_ids,
                    keys=read_keys,
                )
            return [self._decrypt(row) if with_pins else row.vmbox for row in stored]

        chunk = CHUNK if read_keys else DOCUMENTS
        return await read_documents(read, _cursor_of, start, limit, predicate, keys, chunk=chunk)

    async def patch(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        changes: Document,
        precondition: Precondition | None = None,
        fields: Fields = FIELDS,
        fixed_keys: Collection[str] = (),
    ) -> Vmbox:
        """Merges changes into a mailbox; null deletes a key.

        Raises VmboxNotFound, Invalid, EditConflict, PreconditionFailed; Forbidden for another
        value of one of `fixed_keys`, which also stay when they are absent.
        """
        return await self.change(
            account,
            vmbox_id,
            lambda settings: merge(settings, changes),
            precondition,
            fields,
            fixed_keys,
        )

    async def delete(
        self, account: AccountFacts, vmbox_id: UUID, precondition: Precondition | None = None
    ) -> Vmbox:
        """Deletes a mailbox with all its messages; returns its last state.

        Raises VmboxNotFound, PreconditionFailed.
        """
        async with self.database.transaction() as connection:
            await rows.lock_vmbox(connection, account.account_id, vmbox_id)
            if precondition is not None:
                stored = await rows.get_vmbox(connection, account.account_id, vmbox_id)
                if not precondition(stored.vmbox):
                    raise PreconditionFailed
            return self._decrypt(await rows.delete_vmbox(connection, account.account_id, vmbox_id))

    async def change(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        change: Callable[[Document], Document],
        precondition: Precondition | None = None,
        fields: Fields = FIELDS,
        fixed_keys: Collection[str] = (),
    ) -> Vmbox:
        """Applies `change` to the settings of a mailbox and stores the result. Raises as `patch`.

        Nothing is written when `change` returns its argument itself.
        """

        async def attempt() -> Vmbox | None:
            before = await self.get(account, vmbox_id)
            if precondition is not None and not precondition(before):
                raise PreconditionFailed
            current = before.settings
            changed = change(current)
            if changed is current:
                return before
            allowed = fields_for_change(current, fields)
            changed = _keep_keys(current, changed, fixed_keys)
            async with self._collecting_problems(account.account_id, vmbox_id, changed):
                stored = await self._update(before, self._validate(changed, allowed, current))
            return None if stored is None else self._decrypt(stored)

        return await retry_on_conflict(attempt)

    async def preview(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        change: Callable[[Document], Document],
        precondition: Precondition | None = None,
        fields: Fields = FIELDS,
        fixed_keys: Collection[str] = (),
    ) -> Vmbox:
        """Returns a mailbox as `change` would make it. Writes nothing. Raises as `patch`."""
        before = await self.get(account, vmbox_id)
        if precondition is not None and not precondition(before):
            raise PreconditionFailed
        current = before.settings
        changed = _keep_keys(current, change(current), fixed_keys)
        async with self._collecting_problems(account.account_id, vmbox_id, changed):
            settings = self._validate(changed, fields_for_change(current, fields), current)
            async with self.database.connection() as connection:
                problems = await _detect_problems(connection, account.account_id, vmbox_id, changed)
            if problems:
                raise Invalid(problems)
        document, pin = split_pin(settings)
        return msgspec.structs.replace(before, document=document, pin=pin)

    def _validate(
        self, document: Document, fields: Fields, before: Document | None = None
    ) -> Document:
        """Returns the document with defaults. Raises Invalid with all problems."""
        problems = [
            *find_number_problems(document, before or {}, self.callback_numbers),
            *find_time_problems(document),
        ]
        try:
            settings = validate_settings(document, fields, before)
        except Invalid as error:
            raise Invalid([*error.problems, *problems]) from None
        if problems:
            raise Invalid(problems)
        return settings

    async def _insert(
        self, connection: Connection, account: AccountFacts, vmbox_id: UUID, settings: Document
    ) -> Vmbox:
        account_id = account.account_id
        document, pin = split_pin(settings)
        await self._announce_rule(connection, account_id, document)
        encrypted_pin = self._encrypt(pin, account_id, vmbox_id)
        await lock_account_for_share(connection, account_id)
        limit = self.quotas.limit_of(account, Quota.BOXES)
        if limit and await rows.count_vmboxes(connection, account_id, limit) >= limit:
            raise QuotaExceeded(Quota.BOXES, limit)
        stored = await rows.insert_vmbox(connection, account_id, vmbox_id, document, encrypted_pin)
        return self._decrypt(stored)

    async def _update(self, before: Vmbox, settings: Document) -> StoredVmbox | None:
        document, pin = split_pin(settings)
        async with self.database.connection() as connection:
            await self._announce_rule(connection, before.account_id, document)
            return await rows.update_vmbox(
                connection,
                before,
                document,
                self._encrypt(pin, before.account_id, before.vmbox_id),
                self._recipients(before, document),
                is_pin_changed=pin != before.pin,
            )

    async def _announce_rule(
        self, connection: Connection, account_id: UUID, document: Document
    ) -> None:
        """Records, before a box has a retention rule, that boxes of its account may have one."""
        if rule_of(document) == RetentionRule():
            return
        changed = await mark_vmbox_retention(connection, account_id)
        if changed is not None and self.account_cache is not None:
            self.account_cache.store(changed)

    @asynccontextmanager
    async def _collecting_problems(
        self, account_id: UUID, vmbox_id: UUID, document: Document
    ) -> AsyncIterator[None]:
        """Adds the problems that only the database can detect to an error of the block."""
        try:
            yield
        except (Invalid, GreetingNotFound) as error:
            problems = list(error.problems) if isinstance(error, Invalid) else []
            async with self.database.connection() as connection:
                detected = await _detect_problems(connection, account_id, vmbox_id, document)
            added = [problem for problem in detected if problem not in problems]
            if not added:
                raise
            raise Invalid([*problems, *added]) from None

    def _recipients(self, before: Vmbox, document: Document) -> tuple[Recipient, ...]:
        now = self.clock()
        return recipients_of(before.vmbox_id, addresses_of(document), before.recipients, now)

    def _encrypt(self, pin: str | None, account_id: UUID, vmbox_id: UUID) -> bytes | None:
        return None if pin is None else self.secrets.seal(pin, _pin_context(account_id, vmbox_id))

    def _decrypt(self, stored: StoredVmbox) -> Vmbox:
        vmbox = stored.vmbox
        if stored.pin_sealed is None:
            return vmbox
        context = _pin_context(vmbox.account_id, vmbox.vmbox_id)
        return msgspec.structs.replace(vmbox, pin=self.secrets.open(stored.pin_sealed, context))


async def _detect_problems(
    connection: Connection, account_id: UUID, vmbox_id: UUID, document: Document
) -> list[Problem]:
    """Returns the problems with numbers of other mailboxes and greetings that do not exist."""
    is_taken = await rows.are_numbers_taken(connection, account_id, vmbox_id, numbers_of(document))
    greetings = greetings_of(document)
    media_ids = {field: parse_hex_id(text) for field, text in greetings.items()}
    existing = await filter_existing_greetings(
        connection, account_id, [media_id for media_id in media_ids.values() if media_id]
    )
    taken = [Problem(field="mailbox", rule=Rule.UNIQUE)] if is_taken else []
    return taken + [
        Problem(field=field, rule=Rule.NOT_FOUND, value=text)
        for field, text in greetings.items()
        if media_ids[field] not in existing
    ]


def _keep_keys(current: Document, changed: Document, keys: Collection[str]) -> Document:
    if any(key in changed and changed[key] != current.get(key) for key in keys):
        raise Forbidden
    return changed | {key: current[key] for key in keys if key in current}


def _pin_context(account_id: UUID, vmbox_id: UUID) -> bytes:
    """Returns the encryption context that binds a PIN to its mailbox."""
    return SecretPurpose.PIN.context(account_id, vmbox_id)


def _cursor_of(vmbox: Vmbox) -> NameCursor:
    return NameCursor(vmbox.document["name"], vmbox.vmbox_id)
