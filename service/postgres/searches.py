"""Search of messages: one function per statement of searches.sql, and the query of the index."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.errors import VmboxNotFound
from service.domain.message import Folder, MessageCursor, MessageId, MessageSummary
from service.domain.search import MAX_WORD, Term
from service.domain.transcription import Word
from service.postgres.message_lists import to_summaries
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("searches")

# A longer list of boxes does not restrict the query of the index; each row is checked anyway.
MAX_VMBOXES = 64
# The index is read once for each day; more days hardly restrict the matches of a month.
MAX_DAYS = 8
_SUMMARY_COLUMNS = 12


class SearchScope(msgspec.Struct, frozen=True, kw_only=True):
    """Boxes of a search: one box, some boxes or, without both, all boxes of the account."""

    account_id: UUID
    vmbox_id: UUID | None = None
    vmbox_ids: Collection[UUID] | None = None

    @property
    def selected(self) -> list[UUID] | None:
        if self.vmbox_id is not None:
            return [self.vmbox_id]
        return None if self.vmbox_ids is None else list(self.vmbox_ids)


class SearchTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Terms of a query, the stems of their words, and the boxes whose name contains a term."""

    terms: Sequence[Term]
    stems: Mapping[str, Sequence[str]]
    vmboxes: Mapping[Term, Sequence[UUID]]


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Days of one month, from a cursor on, within a window. Both ends are included."""

    month: int
    days: range
    since: datetime
    until: datetime
    folder: Folder | None
    start: MessageCursor
    limit: int


class SearchCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """Message that contains all words of a search, but maybe not its phrases."""

    message: MessageSummary
    vmbox_name: str
    stemmed: Sequence[str]


async def read_search_terms(
    connection: Connection, scope: SearchScope, terms: Sequence[Term]
) -> SearchTerms:
    """Returns the terms with the stems of their words and the boxes. Raises VmboxNotFound."""
    row = await _SQL["read_search_terms"].fetchrow(
        connection,
        account_id=scope.account_id,
        vmbox_id=scope.vmbox_id,
        vmbox_ids=scope.selected,
        phrases=[" ".join(term.words) for term in terms],
        words=list({word for term in terms for word in term.words}),
        most=MAX_VMBOXES + 1,
    )
    if row is None:
        raise VmboxNotFound(scope.vmbox_id.hex if scope.vmbox_id else "")
    stems: dict[str, list[str]] = {}
    for word, _, stem in (pair.partition(" ") for pair in row["stems"]):
        stems.setdefault(word, []).append(stem)
    vmboxes: dict[Term, list[UUID]] = {}
    for number, _, vmbox_id in (pair.partition(" ") for pair in row["vmboxes"]):
        vmboxes.setdefault(terms[int(number) - 1], []).append(UUID(vmbox_id))
    return SearchTerms(terms=terms, stems=stems, vmboxes=vmboxes)


async def search_messages(
    connection: Connection, scope: SearchScope, search: SearchTerms, part: Slice
) -> list[SearchCandidate]:
    """Returns the messages of a slice that contain the words of all terms, newest first."""
    rows = await _SQL["search_messages"].fetch(
        connection,
        account_id=scope.account_id,
        month=part.month,
        query=lexeme_query(scope, search, part.days),
        stems=sorted({stem for stems in search.stems.values() for stem in stems}),
        heads=sorted({word[:2] for word in search.stems}),
        vmbox_ids=scope.selected,
        start_received_at=part.start.received_at,
        start_id=part.start.id,
        since=part.since,
        until=part.until,
        folder=part.folder,
        limit=part.limit,
    )
    summaries = to_summaries([tuple(row)[:_SUMMARY_COLUMNS] for row in rows])
    return [
        SearchCandidate(message=message, vmbox_name=row["vmbox_name"], stemmed=row["stemmed"])
        for message, row in zip(summaries, rows, strict=True)
    ]


async def list_words_of_messages(
    connection: Connection, account_id: UUID, ids: Sequence[MessageId]
) -> dict[MessageId, list[Word]]:
    """Returns the words of transcriptions by message, without messages that have none."""
    rows = await _SQL["list_words_of_messages"].fetch(
        connection,
        account_id=account_id,
        months=[message_id.month for message_id in ids],
        ids=[message_id.id for message_id in ids],
    )
    return {
        MessageId(month, message_id): msgspec.json.decode(words, type=list[Word])
        for month, message_id, words in rows
    }


def lexeme_query(scope: SearchScope, search: SearchTerms, days: Sequence[int]) -> str:
    """Returns the query of the index: the days, the boxes, and each term in one of its forms.

    A term that is in the names of many boxes is left out. A condition on many days is left out too,
    unless no term remains.
    """
    prefix = scope.account_id.hex[-8:]
    selected = scope.selected
    conditions = []
    if selected is not None and len(selected) <= MAX_VMBOXES:
        conditions.append(_any(prefix, map(_box_lexeme, selected)))
    for term in search.terms:
        vmboxes = search.vmboxes.get(term, ())
        if len(vmboxes) <= MAX_VMBOXES:
            words = " & ".join(_any(prefix, _word_lexemes(search, word)) for word in term.words)
            others = [*map(_box_lexeme, vmboxes), *_number_lexemes(term)]
            conditions.append(f"({words} | {_any(prefix, others)})" if others else words)
    if len(days) <= MAX_DAYS or not conditions:
        conditions.append(_any(prefix, [f"/{day}" for day in days]))
    return " & ".join(conditions)


def _any(prefix: str, lexemes: Iterable[str]) -> str:
    """Returns a query of any lexeme; one that ends with `*` is the beginning of a lexeme."""
    quoted = [
        f"'{prefix}{lexeme[:-1]}':*" if lexeme.endswith("*") else f"'{prefix}{lexeme}'"
        for lexeme in dict.fromkeys(lexemes)
    ]
    return f"({' | '.join(quoted)})" if quoted else f"'{prefix}@'"


def _word_lexemes(search: SearchTerms, word: str) -> list[str]:
    return [f"{word}*" if len(word) == MAX_WORD else word, *search.stems.get(word, ())]


def _number_lexemes(term: Term) -> list[str]:
    """Returns the beginning and the end of a number; the index contains its digits reversed."""
    return [f"#{term.digits}*", f"~{term.digits[::-1]}*"] if term.digits else []


def _box_lexeme(vmbox_id: UUID) -> str:
    return "@" + vmbox_id.hex[-8:]
