"""A transcription: what was heard in the audio of a message, or that nothing could be."""

from collections.abc import Mapping
from typing import Any

SUCCESS = "success"
MAX_TEXT_BYTES = 16_384
"""In UTF-8; what is longer is cut. It is part of every list and of an event."""


def transcript_of(transcription: Mapping[str, Any] | None) -> str | None:
    """What was heard; None where nothing was."""
    if transcription is None or transcription.get("result") != SUCCESS:
        return None
    text = transcription.get("text")
    return text if isinstance(text, str) else None


def successful_transcription(text: str) -> dict[str, Any]:
    """What is kept of a text. Postgres keeps no NUL."""
    kept = text.replace("\0", "").strip().encode()[:MAX_TEXT_BYTES]
    return {"result": SUCCESS, "text": kept.decode(errors="ignore")}


def failed_transcription() -> dict[str, Any]:
    """What is kept where an engine will not take the audio."""
    return {"result": "failure"}
