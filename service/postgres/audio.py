"""The four audio columns of messages and greetings. They are all null or all set."""

from typing import Any

import asyncpg

from service.domain.message import Audio


def audio_values(audio: Audio | None) -> dict[str, Any]:
    """Returns the values of the columns by name."""
    return {
        "audio_key": audio and audio.key,
        "audio_type": audio and audio.content_type,
        "audio_size": audio and audio.size,
        "audio_sha256": audio and audio.sha256,
    }


def to_audio(row: asyncpg.Record) -> Audio | None:
    """Returns the audio of a row."""
    key = row["audio_key"]
    if key is None:
        return None
    return Audio(
        key=key,
        content_type=row["audio_type"],
        size=row["audio_size"],
        sha256=row["audio_sha256"],
    )
