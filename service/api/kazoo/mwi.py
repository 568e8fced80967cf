"""The message-waiting state of a box: `/v2/accounts/{account}/vmboxes/{vmbox}/mwi`."""

from litestar import Response, route

from service.api.dependencies import App
from service.api.kazoo.dependencies import AnyRequest, TheAccount, vmbox_of_path
from service.api.kazoo.envelope import succeed
from service.api.kazoo.vmboxes import ONE


@route(ONE + "/mwi", http_method=["GET", "HEAD"])
async def get_mwi(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """What a lamp shows: the box's counts, and whether a new message waits."""
    counts = (await app.vmboxes.get(account, vmbox_of_path(vmbox_id))).counts
    return succeed(request, {"new": counts.new, "saved": counts.saved, "waiting": counts.new > 0})


ROUTES = (get_mwi,)
