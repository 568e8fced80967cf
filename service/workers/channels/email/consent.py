"""Consent of recipients: permitted recipients, requests to confirm, and the links in mails."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from service.domain.recipient import Consent, MailRecipient
from service.postgres.mail import read_mail_recipients, request_consent
from service.postgres.pool import Connection
from service.security import RecipientTokens
from service.workers.channels import Delivery, Target

# An address without an answer is asked again after this time.
_REQUEST_INTERVAL = timedelta(days=30)
_REQUEST = "request_consent"


class RecipientLinks(msgspec.Struct, frozen=True):
    """Links of a recipient. `public_url` is the URL of the API, without a slash at the end."""

    tokens: RecipientTokens
    public_url: str

    def confirm(self, recipient: MailRecipient) -> str:
        return self._url("confirm", recipient)

    def unsubscribe(self, recipient: MailRecipient) -> str | None:
        """Returns None for a user, and without https, which RFC 8058 requires."""
        if recipient.is_user or not self.public_url.startswith("https://"):
            return None
        return self._url("unsubscribe", recipient)

    def _url(self, action: str, recipient: MailRecipient) -> str:
        token = self.tokens.create(recipient.account_id, recipient.address)
        return f"{self.public_url}/v2/mail/{action}/{token}"


async def permitted_targets(
    connection: Connection,
    account_id: UUID,
    addresses: Sequence[str],
    now: datetime,
    *,
    needs_confirmation: bool,
) -> list[Target]:
    """Returns the targets of an event. An address that must confirm is a target of the request."""
    targets = []
    keys = [address.lower() for address in addresses]
    recipients = await read_mail_recipients(connection, account_id, keys)
    for address, key in zip(addresses, keys, strict=True):
        if recipients[key].may_receive(needs_confirmation=needs_confirmation):
            targets.append(Target(name=address))
        elif await request_consent(connection, account_id, key, now - _REQUEST_INTERVAL):
            targets.append(Target(name=address, state={_REQUEST: True}))
    return targets


async def recipient_of(connection: Connection, delivery: Delivery) -> MailRecipient:
    """Returns the current state of the recipient of a delivery."""
    key = delivery.target.lower()
    return (await read_mail_recipients(connection, delivery.account_id, [key]))[key]


def is_consent_request(delivery: Delivery) -> bool:
    return delivery.state.get(_REQUEST) is True


def refusal_of(
    delivery: Delivery, recipient: MailRecipient, *, needs_confirmation: bool
) -> str | None:
    """Returns the reason for sending nothing, or None."""
    if recipient.consent is Consent.UNSUBSCRIBED:
        return "the recipient has unsubscribed"
    permitted = recipient.may_receive(needs_confirmation=needs_confirmation)
    if is_consent_request(delivery):
        return "the recipient need not confirm" if permitted else None
    return None if permitted else "the recipient has not confirmed"
