"""A message with its audio, and the time at which its listeners say it came."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import msgspec

from service.domain.formats import is_zone
from service.domain.message import Audio, Message

_INHERITED = "inherit"


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """`local_time` is when the message was received, in the time zone of its box."""

    message: Message
    audio: Audio
    local_time: datetime


def zone_of(*names: str | None) -> tzinfo:
    """The first zone that is named: of the box, its owner, its account. An unknown one is UTC."""
    named = next((name for name in names if name and name != _INHERITED), None)
    return ZoneInfo(named) if named is not None and is_zone(named) else UTC
