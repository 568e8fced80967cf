"""Boxes whose messages are past retention."""

from collections.abc import Sequence
from datetime import timedelta

from service.domain.message import Folder
from service.postgres.pool import Connection, Database
from service.workers.keeper.expiry import Expiry
from tests.support.builders import (
    NOW,
    Box,
    Recorded,
    a_vmbox,
    stored,
)
from tests.support.keeper import in_days

IN_20_DAYS = in_days(20)
"""Retention is 30 days here: in 20 days, messages of 15 days ago are past it."""
FOLDERS = (Folder.NEW, Folder.SAVED, Folder.NEW, Folder.DELETED, Folder.NEW, Folder.SAVED)


def expiry(owner: Database, batch: int = 500) -> Expiry:
    return Expiry(owner, IN_20_DAYS, retention_days=30, batch=batch)


async def an_old_box(
    connection: Connection, folders: Sequence[Folder] = FOLDERS, account: Box | None = None
) -> Box:
    """Creates a box with messages of two weeks ago, seconds apart, and a new one."""
    box = await a_vmbox(connection, account.account_id if account else None)
    for number, folder in enumerate(folders):
        received_at = NOW - timedelta(days=15, seconds=number)
        await stored(connection, box, folder=folder, received_at=received_at)
    await stored(connection, box)
    return box


def retained(events: Sequence[Recorded]) -> list[Recorded]:
    return [event for event in events if event.data.get("reason") == "retention"]


async def remaining(connection: Connection, box: Box) -> int:
    number: int = await connection.fetchval(
        """
        SELECT count(*) FROM messages
        WHERE account_id = $1 AND vmbox_id = $2 AND removed_at IS NULL
        """,
        box.account_id,
        box.vmbox_id,
    )
    return number
