"""A greeting: what callers hear before they leave a message."""

from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.errors import DocumentTooLarge, Invalid
from service.domain.message import Audio
from service.domain.schema import Document, Field, apply_schema, strip_reserved_keys

MAX_DOCUMENT_BYTES = 65_536
MAX_NAME = 128
_SERVER_KEYS = frozenset({"id", "content_type", "content_length"})

# As much of a sound as greetings need; unknown keys are kept.
FIELDS = {
    "name": Field(required=True, min_length=1, max_length=MAX_NAME),
    "description": Field(min_length=1, max_length=128),
    "language": Field(min_length=1, max_length=36, default="en-us"),
}


class Greeting(msgspec.Struct, frozen=True, kw_only=True):
    """A greeting as stored. `audio` is None until it has some."""

    account_id: UUID
    media_id: UUID
    document: Document
    audio: Audio | None
    revision: int
    created_at: datetime
    modified_at: datetime


def validate_greeting(document: Document) -> Document:
    """The document with defaults written in; Invalid names every field that breaks a rule."""
    submitted = strip_reserved_keys(document, _SERVER_KEYS)
    checked, problems = apply_schema(submitted, FIELDS)
    if problems:
        raise Invalid(problems)
    if len(msgspec.json.encode(checked)) > MAX_DOCUMENT_BYTES:
        raise DocumentTooLarge(MAX_DOCUMENT_BYTES)
    return checked
