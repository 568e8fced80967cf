"""Routes of recipients: `/voip/mailbox/{mailbox}/recipients`."""

from litestar import Response, delete, post, route

from service.api.dependencies import App
from service.api.mailboxes import wire
from service.api.mailboxes.dependencies import (
    AnyRequest,
    TheAccount,
    mailbox_of_path,
    read_object,
    recipient_of_path,
)
from service.api.mailboxes.envelope import answer
from service.api.mailboxes.mailboxes import ONE as MAILBOX

COLLECTION = MAILBOX + "/recipients"
ONE = COLLECTION + "/{recipient_uuid:str}"


@route(COLLECTION, http_method=["GET", "HEAD"])
async def list_recipients(uuid: str, account: TheAccount, app: App) -> Response[bytes]:
    """Whom a mailbox mails to."""
    found = await app.recipients.list(account, mailbox_of_path(uuid))
    return answer([wire.recipient(one) for one in found])


@post(COLLECTION, status_code=201)
async def add_recipient(
    request: AnyRequest, uuid: str, account: TheAccount, app: App
) -> Response[bytes]:
    """A new recipient; 200 and the one that is there when it is none."""
    vmbox_id = mailbox_of_path(uuid)
    await app.recipients.list(account, vmbox_id)
    address = wire.to_address(await read_object(request))
    recipient, added = await app.recipients.add(account, vmbox_id, address, wire.KEPT_FIELDS)
    location = f"{request.url.path}/{recipient.recipient_id}"
    headers = {"Location": location} if added else None
    return answer(wire.recipient(recipient), 201 if added else 200, headers)


@delete(ONE, status_code=204)
async def remove_recipient(uuid: str, recipient_uuid: str, account: TheAccount, app: App) -> None:
    """Mails to that address no more."""
    vmbox_id, identity = mailbox_of_path(uuid), recipient_of_path(recipient_uuid)
    await app.recipients.remove(account, vmbox_id, identity, wire.KEPT_FIELDS)


ROUTES = (list_recipients, add_recipient, remove_recipient)
