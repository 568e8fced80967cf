"""Ids of imported records: those of the source where they fit, else derived from its keys."""

from datetime import UTC, datetime
from uuid import UUID, uuid5

from service.domain.message import MessageId, month_of, parse_hex_id

_NAMESPACE = UUID("6f0d4f8e-6d0a-5e58-9d6c-2f6f5a1f7b10")


def record_id(source: str, kind: str, key: str) -> UUID:
    """Returns the id of an account, user, box or greeting: the same for the same key."""
    return parse_hex_id(key) or _derived(source, kind, key)


def message_id_of(source: str, key: str, received_at: datetime) -> MessageId:
    """Returns the id of a message. An id of KAZOO is kept if its month is that of the message."""
    month = month_of(received_at)
    kept = MessageId.parse(key)
    if kept is not None and kept.month == month:
        return kept
    return MessageId(month, _derived(source, "message", key))


def utc_seconds(moment: datetime) -> datetime:
    """Returns a time in UTC and whole seconds, the precision of message times."""
    return moment.astimezone(UTC).replace(microsecond=0)


def _derived(source: str, kind: str, key: str) -> UUID:
    # A file name that is not UTF-8 contains surrogates, which UTF-8 cannot encode.
    name = "\n".join((source, kind, key)).encode(errors="backslashreplace")
    return uuid5(_NAMESPACE, name.decode())
