"""Keys of audio objects: of messages, of greetings, and of their renditions.

Each upload and each rendition has a new key, so objects are never overwritten.
"""

import re
from uuid import UUID

import msgspec

from service.domain.rendition import RenditionFormat

# An original is `audio/<month>/<account>/<message>/<upload>.<extension>` or
# `media/<account>/<greeting>/<upload>.<extension>`. A rendition of it has a suffix.
_KEY = re.compile(
    r"((?:audio/(\d{6})|media)/([0-9a-f]{32})/([0-9a-f]{32})/[0-9a-f]{32}\.\w+)"
    r"(\.\w+-[0-9a-f]{32}\.\w+)?",
    re.ASCII,
)


class ObjectKey(msgspec.Struct, frozen=True, kw_only=True):
    """Content of a key. `month` is None for a greeting.

    `owner_id` is the message or greeting, `original` the key of the original of a rendition.
    """

    key: str
    month: int | None
    account_id: UUID
    owner_id: UUID
    original: str | None = None


def message_key(
    month: int, account_id: UUID, message_id: UUID, upload_id: UUID, extension: str
) -> str:
    """Returns the key of the uploaded audio of a message."""
    return f"{month_prefix(month)}{account_id.hex}/{message_id.hex}/{upload_id.hex}.{extension}"


def greeting_key(account_id: UUID, media_id: UUID, upload_id: UUID, extension: str) -> str:
    """Returns the key of an uploaded greeting."""
    return f"media/{account_id.hex}/{media_id.hex}/{upload_id.hex}.{extension}"


def month_prefix(month: int) -> str:
    """Returns the prefix of the keys of all messages of a month."""
    return f"audio/{month}/"


def rendition_key(original: str, target: RenditionFormat, upload_id: UUID) -> str:
    """Returns the key of a rendition, which begins with the key of its original."""
    return f"{original}.{target}-{upload_id.hex}.{target.extension}"


def parse_object_key(key: str) -> ObjectKey | None:
    """Returns the content of a key, or None if the service does not create such keys."""
    if (match := _KEY.fullmatch(key)) is None:
        return None
    original, month, account, owner, suffix = match.groups()
    return ObjectKey(
        key=key,
        month=int(month) if month else None,
        account_id=UUID(account),
        owner_id=UUID(owner),
        original=original if suffix else None,
    )
