"""Transcriptions of messages, in the form in which they are stored."""

from collections.abc import Mapping
from typing import Any

SUCCESS = "success"
MAX_TEXT_BYTES = 16_384
"""Limit in UTF-8 bytes, because the text is part of lists and events. Longer text is cut."""


def transcript_of(transcription: Mapping[str, Any] | None) -> str | None:
    """Returns the text of a successful transcription, else None."""
    if transcription is None or transcription.get("result") != SUCCESS:
        return None
    text = transcription.get("text")
    return text if isinstance(text, str) else None


def successful_transcription(text: str) -> dict[str, Any]:
    """Returns the stored form of a text, without NUL, which PostgreSQL cannot store."""
    kept = text.replace("\0", "").strip().encode()[:MAX_TEXT_BYTES]
    return {"result": SUCCESS, "text": kept.decode(errors="ignore")}


def failed_transcription() -> dict[str, Any]:
    """Returns the stored form of audio that the engine rejected."""
    return {"result": "failure"}
