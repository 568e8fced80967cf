"""Messages: ids, folders, audio, and the retention time."""

import re
import secrets
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from service.domain.media import MediaFacts
from service.domain.page import Page

MAX_CALLER_ID = 35
MAX_ADDRESS = 255
MAX_PENDING_PER_VMBOX = 100
RETENTION_GRACE = timedelta(hours=1)
FUTURE_ALLOWANCE = timedelta(hours=24)
ANONYMOUS = "anonymous"
LAST_ID = UUID(int=2**128 - 1)
_HEX_ID = re.compile("[0-9a-f]{32}")


class Folder(StrEnum):
    """Folder of a message. Messages in `deleted` can still be read."""

    NEW = "new"
    SAVED = "saved"
    DELETED = "deleted"


class MessageId(msgspec.Struct, frozen=True, order=True):
    """Message id `YYYYMM-<32 hex digits>`.

    The month is the UTC month of the timestamp of the message and selects the partition, so a
    lookup by id reads one partition. A folder change does not change the id.
    """

    month: int
    id: UUID

    def __str__(self) -> str:
        return _month_prefix(self.month) + self.id.hex

    @classmethod
    def parse(cls, text: str) -> "MessageId | None":
        """Returns the id in `text`, or None when the format is wrong."""
        month, dash, digits = text.partition("-")
        if not dash or len(month) != 6 or len(digits) != 32:
            return None
        if not (month.isascii() and month.isdigit() and 1 <= int(month[4:]) <= 12):
            return None
        message_uuid = parse_hex_id(digits)
        return None if message_uuid is None else cls(int(month), message_uuid)

    @classmethod
    def generate(
        cls, received_at: datetime, now: datetime, entropy: bytes | None = None
    ) -> "MessageId":
        """Returns a new id: month of `received_at`, UUIDv7 of `now`."""
        return cls(month_of(received_at), uuid7(now, entropy))


@lru_cache
def _month_prefix(month: int) -> str:
    return f"{month:06d}-"


@lru_cache(maxsize=4096)
def parse_hex_id(text: str) -> UUID | None:
    """Returns the UUID of 32 lower-case hex digits, or None for other text.

    Cached, because each id in a path is parsed for the check of access and for the work.
    """
    return UUID(int=int(text, 16)) if _HEX_ID.fullmatch(text) else None


def uuid7(now: datetime, entropy: bytes | None = None) -> UUID:
    """Returns a UUIDv7 (RFC 9562, 5.7): milliseconds of `now`, 74 bits of `entropy`.

    `entropy` has 10 bytes. By default they are random.
    """
    milliseconds = int(now.timestamp() * 1000)
    random_bits = int.from_bytes(entropy or secrets.token_bytes(10), "big")
    value = (milliseconds & (2**48 - 1)) << 80
    value |= 0x7 << 76 | (random_bits >> 62 & 0xFFF) << 64
    value |= 0b10 << 62 | random_bits & (2**62 - 1)
    return UUID(int=value)


def month_of(moment: datetime) -> int:
    """Returns the UTC month as the int `YYYYMM`."""
    utc = moment.astimezone(UTC)
    return utc.year * 100 + utc.month


def month_after(month: int, months: int = 1) -> int:
    """Returns the month that is `months` later than `month`; earlier when negative."""
    index = month // 100 * 12 + month % 100 - 1 + months
    return index // 12 * 100 + index % 12 + 1


class CallerId(msgspec.Struct, frozen=True):
    """Caller id as signalled; it is not verified."""

    number: str
    name: str


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Message as a client submits it; None means the default.

    `received_at` is aware UTC in whole seconds. `from_uri` and `to_uri` are `user@realm` or `user`.
    """

    received_at: datetime | None = None
    folder: Folder = Folder.NEW
    length_ms: int | None = None
    caller_id: CallerId = CallerId(ANONYMOUS, ANONYMOUS)
    call_id: str | None = None
    from_uri: str | None = None
    to_uri: str | None = None


class Audio(msgspec.Struct, frozen=True, kw_only=True):
    """Stored audio object; `size` in bytes."""

    key: str
    content_type: str
    size: int
    sha256: bytes

    @property
    def extension(self) -> str:
        return self.key.rpartition(".")[2]


class ForwardStep(msgspec.Struct, frozen=True, kw_only=True):
    """One forwarding of a message: its mailbox and id before, the actor, and the time.

    `principal` and `principal_id` are those of the audit.
    """

    vmbox_id: UUID
    media_id: Annotated[str, Meta(pattern="^[0-9]{6}-[0-9a-f]{32}$")]
    principal: Annotated[str, Meta(max_length=32)]
    principal_id: UUID | None
    at: Annotated[datetime, Meta(tz=True)]


class MessageSummary(msgspec.Struct, frozen=True):
    """Stored message without its audio, as lists contain it."""

    id: MessageId
    vmbox_id: UUID
    folder: Folder
    received_at: datetime
    length_ms: int
    caller_id: CallerId
    call_id: str
    from_uri: str
    to_uri: str
    transcription: dict[str, Any] | None = None

    @property
    def length_s(self) -> int:
        """Length in rounded seconds, at least 1 when `length_ms` is not 0."""
        return max(round(self.length_ms / 1000), 1 if self.length_ms else 0)


class Message(MessageSummary, frozen=True, kw_only=True):
    """Stored message. `audio` is None until audio is uploaded, `media` until it is measured.

    `forwarded` has the steps in which it was forwarded, the oldest first.
    """

    audio: Audio | None = None
    media: MediaFacts | None = None
    forwarded: tuple[ForwardStep, ...] = ()


class MessageCursor(msgspec.Struct, frozen=True, array_like=True):
    """Sort key of the first message of a page.

    Raises ValueError for a month that contradicts the time, OverflowError outside the calendar.
    """

    month: int
    received_at: Annotated[datetime, Meta(tz=True)]
    id: UUID

    def __post_init__(self) -> None:
        if month_of(self.received_at) != self.month:
            raise ValueError("month does not match time")


class RemovedMessage(msgspec.Struct, frozen=True):
    """Message in the trash."""

    message: Message
    removed_at: datetime


class TrashCursor(msgspec.Struct, frozen=True, array_like=True):
    """Sort key of the first message of a page of the trash."""

    removed_at: Annotated[datetime, Meta(tz=True)]
    month: Annotated[int, Meta(ge=0, lt=2**31)]
    id: UUID


MessagePage = Page[MessageSummary, MessageCursor]


def retained_since(now: datetime, retention_days: int) -> datetime:
    """Returns the oldest time that is kept, in whole seconds: the days and an hour of grace."""
    return now.replace(microsecond=0) - timedelta(days=retention_days) - RETENTION_GRACE
