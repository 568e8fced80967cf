"""The message-waiting state of a box: `/v2/accounts/{account}/vmboxes/{vmbox}/mwi`."""

from litestar import Response, route

from service.api.kazoo.boxes import ONE
from service.api.kazoo.context import AnyRequest, TheAccount, vmbox_of_path
from service.api.kazoo.envelope import succeed
from service.api.use_cases import TheUseCases


@route(ONE + "/mwi", http_method=["GET", "HEAD"])
async def get_mwi(
    request: AnyRequest, account: TheAccount, vmbox_id: str, use: TheUseCases
) -> Response[bytes]:
    """What a lamp shows: the box's counts, and whether a new message waits."""
    counts = (await use.vmboxes.get(account, vmbox_of_path(vmbox_id))).counts
    return succeed(request, {"new": counts.new, "saved": counts.saved, "waiting": counts.new > 0})


ROUTES = (get_mwi,)
