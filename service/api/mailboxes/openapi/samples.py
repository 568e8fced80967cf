"""Examples of the document, created by the functions that create responses."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from service.api.mailboxes import wire
from service.domain.media import MediaFacts
from service.domain.message import CallerId, Folder, Message, MessageId
from service.domain.recipient import recipients_of
from service.domain.vmbox import MessageCounts, Vmbox, split_pin, validate_settings

MAILBOX_ID = "31347d42-00bd-44a5-9b5c-20dc4197a2f6"
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

_TIME = datetime(2023, 6, 2, 9, 30, tzinfo=UTC)
_ID = UUID(MAILBOX_ID)


def _vmbox(*addresses: str) -> Vmbox:
    settings = wire.parse_settings(NEW_MAILBOX).apply_to({"mailbox": "1000"})
    document, pin = split_pin(validate_settings(settings))
    return Vmbox(
        account_id=UUID(int=0),
        vmbox_id=_ID,
        document=document,
        pin=pin,
        revision=1,
        created_at=_TIME,
        modified_at=_TIME,
        counts=MessageCounts(),
        recipients=recipients_of(_ID, addresses, (), _TIME),
    )


def _message() -> Message:
    return Message(
        id=MessageId(202306, UUID("0188797e5a1c7d0f9c1b2a3d4e5f6071")),
        vmbox_id=_ID,
        folder=Folder.NEW,
        received_at=_TIME,
        length_ms=4_200,
        caller_id=CallerId("1001", "Ann"),
        call_id="9c1f0f3c",
        from_uri="1001@example.com",
        to_uri="1000@example.com",
        transcription={"result": "success", "text": "Please call me back."},
        media=MediaFacts(
            duration_ms=4_200,
            codec="pcm_mulaw",
            sample_rate=8000,
            channels=1,
            silence_ratio=0.25,
            peak_dbfs=-3.1,
            loudness_lufs=-19.4,
        ),
    )


_VMBOX = _vmbox(NEW_RECIPIENT["email"])
CREATED_MAILBOX = wire.to_mailbox(_vmbox(), is_new=True)
MAILBOX = wire.to_mailbox(_VMBOX)
RECIPIENT = wire.to_recipient(_VMBOX.recipients[0])
MESSAGE = wire.to_message(_message(), _TIME)
