"""Greetings: one function per statement of greetings.sql."""

from collections.abc import Collection, Sequence
from uuid import UUID

import asyncpg

from service.domain.audit import Action
from service.domain.errors import GreetingInUse, GreetingNotFound, VmboxNotFound
from service.domain.greeting import Greeting
from service.domain.message import Audio
from service.domain.page import NameCursor
from service.domain.schema import Document
from service.postgres.audio import audio_values, to_audio
from service.postgres.audit import insert_change
from service.postgres.pool import Connection
from service.postgres.sql import load, page_start

_SQL = load("greetings")


async def insert_greeting(
    connection: Connection,
    account_id: UUID,
    media_id: UUID,
    document: Document,
    audio: Audio | None,
    owner_id: UUID | None = None,
) -> Greeting:
    """Creates a greeting, with or without audio."""
    row = await _SQL["insert_greeting"].fetchrow(
        connection,
        account_id=account_id,
        media_id=media_id,
        name=document["name"],
        document=document,
        owner_id=owner_id,
        **audio_values(audio),
    )
    assert row is not None, "an INSERT that does not fail returns its row"
    await insert_change(connection, account_id, Action.GREETING_CREATED, media_id)
    return _to_greeting(row)


async def get_greeting(connection: Connection, account_id: UUID, media_id: UUID) -> Greeting:
    """Returns a greeting. Raises GreetingNotFound."""
    row = await _SQL["get_greeting"].fetchrow(connection, account_id=account_id, media_id=media_id)
    return _greeting_or_raise(row, media_id)


async def list_greetings(
    connection: Connection,
    account_id: UUID,
    start: NameCursor | None,
    limit: int,
    *,
    descending: bool = False,
    vmbox_ids: Collection[UUID] | None = None,
    owner_id: UUID | None = None,
) -> list[Greeting]:
    """Returns the greetings of an account by (name, id) from `start` on.

    With `vmbox_ids`, returns only greetings that these boxes use or that `owner_id` has created.
    """
    statement = _SQL["list_greetings_descending" if descending else "list_greetings"]
    rows = await statement.fetch(
        connection,
        account_id=account_id,
        vmbox_ids=vmbox_ids,
        owner_id=owner_id,
        **page_start(start, descending),
        limit=limit,
    )
    return [_to_greeting(row) for row in rows]


async def update_greeting(
    connection: Connection, before: Greeting, document: Document
) -> Greeting | None:
    """Replaces the document of a greeting. Returns None when `before` is no longer its revision."""
    row = await _SQL["update_greeting"].fetchrow(
        connection,
        account_id=before.account_id,
        media_id=before.media_id,
        revision=before.revision,
        name=document["name"],
        document=document,
    )
    if row is None:
        return None
    await insert_change(connection, before.account_id, Action.GREETING_UPDATED, before.media_id)
    return _to_greeting(row)


async def attach_greeting_audio(
    connection: Connection, account_id: UUID, media_id: UUID, audio: Audio
) -> tuple[Greeting, str | None]:
    """Sets the audio of a greeting. Returns the greeting and the key of the replaced audio.

    Raises GreetingNotFound.
    """
    row = await _SQL["attach_greeting_audio"].fetchrow(
        connection, account_id=account_id, media_id=media_id, **audio_values(audio)
    )
    greeting = _greeting_or_raise(row, media_id)
    await insert_change(connection, account_id, Action.GREETING_AUDIO_REPLACED, media_id)
    return greeting, None if row is None else row["replaced_key"]


async def delete_greeting(connection: Connection, account_id: UUID, media_id: UUID) -> Greeting:
    """Deletes a greeting and returns it. Raises GreetingNotFound, GreetingInUse."""
    try:
        row = await _SQL["delete_greeting"].fetchrow(
            connection, account_id=account_id, media_id=media_id
        )
    except asyncpg.ForeignKeyViolationError as error:
        if error.constraint_name == "vmbox_media_exists":
            raise GreetingInUse from error
        raise
    greeting = _greeting_or_raise(row, media_id)
    await insert_change(connection, account_id, Action.GREETING_DELETED, media_id)
    return greeting


async def list_greetings_of_vmbox(
    connection: Connection, account_id: UUID, vmbox_id: UUID
) -> tuple[Document, dict[UUID, Greeting]]:
    """Returns the settings of a box, and the greetings that it uses. Raises VmboxNotFound."""
    rows = await _SQL["list_greetings_of_vmbox"].fetch(
        connection, account_id=account_id, vmbox_id=vmbox_id
    )
    if not rows:
        raise VmboxNotFound(vmbox_id.hex)
    greetings = {row["media_id"]: _to_greeting(row) for row in rows if row["media_id"]}
    return rows[0]["settings"], greetings


async def filter_existing_greetings(
    connection: Connection, account_id: UUID, media_ids: Sequence[UUID]
) -> set[UUID]:
    """Returns the greetings that exist."""
    rows = await _SQL["filter_existing_greetings"].fetch(
        connection, account_id=account_id, media_ids=media_ids
    )
    return {row["media_id"] for row in rows}


async def filter_greetings_of_boxes(
    connection: Connection,
    account_id: UUID,
    media_ids: Collection[UUID],
    *,
    vmbox_ids: Collection[UUID],
    owner_id: UUID | None,
    for_change: bool,
) -> set[UUID]:
    """Returns the greetings that an owner of boxes may read, or change with `for_change`."""
    rows = await _SQL["filter_greetings_of_boxes"].fetch(
        connection,
        account_id=account_id,
        media_ids=media_ids,
        vmbox_ids=vmbox_ids,
        owner_id=owner_id,
        for_change=for_change,
    )
    return {row["media_id"] for row in rows}


def _greeting_or_raise(row: asyncpg.Record | None, media_id: UUID) -> Greeting:
    if row is None:
        raise GreetingNotFound(media_id.hex)
    return _to_greeting(row)


def _to_greeting(row: asyncpg.Record) -> Greeting:
    return Greeting(
        account_id=row["account_id"],
        media_id=row["media_id"],
        document=row["document"],
        audio=to_audio(row),
        revision=row["revision"],
        created_at=row["created_at"],
        modified_at=row["modified_at"],
    )
