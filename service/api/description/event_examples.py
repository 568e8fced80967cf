"""Examples of all events for the AsyncAPI document."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from service.domain.events import (
    ACCOUNT_EVENTS,
    NO_VMBOX,
    AccountDeleted,
    AccountEvent,
    AccountMovedAway,
    CallbackRequested,
    Counts,
    Event,
    EventMessage,
    EventType,
    FolderChangeReason,
    MeasuredMessage,
    MessageAudioReplaced,
    MessageFolderChanged,
    MessageMeasured,
    MessageNew,
    MessageRemoved,
    MessageRestored,
    MessageTranscribed,
    MessageTranscriptionRequested,
    Origin,
    OriginReason,
    RemovalReason,
    TranscribedMessage,
    Transcription,
    VmboxCreated,
    VmboxDeleted,
    VmboxPinLocked,
    VmboxRestored,
    VmboxUpdated,
    VmboxWasFull,
)
from service.domain.media import MediaFacts
from service.domain.message import Folder

_ACCOUNT_ID = UUID("4a6863b6d16a4b1f8a2d6c5e1f0b9d37")
_VMBOX_ID = UUID("019aa5d21c3b7d4e9f60718293a4b5c6")
_EVENT_ID = UUID("019aa5d2-5e8f-7a10-b3c4-d5e6f708192a")
_MEDIA_ID = "202611-019aa5d25e8e7c03a1b2c3d4e5f60718"
_MESSAGE = EventMessage(
    media_id=_MEDIA_ID,
    timestamp=63_931_000_000,
    folder=Folder.NEW,
    length=4_200,
    caller_id_number="+14155550100",
    caller_id_name="Ann Example",
    call_id="a84b4c76e66710",
    from_="+14155550100@sip.example.com",
    to="100@sip.example.com",
)
_ACCOUNT_FIELDS: dict[str, Any] = {"account_id": _ACCOUNT_ID.hex, "epoch": 1, "sequence": 7}
_BOX_FIELDS: dict[str, Any] = {
    **_ACCOUNT_FIELDS,
    "vmbox_id": _VMBOX_ID.hex,
    "mailbox": "100",
    "counts": Counts(new=1, saved=0),
}
_MEDIA = MediaFacts(
    duration_ms=_MESSAGE.length,
    codec="gsm_ms",
    sample_rate=8000,
    channels=1,
    silence_ratio=0.25,
    peak_dbfs=-3.1,
    loudness_lufs=-19.4,
)
_VMBOX = {"id": _VMBOX_ID.hex, "name": "Ann", "mailbox": "100", "media_extension": "mp3"}
_SAVED = msgspec.structs.replace(_MESSAGE, folder=Folder.SAVED)

_DATA: dict[EventType, AccountEvent] = {
    EventType.MESSAGE_NEW: MessageNew(
        **_BOX_FIELDS, message=_MESSAGE, origin=Origin(reason=OriginReason.STORED)
    ),
    EventType.MESSAGE_FOLDER_CHANGED: MessageFolderChanged(
        **_BOX_FIELDS | {"counts": Counts(new=0, saved=1)},
        message=_SAVED,
        from_=Folder.NEW,
        to=Folder.SAVED,
        reason=FolderChangeReason.API,
    ),
    EventType.MESSAGE_REMOVED: MessageRemoved(
        **_BOX_FIELDS | {"counts": Counts(new=0, saved=0)},
        message=_MESSAGE,
        reason=RemovalReason.API,
    ),
    EventType.MESSAGE_RESTORED: MessageRestored(**_BOX_FIELDS, message=_MESSAGE),
    EventType.MESSAGE_AUDIO_REPLACED: MessageAudioReplaced(**_BOX_FIELDS, message=_MESSAGE),
    EventType.MESSAGE_TRANSCRIPTION_REQUESTED: MessageTranscriptionRequested(
        **_BOX_FIELDS, message=_MESSAGE
    ),
    EventType.MESSAGE_TRANSCRIBED: MessageTranscribed(
        **_BOX_FIELDS,
        message=TranscribedMessage(
            **msgspec.structs.asdict(_MESSAGE),
            transcription=Transcription(
                result="success",
                text="Please call me back.",
                language="en",
                engine="faster-whisper",
                model="small",
            ),
        ),
    ),
    EventType.MESSAGE_MEASURED: MessageMeasured(
        **_BOX_FIELDS,
        message=MeasuredMessage(**msgspec.structs.asdict(_MESSAGE), media=_MEDIA),
    ),
    EventType.VMBOX_CREATED: VmboxCreated(
        **_BOX_FIELDS | {"sequence": 1, "counts": Counts(new=0, saved=0)}, vmbox=_VMBOX
    ),
    EventType.VMBOX_UPDATED: VmboxUpdated(**_BOX_FIELDS, vmbox=_VMBOX),
    EventType.VMBOX_DELETED: VmboxDeleted(
        **_BOX_FIELDS | {"counts": Counts(new=0, saved=0)}, vmbox=_VMBOX, messages_removed=1
    ),
    EventType.VMBOX_RESTORED: VmboxRestored(**_BOX_FIELDS, vmbox=_VMBOX),
    EventType.VMBOX_FULL: VmboxWasFull(
        **_BOX_FIELDS | {"counts": Counts(new=80, saved=20)},
        max_message_count=100,
        message_count=100,
    ),
    EventType.VMBOX_PIN_LOCKED: VmboxPinLocked(**_BOX_FIELDS, wrong_pins=5, locked_for_s=900),
    EventType.CALLBACK_REQUESTED: CallbackRequested(
        **_BOX_FIELDS, number="+14155550123", attempt=1, timeout_s=20, message=_MESSAGE
    ),
    EventType.ACCOUNT_DELETED: AccountDeleted(**_ACCOUNT_FIELDS | {"sequence": 1}),
    EventType.ACCOUNT_MOVED: AccountMovedAway(
        **_ACCOUNT_FIELDS | {"sequence": 2}, url="https://cell2.example.com"
    ),
}


def example_of(kind: EventType) -> Event:
    """Returns the example of an event type."""
    data = _DATA[kind]
    return Event(
        account_id=_ACCOUNT_ID,
        vmbox_id=NO_VMBOX if kind in ACCOUNT_EVENTS else _VMBOX_ID,
        sequence=data.sequence,
        event_id=_EVENT_ID,
        type=kind,
        created_at=datetime(2026, 11, 21, 9, 46, 40, 125_000, tzinfo=UTC),
        data=msgspec.json.encode(data),
        media_id=_MEDIA_ID if "message" in data.__struct_fields__ else None,
    )
