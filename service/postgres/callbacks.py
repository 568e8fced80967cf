"""Callback requests: one function per statement of callbacks.sql."""

from uuid import UUID

import msgspec

from service.domain.events import EventMessage
from service.postgres.audit import event_values
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("callbacks")


async def is_callback_pending(connection: Connection, account_id: UUID, target: str) -> bool:
    """Returns True when a callback task runs for the target. The caller must lock the box."""
    pending: bool = await _SQL["is_callback_pending"].fetchval(
        connection, account_id=account_id, target=target
    )
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
    """Appends the event. Returns False when the box has no new message or was deleted."""
    sequence = await _SQL["request_callback"].fetchval(
        connection,
        account_id=account_id,
        vmbox_id=vmbox_id,
        number=number,
        attempt=attempt,
        timeout_s=timeout_s,
        message=msgspec.to_builtins(message),
        **event_values(),
    )
    return sequence is not None
