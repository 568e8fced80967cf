"""Requests for calls: rows <-> domain; one function per statement of callbacks.sql."""

from uuid import UUID

import msgspec

from service.domain.events import EventMessage
from service.postgres.pool import Connection
from service.postgres.sql import load
from service.traces import traceparent

_SQL = load("callbacks")


async def callback_pending(connection: Connection, account_id: UUID, target: str) -> bool:
    """Whether a task runs for the target; certain only while its box is held."""
    pending: bool = await connection.fetchval(_SQL["callback_pending"], account_id, target)
    return pending


async def request_callback(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    *,
    number: str,
    attempt: int,
    timeout_s: int,
    message: EventMessage,
) -> bool:
    """Appends the event; False when the box has no new message or is gone."""
    sequence = await connection.fetchval(
        _SQL["request_callback"],
        account_id,
        vmbox_id,
        number,
        attempt,
        timeout_s,
        msgspec.to_builtins(message),
        traceparent(),
    )
    return sequence is not None
