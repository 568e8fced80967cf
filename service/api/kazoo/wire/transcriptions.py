"""JSON of transcriptions with their words."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.kazoo.wire.messages import TranscriptionDetails
from service.api.kazoo.wire.types import MessageIdString
from service.domain.transcription import DetailedTranscription, split_details


class TranscribedWord(msgspec.Struct, kw_only=True):
    """A word with its times in the audio, in milliseconds."""

    word: str
    start: Annotated[int, Meta(description="Milliseconds from the start of the audio")]
    end: Annotated[int, Meta(description="Milliseconds from the start of the audio")]
    confidence: Annotated[int, Meta(ge=0, le=100, description="Percent")]


class TranscriptionDetail(TranscriptionDetails, kw_only=True):
    """A transcription. `result` is `success` or `failure`."""

    result: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    words: list[TranscribedWord]


class TranscriptionRequest(msgspec.Struct, kw_only=True):
    """A request for a transcription."""

    media_id: MessageIdString


def transcription_detail(found: DetailedTranscription) -> TranscriptionDetail:
    """Returns a transcription with its words."""
    kazoo_object, details = split_details(found.transcription)
    words = [
        TranscribedWord(
            word=word.text, start=word.start_ms, end=word.end_ms, confidence=word.confidence
        )
        for word in found.words
    ]
    return TranscriptionDetail(
        result=_string_or_unset(kazoo_object.get("result")),
        text=_string_or_unset(kazoo_object.get("text")),
        words=words,
        **details,
    )


def _string_or_unset(value: Any) -> str | UnsetType:
    return value if isinstance(value, str) else UNSET
