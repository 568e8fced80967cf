"""The HTTP application: routes, middleware stack, and the choice of the dialect for errors."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial, reduce
from typing import Any

from litestar import Litestar, Request, Response
from litestar.di import Provide
from litestar.types import ASGIApp, ControllerRouterHandler, Scope

from service.api import mail_consents
from service.api.account_routes import AccountRoutes
from service.api.dependencies import UseCases
from service.api.description import docs
from service.api.description.asyncapi import describe_events
from service.api.description.openapi.document import document
from service.api.description.openapi.fields import Json
from service.api.kazoo import openapi as kazoo
from service.api.kazoo import routes as kazoo_routes
from service.api.kazoo.dependencies import authenticate_caller
from service.api.kazoo.method_override import MethodOverrideMiddleware
from service.api.mailboxes import openapi as mailboxes
from service.api.mailboxes import routes as mailbox_routes
from service.api.middleware.access_log import AccessLogMiddleware, log_request, record_route
from service.api.middleware.audit import AuditMiddleware
from service.api.middleware.body_rate import BodyRateLimits
from service.api.middleware.connection_draining import ConnectionDrainer
from service.api.middleware.cors import CorsMiddleware
from service.api.middleware.deadline import DeadlineMiddleware
from service.api.middleware.error_log import log_failure
from service.api.middleware.relay_wakeup import wake_relay
from service.api.middleware.request_body import RequestBodyMiddleware
from service.api.middleware.request_metrics import count_request
from service.api.middleware.tracing import TracingMiddleware
from service.api.web import routes as web_routes
from service.domain.errors import VoicemailError

Middleware = Callable[[ASGIApp], ASGIApp]


def create_app(
    use_cases: UseCases, drainer: ConnectionDrainer, body_rate: BodyRateLimits, deadline_s: float
) -> ASGIApp:
    """Returns the application of the use cases. The caller opens and closes the use cases."""
    router = _create_router(use_cases, deadline_s)
    routes = AccountRoutes(router, use_cases, deadline_s, error_response)
    is_path = _path_pattern(router).fullmatch
    trusted_proxies = use_cases.auth_options.trusted_proxies
    observers = (count_request, log_request, partial(wake_relay, use_cases.relay_wakeup))
    stack: list[Middleware] = [
        # Closes connections while the process stops.
        drainer.wrap,
        # Logs and counts each request, including those that the next layers refuse. Sets the
        # request id, and the headers of all responses.
        partial(AccessLogMiddleware, observers=observers),
        # Sets the actor for the audit and records refusals of access.
        partial(AuditMiddleware, queue=use_cases.audit.queue, trusted_proxies=trusted_proxies),
        # Answers CORS preflight requests.
        CorsMiddleware,
        # Runs the request in a trace span.
        TracingMiddleware,
        # Stops a body that arrives too slowly, bounds the memory of bodies and the size of a body
        # before sign-in. Reads the rest before an error response, so that the client receives it.
        partial(RequestBodyMiddleware, limits=body_rate, trusted_proxies=trusted_proxies),
        # Applies the verb, token and Accept value that KAZOO clients put into query or body.
        partial(
            MethodOverrideMiddleware,
            has_route=lambda path, method: routes.has_route(path, method) or is_path(path),
            authenticate=partial(_authenticate, use_cases),
        ),
    ]
    return _wrap(routes, stack)


def _path_pattern(router: Litestar) -> re.Pattern[str]:
    """Returns a pattern that matches the paths of all routes."""
    paths = [
        "/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in path.split("/"))
        for path in (route.path for route in router.routes)
    ]
    return re.compile("|".join(paths))


async def _authenticate(use_cases: UseCases, scope: Scope) -> None:
    """Authenticates a request before its body is read. The route reports missing credentials."""
    copy: Any = {**scope, "state": {**scope["state"]}}
    with suppress(VoicemailError):
        await authenticate_caller(Request(copy), use_cases)


def _wrap(app: ASGIApp, stack: Sequence[Middleware]) -> ASGIApp:
    """Wraps the application in the layers of the stack. The first layer is the outermost."""
    return reduce(lambda inner, layer: layer(inner), reversed(stack), app)


def _create_router(use_cases: UseCases, deadline_s: float) -> Litestar:
    return Litestar(
        route_handlers=create_handlers(),
        dependencies={"app": Provide(lambda: use_cases, use_cache=True, sync_to_thread=False)},
        exception_handlers={Exception: error_response},
        before_request=record_route,
        # Inside the router, because its error needs a response in the dialect of the path.
        middleware=[DeadlineMiddleware(deadline_s)],
        # Each route counts the bytes of its body against its own limit.
        request_max_body_size=None,
        logging_config=None,
        openapi_config=None,
    )


def create_handlers() -> list[ControllerRouterHandler]:
    """Returns all routes, including those that serve the API description."""
    routers = [kazoo_routes.create_router(), mailbox_routes.create_router()]
    return [
        *routers,
        *mail_consents.ROUTES,
        kazoo_routes.old_version,
        *docs.create_routes(describe(), describe_events()),
        *web_routes.ROUTES,
    ]


def describe() -> Json:
    """Returns the OpenAPI document of all dialects."""
    return document([kazoo.section(), mailboxes.section()])


def error_response(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Returns the response to an error, in the dialect of the path."""
    if mailbox_routes.is_mailbox_path(request.scope["path"]):
        response = mailbox_routes.answer_error(request, error)
    else:
        response = kazoo_routes.answer_error(request, error)
    log_failure(request, error, response.status_code)
    return response
