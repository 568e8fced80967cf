"""Plans of pages of messages, and the locks of a statement."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import cast

from service.domain.message import LAST_ID, Folder, MessageCursor, MessageId, month_of
from service.postgres import message_lists
from service.postgres.message_lists import Window
from service.postgres.pool import Connection, Database
from tests.support.builders import Box
from tests.support.large_database import SINCE, UNTIL, LargeDatabase, Plan, explained, undone

# A page of 50, and the message that begins the next one.
PAGE = 51

# The partitions that a transaction has locked itself or by an index, and the number of its locks.
_LOCKED = """
SELECT array_agg(DISTINCT t.relname::text ORDER BY t.relname::text) FILTER (WHERE t.relispartition)
    AS partitions, count(*) AS locks
FROM pg_locks AS l
LEFT JOIN pg_index AS i ON i.indexrelid = l.relation
JOIN pg_class AS t ON t.oid = coalesce(i.indrelid, l.relation)
WHERE l.pid = pg_backend_pid() AND t.relnamespace = 'public'::regnamespace
"""


def window(folder: Folder | None = None, days_back: int = 0, *, until: datetime = UNTIL) -> Window:
    begin = until - timedelta(days=days_back)
    return Window(
        since=SINCE,
        until=until,
        months=(month_of(SINCE), month_of(until)),
        folder=folder,
        start=MessageCursor(month_of(begin), begin, LAST_ID),
        limit=PAGE,
    )


async def page_plan(
    large_database: LargeDatabase,
    box: Box,
    page: Window,
    *,
    whole_account: bool = False,
    new_statistics: bool = False,
) -> tuple[Plan, int]:
    """The plan of a page, and how many rows it has."""

    async def read(connection: Connection) -> int:
        if new_statistics:
            await connection.execute("ANALYZE messages")
        if whole_account:
            return len(await message_lists.list_account_messages(connection, box.account_id, page))
        return len(
            await message_lists.list_messages(connection, box.account_id, box.vmbox_id, page)
        )

    plan, result = await explained(large_database.database, read)
    return plan, cast(int, result)


async def some_ids(large_database: LargeDatabase, box: Box, days_back: int = 0) -> list[MessageId]:
    async with large_database.database.connection() as connection:
        page = await message_lists.list_messages(
            connection, box.account_id, box.vmbox_id, window(days_back=days_back)
        )
    return [message.id for message in page]


async def locked_by(
    database: Database, act: Callable[[Connection], Awaitable[object]]
) -> tuple[list[str], int]:
    """Returns the partitions and the number of locks of a statement that was executed before."""
    # More often than a prepared statement is planned with values if the server may choose.
    for _ in range(8):
        async with undone(database) as connection:
            await act(connection)
    async with undone(database) as connection:
        await act(connection)
        locked = await connection.fetchrow(_LOCKED)
    assert locked is not None
    return locked["partitions"], locked["locks"]
