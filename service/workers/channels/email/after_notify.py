"""Folder change of a message after all its mails were sent: saved, deleted, or none."""

from datetime import datetime
from uuid import UUID

from service.domain.errors import MessageExpired, MessageNotFound, VmboxNotFound
from service.domain.events import FolderChangeReason
from service.domain.message import Folder, MessageId
from service.domain.retention import Retention
from service.domain.schema import Document
from service.postgres.deliveries import is_last_done
from service.postgres.messages import MessageKey, change_folder, get_message
from service.postgres.pool import Connection
from service.postgres.retention import get_retention
from service.postgres.vmboxes import get_vmbox, lock_vmbox
from service.workers.channels import Delivery


async def change_folder_after_notify(
    connection: Connection,
    delivery: Delivery,
    vmbox_id: UUID,
    message_id: MessageId,
    default: Retention,
    now: datetime,
) -> None:
    """Changes the folder of a message as its box specifies, after the last of its deliveries.

    Does nothing unless the message is still in `new`. Runs in the transaction that writes the
    delivery. A deleted message or box is not an error. `default` is the retention of the
    deployment.
    """
    key = MessageKey(delivery.account_id, vmbox_id, message_id)
    try:
        box = await get_vmbox(connection, key.account_id, vmbox_id)
        folder = folder_after(box.vmbox.document)
        if folder is None or not await is_last_done(connection, delivery):
            return
        # Folder changes lock the box, so the folder cannot change until the end of the transaction.
        await lock_vmbox(connection, key.account_id, vmbox_id)
        if (await get_message(connection, key)).folder is Folder.NEW:
            retention = await get_retention(connection, key.account_id, vmbox_id, default)
            await change_folder(
                connection,
                key,
                folder,
                retained_since=retention.retained_since(now),
                reason=FolderChangeReason.NOTIFIED,
            )
    except (VmboxNotFound, MessageNotFound, MessageExpired):
        return


def folder_after(settings: Document) -> Folder | None:
    """Returns the folder for messages after the mail. Saving takes precedence over deleting."""
    if settings.get("save_after_notify") is True:
        return Folder.SAVED
    if settings.get("delete_after_notify") is True:
        return Folder.DELETED
    return None
