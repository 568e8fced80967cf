"""Recordings: messages with audio and local time, and links that play them."""

from datetime import UTC, datetime, timedelta, tzinfo
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from service.domain.account import Claims
from service.domain.formats import is_zone
from service.domain.message import Audio, Message, MessageId

MAX_LINK_LIFETIME = timedelta(days=1)
_INHERITED = "inherit"


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """Message with audio. `local_time` is the time of receipt in the time zone of the mailbox."""

    message: Message
    audio: Audio
    local_time: datetime


class LinkRecipient(msgspec.Struct, frozen=True, kw_only=True):
    """Recipient of a mail with a link. The address is in lower case."""

    address: str


class MailLink(msgspec.Struct, frozen=True, kw_only=True):
    """Permission of a recipient to open the message of a mail until `expires_at`."""

    link_id: UUID
    account_id: UUID
    vmbox_id: UUID
    message_id: MessageId
    recipient: LinkRecipient
    expires_at: datetime


class RecordingLink(msgspec.Struct, frozen=True, kw_only=True):
    """Permission to play one recording until `expires_at`. `link_id` identifies it in the audit.

    The link is valid only while the claims of its signer are valid, whose expiry has no effect. A
    link that comes from a mail is valid only while its signer receives the mails of the box.
    """

    link_id: UUID
    account_id: UUID
    vmbox_id: UUID
    message_id: MessageId
    signer: Claims | LinkRecipient
    expires_at: datetime


def zone_of(*names: str | None) -> tzinfo:
    """Returns the first zone that is not empty or `inherit`; UTC if it is absent or unknown."""
    zone = next((name for name in names if name and name != _INHERITED), None)
    return ZoneInfo(zone) if zone is not None and is_zone(zone) else UTC
