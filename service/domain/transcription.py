"""A transcription: what was heard in the audio of a message, or that nothing could be."""

from typing import Any

MAX_TEXT_BYTES = 16_384
"""In UTF-8; what is longer is cut. It is part of every list and of an event."""


def heard(text: str) -> dict[str, Any]:
    """What is kept of a text. Postgres keeps no NUL."""
    kept = text.replace("\0", "").strip().encode()[:MAX_TEXT_BYTES]
    return {"result": "success", "text": kept.decode(errors="ignore")}


def unheard() -> dict[str, Any]:
    """What is kept where an engine will not take the audio."""
    return {"result": "failure"}
