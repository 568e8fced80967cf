"""Buffers of the most frequent statements while a box grows: the same with many more messages."""

import os
from datetime import timedelta

import pytest

from service.domain.message import LAST_ID, MessageCursor, MessageSummary, month_of
from service.embedded.servers import EmbeddedServers
from service.postgres import message_lists
from service.postgres.message_lists import Window
from service.postgres.messages import get_message
from service.postgres.pool import Connection
from tests.support.large_database import (
    TWO_YEARS_AGO,
    UNTIL,
    GrowingDatabase,
    explained,
    open_growing_database,
)
from tests.support.plans import PAGE
from tests.support.statements import ById, file_one, store_one

SMALL = 10_000
# A million takes some minutes.
LARGE = int(os.environ.get("TEST_MESSAGES", "120000"))

# The indexes of a month have more pages: with a million messages, 4 more for the first page.
MORE_BUFFERS = 5

FIRST_PAGE = Window(
    since=TWO_YEARS_AGO,
    until=UNTIL,
    months=(month_of(TWO_YEARS_AGO), month_of(UNTIL)),
    folder=None,
    start=MessageCursor(month_of(UNTIL), UNTIL, LAST_ID),
    limit=PAGE,
)


async def buffers(growing: GrowingDatabase) -> dict[str, int]:
    """Returns the buffers that each statement reads."""
    box = growing.box

    async def read_page(connection: Connection) -> list[MessageSummary]:
        return await message_lists.list_messages(
            connection, box.account_id, box.vmbox_id, FIRST_PAGE
        )

    plan, page = await explained(growing.database, read_page)
    assert isinstance(page, list)
    assert len(page) == PAGE
    result = {"first page": plan.buffers}
    place = box.place(page[25].id)
    acts: tuple[ById, ...] = (get_message, file_one, store_one)
    for name, act in zip(("read by id", "folder change", "store"), acts, strict=True):
        plan, _ = await explained(
            growing.hot,
            lambda connection, act=act: act(connection, place),  # type: ignore[misc]
        )
        result[name] = plan.buffers
    return result


@pytest.mark.long
async def test_a_box_of_many_messages_over_two_years_costs_as_much_as_one_of_few(
    servers: EmbeddedServers, migrated_template: str
) -> None:
    async with open_growing_database(servers, migrated_template) as growing:
        await growing.grow(SMALL, UNTIL)
        small = await buffers(growing)
        # The first page has the same messages, in the same pages of the table.
        await growing.grow(LARGE - SMALL, UNTIL - timedelta(days=12))
        large = await buffers(growing)
    more = {name: cost - small[name] for name, cost in large.items()}
    assert max(more.values()) <= MORE_BUFFERS, (small, large)
