"""Decoding of events about messages, for the channels that handle new messages."""

from service.domain.errors import MessageNotFound
from service.domain.events import Event, EventType, MessageNew, OriginReason, decode_data
from service.domain.message import Folder, MessageId
from service.postgres.messages import MessageKey

NOTIFIED = frozenset({OriginReason.STORED, OriginReason.FORWARDED})
"""Origins of messages that cause notifications."""


def decode_message_new(event: Event) -> MessageNew:
    data = decode_data(EventType.MESSAGE_NEW, event.data)
    assert isinstance(data, MessageNew)
    return data


def is_new_voicemail(event: Event) -> bool:
    """True for a message that a caller left or that was forwarded.

    False if it was moved, copied, or stored as read.
    """
    data = decode_message_new(event)
    return data.origin.reason in NOTIFIED and data.message.folder is Folder.NEW


def is_imported(event: Event) -> bool:
    """True for `message.new` of an imported message."""
    if event.type != EventType.MESSAGE_NEW:
        return False
    return decode_message_new(event).origin.reason is OriginReason.IMPORTED


def message_key_of(event: Event) -> MessageKey:
    """Returns the key of the message of an event. Raises MessageNotFound if it has none."""
    message_id = MessageId.parse(event.media_id or "")
    if message_id is None:
        raise MessageNotFound
    return MessageKey(event.account_id, event.vmbox_id, message_id)
