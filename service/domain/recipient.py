"""Recipients: the e-mail addresses of a mailbox, each with a stable id and dates."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

import msgspec

MAX_RECIPIENTS = 20


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """Address of a mailbox. An address that is removed and added again keeps its id."""

    recipient_id: UUID
    address: str
    created_at: datetime
    updated_at: datetime


class Consent(StrEnum):
    """Answer of a recipient to the mails of an account, or the request for an answer."""

    REQUESTED = "requested"
    CONFIRMED = "confirmed"
    UNSUBSCRIBED = "unsubscribed"


class MailRecipient(msgspec.Struct, frozen=True, kw_only=True):
    """Address that an account sends mails to. `consent` is None if it was never asked."""

    account_id: UUID
    address: str
    consent: Consent | None
    is_user: bool

    def may_receive(self, *, needs_confirmation: bool) -> bool:
        """Returns True if mails may be sent to the address.

        Users need no confirmation. An unsubscribed address gets no mails, even of a user, because
        an account could create a user for any address.
        """
        if self.consent is Consent.UNSUBSCRIBED:
            return False
        return self.is_user or self.consent is Consent.CONFIRMED or not needs_confirmation


def recipients_of(
    vmbox_id: UUID, addresses: Iterable[str], existing: Iterable[Recipient], now: datetime
) -> tuple[Recipient, ...]:
    """Returns the recipients for a list of addresses, in its order and without duplicates.

    Existing recipients keep their dates. Addresses that differ only in case are equal.
    """
    by_id = {recipient.recipient_id: recipient for recipient in existing}
    recipients: dict[UUID, Recipient] = {}
    for address in addresses:
        recipient_id = recipient_id_of(vmbox_id, address)
        recipient = by_id.get(recipient_id)
        if recipient is None:
            recipient = Recipient(
                recipient_id=recipient_id, address=address, created_at=now, updated_at=now
            )
        elif recipient.address != address:
            recipient = msgspec.structs.replace(recipient, address=address, updated_at=now)
        recipients.setdefault(recipient_id, recipient)
    return tuple(recipients.values())


def recipient_id_of(vmbox_id: UUID, address: str) -> UUID:
    """Returns a UUIDv5 (RFC 9562, 5.5) of the lower-case address, with its mailbox as namespace."""
    return uuid5(vmbox_id, address.lower())
