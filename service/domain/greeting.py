"""Greetings: audio that is played to callers before they leave a message."""

from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.message import Audio
from service.domain.schema import Document, Field, validate_document

MAX_NAME = 128
_SERVER_KEYS = frozenset({"id", "content_type", "content_length"})

# Unknown keys are kept.
FIELDS = {
    "name": Field(required=True, min_length=1, max_length=MAX_NAME),
    "description": Field(min_length=1, max_length=128),
    "language": Field(min_length=1, max_length=36, default="en-us"),
}


class Greeting(msgspec.Struct, frozen=True, kw_only=True):
    """Stored greeting. `audio` is None until audio is uploaded."""

    account_id: UUID
    media_id: UUID
    document: Document
    audio: Audio | None
    revision: int
    created_at: datetime
    modified_at: datetime


def validate_greeting(document: Document) -> Document:
    """Returns the document with defaults. Raises Invalid with all problems, DocumentTooLarge."""
    return validate_document(document, FIELDS, _SERVER_KEYS)
