"""Mails: one function per statement of mail.sql. Addresses are in lower case."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from service.domain.recipient import Consent, MailRecipient
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("mail")


async def reserve_mail(connection: Connection, account_id: UUID, interval_s: float) -> float:
    """Reserves the next mail of an account. Returns the seconds until it may be sent."""
    delay_s: float = await _SQL["reserve_mail"].fetchval(
        connection, account_id=account_id, interval_s=interval_s
    )
    return max(0.0, delay_s)


async def read_mail_recipients(
    connection: Connection, account_id: UUID, addresses: Sequence[str]
) -> dict[str, MailRecipient]:
    """Returns the recipients by address."""
    records = await _SQL["read_mail_recipients"].fetch(
        connection, account_id=account_id, addresses=addresses
    )
    return {
        record["address"]: MailRecipient(
            account_id=account_id,
            address=record["address"],
            consent=Consent(record["consent"]) if record["consent"] else None,
            is_user=record["is_user"],
        )
        for record in records
    }


async def request_consent(
    connection: Connection, account_id: UUID, address: str, since: datetime
) -> bool:
    """Records a request. Returns False after an answer, or a request after `since`."""
    requested = await _SQL["request_consent"].fetchval(
        connection, account_id=account_id, address=address, since=since
    )
    return requested is not None


async def set_consent(
    connection: Connection, account_id: UUID, address: str, consent: Consent
) -> None:
    """Records the answer of a recipient."""
    await _SQL["set_consent"].execute(
        connection, account_id=account_id, address=address, consent=consent
    )
