"""Direct calls of the route handlers of accounts, without Litestar's request pipeline.

The pipeline costs more than the rest of a short request: a task for each dependency, models of the
parameters, and several layers around each message. The handlers, their paths, methods and options
are those that are registered in Litestar. A handler gets the same arguments from both.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.enums import ScopeType
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from service.api.dependencies import UseCases
from service.api.http.encoded_response import EncodedResponse
from service.api.http.lean_request import LeanRequest
from service.api.kazoo.dependencies import provide_account
from service.api.middleware.access_log import RequestRecord, request_record_of
from service.api.middleware.deadline import Deadline

_PREFIX = "/v2/accounts/"
_HOST_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-[]")
_DEPENDENCIES = frozenset({"request", "account", "caller", "app"})

AnyRequest = Request[Any, Any, Any]
Handler = Callable[..., Awaitable[Response[Any]]]


class _Route(msgspec.Struct, frozen=True):
    """Handler of one path and method. `path_names` are the parameters of the path, in order."""

    template: str
    registered: Any
    function: Handler
    path_names: tuple[str, ...]
    names: tuple[str, ...]


# The fixed parts of a path below the account, the number of all parts, the method.
_Key = tuple[tuple[str, ...], int, str]


class AccountRoutes:
    """Serves the routes below an account in which every second part of the path is a parameter.

    All other requests, among them those with an unusual path or host, are left to the router.
    """

    def __init__(
        self,
        router: Litestar,
        use_cases: UseCases,
        deadline_s: float,
        error_response: Callable[[AnyRequest, Exception], Response[bytes]],
    ) -> None:
        self._router = router
        self._use_cases = use_cases
        self._deadline_s = deadline_s
        self._error_response = error_response
        self._routes: dict[_Key, _Route] = {}
        # Fixed parts in the place of parameters, which have priority over these.
        self._reserved: set[str] = set()
        for route in router.routes:
            if isinstance(route, HTTPRoute) and route.path.startswith(_PREFIX):
                self._add(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._router(scope, receive, send)
            return
        found = self._find(scope["path"], scope["method"])
        record = request_record_of(scope)
        if found is None or not _HOST_CHARACTERS.issuperset(record.headers.get(b"host", b"")):
            await self._router(scope, receive, send)
            return
        route, parameters = found
        details: Any = scope
        details["path_params"] = record.path_params = parameters
        details["route_handler"] = route.registered
        details["litestar_app"] = self._router
        record.method, record.route = scope["method"], route.template
        await self._handle(route, LeanRequest(scope, receive, send), record)

    def has_route(self, path: str, method: str) -> bool:
        """Returns whether this object serves the path itself."""
        return self._find(path, method) is not None

    def _find(self, path: str, method: str) -> tuple[_Route, dict[str, str]] | None:
        account_id, _, rest = path[len(_PREFIX) :].partition("/")
        if not path.startswith(_PREFIX) or not rest or not account_id:
            return None
        parts = rest.split("/")
        values = parts[1::2]
        route = self._routes.get((tuple(parts[::2]), len(parts), method))
        if route is None or "" in values or not self._reserved.isdisjoint(values):
            return None
        return route, dict(zip(route.path_names, (account_id, *values), strict=True))

    async def _handle(self, route: _Route, request: LeanRequest, record: RequestRecord) -> None:
        scope, receive, send = request.scope, request.receive, request.send
        try:
            with Deadline(record, scope["path"], self._deadline_s):
                response = await self._call(route, request)
                await _send(response, request)
        except Exception as error:
            # Every error has a response; `_error_response` chooses it.
            if record.status:
                # The response has started, so the connection is closed.
                raise
            response = self._error_response(request, error)
            await response.to_asgi_response(None, request)(scope, receive, send)

    async def _call(self, route: _Route, request: LeanRequest) -> Response[Any]:
        account = await provide_account(request, self._use_cases)
        values = {
            "request": request,
            "account": account,
            "caller": request.scope["state"]["caller"],
            "app": self._use_cases,
            **request.scope["path_params"],
        }
        return await route.function(**{name: values[name] for name in route.names})

    def _add(self, route: HTTPRoute) -> None:
        parts = route.path[len(_PREFIX) :].split("/")
        fixed, variable = parts[1::2], parts[0::2]
        self._reserved.update(part for part in variable if not part.startswith("{"))
        for method, (handler, _) in route.route_handler_map.items():
            parameters = inspect.signature(handler.fn).parameters
            path_names = tuple(part[1:].partition(":")[0] for part in variable)
            is_direct = (
                all(part.endswith(":str}") for part in variable)
                and not any(part.startswith("{") for part in fixed)
                and "account" in parameters
                and parameters.keys() <= _DEPENDENCIES | set(path_names)
            )
            if is_direct:
                self._routes[tuple(fixed), len(parts) - 1, method] = _Route(
                    route.path_format, handler, handler.fn, path_names, tuple(parameters)
                )


async def _send(response: Response[Any], request: LeanRequest) -> None:
    app: ASGIApp
    if isinstance(response, EncodedResponse):
        app = response
    else:
        app = response.to_asgi_response(None, request)
    await app(request.scope, request.receive, request.send)
