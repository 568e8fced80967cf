"""Decoding of `message.new` events for the e-mail, callback and transcription channels."""

from service.domain.events import Event, EventType, MessageNew, OriginReason, decode_data
from service.domain.message import Folder


def decode_message_new(event: Event) -> MessageNew:
    data = decode_data(EventType.MESSAGE_NEW, event.data)
    assert isinstance(data, MessageNew)
    return data


def is_new_voicemail(event: Event) -> bool:
    """True for a message that a caller left. False if it was moved, copied, or stored as read."""
    data = decode_message_new(event)
    return data.origin.reason is OriginReason.STORED and data.message.folder is Folder.NEW


def is_imported(event: Event) -> bool:
    """True for `message.new` of an imported message."""
    if event.type != EventType.MESSAGE_NEW:
        return False
    return decode_message_new(event).origin.reason is OriginReason.IMPORTED
