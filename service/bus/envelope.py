"""The envelope of an event on NATS: CloudEvents 1.0 in binary mode, both ways."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, unquote
from uuid import UUID

from service.domain.events import NO_VMBOX, SUBJECT_PREFIX, Event, attributes_of
from service.domain.message import parse_hex_id

# CloudEvents NATS binding, 3.1.3.1: space, double quote and percent are encoded, and all that is
# not printable ASCII.
_LITERAL = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
NO_ACCOUNT = UUID(int=0)
"""The account of a message whose subject names none."""


class Unreadable(Exception):
    """A message of the stream is no event; the text says why, without its content."""


def headers_of(event: Event, traceparent: str | None = None) -> dict[str, str]:
    """CloudEvents 1.0, binary mode: attributes as `ce-` headers, the id also for deduplication.

    `traceparent` is the sending of it; what caused the event is named where that is not traced.
    """
    headers = {
        f"ce-{name}": quote(value, safe=_LITERAL) for name, value in attributes_of(event).items()
    }
    headers["Nats-Msg-Id"] = str(event.event_id)
    if (trace := traceparent or event.traceparent) is not None:
        headers["traceparent"] = quote(trace, safe=_LITERAL)
    return headers


def event_of(
    subject: str, headers: Mapping[str, str], data: bytes, prefix: str = SUBJECT_PREFIX
) -> Event:
    """The event that a message of the stream carries; Unreadable when it carries none.

    `data` is passed on as it came: whether it fits the type is not known here.
    """
    account_id, vmbox_id, kind = _parts_of(subject, prefix)
    given = {name.lower(): unquote(value) for name, value in headers.items()}
    if given.get("ce-type") != f"voicemail.{kind}":
        raise Unreadable("ce-type is not the one of the subject")
    try:
        return Event(
            account_id=account_id,
            vmbox_id=vmbox_id,
            sequence=int(given["ce-sequence"]),
            event_id=UUID(given["ce-id"]),
            type=kind,
            created_at=_time(given["ce-time"]),
            data=data,
            media_id=given.get("ce-subject"),
            traceparent=given.get("traceparent"),
        )
    except KeyError as error:
        raise Unreadable(f"{error.args[0]} is missing") from None
    except (ValueError, OverflowError):
        raise Unreadable("an attribute is malformed") from None


def account_of(subject: str, prefix: str = SUBJECT_PREFIX) -> UUID:
    """The account that a subject names, or NO_ACCOUNT."""
    first, _, _ = subject.removeprefix(f"{prefix}.").partition(".")
    return parse_hex_id(first) or NO_ACCOUNT


def _parts_of(subject: str, prefix: str) -> tuple[UUID, UUID, str]:
    tokens = subject.removeprefix(f"{prefix}.").split(".", 2)
    if not subject.startswith(f"{prefix}.") or len(tokens) != 3:
        raise Unreadable("the subject is not one of ours")
    account_id = parse_hex_id(tokens[0])
    vmbox_id = NO_VMBOX if tokens[1] == "_" else parse_hex_id(tokens[1])
    if account_id is None or vmbox_id is None:
        raise Unreadable("the subject names no account or no box")
    return account_id, vmbox_id, tokens[2]


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment
