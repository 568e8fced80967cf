"""Greetings: rows <-> domain; one function per statement of greetings.sql."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from service.domain.errors import GreetingInUse, GreetingNotFound
from service.domain.greeting import Greeting
from service.domain.message import Audio
from service.domain.page import NameCursor
from service.domain.schema import Document
from service.postgres.audio import audio_columns, to_audio
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("greetings")


async def insert_greeting(
    connection: Connection,
    account_id: UUID,
    media_id: UUID,
    document: Document,
    audio: Audio | None,
) -> Greeting:
    """A new greeting, with or without its audio."""
    row = await connection.fetchrow(
        _SQL["insert_greeting"],
        account_id,
        media_id,
        document["name"],
        document,
        *audio_columns(audio),
    )
    assert row is not None, "an INSERT that does not fail returns its row"
    return _to_greeting(row)


async def get_greeting(connection: Connection, account_id: UUID, media_id: UUID) -> Greeting:
    """One greeting. Raises GreetingNotFound."""
    row = await connection.fetchrow(_SQL["get_greeting"], account_id, media_id)
    return _found(row, media_id)


async def list_greetings(
    connection: Connection,
    account_id: UUID,
    start: NameCursor | None,
    limit: int,
    *,
    descending: bool = False,
) -> list[Greeting]:
    """The greetings of an account by (name, id) from `start` on."""
    if descending:
        name, media_id = (start.name, start.id) if start else (None, None)
        statement = _SQL["list_greetings_descending"]
    else:
        name, media_id = (start.name, start.id) if start else ("", UUID(int=0))
        statement = _SQL["list_greetings"]
    rows = await connection.fetch(statement, account_id, name, media_id, limit)
    return [_to_greeting(row) for row in rows]


async def update_greeting(
    connection: Connection, before: Greeting, document: Document
) -> Greeting | None:
    """Replaces the document of a greeting as it was read; None when it was changed since."""
    row = await connection.fetchrow(
        _SQL["update_greeting"],
        before.account_id,
        before.media_id,
        before.revision,
        document["name"],
        document,
    )
    return None if row is None else _to_greeting(row)


async def attach_greeting_audio(
    connection: Connection, account_id: UUID, media_id: UUID, audio: Audio
) -> tuple[Greeting, str | None]:
    """Gives a greeting its audio; also returns the key of the audio that it replaced.

    Raises GreetingNotFound.
    """
    row = await connection.fetchrow(
        _SQL["attach_greeting_audio"], account_id, media_id, *audio_columns(audio)
    )
    return _found(row, media_id), None if row is None else row["replaced_key"]


async def delete_greeting(connection: Connection, account_id: UUID, media_id: UUID) -> Greeting:
    """Deletes a greeting; returns it as it was. Raises GreetingNotFound, GreetingInUse."""
    try:
        row = await connection.fetchrow(_SQL["delete_greeting"], account_id, media_id)
    except asyncpg.ForeignKeyViolationError as error:
        if error.constraint_name == "vmbox_media_exists":
            raise GreetingInUse from error
        raise
    return _found(row, media_id)


async def known_greetings(
    connection: Connection, account_id: UUID, media_ids: Sequence[UUID]
) -> set[UUID]:
    """Those of the greetings that are there."""
    rows = await connection.fetch(_SQL["known_greetings"], account_id, media_ids)
    return {row["media_id"] for row in rows}


def _found(row: asyncpg.Record | None, media_id: UUID) -> Greeting:
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
