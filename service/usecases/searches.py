"""Use case of searches: pages of messages that contain all terms of a query, newest first."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from service.domain.account import AccountFacts
from service.domain.message import (
    FUTURE_ALLOWANCE,
    LAST_ID,
    MessageCursor,
    MessageSummary,
    month_of,
)
from service.domain.page import Page
from service.domain.search import (
    Place,
    Searchable,
    SearchField,
    Term,
    add_times,
    find_places,
)
from service.domain.transcription import Word, transcript_of
from service.postgres.searches import (
    MAX_DAYS,
    SearchCandidate,
    SearchScope,
    SearchTerms,
    Slice,
    list_words_of_messages,
    read_search_terms,
    search_messages,
)
from service.postgres.standby import Reads
from service.usecases.message_lists import ListQuery
from service.usecases.pages import CHUNK, MAX_PAGE_BYTES, Turn

# A search of many months without a result ends after this time with the cursor of its next month.
SEARCH_S = 2.0
_DAYS_OF_MONTH = 31
# Words are read for this number of messages, because those of a long message have 100 kB.
_TIMED_AT_ONCE = 50
_TICK = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SearchResult(msgspec.Struct, kw_only=True):
    """Message that contains all terms, and their places."""

    message: MessageSummary
    vmbox_name: str
    places: list[Place]

    @property
    def is_in_transcript(self) -> bool:
        return any(place.field is SearchField.TRANSCRIPTION for place in self.places)

    def add_times(self, words: Sequence[Word]) -> None:
        transcript = transcript_of(self.message.transcription)
        if words and transcript is not None:
            self.places = add_times(self.places, transcript, words)


SearchPage = Page[SearchResult, MessageCursor]


@dataclass(frozen=True)
class Searches:
    """Searches the messages of a mailbox or an account. `clock` returns aware UTC."""

    database: Reads
    clock: Callable[[], datetime]

    async def search_vmbox(
        self, account: AccountFacts, vmbox_id: UUID, terms: tuple[Term, ...], query: ListQuery
    ) -> SearchPage:
        """Returns a page of a mailbox. Raises VmboxNotFound."""
        scope = SearchScope(account_id=account.account_id, vmbox_id=vmbox_id)
        return await self._search(scope, terms, query)

    async def search_account(
        self,
        account: AccountFacts,
        terms: tuple[Term, ...],
        query: ListQuery,
        vmbox_ids: Collection[UUID] | None = None,
    ) -> SearchPage:
        """Returns a page over all mailboxes of an account, or over `vmbox_ids`."""
        scope = SearchScope(account_id=account.account_id, vmbox_ids=vmbox_ids)
        return await self._search(scope, terms, query)

    async def _search(
        self, scope: SearchScope, terms: tuple[Term, ...], query: ListQuery
    ) -> SearchPage:
        async with self.database.connection() as connection:
            search = await read_search_terms(connection, scope, terms)
        # The clock of another process may be ahead.
        until = query.until or self.clock() + FUTURE_ALLOWANCE
        last = MessageCursor(month_of(until), until, LAST_ID)
        start = last if query.start is None else min(query.start, last, key=_order)
        page = await _PageReader(self.database, scope, search, query, until, start).read()
        for first in range(0, len(page.items), _TIMED_AT_ONCE):
            await self._add_times(scope.account_id, page.items[first : first + _TIMED_AT_ONCE])
        return page

    async def _add_times(self, account_id: UUID, results: Sequence[SearchResult]) -> None:
        """Adds the times in the audio to places in transcriptions."""
        spoken = [result for result in results if result.is_in_transcript]
        if not spoken:
            return
        async with self.database.connection() as connection:
            ids = [result.message.id for result in spoken]
            words = await list_words_of_messages(connection, account_id, ids)
        turn = Turn()
        for result in spoken:
            await turn.yield_if_over()
            result.add_times(words.get(result.message.id, ()))


class _PageReader:
    """Reads a page in slices: at first one day, then twice as many days, then months.

    So a frequent word reads few days, and a rare word reads each month at once.
    """

    def __init__(
        self,
        database: Reads,
        scope: SearchScope,
        search: SearchTerms,
        query: ListQuery,
        until: datetime,
        start: MessageCursor,
    ) -> None:
        self._database = database
        self._scope = scope
        self._search = search
        self._query = query
        self._since = query.since or _EPOCH
        self._until = until
        self._position: MessageCursor | None = start
        self._days = 1
        self._chunk = 1
        self._results: list[SearchResult] = []
        self._size = 0
        self._is_complete = False
        self._turn = Turn()

    async def read(self) -> SearchPage:
        ends = time.monotonic() + SEARCH_S
        while self._position is not None and not self._is_complete:
            self._position = await self._read_slice(self._position)
            if time.monotonic() >= ends:
                break
        return Page(items=self._results, next=self._position)

    async def _read_slice(self, start: MessageCursor) -> MessageCursor | None:
        """Reads the days before a cursor. Returns where the search continues, or None."""
        last_day = start.received_at.astimezone(UTC).day
        days = range(max(last_day - self._days + 1, 1), last_day + 1)
        count = min(max(self._query.limit - len(self._results) + 1, self._chunk), CHUNK)
        begins = datetime(start.month // 100, start.month % 100, days[0], tzinfo=UTC)
        part = Slice(
            month=start.month,
            days=days,
            since=max(self._since, begins),
            until=self._until,
            folder=self._query.folder,
            start=start,
            limit=count + 1,
        )
        async with self._database.connection() as connection:
            rows = await search_messages(connection, self._scope, self._search, part)
        for found in rows[:count]:
            await self._turn.yield_if_over()
            if not self._take(found):
                return _cursor_of(found)
        if len(rows) > count:
            # Most rows were no results: a filter or a phrase did not match.
            self._chunk = 2 * count
            return _cursor_of(rows[count])
        self._days = 2 * self._days if self._days < MAX_DAYS else _DAYS_OF_MONTH
        before = begins - _TICK
        return None if before < self._since else MessageCursor(month_of(before), before, LAST_ID)

    def _take(self, found: SearchCandidate) -> bool:
        """Adds a result. Returns False if the message is the first result of the next page."""
        message, predicate = found.message, self._query.predicate
        if predicate is not None and not predicate(message):
            return True
        transcript = transcript_of(message.transcription) or ""
        searchable = Searchable(
            caller_name=message.caller_id.name,
            caller_number=message.caller_id.number,
            transcript=transcript,
            vmbox_name=found.vmbox_name,
            stemmed=found.stemmed,
        )
        places = find_places(self._search.terms, searchable)
        if places is None:
            return True
        if len(self._results) == self._query.limit or self._size >= MAX_PAGE_BYTES:
            self._is_complete = True
            return False
        self._results.append(
            SearchResult(message=message, vmbox_name=found.vmbox_name, places=places)
        )
        self._size += len(transcript)
        return True


def _order(cursor: MessageCursor) -> tuple[datetime, UUID]:
    return cursor.received_at, cursor.id


def _cursor_of(found: SearchCandidate) -> MessageCursor:
    message = found.message
    return MessageCursor(message.id.month, message.received_at, message.id.id)
