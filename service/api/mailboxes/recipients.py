"""Routes of recipients: `/voip/mailbox/{mailbox}/recipients`."""

from litestar import Response, delete, post, route

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.mailboxes import wire
from service.api.mailboxes.dependencies import (
    AnyRequest,
    TheAccount,
    mailbox_of_path,
    read_object,
    recipient_of_path,
)
from service.api.mailboxes.envelope import respond
from service.api.mailboxes.mailboxes import ITEM as MAILBOX
from service.domain.access import Permission

COLLECTION = MAILBOX + "/recipients"
ITEM = COLLECTION + "/{recipient_uuid:str}"


@route(COLLECTION, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.VMBOXES_READ})
async def list_recipients(uuid: str, account: TheAccount, app: App) -> Response[bytes]:
    """Lists the e-mail recipients of a mailbox. They are in the order of the address list."""
    recipients = await app.recipients.list(account, mailbox_of_path(uuid))
    return respond([wire.to_recipient(recipient) for recipient in recipients])


@post(COLLECTION, status_code=201, opt={PERMISSION: Permission.VMBOXES_WRITE})
async def add_recipient(
    request: AnyRequest, uuid: str, account: TheAccount, app: App
) -> Response[bytes]:
    """Adds an e-mail recipient. For an address that is already in the list, returns it with 200."""
    vmbox_id = mailbox_of_path(uuid)
    await app.recipients.list(account, vmbox_id)
    address = wire.parse_address(await read_object(request))
    recipient, is_added = await app.recipients.add(account, vmbox_id, address, wire.KEPT_FIELDS)
    if not is_added:
        return respond(wire.to_recipient(recipient))
    headers = {"Location": f"{request.url.path}/{recipient.recipient_id}"}
    return respond(wire.to_recipient(recipient), 201, headers)


@delete(ITEM, status_code=204, opt={PERMISSION: Permission.VMBOXES_WRITE})
async def remove_recipient(uuid: str, recipient_uuid: str, account: TheAccount, app: App) -> None:
    """Removes an e-mail recipient. The mailbox sends no further e-mail to the address."""
    vmbox_id, recipient_id = mailbox_of_path(uuid), recipient_of_path(recipient_uuid)
    await app.recipients.remove(account, vmbox_id, recipient_id, wire.KEPT_FIELDS)


ROUTES = (list_recipients, add_recipient, remove_recipient)
