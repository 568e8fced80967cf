"""Query parameters that select rows: windows of time and filters."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from litestar.datastructures import MultiDict

from service.api.kazoo.dependencies import AnyRequest
from service.api.kazoo.filters import decode_json, read_filter
from service.api.kazoo.pages import PageQuery, decode_cursor, is_ascending
from service.api.kazoo.times import (
    FIRST,
    LAST,
    from_gregorian,
    gregorian,
    parse_iso,
    parse_time,
    time_problem,
    unix_problem,
)
from service.api.kazoo.wire.messages import MessageContext, message_filterable, to_folder
from service.domain.clock import utc_now
from service.domain.errors import Invalid, Rule
from service.domain.message import RETENTION_GRACE, Folder, MessageCursor
from service.domain.search import Term, parse_query
from service.usecases.message_lists import ListQuery, MessagePredicate

_CALENDAR_BEGINS = datetime(1, 1, 1, tzinfo=UTC)
CORRECT_WINDOW = "send a shorter window that ends after it begins"
# The longest window with a `created_from`: 31 days and an hour.
_LONGEST_WINDOW = timedelta(days=31) + RETENTION_GRACE


class TimeBounds(msgspec.Struct, frozen=True):
    """Inclusive bounds on the times of a document; None is no bound."""

    created: tuple[datetime | None, datetime | None]
    modified: tuple[datetime | None, datetime | None]

    def __bool__(self) -> bool:
        return any((*self.created, *self.modified))

    def contain(self, created_at: datetime, modified_at: datetime) -> bool:
        return _is_within(created_at, self.created) and _is_within(modified_at, self.modified)


def time_bounds(request: AnyRequest) -> TimeBounds:
    """Reads `created_from`, `created_to`, `modified_from` and `modified_to`. Raises Invalid."""
    query = request.query_params
    return TimeBounds(
        (_moment(query, "created_from"), _moment(query, "created_to")),
        (_moment(query, "modified_from"), _moment(query, "modified_to")),
    )


def list_query(request: AnyRequest, page: PageQuery, context: MessageContext) -> ListQuery:
    """Reads the window and the filters of a message list. Raises Invalid.

    The default window is the retention time. Postgres filters by a single folder within the
    retention time; all other filters are applied in Python to each message.
    """
    query = request.query_params
    if not query:
        return ListQuery(since=context.listed_since, limit=page.limit)
    since, until = _window(query, context.listed_since)
    folders = _folders(query)
    is_retained = since is None or (since >= context.listed_since and not context.vmboxes)
    is_indexed = is_retained and len(folders) == 1 and folders[0] in list(Folder)
    return ListQuery(
        since=since or context.listed_since,
        until=until,
        folder=Folder(folders[0]) if is_indexed else None,
        start=decode_cursor(page.start_key, MessageCursor),
        limit=page.limit,
        oldest_first=is_ascending(request, default=False),
        predicate=_matcher(query, [] if is_indexed else folders, context),
    )


def search_terms(request: AnyRequest) -> tuple[Term, ...]:
    """Reads the terms of `q`; none without it. Raises Invalid."""
    text = request.query_params.get("q")
    if not text:
        return ()
    if is_ascending(request, default=False):
        raise Invalid.of(
            "ascending",
            Rule.WRONG_FORMAT,
            value="true",
            message="q lists the newest messages first; remove ascending",
        )
    return parse_query(text)


def message_filter(request: AnyRequest, context: MessageContext) -> MessagePredicate | None:
    """Reads the filters over messages without `folder`; None without any. Raises Invalid."""
    query = request.query_params
    return _matcher(query, _validated_folders(query.getall("filter_folder", [])), context)


def _folders(query: MultiDict[Any]) -> list[str]:
    """Returns the values of `filter_folder`, or of its alias `folder`."""
    return _validated_folders(query.getall("filter_folder", []) or query.getall("folder", []))


def _validated_folders(values: list[str]) -> list[str]:
    """Each value is a folder, a JSON list of folders, or empty. Raises Invalid."""
    for value in values:
        decoded = decode_json(value)
        for folder in decoded if isinstance(decoded, list) else [value] if value else []:
            to_folder(folder)
    return values


def _matcher(
    query: MultiDict[Any], folders: list[str], context: MessageContext
) -> MessagePredicate | None:
    filters = [pair for pair in query.multi_items() if pair[0] != "filter_folder"]
    filters += [("filter_folder", folder) for folder in folders]
    matches = read_filter(filters, prefix="metadata.")
    return matches and (lambda message: matches(message_filterable(message, context)))


def _window(
    query: Mapping[str, str], retained_since: datetime
) -> tuple[datetime | None, datetime | None]:
    """Reads `created_from` and `created_to`, both inclusive; None without an end. Raises Invalid.

    Without `created_to` the window has no end: the clock of another process may be ahead.
    """
    created_from, created_to = _moment(query, "created_from"), _moment(query, "created_to")
    if created_from is None and created_to is None:
        return None, None
    now = utc_now().replace(microsecond=0)
    retention = now - retained_since
    until = created_to or now
    since = created_from or until - min(retention, until - _CALENDAR_BEGINS)
    longest = retention if created_from is None else _LONGEST_WINDOW
    if until < since:
        raise _bad_window("created_to {to} is prior to created_from {from}", since, until)
    if until - since > longest:
        seconds = int(longest.total_seconds())
        text = f"created_to {{to}} is more than {seconds} seconds from created_from {{from}}"
        raise _bad_window(text, since, until)
    return since, created_to


def _bad_window(text: str, since: datetime, until: datetime) -> Invalid:
    message = text.format_map({"from": gregorian(since), "to": gregorian(until)})
    message += f"; {CORRECT_WINDOW}"
    cause = since if until < since else until
    return Invalid.of("created_from", Rule.DATE_RANGE, value=cause, message=message)


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    """Reads a time, or None if it is absent. A time after the calendar is read as its end."""
    text = query.get(name)
    if not text:
        return None
    # A plus sign in a query is a space.
    moment = parse_time(text) or parse_iso(text[:10] + text[10:].replace(" ", "+"))
    if moment is None and text.isascii() and text.isdecimal() and len(text) <= 12 and int(text):
        moment = from_gregorian(min(max(int(text), FIRST), LAST))
    if moment is None or unix_problem(name, text):
        raise Invalid([time_problem(name, text)])
    return moment


def _is_within(moment: datetime, bounds: tuple[datetime | None, datetime | None]) -> bool:
    """Compares whole seconds, as responses contain them."""
    moment = moment.replace(microsecond=0)
    first, last = bounds
    return (first is None or moment >= first) and (last is None or moment <= last)
