"""Messages with transcriptions over two years, and the plans of searches on them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from service.domain.search import parse_query
from service.postgres.pool import Connection, Database
from service.usecases.message_lists import ListQuery
from service.usecases.searches import Searches, SearchPage
from tests.support.builders import an_account
from tests.support.large_database import (
    TWO_YEARS_AGO,
    UNTIL,
    ExplainingConnection,
    GrowingDatabase,
    Plan,
)

PAGE = 50

# Each text has 60 words of Zipf's law. Every second message contains "call", one of 10 000
# "zanzibar".
_FILL = """
INSERT INTO messages (
    account_id, month, id, vmbox_id, folder, counted, received_at, length_ms, caller_id_number,
    caller_id_name, call_id, from_uri, to_uri, audio_key, audio_type, audio_size, audio_sha256,
    transcription
)
SELECT $1, extract(year FROM at)::integer * 100 + extract(month FROM at)::integer,
    gen_random_uuid(), v.vmbox_id, 'saved', true, at, 4200,
    '+1415' || (1000000 + (n * 7919::bigint) % 9000000),
    (ARRAY['Ann', 'Bob', 'Eve', 'Joe'])[1 + n % 4] || ' L' || n % 5000,
    'call', '1001@example.com', '100@example.com', 'key', 'audio/mpeg', 5, '\\x00',
    jsonb_build_object('result', 'success', 'language', 'en', 'text', concat_ws(
        ' ', p.text, q.text, r.text, CASE WHEN n % 2 = 0 THEN 'please call me' END,
        CASE WHEN n % 10000 = 5000 THEN 'about zanzibar' END))
FROM generate_series($2::integer, $3::integer) AS n
CROSS JOIN LATERAL (
    SELECT date_trunc('second', $5::timestamptz + ($6::timestamptz - $5) * n / $4::integer) AS at
) AS t
JOIN phrases AS p ON p.id = (n * 7919::bigint) % 5000
JOIN phrases AS q ON q.id = (n * 104729::bigint + n / 77) % 5000
JOIN phrases AS r ON r.id = (n * 1299709::bigint + n / 13) % 5000
JOIN numbered AS v ON v.number = n % 1000
"""
_PREPARE = """
CREATE TEMPORARY TABLE phrases AS
SELECT id, (
    SELECT string_agg('w' || floor(exp(random() * 9.9))::integer, ' ')
    FROM generate_series(1, 20)
    WHERE id IS NOT NULL
) AS text
FROM generate_series(0, 4999) AS id;
CREATE TEMPORARY TABLE numbered AS
SELECT vmbox_id, row_number() OVER () - 1 AS number FROM vmboxes;
ALTER TABLE phrases ADD PRIMARY KEY (id);
ANALYZE phrases, numbered;
"""
_AT_ONCE = 20_000


async def fill(growing: GrowingDatabase, messages: int) -> None:
    """Adds messages with transcriptions, spread evenly over the boxes and over two years."""
    await growing.owner.execute(_PREPARE)
    for first in range(1, messages + 1, _AT_ONCE):
        last = min(first + _AT_ONCE - 1, messages)
        await growing.owner.execute(
            _FILL, growing.box.account_id, first, last, messages, TWO_YEARS_AGO, UNTIL
        )
    await growing.owner.execute("DROP TABLE phrases, numbered")
    await growing.owner.execute("VACUUM ANALYZE")


class ExplainedSearch:
    """Reads the pages of one search, and the buffers of each page."""

    def __init__(self, growing: GrowingDatabase, q: str, limit: int = PAGE) -> None:
        self._account = an_account(account_id=growing.box.account_id)
        self._database = _ExplainingDatabase(growing.database)
        self._searches = Searches(cast(Database, self._database), lambda: UNTIL)
        self._terms = parse_query(q)
        self._query = ListQuery(since=TWO_YEARS_AGO, until=UNTIL, limit=limit)

    async def read(self) -> SearchPage:
        """Returns the next page."""
        self._database.plans.clear()
        page = await self._searches.search_account(self._account, self._terms, self._query)
        self._query = ListQuery(
            since=TWO_YEARS_AGO, until=UNTIL, limit=self._query.limit, start=page.next
        )
        return page

    async def skip(self, pages: int) -> None:
        for _ in range(pages):
            assert (await self.read()).next is not None

    @property
    def buffers(self) -> int:
        """The buffers of the last page."""
        return sum(plan.buffers for plan in self._database.plans)

    @property
    def statements(self) -> int:
        return len(self._database.plans)


class _ExplainingDatabase:
    """Pool whose statements are explained."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.plans: list[Plan] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with self._database.connection() as connection:
            explaining = ExplainingConnection(connection)
            yield cast(Connection, explaining)
        self.plans += explaining.plans
