"""The HTTP application: both what it offers and the one place that picks a dialect for errors."""

from typing import Any

from litestar import Litestar, Request, Response
from litestar.di import Provide
from litestar.types import ASGIApp, ControllerRouterHandler

from service.api.dependencies import UseCases
from service.api.description import docs
from service.api.description.asyncapi import describe_events
from service.api.description.openapi.document import document
from service.api.description.openapi.fields import Json
from service.api.kazoo import openapi as kazoo
from service.api.kazoo import routes as kazoo_routes
from service.api.kazoo.method_override import MethodOverride
from service.api.mailboxes import openapi as mailboxes
from service.api.mailboxes import routes as mailbox_routes
from service.api.middleware.access_log import AccessLog, Routed, log_request
from service.api.middleware.body_rate import Deadline, MinimumBodyRate, RequestLimits
from service.api.middleware.cors import Frame
from service.api.middleware.drain_body import DrainBody
from service.api.middleware.error_log import log_failure
from service.api.middleware.request_metrics import count_request
from service.api.middleware.tracing import Tracing


def create_app(use_cases: UseCases, pace: RequestLimits) -> ASGIApp:
    """The application over the given use cases; opens and closes nothing."""
    app = Litestar(
        route_handlers=create_handlers(),
        dependencies={"app": Provide(lambda: use_cases, use_cache=True, sync_to_thread=False)},
        exception_handlers={Exception: answer_error},
        middleware=[Deadline(pace.deadline_s)],
        # Bodies are counted as they are read, by each route's own limit.
        request_max_body_size=None,
        logging_config=None,
        openapi_config=None,
    )
    return AccessLog(
        Frame(Tracing(DrainBody(MinimumBodyRate(MethodOverride(Routed(app)), pace)))),
        (count_request, log_request),
    )


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
    log_failure(request, error, answer.status_code)
    return answer
