"""Events as KAZOO's webhooks `notifications` and `object` name them, and their payloads."""

from collections.abc import Iterator

from service.domain.events import (
    DATA,
    AccountEvent,
    Event,
    EventMessage,
    EventType,
    FolderChangeReason,
    MessageFolderChanged,
    MessageNew,
    MessageRemoved,
    RemovalReason,
    VmboxWasFull,
    decode_data,
)
from service.domain.message import Folder
from service.domain.notification_hooks import (
    NOTIFICATIONS,
    OBJECT,
    NotificationType,
    ObjectAction,
    ObjectType,
    Payload,
    notification_header,
)
from service.workers.channels.message_new import NOTIFIED

SAVED = f"{NOTIFICATIONS}.{NotificationType.SAVED}"
"""Name of an event whose message stays in the folder `new`."""

_CHANGES = {
    EventType.MESSAGE_NEW: (ObjectType.MESSAGE, ObjectAction.CREATED),
    EventType.MESSAGE_FOLDER_CHANGED: (ObjectType.MESSAGE, ObjectAction.EDITED),
    EventType.MESSAGE_AUDIO_REPLACED: (ObjectType.MESSAGE, ObjectAction.EDITED),
    EventType.MESSAGE_TRANSCRIBED: (ObjectType.MESSAGE, ObjectAction.EDITED),
    EventType.MESSAGE_MEASURED: (ObjectType.MESSAGE, ObjectAction.EDITED),
    EventType.MESSAGE_REMOVED: (ObjectType.MESSAGE, ObjectAction.DELETED),
    EventType.MESSAGE_RESTORED: (ObjectType.MESSAGE, ObjectAction.CREATED),
    EventType.VMBOX_CREATED: (ObjectType.VMBOX, ObjectAction.CREATED),
    EventType.VMBOX_UPDATED: (ObjectType.VMBOX, ObjectAction.EDITED),
    EventType.VMBOX_DELETED: (ObjectType.VMBOX, ObjectAction.DELETED),
    EventType.VMBOX_RESTORED: (ObjectType.VMBOX, ObjectAction.CREATED),
}
_DELETION_REASONS = {
    FolderChangeReason.API: "crossbar_action",
    FolderChangeReason.NOTIFIED: "delete_after_notify",
}


def notifications_of(event: Event) -> dict[str, Payload]:
    """Returns the payloads of an event by its names. Raises msgspec.DecodeError."""
    if event.type not in DATA:
        return {}
    kind = EventType(event.type)
    data = decode_data(kind, event.data)
    notifications: dict[str, Payload] = {
        f"{NOTIFICATIONS}.{name}": {**notification_header(event, name), **fields}
        for name, fields in _notification_fields(data)
    }
    if kind not in _CHANGES:
        return notifications
    changed, action = _CHANGES[kind]
    payload: Payload = {
        "id": event.media_id or event.vmbox_id.hex,
        "account_id": event.account_id.hex,
        "action": action.value,
        "type": changed.value,
    }
    return {**notifications, f"{OBJECT}.{changed}.{action}": payload}


def _notification_fields(data: AccountEvent) -> Iterator[tuple[NotificationType, Payload]]:
    match data:
        case MessageNew() if data.origin.reason in NOTIFIED:
            if data.message.folder is Folder.NEW:
                fields = _message_fields(data.vmbox_id, data.message)
                yield NotificationType.NEW, fields
                yield NotificationType.SAVED, fields
        case MessageFolderChanged(to=Folder.DELETED):
            reason = _DELETION_REASONS[data.reason]
            fields = _message_fields(data.vmbox_id, data.message)
            yield NotificationType.DELETED, {**fields, "reason": reason}
        case MessageRemoved(reason=RemovalReason.API):
            # A message in `deleted` has caused this notification before.
            if data.message.folder is not Folder.DELETED:
                reason = _DELETION_REASONS[FolderChangeReason.API]
                fields = _message_fields(data.vmbox_id, data.message)
                yield NotificationType.DELETED, {**fields, "reason": reason}
        case VmboxWasFull():
            yield (
                NotificationType.FULL,
                {
                    "voicemail_box": data.vmbox_id,
                    "max_message_count": data.max_message_count,
                    "message_count": data.message_count,
                },
            )


def _message_fields(vmbox_id: str, message: EventMessage) -> Payload:
    from_user, _, from_realm = message.from_.partition("@")
    to_user, _, to_realm = message.to.partition("@")
    return {
        "voicemail_box": vmbox_id,
        "voicemail_id": message.media_id,
        "voicemail_timestamp": message.timestamp,
        "voicemail_length": message.length,
        "call_id": message.call_id,
        "caller_id_name": message.caller_id_name,
        "caller_id_number": message.caller_id_number,
        "from_user": from_user,
        "from_realm": from_realm,
        "to_user": to_user,
        "to_realm": to_realm,
    }
