"""What one may ask about boxes: create, read, list, change, delete."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.account import AccountFacts
from service.domain.errors import (
    EditConflict,
    GreetingNotFound,
    Invalid,
    MailboxNumbersExhausted,
    NumberTaken,
    PreconditionFailed,
    Problem,
    Rule,
)
from service.domain.message import parse_hex_id, uuid7
from service.domain.page import NameCursor, Page
from service.domain.recipient import Recipient, recipients_of
from service.domain.schema import Document, Fields, merge
from service.domain.vmbox import (
    FIELDS,
    Vmbox,
    addresses_of,
    checked_settings,
    greetings_of,
    some_numbers_of,
    without_pin,
)
from service.postgres import vmboxes as rows
from service.postgres.accounts import hold_account
from service.postgres.greetings import known_greetings
from service.postgres.pool import Connection, Database
from service.postgres.vmboxes import StoredVmbox
from service.security import SecretBox
from service.usecases.pages import read_page

# Whether a box, as it is found, is one that the caller means to change.
Expected = Callable[[Vmbox], bool]

# How often a change is tried again when others change the same box at the same time.
_ATTEMPTS = 8


@dataclass(frozen=True)
class Vmboxes:
    """The use cases of boxes. `clock` gives aware UTC."""

    database: Database
    secrets: SecretBox
    clock: Callable[[], datetime]

    async def create(
        self, account: AccountFacts, document: Document, fields: Fields = FIELDS
    ) -> Vmbox:
        """Creates a box by the rules of `fields`. Raises Invalid, also for a number in use, and
        AccountNotFound when the account was just deleted."""
        vmbox_id = self._new_id()
        async with (
            self._storing(account.account_id, vmbox_id, document),
            self.database.transaction() as connection,
        ):
            settings = checked_settings(document, fields)
            return await self._insert(connection, account.account_id, vmbox_id, settings)

    async def create_numbered(
        self, account: AccountFacts, document: Document, fields: Fields = FIELDS
    ) -> Vmbox:
        """Creates a box under the lowest free number of four digits, from 1000 on.

        Raises as `create`, NoNumberFree; EditConflict when others keep naming the number found.
        """
        for _ in range(_ATTEMPTS):
            vmbox_id = self._new_id()
            with suppress(NumberTaken):
                async with (
                    self._storing(account.account_id, vmbox_id, document),
                    self.database.transaction() as connection,
                ):
                    number = await rows.lowest_free_number(connection, account.account_id)
                    if number is None:
                        raise MailboxNumbersExhausted
                    settings = checked_settings({**document, "mailbox": number}, fields)
                    return await self._insert(connection, account.account_id, vmbox_id, settings)
        raise EditConflict

    async def get(self, account: AccountFacts, vmbox_id: UUID) -> Vmbox:
        """One box with its PIN and counts. Raises VmboxNotFound."""
        async with self.database.connection() as connection:
            return self._opened(await rows.get_vmbox(connection, account.account_id, vmbox_id))

    async def list(
        self,
        account: AccountFacts,
        start: NameCursor | None,
        limit: int,
        *,
        descending: bool = False,
        with_pins: bool = False,
        predicate: Callable[[Vmbox], bool] | None = None,
    ) -> Page[Vmbox, NameCursor]:
        """A page of boxes by name, filled after filtering; PINs only when they are asked for."""

        async def read(start: NameCursor | None, limit: int) -> list[Vmbox]:
            async with self.database.connection() as connection:
                found = await rows.list_vmboxes(
                    connection, account.account_id, start, limit, descending=descending
                )
            return [self._opened(stored) if with_pins else stored.vmbox for stored in found]

        return await read_page(read, _key_of, start, limit, predicate)

    async def replace(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        document: Document,
        expected: Expected | None = None,
        fields: Fields = FIELDS,
    ) -> Vmbox:
        """Puts another document in place of a box's. Raises as `patch` does."""
        return await self.change(account, vmbox_id, lambda _: document, expected, fields)

    async def patch(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        changes: Document,
        expected: Expected | None = None,
        fields: Fields = FIELDS,
    ) -> Vmbox:
        """Merges changes into a box; null deletes.

        Raises VmboxNotFound, Invalid, EditConflict; RevisionPassed when the box is not `expected`.
        """
        return await self.change(
            account, vmbox_id, lambda settings: merge(settings, changes), expected, fields
        )

    async def delete(
        self, account: AccountFacts, vmbox_id: UUID, expected: Expected | None = None
    ) -> Vmbox:
        """Deletes a box with all its messages; returns it as it was.

        Raises VmboxNotFound; RevisionPassed when the box is not `expected`.
        """
        async with self.database.transaction() as connection:
            await rows.lock_vmbox(connection, account.account_id, vmbox_id)
            if expected is not None:
                held = await rows.get_vmbox(connection, account.account_id, vmbox_id)
                if not expected(held.vmbox):
                    raise PreconditionFailed
            return self._opened(await rows.delete_vmbox(connection, account.account_id, vmbox_id))

    async def change(
        self,
        account: AccountFacts,
        vmbox_id: UUID,
        change: Callable[[Document], Document],
        expected: Expected | None = None,
        fields: Fields = FIELDS,
    ) -> Vmbox:
        """Reads, changes, writes if nobody has changed it since, else again from the start.

        When `change` returns the very settings that it got, nothing is written. Raises as `patch`.
        """
        for _ in range(_ATTEMPTS):
            before = await self.get(account, vmbox_id)
            if expected is not None and not expected(before):
                raise PreconditionFailed
            held = before.settings
            wanted = change(held)
            if wanted is held:
                return before
            async with self._storing(account.account_id, vmbox_id, wanted):
                stored = await self._update(before, checked_settings(wanted, fields))
            if stored is not None:
                return self._opened(stored)
        raise EditConflict

    async def _insert(
        self, connection: Connection, account_id: UUID, vmbox_id: UUID, settings: Document
    ) -> Vmbox:
        document, pin = without_pin(settings)
        sealed = self._sealed(pin, account_id, vmbox_id)
        await hold_account(connection, account_id)
        stored = await rows.insert_vmbox(connection, account_id, vmbox_id, document, sealed)
        return self._opened(stored)

    async def _update(self, before: Vmbox, settings: Document) -> StoredVmbox | None:
        document, pin = without_pin(settings)
        async with self.database.connection() as connection:
            return await rows.update_vmbox(
                connection,
                before,
                document,
                self._sealed(pin, before.account_id, before.vmbox_id),
                self._recipients(before, document),
            )

    @asynccontextmanager
    async def _storing(
        self, account_id: UUID, vmbox_id: UUID, document: Document
    ) -> AsyncIterator[None]:
        """Around the checking and storing of a box: what refuses it is told with all the rest."""
        try:
            yield
        except (Invalid, GreetingNotFound) as error:
            told = list(error.problems) if isinstance(error, Invalid) else []
            async with self.database.connection() as connection:
                found = await _at_odds(connection, account_id, vmbox_id, document)
            more = [problem for problem in found if problem not in told]
            if not more:
                raise
            raise Invalid([*told, *more]) from None

    def _recipients(self, before: Vmbox, document: Document) -> tuple[Recipient, ...]:
        now = self.clock()
        return recipients_of(before.vmbox_id, addresses_of(document), before.recipients, now)

    def _new_id(self) -> UUID:
        return uuid7(self.clock(), os.urandom(10))

    def _sealed(self, pin: str | None, account_id: UUID, vmbox_id: UUID) -> bytes | None:
        return None if pin is None else self.secrets.seal(pin, _context(account_id, vmbox_id))

    def _opened(self, stored: StoredVmbox) -> Vmbox:
        if stored.pin_sealed is None:
            return stored.vmbox
        vmbox = stored.vmbox
        pin = self.secrets.open(stored.pin_sealed, _context(vmbox.account_id, vmbox.vmbox_id))
        return msgspec.structs.replace(vmbox, pin=pin)


async def _at_odds(
    connection: Connection, account_id: UUID, vmbox_id: UUID, document: Document
) -> list[Problem]:
    """What a document names that other boxes answer to, or that is not there."""
    numbers = some_numbers_of(document)
    taken = await rows.numbers_taken(connection, account_id, vmbox_id, numbers)
    named = {field: (text, parse_hex_id(text)) for field, text in greetings_of(document).items()}
    ids = [media_id for _, media_id in named.values() if media_id is not None]
    known = await known_greetings(connection, account_id, ids)
    return [Problem(field="mailbox", rule=Rule.UNIQUE)] * taken + [
        Problem(field=field, rule=Rule.NOT_FOUND, value=text)
        for field, (text, media_id) in named.items()
        if media_id not in known
    ]


def _context(account_id: UUID, vmbox_id: UUID) -> bytes:
    """Binds a sealed PIN to its box: copied into another row it does not open."""
    return b"pin" + account_id.bytes + vmbox_id.bytes


def _key_of(vmbox: Vmbox) -> NameCursor:
    return NameCursor(vmbox.document["name"], vmbox.vmbox_id)
