"""The query string: pages, windows of time, filters."""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.datastructures import MultiDict
from msgspec import UNSET

from service.api.kazoo.envelope import Paging
from service.api.kazoo.filters import decoded, read_filter
from service.api.kazoo.times import FIRST, LAST, from_gregorian, gregorian
from service.api.kazoo.wire import View, message_filterable, to_folder
from service.domain.clock import utc_now
from service.domain.errors import Invalid, Rule
from service.domain.message import RETENTION_GRACE, Folder
from service.usecases.message_lists import ListQuery, MessagePredicate

AnyRequest = Request[Any, Any, Any]
Key = TypeVar("Key")

DEFAULT_PAGE = 50
LARGEST_PAGE = 1_000
LARGEST_LIST = 10_000
_CALENDAR_BEGINS = datetime(1, 1, 1, tzinfo=UTC)
# The longest window that may be named by its beginning: 31 days and an hour.
_NAMED_WINDOW = timedelta(days=31) + RETENTION_GRACE


class PageQuery(msgspec.Struct, frozen=True):
    """How much of a list is wanted; `paginated` False means all of it, without paging keys."""

    paginated: bool
    limit: int
    start_key: str | None


def page_query(request: AnyRequest) -> PageQuery:
    """`paginate`, `page_size`, `start_key`. Raises Invalid."""
    query = request.query_params
    start_key = query.get("start_key") or None
    if query.get("paginate") == "false":
        return PageQuery(False, LARGEST_LIST, start_key)
    size = query.get("page_size", str(DEFAULT_PAGE))
    if not (
        size.isascii() and size.isdecimal() and len(size) <= 9 and 1 <= int(size) <= LARGEST_PAGE
    ):
        raise Invalid.of(
            "page_size",
            Rule.WRONG_FORMAT,
            value=size[:32],
            message=f"page_size must be a whole number from 1 to {LARGEST_PAGE}",
        )
    return PageQuery(True, int(size), start_key)


def ascends(request: AnyRequest, default: bool) -> bool:
    """Whether a list goes from first to last: `ascending`, `descending`, else the default."""
    for name, meaning in (("ascending", True), ("descending", False)):
        match request.query_params.get(name):
            case "true":
                return meaning
            case "false":
                return not meaning
    return default


def list_query(request: AnyRequest, page: PageQuery, start: Any, view: View) -> ListQuery:
    """The window and the filter of a message list. Raises Invalid.

    One folder of what is retained is found by the store; every other filter looks at each message
    as the list shows it.
    """
    query = request.query_params
    oldest, now = view.retained_since, utc_now().replace(microsecond=0)
    since, until = _window(query, now, now - oldest)
    folders = _folders(query)
    by_store = since >= oldest and len(folders) == 1 and folders[0] in list(Folder)
    return ListQuery(
        since=since,
        until=until,
        folder=Folder(folders[0]) if by_store else None,
        start=start,
        limit=page.limit,
        oldest_first=ascends(request, default=False),
        predicate=_keeper(query, [] if by_store else folders, view),
    )


def message_filter(request: AnyRequest, view: View) -> MessagePredicate | None:
    """What every filter of the query holds of; None without any. Raises Invalid.

    `folder` is none of them here: it is a parameter of its own.
    """
    query = request.query_params
    return _keeper(query, _checked(query.getall("filter_folder", [])), view)


def _folders(query: MultiDict[Any]) -> list[str]:
    """The values of `filter_folder`, or of `folder`, which means the same in lists."""
    return _checked(query.getall("filter_folder", []) or query.getall("folder", []))


def _checked(values: list[str]) -> list[str]:
    """Each names a folder, a JSON list of some, or none by being empty. Raises Invalid."""
    for value in values:
        named = decoded(value)
        for folder in named if isinstance(named, list) else [value] if value else []:
            to_folder(folder)
    return values


def _keeper(query: MultiDict[Any], folders: list[str], view: View) -> MessagePredicate | None:
    filters = [pair for pair in query.multi_items() if pair[0] != "filter_folder"]
    filters += [("filter_folder", folder) for folder in folders]
    wanted = read_filter(filters, prefix="metadata.")
    return (lambda message: wanted.matches(message_filterable(message, view))) if wanted else None


def _window(
    query: Mapping[str, str], now: datetime, retention: timedelta
) -> tuple[datetime, datetime]:
    """`created_from` and `created_to`, both inclusive; what is no positive integer is ignored."""
    given_from, given_to = _moment(query.get("created_from")), _moment(query.get("created_to"))
    until = given_to or now
    since = given_from or _before(until, retention)
    longest = retention if given_from is None else _NAMED_WINDOW
    if until < since:
        raise _bad_window("created_to {to} is prior to created_from {from}", since, until)
    if until - since > longest:
        seconds = int(longest.total_seconds())
        text = f"created_to {{to}} is more than {seconds} seconds from created_from {{from}}"
        raise _bad_window(text, since, until)
    return since, until


def _before(moment: datetime, span: timedelta) -> datetime:
    """`span` earlier, but not before the calendar begins."""
    return moment - min(span, moment - _CALENDAR_BEGINS)


def _bad_window(text: str, since: datetime, until: datetime) -> Invalid:
    message = text.format_map({"from": gregorian(since), "to": gregorian(until)})
    cause = since if until < since else until
    return Invalid.of("created_from", Rule.DATE_RANGE, value=cause, message=message)


def _moment(text: str | None) -> datetime | None:
    if text is None or not (text.isascii() and text.isdecimal()) or len(text) > 12:
        return None
    # What lies outside the calendar counts as its nearest end; 0 is no time.
    return from_gregorian(min(max(int(text), FIRST), LAST)) if int(text) else None


class Times(msgspec.Struct, frozen=True):
    """Bounds on when something was created and modified; both ends belong, None is no bound."""

    created: tuple[datetime | None, datetime | None]
    modified: tuple[datetime | None, datetime | None]

    def __bool__(self) -> bool:
        return any((*self.created, *self.modified))

    def holds(self, created_at: datetime, modified_at: datetime) -> bool:
        return _within(created_at, self.created) and _within(modified_at, self.modified)


def created_and_modified(request: AnyRequest) -> Times:
    """`created_from`, `created_to`, `modified_from`, `modified_to`."""
    query = request.query_params
    return Times(
        (_moment(query.get("created_from")), _moment(query.get("created_to"))),
        (_moment(query.get("modified_from")), _moment(query.get("modified_to"))),
    )


def _within(moment: datetime, bounds: tuple[datetime | None, datetime | None]) -> bool:
    """Whole seconds, as the wire shows them."""
    moment = moment.replace(microsecond=0)
    first, last = bounds
    return (first is None or moment >= first) and (last is None or moment <= last)


def decode_key(text: str | None, kind: type[Key]) -> Key | None:
    """The sort key that an opaque `start_key` carries. Raises Invalid for what is none."""
    if text is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
        return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, UnicodeError, ValueError, OverflowError) as error:
        raise Invalid.of(
            "start_key", Rule.WRONG_FORMAT, value=text[:64], message="Unknown start_key"
        ) from error


def encode_key(key: Any) -> str:
    """A sort key as an opaque word."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def paging(page: PageQuery, size: int, start: Any, following: Any) -> Paging | None:
    """What the envelope says of the page: none of it when everything was asked for."""
    if not page.paginated:
        return None
    return Paging(
        page_size=size,
        start_key=UNSET if start is None else encode_key(start),
        next_start_key=UNSET if following is None else encode_key(following),
    )
