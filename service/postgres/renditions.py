"""Renditions of audio: one function per statement of renditions.sql."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from service.domain.message import Audio
from service.domain.rendition import RenditionFormat
from service.postgres.audio import audio_values
from service.postgres.audit import event_values
from service.postgres.messages import MessageKey
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("renditions")


class RenditionKey(msgspec.Struct, frozen=True):
    """Primary key of a rendition. `audio_key` is the key of the original."""

    account_id: UUID
    audio_key: str
    format: RenditionFormat


class RemovedObject(msgspec.Struct, frozen=True):
    """Object of which the row is removed: an original, or the rendition `key` of it."""

    account_id: UUID
    audio_key: str
    key: str | None = None


async def get_rendition(connection: Connection, key: RenditionKey) -> Audio | None:
    """Returns a rendition, or None if there is none."""
    row = await _SQL["get_rendition"].fetchrow(connection, **_values(key))
    if row is None:
        return None
    return Audio(
        key=row["key"],
        content_type=key.format.content_type,
        size=row["size"],
        sha256=row["sha256"],
    )


async def insert_rendition(connection: Connection, key: RenditionKey, audio: Audio) -> bool:
    """Inserts a rendition. Returns False if there is one already."""
    inserted = await _SQL["insert_rendition"].fetchval(
        connection, **_values(key), key=audio.key, size=audio.size, sha256=audio.sha256
    )
    return inserted is not None


async def delete_renditions(connection: Connection, removed: Sequence[RemovedObject]) -> list[str]:
    """Deletes the renditions of originals, and single renditions. Returns the keys of objects."""
    rows = await _SQL["delete_renditions"].fetch(
        connection,
        account_ids=[item.account_id for item in removed],
        audio_keys=[item.audio_key for item in removed],
        keys=[item.key for item in removed],
    )
    return [row["key"] for row in rows]


async def evict_renditions(connection: Connection, account_id: UUID, max_bytes: int) -> list[str]:
    """Deletes the oldest renditions of an account above a size. Returns the keys of objects."""
    rows = await _SQL["evict_renditions"].fetch(
        connection, account_id=account_id, max_bytes=max_bytes
    )
    return [row["key"] for row in rows]


async def normalize_message(
    connection: Connection, key: MessageKey, replaced_key: str, audio: Audio
) -> bool:
    """Replaces the audio of a message by the same audio in another format.

    Returns False when the message was removed, is held, or no longer has the audio `replaced_key`.
    """
    sequence = await _SQL["normalize_message"].fetchval(
        connection,
        **key.values(),
        **audio_values(audio),
        replaced_key=replaced_key,
        **event_values(),
    )
    return sequence is not None


def _values(key: RenditionKey) -> dict[str, Any]:
    return {"account_id": key.account_id, "audio_key": key.audio_key, "format": key.format}
