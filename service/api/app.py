"""The HTTP application: both what it offers and the one place that picks a dialect for errors."""

from collections.abc import Callable
from typing import Any

from litestar import Litestar, Request, Response
from litestar.di import Provide
from litestar.types import ASGIApp, ControllerRouterHandler

from service.api import docs
from service.api.asyncapi import describe_events
from service.api.auth import Options
from service.api.counted import count_request
from service.api.faults import note
from service.api.frame import Frame
from service.api.kazoo import openapi as kazoo
from service.api.kazoo import routes as kazoo_routes
from service.api.kazoo.tunnel import Tunnel
from service.api.linger import Linger
from service.api.mailboxes import openapi as mailboxes
from service.api.mailboxes import routes as mailbox_routes
from service.api.observed import Observed, Routed, log_request
from service.api.openapi.document import document
from service.api.openapi.fields import Json
from service.api.pace import Deadline, Pace, PaceLimits
from service.usecases.accounts import Accounts
from service.usecases.batches import Batches
from service.usecases.feed import Feed
from service.usecases.greetings import Greetings
from service.usecases.messages import Messages
from service.usecases.passes import Passes
from service.usecases.recipients import Recipients
from service.usecases.recordings import Recordings
from service.usecases.transfers import Transfers
from service.usecases.users import Users
from service.usecases.vmboxes import Vmboxes
from service.usecases.webhooks import Webhooks


def create_app(
    *,
    accounts: Accounts,
    users: Users,
    passes: Passes,
    vmboxes: Vmboxes,
    messages: Messages,
    recordings: Recordings,
    greetings: Greetings,
    webhooks: Webhooks,
    batches: Batches,
    transfers: Transfers,
    feed: Feed,
    options: Options,
    pace: PaceLimits,
) -> ASGIApp:
    """The application over the given use cases; opens and closes nothing."""
    offered = {
        "accounts": accounts,
        "users": users,
        "passes": passes,
        "vmboxes": vmboxes,
        "recipients": Recipients(vmboxes),
        "messages": messages,
        "recordings": recordings,
        "greetings": greetings,
        "webhooks": webhooks,
        "batches": batches,
        "transfers": transfers,
        "feed": feed,
        "options": options,
    }
    app = Litestar(
        route_handlers=create_handlers(),
        dependencies={
            name: Provide(_always(thing), sync_to_thread=False) for name, thing in offered.items()
        },
        exception_handlers={Exception: answer_error},
        middleware=[Deadline(pace.deadline_s)],
        # Bodies are counted as they are read, by each route's own limit.
        request_max_body_size=None,
        logging_config=None,
        openapi_config=None,
    )
    return Observed(Frame(Linger(Pace(Tunnel(Routed(app)), pace))), (count_request, log_request))


def create_handlers() -> list[ControllerRouterHandler]:
    """Everything that is routed; what is for clients is in the document, which is routed too."""
    routers = [kazoo_routes.create_router(), mailbox_routes.create_router()]
    return [*routers, kazoo_routes.old_version, *docs.create_routes(describe(), describe_events())]


def describe() -> Json:
    """What clients may ask, in all dialects."""
    return document([kazoo.section(), mailboxes.section()])


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The answer to any error, in the dialect of the path."""
    if mailbox_routes.speaks(request.scope["path"]):
        answer = mailbox_routes.answer_error(request, error)
    else:
        answer = kazoo_routes.answer_error(request, error)
    note(request, error, answer.status_code)
    return answer


def _always(thing: Any) -> Callable[[], Any]:
    return lambda: thing
