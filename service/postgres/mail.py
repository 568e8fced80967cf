"""Mails: one function per statement of mail.sql."""

from uuid import UUID

from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("mail")


async def reserve_mail(connection: Connection, account_id: UUID, interval_s: float) -> float:
    """Reserves the next mail of an account. Returns the seconds until it may be sent."""
    delay_s: float = await _SQL["reserve_mail"].fetchval(
        connection, account_id=account_id, interval_s=interval_s
    )
    return max(0.0, delay_s)
