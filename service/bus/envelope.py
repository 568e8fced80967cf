"""Encoding of events on NATS: CloudEvents 1.0 in binary mode."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, unquote
from uuid import UUID

from service.domain.events import NO_VMBOX, SUBJECT_PREFIX, Event, attributes_of
from service.domain.message import parse_hex_id

# CloudEvents NATS binding, 3.1.3.1: percent-encode space, double quote, percent, and everything
# that is not printable ASCII.
_LITERAL = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
NO_ACCOUNT = UUID(int=0)
"""Account of a message whose subject contains no account ID."""


class MalformedEvent(Exception):
    """A message of the stream is not a valid event. The text states the reason, not the content."""


def headers_of(event: Event, traceparent: str | None = None) -> dict[str, str]:
    """Returns the attributes as `ce-` headers, and the event ID also as `Nats-Msg-Id`.

    `traceparent` is the context of the publication. The default is the context of the request.
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
    """Decodes a message of the stream. Raises MalformedEvent.

    `data` is not validated against the event type.
    """
    account_id, vmbox_id, kind = _parse_subject(subject, prefix)
    attributes = {name.lower(): unquote(value) for name, value in headers.items()}
    if attributes.get("ce-type") != f"voicemail.{kind}":
        raise MalformedEvent("ce-type does not match the subject")
    try:
        return Event(
            account_id=account_id,
            vmbox_id=vmbox_id,
            sequence=int(attributes["ce-sequence"]),
            event_id=UUID(attributes["ce-id"]),
            type=kind,
            created_at=_parse_time(attributes["ce-time"]),
            data=data,
            media_id=attributes.get("ce-subject"),
            traceparent=attributes.get("traceparent"),
        )
    except KeyError as error:
        raise MalformedEvent(f"{error.args[0]} is missing") from None
    except (ValueError, OverflowError):
        raise MalformedEvent("an attribute is malformed") from None


def messaging_attributes(event: Event, operation: str, kind: str) -> dict[str, str]:
    """Returns span attributes by OpenTelemetry's conventions for messaging."""
    return {
        "messaging.system": "nats",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": event.type,
        "messaging.message.id": str(event.event_id),
    }


def account_of(subject: str, prefix: str = SUBJECT_PREFIX) -> UUID:
    """Returns the account ID in a subject, or NO_ACCOUNT."""
    first, _, _ = subject.removeprefix(f"{prefix}.").partition(".")
    return parse_hex_id(first) or NO_ACCOUNT


def _parse_subject(subject: str, prefix: str) -> tuple[UUID, UUID, str]:
    tokens = subject.removeprefix(f"{prefix}.").split(".", 2)
    if not subject.startswith(f"{prefix}.") or len(tokens) != 3:
        raise MalformedEvent("the subject is not an event subject")
    account_id = parse_hex_id(tokens[0])
    vmbox_id = NO_VMBOX if tokens[1] == "_" else parse_hex_id(tokens[1])
    if account_id is None or vmbox_id is None:
        raise MalformedEvent("the subject has no valid account or box ID")
    return account_id, vmbox_id, tokens[2]


def _parse_time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("time without a zone")
    return time
