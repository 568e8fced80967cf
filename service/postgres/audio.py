"""Audio as rows hold it: four columns, all of them or none."""

import asyncpg

from service.domain.message import Audio


def audio_columns(audio: Audio | None) -> tuple[object, ...]:
    """`audio_key`, `audio_type`, `audio_size`, `audio_sha256`."""
    if audio is None:
        return (None, None, None, None)
    return (audio.key, audio.content_type, audio.size, audio.sha256)


def to_audio(row: asyncpg.Record) -> Audio | None:
    """The audio that a row points at."""
    key = row["audio_key"]
    if key is None:
        return None
    return Audio(
        key=key,
        content_type=row["audio_type"],
        size=row["audio_size"],
        sha256=row["audio_sha256"],
    )
