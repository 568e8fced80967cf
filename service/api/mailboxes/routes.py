"""Router of this dialect and its error responses."""

import msgspec
from litestar import Response, Router, route
from litestar.di import Provide

from service.api.http.access import PERMISSION
from service.api.http.moved import redirect_headers
from service.api.mailboxes import mailboxes, messages, recipients
from service.api.mailboxes.credentials import provide_account, provide_caller
from service.api.mailboxes.dependencies import AnyRequest, TheAccount
from service.api.mailboxes.envelope import refuse, respond
from service.api.mailboxes.errors import refusal_of
from service.domain.access import Permission

AUTHENTICATED = "/authenticated"


@route(AUTHENTICATED, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.ACCOUNT_READ})
async def check_credentials(account: TheAccount) -> Response[bytes]:  # noqa: ARG001 - the dependency is the check
    """Checks the credentials. The response is 200 for valid and 401 for invalid credentials."""
    return respond({})


def create_router() -> Router:
    """Returns the routes under `/voip` and `/authenticated`."""
    return Router(
        path="/",
        route_handlers=[check_credentials, *mailboxes.ROUTES, *messages.ROUTES, *recipients.ROUTES],
        dependencies={"caller": Provide(provide_caller), "account": Provide(provide_account)},
    )


def is_mailbox_path(path: str) -> bool:
    """Returns True for each path that this dialect answers, unknown ones included."""
    return path in ("/voip", AUTHENTICATED) or path.startswith(("/voip/", f"{AUTHENTICATED}/"))


def answer_error(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Returns the response to any error, unexpected ones included."""
    refusal = refusal_of(error)
    if headers := redirect_headers(request, error):
        refusal = msgspec.structs.replace(refusal, headers=headers)
    return refuse(refusal)
