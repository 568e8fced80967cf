"""Routes of erasures: `/v2/accounts/{account}/erasures`."""

from litestar import Response, post, route

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import AnyRequest, TheAccount, erasure_of_path, location
from service.api.kazoo.envelope import succeed
from service.api.kazoo.wire.erasures import erasure_row
from service.domain.access import Permission
from service.domain.erasure import FIELDS
from service.domain.errors import Invalid
from service.domain.schema import apply_schema, submitted_keys

ERASURES = "/accounts/{account_id:str}/erasures"
ERASURE = ERASURES + "/{erasure_id:str}"


@post(ERASURES, status_code=201, opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def create_erasure(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Erases all data of a person in the account. The request contains the number of the person in
    any spelling, and optionally the name. The keeper runs the erasure as a job. Fails with 409 if
    legal holds cover messages of the person; the response contains these holds."""
    data, problems = apply_schema(submitted_keys(await read_data(request)), FIELDS)
    if problems:
        raise Invalid(problems)
    number, name = data["caller_id_number"], data.get("caller_id_name")
    job = await app.erasures.create(account, number, name)
    headers = location(request, account, job.erasure_id.hex)
    return succeed(request, erasure_row(job), status=201, headers=headers)


@route(ERASURE, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.ACCOUNT_ADMIN})
async def get_erasure(
    request: AnyRequest, account: TheAccount, erasure_id: str, app: App
) -> Response[bytes]:
    """Returns the progress of an erasure. The erasure of a deleted account is in its parent."""
    return succeed(
        request, erasure_row(await app.erasures.get(account, erasure_of_path(erasure_id)))
    )


ROUTES = (create_erasure, get_erasure)
