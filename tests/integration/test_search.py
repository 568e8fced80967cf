"""Search of messages: words in SQL and Python, the cost of pages, the index of old months."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
import pytest_asyncio

from service.domain.message import month_after, month_of
from service.domain.search import tokens
from service.embedded.servers import EmbeddedServers
from service.postgres.migrate import migrate
from service.postgres.months import ensure_month
from service.postgres.pool import Database
from service.usecases import searches
from tests.support.builders import a_vmbox, stored
from tests.support.database import TestDatabase
from tests.support.large_database import GrowingDatabase, open_growing_database
from tests.support.search_database import ExplainedSearch, fill
from tests.support.waiting import wait_until

SMALL = 6_000
# A million takes some minutes.
LARGE = int(os.environ.get("TEST_MESSAGES", "120000"))
# The names of 1 000 boxes, and 25 months with an index without entries of the pending list.
FEW_BUFFERS = 1_000

_MISSING = """
SELECT count(*) FROM pg_inherits AS p
WHERE p.inhparent = 'messages'::regclass AND NOT EXISTS (
    SELECT FROM pg_index AS i JOIN pg_inherits AS h ON h.inhrelid = i.indexrelid
    WHERE i.indrelid = p.inhrelid AND h.inhparent = 'messages_by_word'::regclass AND i.indisvalid
)
"""
_TEXTS = (
    "Hello, World! Don't call +1 (415) 555-1234.",
    "Ärger Straße ŁÓDŹ İstanbul Œuvre Ærø ﬁne ½ №5 ﷺ",
    "東京タワー 1番 สวัสดี 안녕하세요 नमस्ते привет Ёлка",
    "e\u0301te\u0301 a\u202eb \u200bzero\u00a0width \U0001f4a9 x\ty\nz",
    "x" * 300,
    "",
)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def growing(
    servers: EmbeddedServers, migrated_template: str
) -> AsyncIterator[GrowingDatabase]:
    async with open_growing_database(servers, migrated_template) as database:
        await fill(database, SMALL)
        yield database


async def _is_creating(inspector: asyncpg.Connection) -> bool:
    return bool(await inspector.fetchval("SELECT count(*) FROM pg_stat_progress_create_index"))


async def test_sql_and_python_split_texts_into_the_same_words(
    inspector: asyncpg.Connection,
) -> None:
    texts = [*_TEXTS, *(f"a{chr(code)}b" for code in range(1, 0x3400))]
    rows = await inspector.fetch(
        "SELECT searchable_text(text) AS words"
        " FROM unnest($1::text[]) WITH ORDINALITY AS t (text, n) ORDER BY n",
        texts,
    )
    differences = [
        text
        for text, row in zip(texts, rows, strict=True)
        if [word[:60] for word in row["words"].split()] != [token.word for token in tokens(text)]
    ]
    # Python and Postgres know different versions of Unicode.
    assert len(differences) <= 5, differences


async def test_a_frequent_word_reads_few_buffers_on_any_page(growing: GrowingDatabase) -> None:
    search = ExplainedSearch(growing, "call", limit=10)
    page = await search.read()
    first = search.buffers
    assert len(page.items) == 10
    await search.skip(8)
    page = await search.read()
    assert len(page.items) == 10
    assert max(first, search.buffers) <= FEW_BUFFERS
    assert search.statements <= 8


@pytest.mark.parametrize(("q", "matches"), [("call", SMALL // 2), ("bob", SMALL // 4)])
async def test_pages_visit_every_match_once_newest_first(
    growing: GrowingDatabase, q: str, matches: int
) -> None:
    search = ExplainedSearch(growing, q, limit=700)
    times, ids = [], set()
    while True:
        page = await search.read()
        times += [result.message.received_at for result in page.items]
        ids |= {result.message.id for result in page.items}
        if page.next is None:
            break
    assert len(times) == len(ids) == matches
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("q", ["absent", "call absent", "0009999999", "zanzibar absent"])
async def test_a_search_without_results_reads_each_month_once(
    growing: GrowingDatabase, q: str
) -> None:
    search = ExplainedSearch(growing, q)
    page = await search.read()
    assert (page.items, page.next) == ([], None)
    assert search.statements <= 32
    assert search.buffers <= FEW_BUFFERS


@pytest.mark.long
async def test_a_search_that_takes_long_returns_a_page_that_can_be_continued(
    growing: GrowingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "SEARCH_S", 0)
    search = ExplainedSearch(growing, "absent")
    months = set()
    while (page := await search.read()).next is not None:
        assert page.items == []
        assert search.statements <= 2
        months.add(page.next.month)
    assert len(months) >= 23


async def test_the_index_of_existing_months_is_created_without_blocking(
    test_database: TestDatabase, database: Database, inspector: asyncpg.Connection
) -> None:
    month = month_after(month_of(datetime.now(UTC)), -5)
    await ensure_month(inspector, month)
    definition = await inspector.fetchval("SELECT pg_get_indexdef('messages_by_word'::regclass)")
    await inspector.execute("DROP INDEX messages_by_word")
    await inspector.execute(definition)
    assert await inspector.fetchval(_MISSING)
    async with database.transaction() as connection:
        await stored(connection, await a_vmbox(connection))
        running = asyncio.create_task(
            migrate(test_database.owner_url, service_url=test_database.url, oldest_month=201001)
        )
        await wait_until(lambda: _is_creating(inspector))
        # The writer does not wait for the index; the index waits for the end of the writer.
        await stored(connection, await a_vmbox(connection))
    created = await running
    assert f"index of messages_{month}" in created
    assert await inspector.fetchval(_MISSING) == 0
    assert await ensure_month(inspector, month_after(month, -1))
    assert await inspector.fetchval(_MISSING) == 0


@pytest.mark.long
async def test_a_search_costs_the_same_however_many_messages_there_are(
    servers: EmbeddedServers, migrated_template: str
) -> None:
    async with open_growing_database(servers, migrated_template) as large:
        await fill(large, LARGE)
        for q in ("zanzibar", "call", '"call me"', "w1", "ann", "+1415", "box", "absent"):
            search = ExplainedSearch(large, q)
            for page in range(1, 11):
                following = (await search.read()).next
                print(f"{q}, page {page}: {search.buffers} buffers, {search.statements} statements")
                assert search.buffers <= 2 * FEW_BUFFERS
                if following is None:
                    break
