"""All routes of this dialect under one router, and what turns their errors into answers."""

from litestar import Response, Router, route
from litestar.di import Provide

from service.api.mailboxes import mailboxes, messages, recipients
from service.api.mailboxes.credentials import provide_account
from service.api.mailboxes.dependencies import AnyRequest, TheAccount
from service.api.mailboxes.envelope import answer, refuse
from service.api.mailboxes.errors import refusal_of

AUTHENTICATED = "/authenticated"


@route(AUTHENTICATED, http_method=["GET", "HEAD"])
async def check_credentials(account: TheAccount) -> Response[bytes]:  # noqa: ARG001 - asking for it is the check
    """Says that the credentials are good, to whom they are."""
    return answer({})


def create_router() -> Router:
    """`/voip` and `/authenticated`; the use cases come from the application's dependencies."""
    return Router(
        path="/",
        route_handlers=[check_credentials, *mailboxes.ROUTES, *messages.ROUTES, *recipients.ROUTES],
        dependencies={"account": Provide(provide_account)},
    )


def is_mailbox_path(path: str) -> bool:
    """Returns True for each path that this dialect answers, unknown ones included."""
    return path in ("/voip", AUTHENTICATED) or path.startswith(("/voip/", f"{AUTHENTICATED}/"))


def answer_error(_request: AnyRequest, error: Exception) -> Response[bytes]:
    """The refusal for any error, those of the HTTP layer and our own faults included."""
    return refuse(refusal_of(error))
