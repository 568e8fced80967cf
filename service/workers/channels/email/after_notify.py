"""What becomes of a message once everybody has his mail: saved, deleted, or as it was."""

from datetime import datetime
from uuid import UUID

from service.domain.errors import MessageExpired, MessageNotFound, VmboxNotFound
from service.domain.events import FolderChangeReason
from service.domain.message import Folder, MessageId
from service.domain.schema import Document
from service.postgres.deliveries import all_done
from service.postgres.messages import MessageKey, change_folder, get_message
from service.postgres.pool import Connection
from service.postgres.vmboxes import get_vmbox, lock_vmbox
from service.workers.channels import Delivery


async def file_notified(
    connection: Connection,
    delivery: Delivery,
    vmbox_id: UUID,
    message_id: MessageId,
    retained_since: datetime,
) -> None:
    """Files a message as its box says, once, if the delivery was the last one it waited for.

    Only from `new`: what somebody has filed meanwhile stays there. Runs in the transaction that
    finishes the delivery; a message or box that is gone needs no filing.
    """
    place = MessageKey(delivery.account_id, vmbox_id, message_id)
    try:
        box = await get_vmbox(connection, place.account_id, vmbox_id)
        folder = folder_after(box.vmbox.document)
        if folder is None or not await all_done(connection, delivery):
            return
        # Whoever changes a folder holds the box: what is read now stays so until the end.
        await lock_vmbox(connection, place.account_id, vmbox_id)
        if (await get_message(connection, place)).folder is Folder.NEW:
            await change_folder(
                connection,
                place,
                folder,
                retained_since=retained_since,
                reason=FolderChangeReason.NOTIFIED,
            )
    except (VmboxNotFound, MessageNotFound, MessageExpired):
        return


def folder_after(settings: Document) -> Folder | None:
    """Where a box wants its messages after the mail; keeping wins over deleting."""
    if settings.get("save_after_notify") is True:
        return Folder.SAVED
    if settings.get("delete_after_notify") is True:
        return Folder.DELETED
    return None
