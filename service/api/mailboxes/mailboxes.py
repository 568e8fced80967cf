"""Routes of mailboxes: `/voip/mailbox`."""

from litestar import Response, delete, post, put, route

from service.api.dependencies import App
from service.api.mailboxes import wire
from service.api.mailboxes.dependencies import (
    AnyRequest,
    TheAccount,
    mailbox_of_path,
    read_object,
)
from service.api.mailboxes.envelope import answer
from service.domain.schema import Document

COLLECTION = "/voip/mailbox"
ONE = COLLECTION + "/{uuid:str}"
_CHUNK = 1_000


@route(COLLECTION, http_method=["GET", "HEAD"])
async def list_mailboxes(account: TheAccount, app: App) -> Response[bytes]:
    """All mailboxes of the account, by name."""
    found: list[Document] = []
    page = await app.vmboxes.list(account, None, _CHUNK, with_pins=True)
    found += map(wire.mailbox, page.items)
    while page.next is not None:
        page = await app.vmboxes.list(account, page.next, _CHUNK, with_pins=True)
        found += map(wire.mailbox, page.items)
    return answer(found)


@post(COLLECTION, status_code=201)
async def create_mailbox(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """A new mailbox, under the lowest free number of four digits."""
    settings = wire.to_settings(await read_object(request))
    vmbox = await app.vmboxes.create_numbered(account, settings.over({}))
    return answer(wire.mailbox_new(vmbox), 201, {"Location": f"{COLLECTION}/{vmbox.vmbox_id}"})


@route(ONE, http_method=["GET", "HEAD"])
async def get_mailbox(uuid: str, account: TheAccount, app: App) -> Response[bytes]:
    """One mailbox."""
    return answer(wire.mailbox(await app.vmboxes.get(account, mailbox_of_path(uuid))))


@put(ONE)
async def replace_mailbox(
    request: AnyRequest, uuid: str, account: TheAccount, app: App
) -> Response[bytes]:
    """All that this dialect knows of a mailbox: what is left out goes back to its default.

    Number, owner, recipients, messages and unknown keys stay.
    """
    vmbox_id = mailbox_of_path(uuid)
    await app.vmboxes.get(account, vmbox_id)
    settings = wire.to_settings(await read_object(request))
    vmbox = await app.vmboxes.change(account, vmbox_id, settings.over, fields=wire.KEPT_FIELDS)
    return answer(wire.mailbox(vmbox))


@delete(ONE, status_code=204)
async def delete_mailbox(uuid: str, account: TheAccount, app: App) -> None:
    """Deletes a mailbox and all that is in it."""
    await app.vmboxes.delete(account, mailbox_of_path(uuid))


ROUTES = (list_mailboxes, create_mailbox, get_mailbox, replace_mailbox, delete_mailbox)
