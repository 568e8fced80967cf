"""Stubs of KAZOO's resources that this service does not have: their lists are empty.

Well-known clients read these lists at their start, and stop if a request fails.
"""

from litestar import Response, route
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.kazoo.dependencies import AnyRequest, TheAccount
from service.api.kazoo.pages import answer_page, page_query
from service.domain.access import Permission

NEIGHBOURS = ("callflows", "devices", "cdrs", "faxboxes")


def _create_stub(name: str) -> HTTPRouteHandler:
    async def list_nothing(
        request: AnyRequest,
        account: TheAccount,  # noqa: ARG001 - this dependency authorises the caller
        app: App,
    ) -> Response[bytes]:
        if not app.kazoo_neighbours:
            raise HTTPException(status_code=404)
        query = page_query(request)
        return answer_page(request, query, [], start=None, following=None, metadata={})

    list_nothing.__name__ = f"list_{name}"
    list_nothing.__doc__ = (
        f"Returns an empty list. This is a stub: the service has no {name}. It is for clients that "
        "need a response. Unless `AFTERTONE_KAZOO_NEIGHBOURS` is true, the response is a 404."
    )
    path = f"/accounts/{{account_id:str}}/{name}"
    options = {PERMISSION: Permission.ACCOUNT_READ}
    return route(path, http_method=["GET", "HEAD"], opt=options)(list_nothing)


ROUTES = tuple(_create_stub(name) for name in NEIGHBOURS)
