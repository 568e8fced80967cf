"""Use cases of greetings: create, read, list, change, attach audio, delete."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from service.audio.keys import greeting_key
from service.audio.store import AudioStore
from service.domain.access import ADMIN_ACCESS, Access
from service.domain.account import NO_QUOTAS, AccountFacts, Quotas
from service.domain.errors import Forbidden, NoGreetingPlays
from service.domain.greeting import Greeting, validate_greeting
from service.domain.greeting_rules import PlayingGreeting, next_change, playing_order
from service.domain.message import Audio, parse_hex_id, uuid7
from service.domain.page import NameCursor, Page
from service.domain.schema import Document, merge
from service.domain.vmbox import greetings_of
from service.postgres import greetings as rows
from service.postgres.accounts import lock_account_for_share
from service.postgres.pool import Database
from service.usecases.audio_removal import try_remove_audio
from service.usecases.optimistic_update import retry_on_conflict
from service.usecases.pages import read_documents
from service.usecases.uploads import (
    Upload,
    Uploads,
    check_stored_bytes,
    delete_on_error,
    store_upload,
)


@dataclass(frozen=True)
class Greetings:
    """Use cases of greetings. `clock` returns aware UTC."""

    database: Database
    audio: AudioStore
    clock: Callable[[], datetime]
    uploads: Uploads
    quotas: Quotas = NO_QUOTAS

    async def create(
        self,
        account: AccountFacts,
        document: Document,
        upload: Upload | None,
        owner_id: UUID | None = None,
        media_id: UUID | None = None,
    ) -> Greeting:
        """Creates a greeting. An import chooses the `media_id`. The audio can be attached later.

        The audio object is written before the row. Raises Invalid, AudioEmpty, NotAudio,
        AccountNotFound, QuotaExceeded.
        """
        checked = validate_greeting(document)
        media_id = media_id or uuid7(self.clock())
        audio = None if upload is None else await self._store_audio(account, media_id, upload)
        async with (
            delete_on_error(self.audio, audio),
            self.database.transaction() as connection,
        ):
            await lock_account_for_share(connection, account.account_id)
            if audio is not None:
                await check_stored_bytes(connection, account, self.quotas, audio.size)
            return await rows.insert_greeting(
                connection, account.account_id, media_id, checked, audio, owner_id
            )

    async def check_access(
        self,
        account: AccountFacts,
        access: Access,
        media_ids: Collection[UUID],
        *,
        for_change: bool = False,
    ) -> None:
        """Raises Forbidden unless the caller may read, or `for_change` change, all greetings."""
        if access.vmbox_ids is None or not media_ids:
            return
        async with self.database.connection() as connection:
            allowed = await rows.filter_greetings_of_boxes(
                connection,
                account.account_id,
                media_ids,
                vmbox_ids=access.vmbox_ids,
                owner_id=access.user_id,
                for_change=for_change,
            )
        if not allowed.issuperset(media_ids):
            raise Forbidden

    async def get(self, account: AccountFacts, media_id: UUID) -> Greeting:
        """Returns a greeting. Raises GreetingNotFound."""
        async with self.database.connection() as connection:
            return await rows.get_greeting(connection, account.account_id, media_id)

    async def get_playing(
        self, account: AccountFacts, vmbox_id: UUID, *, is_busy: bool = False
    ) -> PlayingGreeting:
        """Returns the greeting of a mailbox that callers hear now; it has audio.

        `is_busy` prefers the greeting for a busy line. Raises VmboxNotFound, NoGreetingPlays.
        """
        async with self.database.connection() as connection:
            settings, greetings = await rows.list_greetings_of_vmbox(
                connection, account.account_id, vmbox_id
            )
        now, ids = self.clock(), greetings_of(settings)
        for role in playing_order(settings, now, is_busy=is_busy):
            media_id = parse_hex_id(ids.get(f"media.{role}", ""))
            greeting = greetings.get(media_id) if media_id else None
            if greeting is not None and greeting.audio is not None:
                changes_at = next_change(settings, now)
                return PlayingGreeting(role=role, greeting=greeting, changes_at=changes_at)
        raise NoGreetingPlays

    async def list(
        self,
        account: AccountFacts,
        start: NameCursor | None,
        limit: int,
        *,
        access: Access = ADMIN_ACCESS,
        descending: bool = False,
        predicate: Callable[[Greeting], bool] | None = None,
        keys: Collection[str] | None = None,
    ) -> Page[Greeting, NameCursor]:
        """Returns a page of the greetings that `access` allows, by name."""

        async def read(start: NameCursor | None, limit: int) -> list[Greeting]:
            async with self.database.connection() as connection:
                return await rows.list_greetings(
                    connection,
                    account.account_id,
                    start,
                    limit,
                    descending=descending,
                    vmbox_ids=access.vmbox_ids,
                    owner_id=access.user_id,
                )

        return await read_documents(read, _cursor_of, start, limit, predicate, keys)

    async def replace(self, account: AccountFacts, media_id: UUID, document: Document) -> Greeting:
        """Replaces the document of a greeting and keeps its audio. Raises as `patch`."""
        return await self._change(account, media_id, lambda _: document)

    async def patch(self, account: AccountFacts, media_id: UUID, changes: Document) -> Greeting:
        """Merges changes into a greeting; null deletes a key.

        Raises GreetingNotFound, Invalid, EditConflict.
        """
        return await self._change(account, media_id, lambda document: merge(document, changes))

    async def attach_audio(self, account: AccountFacts, media_id: UUID, upload: Upload) -> Greeting:
        """Adds or replaces the audio of a greeting; the old object is deleted last.

        Raises GreetingNotFound, AudioEmpty, NotAudio, QuotaExceeded.
        """
        before = (await self.get(account, media_id)).audio
        audio = await self._store_audio(account, media_id, upload)
        async with (
            delete_on_error(self.audio, audio),
            self.database.transaction() as connection,
        ):
            more = audio.size - (before.size if before else 0)
            await check_stored_bytes(connection, account, self.quotas, more)
            greeting, replaced_key = await rows.attach_greeting_audio(
                connection, account.account_id, media_id, audio
            )
        if replaced_key is not None:
            await try_remove_audio(self.database, self.audio, replaced_key)
        return greeting

    async def delete(self, account: AccountFacts, media_id: UUID) -> Greeting:
        """Deletes a greeting that no mailbox uses; returns its last state. Deletes the row first.

        Raises GreetingNotFound, GreetingInUse.
        """
        async with self.database.transaction() as connection:
            greeting = await rows.delete_greeting(connection, account.account_id, media_id)
        if greeting.audio is not None:
            await try_remove_audio(self.database, self.audio, greeting.audio.key)
        return greeting

    def read(
        self, audio: Audio, start: int, length: int
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Streams a part of the audio. Raises AudioMissing and Unavailable on entry."""
        return self.audio.read(audio.key, start, length)

    async def _change(
        self, account: AccountFacts, media_id: UUID, change: Callable[[Document], Document]
    ) -> Greeting:
        async def attempt() -> Greeting | None:
            async with self.database.transaction() as connection:
                before = await rows.get_greeting(connection, account.account_id, media_id)
                checked = validate_greeting(change(before.document))
                return await rows.update_greeting(connection, before, checked)

        return await retry_on_conflict(attempt)

    async def _store_audio(self, account: AccountFacts, media_id: UUID, upload: Upload) -> Audio:
        key_of = partial(greeting_key, account.account_id, media_id, uuid7(self.clock()))
        return (await store_upload(self.audio, upload, key_of)).audio


def _cursor_of(greeting: Greeting) -> NameCursor:
    return NameCursor(greeting.document["name"], greeting.media_id)
