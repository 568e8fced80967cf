"""Facts about the server session of a connection, and positions of the log."""

from typing import TYPE_CHECKING

from service.postgres.sql import load

if TYPE_CHECKING:
    from service.postgres.pool import Connection

_SQL = load("sessions")


async def get_backend_pid(connection: "Connection") -> int:
    """Returns the id of the server process that answers."""
    pid: int = await _SQL["get_backend_pid"].fetchval(connection)
    return pid


async def get_primary_position(connection: "Connection") -> int:
    """Returns the position up to which the primary has written all acknowledged changes."""
    position: int = await _SQL["get_primary_position"].fetchval(connection)
    return position


async def get_standby_position(connection: "Connection") -> int | None:
    """Returns the position up to which a standby shows changes; None if it is not a standby."""
    position: int | None = await _SQL["get_standby_position"].fetchval(connection)
    return position
