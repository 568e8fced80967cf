"""Recordings: messages with audio and local time."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import msgspec

from service.domain.formats import is_zone
from service.domain.message import Audio, Message

_INHERITED = "inherit"


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """Message with audio. `local_time` is the time of receipt in the time zone of the mailbox."""

    message: Message
    audio: Audio
    local_time: datetime


def zone_of(*names: str | None) -> tzinfo:
    """Returns the first zone that is not empty or `inherit`; UTC when none is or it is unknown."""
    zone = next((name for name in names if name and name != _INHERITED), None)
    return ZoneInfo(zone) if zone is not None and is_zone(zone) else UTC
