"""Routes of mailboxes: `/voip/mailbox`."""

from functools import partial

from litestar import Response, delete, post, put, route

from service.api.dependencies import App
from service.api.http.access import ALL_VMBOXES, PERMISSION
from service.api.mailboxes import wire
from service.api.mailboxes.dependencies import (
    AnyRequest,
    TheAccount,
    TheCaller,
    mailbox_of_path,
    read_object,
)
from service.api.mailboxes.envelope import respond
from service.domain.access import Permission
from service.domain.audit import Action

COLLECTION = "/voip/mailbox"
ITEM = COLLECTION + "/{uuid:str}"
_PAGE_SIZE = 1_000


@route(COLLECTION, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.VMBOXES_READ})
async def list_mailboxes(account: TheAccount, caller: TheCaller, app: App) -> Response[bytes]:
    """Lists the mailboxes of the account. They are ordered by name."""
    app.audit.queue.record(Action.PIN_READ, account.account_id)
    read = partial(
        app.vmboxes.list,
        account,
        limit=_PAGE_SIZE,
        with_pins=True,
        vmbox_ids=caller.access.vmbox_ids,
    )
    page = await read(None)
    mailboxes = [wire.to_mailbox(vmbox) for vmbox in page.items]
    while page.next is not None:
        page = await read(page.next)
        mailboxes += [wire.to_mailbox(vmbox) for vmbox in page.items]
    return respond(mailboxes)


@post(COLLECTION, status_code=201, opt={PERMISSION: Permission.VMBOXES_WRITE, ALL_VMBOXES: True})
async def create_mailbox(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Creates a mailbox. It receives the lowest free number from 1000 to 9999."""
    settings = wire.parse_settings(await read_object(request))
    vmbox = await app.vmboxes.create_numbered(account, settings.apply_to({}))
    headers = {"Location": f"{COLLECTION}/{vmbox.vmbox_id}"}
    return respond(wire.to_mailbox(vmbox, is_new=True), 201, headers)


@route(ITEM, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.VMBOXES_READ})
async def get_mailbox(uuid: str, account: TheAccount, app: App) -> Response[bytes]:
    """Returns a mailbox. The recipients' addresses are available under `/recipients`."""
    vmbox = await app.vmboxes.get(account, mailbox_of_path(uuid))
    if vmbox.pin is not None:
        app.audit.queue.record(Action.PIN_READ, account.account_id, vmbox_id=vmbox.vmbox_id)
    return respond(wire.to_mailbox(vmbox))


@put(ITEM, opt={PERMISSION: Permission.VMBOXES_WRITE})
async def replace_mailbox(
    request: AnyRequest, uuid: str, account: TheAccount, app: App
) -> Response[bytes]:
    """Replaces the settings of a mailbox. A field that is left out returns to its default.

    Number, owner, recipients, messages and unknown keys do not change.
    """
    vmbox_id = mailbox_of_path(uuid)
    await app.vmboxes.get(account, vmbox_id)
    settings = wire.parse_settings(await read_object(request))
    vmbox = await app.vmboxes.change(account, vmbox_id, settings.apply_to, fields=wire.KEPT_FIELDS)
    return respond(wire.to_mailbox(vmbox))


@delete(ITEM, status_code=204, opt={PERMISSION: Permission.VMBOXES_WRITE})
async def delete_mailbox(uuid: str, account: TheAccount, app: App) -> None:
    """Deletes a mailbox. Its messages and recipients are deleted with it."""
    await app.vmboxes.delete(account, mailbox_of_path(uuid))


ROUTES = (list_mailboxes, create_mailbox, get_mailbox, replace_mailbox, delete_mailbox)
