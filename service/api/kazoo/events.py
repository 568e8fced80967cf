"""Routes of events: `/v2/accounts/{account}/events`, `.../vmboxes/{vmbox}/events`.

Events are a live stream as `text/event-stream`, and pages as JSON. Both start at a cursor.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import UUID

import msgspec
from litestar import Response, route
from litestar.response import Stream
from msgspec import UNSET

from service.api.dependencies import App, UseCases
from service.api.http.access import PERMISSION
from service.api.http.auth import slot_owner
from service.api.kazoo.accept import MEDIA, Media, is_acceptable
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheCaller,
    authenticate_caller,
    vmbox_of_path,
)
from service.api.kazoo.envelope import EventPage, envelope_fields, respond
from service.api.kazoo.pages import LARGEST_PAGE, page_query
from service.api.kazoo.vmboxes import VMBOX
from service.api.middleware.access_log import request_record_of
from service.domain.access import Permission
from service.domain.account import AccountFacts, Caller, Quota
from service.domain.errors import Forbidden, Invalid, Rule, TooManySignIns, Unauthorized
from service.domain.events import TYPE_PREFIX, encode_cloudevent
from service.usecases.feed import FeedCursor, FeedPage

STREAM_TYPE = "text/event-stream"
JSON_OR_STREAM = Media(returns=("application/json", STREAM_TYPE))
ACCOUNT_EVENTS = "/accounts/{account_id:str}/events"
VMBOX_EVENTS = VMBOX + "/events"
MESSAGE = "message"
"""Name of a server-sent event for `onmessage` of EventSource."""
BAD_CURSOR = "Unknown cursor; send the next_cursor of a page or the id of an event"

# Below the idle timeout of common proxies.
_COMMENT_INTERVAL_S = 15.0
# Interval at which a stream authenticates again. This interval and the age of a cached access are
# together at most 5 s.
_POLL_INTERVAL_S = 2.0


@route(
    ACCOUNT_EVENTS,
    http_method=["GET", "HEAD"],
    opt={PERMISSION: Permission.EVENTS_READ, MEDIA: JSON_OR_STREAM},
)
async def account_events(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes] | Stream:
    """Returns the events of an account. With `Accept: text/event-stream` it is a live stream of
    named events. With JSON it is the page of events after `since`; without `since` the page is
    empty and has the current cursor."""
    return await _answer(request, account, None, caller, app)


@route(
    VMBOX_EVENTS,
    http_method=["GET", "HEAD"],
    opt={PERMISSION: Permission.EVENTS_READ, MEDIA: JSON_OR_STREAM},
)
async def vmbox_events(
    request: AnyRequest, account: TheAccount, vmbox_id: str, caller: TheCaller, app: App
) -> Response[bytes] | Stream:
    """Returns the events of a box and its messages. The formats are those of the events of an
    account."""
    return await _answer(request, account, vmbox_of_path(vmbox_id), caller, app)


ROUTES = (account_events, vmbox_events)


async def _answer(
    request: AnyRequest, account: AccountFacts, vmbox_id: UUID | None, caller: Caller, app: UseCases
) -> Response[bytes] | Stream:
    since, name = _read_since(request), _read_name(request)
    # `paginate=false` does not apply: the next request continues at the cursor.
    limit = min(page_query(request).limit, LARGEST_PAGE)
    await app.feed.check_vmbox(account, vmbox_id)
    vmbox_ids = caller.access.vmbox_ids if vmbox_id is None else [vmbox_id]
    accepted: str = request.query_params.get("accept") or request.headers.get("accept") or ""
    if STREAM_TYPE not in accepted and is_acceptable(accepted, ("application/json",)):
        page = await app.feed.get_page(account, vmbox_ids, since, limit)
        events = [msgspec.Raw(encode_cloudevent(numbered.event)) for numbered in page.events]
        envelope = EventPage(
            data=events,
            next_cursor=str(page.next),
            reset=page.reset or UNSET,
            **envelope_fields(request),
        )
        return respond(envelope)
    if request.method != "HEAD":
        _hold_stream(request, account, caller, app)
    if since is None:
        # Before the response starts, so that the stream has all events that follow its headers.
        since = (await app.feed.get_page(account, vmbox_ids, None, limit)).next
    pages = app.feed.stream(account, vmbox_ids, since, _POLL_INTERVAL_S)
    return Stream(
        _event_stream(pages, name, request, account, caller, app),
        media_type=STREAM_TYPE,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _hold_stream(request: AnyRequest, account: AccountFacts, caller: Caller, app: UseCases) -> None:
    """Takes a slot for a stream until the request ends. Raises TooManyStreams."""
    token = request.scope["state"]["auth_token"] or request.headers.get("authorization", "")
    owner_id = slot_owner(request, account)
    owner = account if owner_id == account.account_id else caller.account
    release = app.stream_slots.acquire(owner_id, token, owner.limits.get(Quota.STREAMS))
    request_record_of(request.scope).on_end.append(release)


async def _event_stream(
    pages: AsyncIterator[FeedPage],
    name: str | None,
    request: AnyRequest,
    account: AccountFacts,
    caller: Caller,
    app: UseCases,
) -> AsyncIterator[bytes]:
    """Yields server-sent events until the token becomes invalid or the access changes.

    Without `name`, the name of each is its type.
    """
    if request.method == "HEAD":
        return
    idle_s = 0.0
    yield b": welcome\n\n"
    async with aclosing(pages) as open_pages:  # type: ignore[type-var]
        async for page in open_pages:
            if not await _is_still_authorised(account, caller, app, request):
                return
            if page.reset:
                data = '{"reset":true}' if name else "{}"
                yield f"event: {name or 'reset'}\nid: {page.next}\ndata: {data}\n\n".encode()
            for numbered in page.events:
                cursor = FeedCursor(page.next.epoch, numbered.number)
                event_name = name or f"{TYPE_PREFIX}{numbered.event.type}"
                head = f"id: {cursor}\nevent: {event_name}\ndata: "
                yield head.encode() + encode_cloudevent(numbered.event) + b"\n\n"
            idle_s = 0.0 if page.events else idle_s + _POLL_INTERVAL_S
            if idle_s >= _COMMENT_INTERVAL_S:
                idle_s = 0.0
                yield b": still here\n\n"


async def _is_still_authorised(
    account: AccountFacts, caller: Caller, app: UseCases, request: AnyRequest
) -> bool:
    """Checks the credentials of the request again; mostly served from caches."""
    try:
        current = await authenticate_caller(request, app)
        await app.accounts.sessions.authorise(current, account.account_id)
    except (Unauthorized, Forbidden, TooManySignIns):
        return False
    # A client that reconnects gets a stream with its current access.
    return (
        current.account.account_id == caller.account.account_id and current.access == caller.access
    )


def _read_name(request: AnyRequest) -> str | None:
    """Reads `?event=message`, which gives all events of a stream this name. Raises Invalid."""
    name: str | None = request.query_params.get("event")
    if name not in (None, MESSAGE):
        raise Invalid.of("event", Rule.ENUM, target=[MESSAGE], value=name[:64])
    return name


def _read_since(request: AnyRequest) -> FeedCursor | None:
    """Reads the cursor from `Last-Event-ID`, which browsers send, or `?since=`. Raises Invalid."""
    text = request.headers.get("last-event-id") or request.query_params.get("since")
    if not text:
        return None
    cursor = FeedCursor.parse(text)
    if cursor is None:
        raise Invalid.of("since", Rule.WRONG_FORMAT, value=text[:64], message=BAD_CURSOR)
    return cursor
