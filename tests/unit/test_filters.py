"""Filters of the query string, and pages that are filled after filtering."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from service.api.kazoo.filters import MAX_FILTERS, read_filter
from service.domain.errors import Invalid
from service.usecases.pages import DOCUMENTS, read_documents, read_page


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


class Record(msgspec.Struct):
    """A row with a document."""

    number: int
    document: dict[str, Any]


def records_of(count: int, size: int) -> tuple[list[int], Callable[..., Awaitable[list[Record]]]]:
    """The sizes of the chunks that were read, and the function that reads them."""
    chunks: list[int] = []

    async def read(start: int | None, limit: int) -> list[Record]:
        first = start or 0
        chunks.append(limit)
        return [
            Record(number, {"name": str(number), "filler": "x" * size})
            for number in range(first, min(first + limit, count))
        ]

    return chunks, read


@pytest.mark.parametrize("predicate", [None, lambda record: record.number % 2 == 0])
async def test_a_page_of_large_documents_ends_early_and_the_next_one_follows_it(
    predicate: Callable[[Record], bool] | None,
) -> None:
    chunks, read = records_of(300, 60_000)
    numbers: list[int] = []
    sizes: list[int] = []
    start: int | None = None
    while True:
        page = await read_documents(read, lambda r: r.number, start, 1_000, predicate, None)
        numbers += [record.number for record in page.items]
        sizes.append(sum(len(record.document["filler"]) for record in page.items))
        start = page.next
        if start is None:
            break
    assert numbers == list(range(0, 300, 2 if predicate else 1))
    assert len(sizes) > 1
    assert max(sizes) < 4 * 1024**2 + 60_000
    assert max(chunks) == DOCUMENTS + 1


async def test_a_page_keeps_only_the_keys_of_its_rows() -> None:
    _, read = records_of(300, 60_000)
    page = await read_documents(
        read, lambda r: r.number, None, 1_000, lambda r: len(r.document["filler"]) > 1, {"name"}
    )
    assert page.next is None
    assert [record.document for record in page.items] == [{"name": str(n)} for n in range(300)]


@pytest.mark.parametrize(("limit", "following"), [(1, 1), (63, 63), (64, 64), (65, 65), (66, None)])
async def test_a_page_is_full_over_several_chunks(limit: int, following: int | None) -> None:
    _, read = records_of(66, 1)
    page = await read_documents(read, lambda r: r.number, None, limit, None, None)
    assert ([record.number for record in page.items], page.next) == (list(range(limit)), following)
