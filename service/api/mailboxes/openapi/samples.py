"""The examples of the document, written by the code that writes real answers."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from service.api.mailboxes import wire
from service.domain.message import CallerId, Folder, Message, MessageId
from service.domain.recipient import recipients_of
from service.domain.vmbox import MessageCounts, Vmbox, split_pin, validate_settings

MAILBOX_ID = "31347d42-00bd-44a5-9b5c-20dc4197a2f6"
MESSAGE_ID = "202306-0188797e5a1c7d0f9c1b2a3d4e5f6071"
NEW_RECIPIENT = {"email": "pete@example.com"}
NEW_MAILBOX: dict[str, Any] = {
    "name": "Pete's Mailbox",
    "password": "1234",
    "beep": True,
    "greeting": "63e54af8-07b5-4fd2-b15b-f4c31a82ca0b",
    "play_caller_id": True,
    "play_timestamp": True,
    "transcribe": True,
}

_DAY = datetime(2023, 6, 2, 9, 30, tzinfo=UTC)
_ID = UUID(MAILBOX_ID)


def _vmbox(*addresses: str) -> Vmbox:
    settings = wire.to_settings(NEW_MAILBOX).over({"mailbox": "1000"})
    document, pin = split_pin(validate_settings(settings))
    return Vmbox(
        account_id=UUID(int=0),
        vmbox_id=_ID,
        document=document,
        pin=pin,
        revision=1,
        created_at=_DAY,
        modified_at=_DAY,
        counts=MessageCounts(),
        recipients=recipients_of(_ID, addresses, (), _DAY),
    )


def _message() -> Message:
    message_id = MessageId.parse(MESSAGE_ID)
    assert message_id is not None
    return Message(
        id=message_id,
        vmbox_id=_ID,
        folder=Folder.NEW,
        received_at=_DAY,
        length_ms=4_200,
        caller_id=CallerId("1001", "Ann"),
        call_id="9c1f0f3c",
        from_uri="1001@example.com",
        to_uri="1000@example.com",
        transcription={"result": "success", "text": "Please call me back."},
    )


_WITH_RECIPIENT = _vmbox(NEW_RECIPIENT["email"])
CREATED = wire.mailbox_new(_vmbox())
MAILBOX = wire.mailbox(_WITH_RECIPIENT)
RECIPIENT = wire.recipient(_WITH_RECIPIENT.recipients[0])
RECIPIENT_ID: str = RECIPIENT["uuid"]
MESSAGE = wire.message(_message(), _DAY)
