"""Routes of exports: `/v2/accounts/{account}/exports`."""

from functools import partial

from litestar import Response, put, route
from litestar.response import Stream

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.http.audio_response import create_audio_response
from service.api.kazoo.accept import MEDIA, Media
from service.api.kazoo.dependencies import AnyRequest, TheAccount, export_of_path, location
from service.api.kazoo.envelope import succeed
from service.api.kazoo.wire.exports import export_row
from service.domain.access import Permission
from service.domain.audit import Action
from service.usecases.exports import ARCHIVE_TYPE

EXPORTS = "/accounts/{account_id:str}/exports"
EXPORT = EXPORTS + "/{export_id:str}"
_ADMIN = {PERMISSION: Permission.ACCOUNT_ADMIN}
_ARCHIVE = Media(returns=(ARCHIVE_TYPE,))


@route(EXPORTS, http_method=["GET", "HEAD"], opt=_ADMIN)
async def list_exports(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Lists the exports of the account, the newest first. Exports older than 7 days are deleted
    with their archives."""
    return succeed(request, [export_row(job) for job in await app.exports.list(account)])


@put(EXPORTS, status_code=201, opt=_ADMIN)
async def start_export(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Starts an export of the account and all accounts below it: users without passwords, boxes,
    greetings, messages, audio and the trash. The keeper writes the archive. An account has one
    export at a time. The export is deleted after 7 days."""
    job = await app.exports.start(account)
    headers = location(request, account, job.export_id.hex)
    return succeed(request, export_row(job), status=201, headers=headers)


@route(EXPORT, http_method=["GET", "HEAD"], opt=_ADMIN)
async def get_export(
    request: AnyRequest, account: TheAccount, export_id: str, app: App
) -> Response[bytes]:
    """Returns an export with its progress. When its `status` is `done`, its archive can be
    downloaded under `raw`."""
    return succeed(request, export_row(await app.exports.get(account, export_of_path(export_id))))


@route(EXPORT + "/raw", http_method=["GET", "HEAD"], opt={**_ADMIN, MEDIA: _ARCHIVE})
async def get_export_archive(
    request: AnyRequest, account: TheAccount, export_id: str, app: App
) -> Response[bytes] | Stream:
    """Returns the archive of an export that is done. `Range` continues a download."""
    job_id = export_of_path(export_id)
    archive = await app.exports.get_archive(account, job_id)
    record = partial(
        app.audit.queue.record, Action.EXPORT_READ, account.account_id, target=job_id.hex
    )
    name = f"export-{job_id.hex}.tar.zst"
    return await create_audio_response(request, archive, name, app.exports.read, record)


ROUTES = (list_exports, start_export, get_export, get_export_archive)
