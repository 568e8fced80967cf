"""Whom a box mails to: each address with an id and dates that survive changes of the list."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID, uuid5

import msgspec


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """An address of a box. Its id is the same however often it goes and comes back."""

    recipient_id: UUID
    address: str
    created_at: datetime
    updated_at: datetime


def recipients_of(
    vmbox_id: UUID, addresses: Iterable[str], known: Iterable[Recipient], now: datetime
) -> tuple[Recipient, ...]:
    """The recipients that a list of addresses means, in its order; one written twice is one.

    What is known keeps its dates, what is new begins now; upper and lower case are one address.
    """
    before = {recipient.recipient_id: recipient for recipient in known}
    found: dict[UUID, Recipient] = {}
    for address in addresses:
        recipient_id = recipient_id_of(vmbox_id, address)
        held = before.get(recipient_id)
        if held is None:
            held = Recipient(
                recipient_id=recipient_id, address=address, created_at=now, updated_at=now
            )
        elif held.address != address:
            held = msgspec.structs.replace(held, address=address, updated_at=now)
        found.setdefault(recipient_id, held)
    return tuple(found.values())


def recipient_id_of(vmbox_id: UUID, address: str) -> UUID:
    """A UUIDv5 (RFC 9562, 5.5) of the address in lower case, in the name space of its box."""
    return uuid5(vmbox_id, address.lower())
