"""Transcriptions of messages, in the form in which they are stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from service.domain.message import MessageId, month_of

SUCCESS = "success"
FAILURE = "failure"
MAX_TEXT_BYTES = 16_384
"""Limit in UTF-8 bytes, because the text is part of lists and events. Longer text is cut."""
REQUEST_LIFETIME = timedelta(hours=1)
"""Time in which a second request for the transcription of a message has no effect."""
MAX_REQUESTS = 100_000
"""Maximum number of messages of one run of `aftertone transcribe`."""
DETAILS = ("language", "engine", "model")
"""Keys of a stored transcription that only one of the dialects shows."""


class Word(msgspec.Struct, frozen=True, array_like=True):
    """Word with its times in the audio, and the confidence of the engine in percent."""

    start_ms: Annotated[int, Meta(ge=0, lt=2**31)]
    end_ms: Annotated[int, Meta(ge=0, lt=2**31)]
    confidence: Annotated[int, Meta(ge=0, le=100)]
    text: str


class Recognition(msgspec.Struct, frozen=True, kw_only=True):
    """Text of a recording. `language` is ISO 639-1; empty means unknown."""

    text: str
    language: str = ""
    words: tuple[Word, ...] = ()


class DetailedTranscription(msgspec.Struct, frozen=True, kw_only=True):
    """Stored transcription of a message with its words."""

    transcription: dict[str, Any]
    words: list[Word]


class TranscriptionSelection(msgspec.Struct, frozen=True, kw_only=True):
    """Messages to transcribe: with audio, and without a text unless `again`. None means all."""

    vmbox_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    again: bool = False

    @property
    def first(self) -> MessageId:
        """Id before all messages of the selection."""
        return MessageId(month_of(self.since) if self.since else 0, UUID(int=0))


def transcript_of(transcription: Mapping[str, Any] | None) -> str | None:
    """Returns the text of a successful transcription, else None."""
    if transcription is None or transcription.get("result") != SUCCESS:
        return None
    text = transcription.get("text")
    return text if isinstance(text, str) else None


def successful_transcription(text: str, **details: str) -> dict[str, Any]:
    """Returns the stored form of a text, without NUL, which PostgreSQL cannot store."""
    return {"result": SUCCESS, "text": _cut(text), **_stored_details(details)}


def failed_transcription(**details: str) -> dict[str, Any]:
    """Returns the stored form of audio that the engine rejected."""
    return {"result": FAILURE, **_stored_details(details)}


def storable_words(words: Sequence[Word]) -> tuple[Word, ...]:
    """Returns the words without NUL, up to the length at which the text is cut."""
    kept: list[Word] = []
    size = 0
    for word in words:
        text = word.text.replace("\0", "").strip()
        size += len(text.encode()) + 1
        if size > MAX_TEXT_BYTES:
            break
        if text:
            kept.append(msgspec.structs.replace(word, text=text))
    return tuple(kept)


def split_details(transcription: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the wire object of a stored transcription, and its details."""
    details = {key: text for key in DETAILS if isinstance(text := transcription.get(key), str)}
    return {key: value for key, value in transcription.items() if key not in details}, details


def _cut(text: str) -> str:
    kept = text.replace("\0", "").strip().encode()[:MAX_TEXT_BYTES]
    return kept.decode(errors="ignore")


def _stored_details(details: Mapping[str, str]) -> dict[str, str]:
    return {name: details[name] for name in DETAILS if details.get(name)}
