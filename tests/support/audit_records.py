"""Audit records in the database."""

from uuid import UUID

import asyncpg


async def actions(inspector: asyncpg.Connection, account_id: UUID) -> list[str]:
    """Returns the actions of the records of an account, oldest first."""
    rows = await inspector.fetch(
        "SELECT action FROM audit WHERE account_id = $1 ORDER BY at, id", account_id
    )
    return [row["action"] for row in rows]
