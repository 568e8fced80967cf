"""Routes of what happens: `/v2/accounts/{account}/events`, `.../vmboxes/{vmbox}/events`.

As `text/event-stream` live, as JSON page by page; both go on from a cursor.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import UUID

import msgspec
from litestar import Response, route
from litestar.response import Stream

from service.api.dependencies import App, UseCases
from service.api.kazoo.accept import MEDIA, Media, is_welcome
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheCaller,
    authenticate_caller,
    vmbox_of_path,
)
from service.api.kazoo.envelope import Progress, succeed
from service.api.kazoo.query import LARGEST_PAGE, page_query
from service.api.kazoo.vmboxes import ONE
from service.domain.account import AccountFacts, Caller
from service.domain.errors import Forbidden, Invalid, Rule, TooManySignIns, Unauthorized
from service.domain.events import encode_cloudevent
from service.usecases.feed import FeedCursor, FeedPage

STREAM_TYPE = "text/event-stream"
EITHER = Media(gives=("application/json", STREAM_TYPE))
ACCOUNT_EVENTS = "/accounts/{account_id:str}/events"
VMBOX_EVENTS = ONE + "/events"

# Well below what proxies wait, and often enough to notice that a token has ended.
_COMMENT_EVERY_S = 15.0
_LOOK_EVERY_S = 5.0


@route(ACCOUNT_EVENTS, http_method=["GET", "HEAD"], opt={MEDIA: EITHER})
async def account_events(
    request: AnyRequest,
    account: TheAccount,
    caller: TheCaller,
    app: App,
) -> Response[bytes] | Stream:
    """What happens in an account."""
    return await _answer(request, account, None, caller, app)


@route(VMBOX_EVENTS, http_method=["GET", "HEAD"], opt={MEDIA: EITHER})
async def vmbox_events(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    caller: TheCaller,
    app: App,
) -> Response[bytes] | Stream:
    """What happens to a box and its messages."""
    return await _answer(request, account, vmbox_of_path(vmbox_id), caller, app)


ROUTES = (account_events, vmbox_events)


async def _answer(
    request: AnyRequest,
    account: AccountFacts,
    vmbox_id: UUID | None,
    caller: Caller,
    app: UseCases,
) -> Response[bytes] | Stream:
    since = _since(request)
    # Without pages a list of events is one all the same: it goes on from its cursor.
    limit = min(page_query(request).limit, LARGEST_PAGE)
    await app.feed.check_vmbox(account, vmbox_id)
    accepted: str = request.query_params.get("accept") or request.headers.get("accept") or ""
    if STREAM_TYPE not in accepted and is_welcome(accepted, ("application/json",)):
        page = await app.feed.page(account, vmbox_id, since, limit)
        events = [msgspec.Raw(encode_cloudevent(one.event)) for one in page.events]
        progress = Progress(next_cursor=str(page.next), reset=page.reset)
        return succeed(request, events, progress=progress)
    pages = app.feed.stream(account, vmbox_id, since, _LOOK_EVERY_S)
    return Stream(
        _lines(pages, request, account, caller, app),
        media_type=STREAM_TYPE,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _lines(
    pages: AsyncIterator[FeedPage],
    request: AnyRequest,
    account: AccountFacts,
    caller: Caller,
    app: UseCases,
) -> AsyncIterator[bytes]:
    """Server-sent events. Ends when the token does: a stream must not outlive the right to it."""
    if request.method == "HEAD":
        return
    silent_s = 0.0
    yield b": welcome\n\n"
    async with aclosing(pages) as following:  # type: ignore[type-var]
        async for page in following:
            if not await _may_go_on(account, caller, app, request):
                return
            if page.reset:
                yield f"event: reset\nid: {page.next}\ndata: {{}}\n\n".encode()
            for one in page.events:
                cursor = FeedCursor(page.next.epoch, one.number)
                head = f"id: {cursor}\nevent: voicemail.{one.event.type}\ndata: "
                yield head.encode() + encode_cloudevent(one.event) + b"\n\n"
            silent_s = 0.0 if page.events else silent_s + _LOOK_EVERY_S
            if silent_s >= _COMMENT_EVERY_S:
                silent_s = 0.0
                yield b": still here\n\n"


async def _may_go_on(
    account: AccountFacts, caller: Caller, app: UseCases, request: AnyRequest
) -> bool:
    """Whether what began this stream still counts; mostly answered from memory."""
    try:
        again = await authenticate_caller(request, app)
        await app.accounts.sessions.authorise(again, account.account_id)
    except (Unauthorized, Forbidden, TooManySignIns):
        return False
    return again.account.account_id == caller.account.account_id


def _since(request: AnyRequest) -> FeedCursor | None:
    """The cursor to go on from: `Last-Event-ID`, which browsers send, or `?since=`."""
    text = request.headers.get("last-event-id") or request.query_params.get("since")
    if not text:
        return None
    cursor = FeedCursor.parse(text)
    if cursor is None:
        raise Invalid.of("since", Rule.WRONG_FORMAT, value=text[:64], message="Unknown cursor")
    return cursor
