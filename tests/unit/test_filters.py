"""Filters of the query string, and pages that are filled after filtering."""

import asyncio
from typing import Any

import pytest

from service.api.kazoo.filters import MAX_FILTERS, read_filter
from service.domain.errors import Invalid
from service.usecases.pages import read_page


@pytest.mark.parametrize(
    ("value", "expected", "is_equal"),
    [
        ("new", "new", True),
        ("new", '"new"', True),
        ("new", '["saved","new"]', True),
        ("1", "1", True),
        (1, "1", True),
        (1, "[1]", True),
        (True, "1", False),
        (1, "[true]", False),
        (True, "true", True),
        (["a"], '["a"]', True),
        (["a"], '["a", "b"]', False),
        (["a"], '[["a"]]', True),
        (["a"], "a", False),
        ({"a": 1, "b": 2}, '{"b": 2, "a": 1}', True),
        ({"a": 1}, '[{"a":1}]', True),
        ("[", "[", True),
        ("", "", True),
    ],
)
def test_a_value_equals_a_filter_as_text_as_json_or_as_an_item(
    value: Any, expected: str, is_equal: bool
) -> None:
    matches = read_filter([("filter_key", expected)])
    assert matches is not None
    assert matches({"key": value}) is is_equal


def test_more_filters_than_allowed_are_refused() -> None:
    filters = [("filter_not_key", str(number)) for number in range(MAX_FILTERS)]
    assert read_filter([*filters, ("page_size", "1")]) is not None

    with pytest.raises(Invalid):
        read_filter([*filters, ("has_key", "key")])


async def test_other_tasks_run_while_a_page_is_filtered() -> None:
    turns = 0

    async def read(start: int | None, limit: int) -> list[int]:
        first = start or 0
        return list(range(first, min(first + limit, 400)))

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def predicate(_number: int) -> bool:
        sum(range(20_000))
        return True

    counting = asyncio.create_task(count_turns())
    page = await read_page(read, lambda number: number, None, 1_000, predicate)
    counting.cancel()

    assert page.items == list(range(400))
    assert turns > 1
