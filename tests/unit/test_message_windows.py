"""Months that the statement of a page names."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from service.domain.message import LAST_ID, Folder, MessageCursor
from service.postgres.message_lists import Window
from tests.support.large_database import SINCE, UNTIL
from tests.support.plans import PAGE


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, (202602, 202601, 202512, 202511)),
        ({"oldest_first": True}, (202602,)),
        ({"months": (202511, 202604), "oldest_first": True}, (202604, 202603, 202602)),
        ({"months": (202508, 202603)}, ()),
        ({"months": (197001, 202603)}, ()),
        ({"months": (202603, 202604)}, ()),
        ({"folder": Folder.NEW}, ()),
        ({"folder": Folder.SAVED}, (202602, 202601, 202512, 202511)),
    ],
)
def test_a_page_names_the_months_from_its_start(
    changes: dict[str, Any], named: tuple[int, ...]
) -> None:
    page = Window(
        since=SINCE,
        until=UNTIL,
        months=(202511, 202602),
        folder=None,
        start=MessageCursor(202602, datetime(2026, 2, 3, tzinfo=UTC), LAST_ID),
        limit=PAGE,
    )
    changed = msgspec.structs.replace(page, **changes)
    assert changed.named_months == named
