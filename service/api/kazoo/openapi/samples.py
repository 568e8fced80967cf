"""Responses of the examples, encoded by the code that encodes real responses."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from service.api.description.openapi.fields import Json
from service.api.http.times import format_iso
from service.api.kazoo.openapi.sample_requests import (
    ACCOUNT_ID,
    API_KEY,
    CREATED,
    EVENT_ID,
    MEDIA_ID,
    MESSAGE_ID,
    NEW_ACCOUNT,
    NEW_API_KEY,
    NEW_GREETING,
    NEW_HOLD,
    NEW_USER,
    NEW_VMBOX,
    NEW_WEBHOOK,
    OTHER_VMBOX_ID,
    OWNER_ID,
    PARENT_ID,
    TOKEN,
    UNKNOWN_MESSAGE_ID,
    VMBOX_ID,
    WEBHOOK_ID,
)
from service.api.kazoo.profiles import WireProfile
from service.api.kazoo.times import gregorian
from service.api.kazoo.wire import documents
from service.api.kazoo.wire.api_keys import api_key_row, created_api_key
from service.api.kazoo.wire.audit import audit_row
from service.api.kazoo.wire.deliveries import dead_delivery_row
from service.api.kazoo.wire.erasures import erasure_row
from service.api.kazoo.wire.exports import export_row
from service.api.kazoo.wire.forwards import ForwardResponse
from service.api.kazoo.wire.greetings import playing_greeting
from service.api.kazoo.wire.holds import hold_row
from service.api.kazoo.wire.links import OpenedMessage
from service.api.kazoo.wire.messages import (
    BatchResponse,
    LinkResponse,
    MessageContext,
    held_row,
    message_metadata,
    stored_message,
    trash_row,
)
from service.api.kazoo.wire.searches import matched_row
from service.api.kazoo.wire.uploads import UploadResponse
from service.api.kazoo.wire.vmbox_trash import VmboxBatchResponse, vmbox_trash_row
from service.api.kazoo.wire.waveforms import WaveformData
from service.api.kazoo.wire.webhooks import (
    attempt_row,
    new_webhook_document,
    webhook_document,
    webhook_row,
)
from service.domain.access import ADMIN_ACCESS, Permission
from service.domain.account import Account, Caller
from service.domain.api_key import ApiKey
from service.domain.audit import AuditRecord, Principal, Result
from service.domain.delivery import DeadDelivery
from service.domain.erasure import Erasure, ErasureKind, ErasurePhase
from service.domain.events import EventType
from service.domain.export import ExportJob, ExportStatus
from service.domain.greeting import Greeting, validate_greeting
from service.domain.greeting_rules import GreetingRole, PlayingGreeting
from service.domain.hold import HeldMessage, Hold
from service.domain.media import MediaFacts
from service.domain.message import (
    Audio,
    CallerId,
    Folder,
    Message,
    MessageId,
    RemovedMessage,
    month_of,
)
from service.domain.search import Place, SearchField
from service.domain.user import User, validate_user
from service.domain.vmbox import DeletedVmbox, MessageCounts, Vmbox, split_pin, validate_settings
from service.domain.webhook import SECRET_BYTES, Attempt, Webhook, WebhookResponse, format_secret
from service.usecases.searches import SearchResult

_STORED: dict[str, Any] = {
    "account_id": UUID(ACCOUNT_ID),
    "revision": 1,
    "created_at": CREATED,
    "modified_at": CREATED,
}
_AUDIO = Audio(key="example.mp3", content_type="audio/mpeg", size=50_240, sha256=bytes(32))
_CONTEXT = MessageContext(WireProfile.KAZOO, datetime(2016, 1, 1, tzinfo=UTC))
_RECEIVED_AT = datetime(2016, 5, 10, 0, 18, 42, tzinfo=UTC)
_DOCUMENT, _PIN = split_pin(validate_settings(NEW_VMBOX))
_VMBOX = Vmbox(
    vmbox_id=UUID(VMBOX_ID),
    document=_DOCUMENT,
    pin=_PIN,
    counts=MessageCounts(new=3, saved=1),
    **_STORED,
)
_ACCOUNT = Account(
    parent_id=UUID(PARENT_ID),
    ancestors=(UUID(PARENT_ID),),
    max_message_count=None,
    wire_profile=WireProfile.KAZOO,
    auth_epoch=0,
    document=NEW_ACCOUNT,
    **NEW_ACCOUNT,
    **_STORED,
)
_USER = User(
    user_id=UUID(OWNER_ID),
    document=validate_user(NEW_USER)[0],
    has_password=True,
    sort_key=NEW_USER["username"],
    **_STORED,
)
_GREETING = Greeting(
    media_id=UUID(MEDIA_ID),
    document=validate_greeting(NEW_GREETING),
    audio=_AUDIO,
    **_STORED,
)
_MESSAGE = Message(
    id=MessageId(month_of(_RECEIVED_AT), UUID(MESSAGE_ID[7:])),
    vmbox_id=UUID(VMBOX_ID),
    folder=Folder.NEW,
    received_at=_RECEIVED_AT,
    length_ms=3140,
    caller_id=CallerId("1001", "userb userb"),
    call_id="79959ZDNmM2I5ZTliMzA0NzA4N2FjNjlmODA5OWVkZjUxZWU",
    from_uri="1001@aeac33.sip.2600hz.com",
    to_uri="1000@aeac33.sip.2600hz.com",
    audio=_AUDIO,
    transcription={
        "result": "success",
        "text": "This is a test of the voicemail transcription.",
    },
    media=MediaFacts(
        duration_ms=3140,
        codec="mp3",
        sample_rate=8000,
        channels=1,
        silence_ratio=0.25,
        peak_dbfs=-3.1,
        loudness_lufs=-19.4,
    ),
)
_PENDING = msgspec.structs.replace(_MESSAGE, audio=None, transcription=None, media=None)
_WEBHOOK = Webhook(
    webhook_id=UUID(WEBHOOK_ID),
    document=NEW_WEBHOOK,
    disable_reason=None,
    **_STORED,
)
_ERASURE = Erasure(
    account_id=UUID(ACCOUNT_ID),
    erasure_id=UUID(WEBHOOK_ID),
    subject_id=UUID(ACCOUNT_ID),
    kind=ErasureKind.PERSON,
    caller_id_number=None,
    caller_id_name=None,
    caller=None,
    phase=ErasurePhase.FINISHED,
    removed={"messages": 3, "audio": 3, "events": 4, "stream_events": 4},
    pending_keys=(),
    created_at=CREATED,
    finished_at=CREATED,
)
_EXPORT = ExportJob(
    account_id=UUID(ACCOUNT_ID),
    export_id=UUID(WEBHOOK_ID),
    status=ExportStatus.DONE,
    messages=1204,
    exported=1204,
    missing_audio=0,
    archive_size=71_303_168,
    problem=None,
    created_at=CREATED,
    finished_at=CREATED,
)
_HOLD = Hold(
    account_id=UUID(ACCOUNT_ID),
    hold_id=UUID(WEBHOOK_ID),
    name=NEW_HOLD["name"],
    reason=NEW_HOLD["reason"],
    caller_id_number=NEW_HOLD["caller_id_number"],
    received_from=datetime(2024, 1, 1, tzinfo=UTC),
    created_at=CREATED,
)
_KEY = ApiKey(
    account_id=UUID(ACCOUNT_ID),
    key_id=UUID(WEBHOOK_ID),
    name=NEW_API_KEY["name"],
    scopes=(Permission.MESSAGES_READ, Permission.VMBOXES_READ),
    vmbox_ids=(UUID(VMBOX_ID),),
    created_at=CREATED,
    expires_at=datetime(2027, 1, 1, tzinfo=UTC),
    last_used_at=None,
)
_ATTEMPT = Attempt(
    webhook_id=UUID(WEBHOOK_ID),
    attempt_id=UUID(WEBHOOK_ID),
    event_id=UUID(EVENT_ID),
    event_type="message.new",
    number=1,
    attempted_at=CREATED,
    response=WebhookResponse(response_code=503, error="response status 503", duration_ms=112),
)

_DEAD_DELIVERY = DeadDelivery(
    event_id=UUID(EVENT_ID),
    event_type="message.new",
    channel="email",
    target="reception@example.com",
    attempts=8,
    error="the SMTP server returned 550 no such user",
    created_at=CREATED,
    failed_at=CREATED,
    vmbox_id=UUID(VMBOX_ID),
    media_id=MESSAGE_ID,
)
_AUDIT_RECORD = AuditRecord(
    account_id=UUID(ACCOUNT_ID),
    at=CREATED,
    id=UUID(EVENT_ID),
    action=EventType.MESSAGE_REMOVED,
    result=Result.SUCCESS,
    principal=Principal.USER,
    principal_id=UUID(OWNER_ID),
    credential_id=UUID(WEBHOOK_ID),
    peer="192.0.2.7",
    request_id="7d2bbd8e4a5bd0ba1a4f4a0b1b7f0c11",
    vmbox_id=UUID(VMBOX_ID),
    message_id=_MESSAGE.id,
    target=None,
)

ACCOUNT = documents.account_document(_ACCOUNT)
ACCOUNT_ROW = documents.account_row(_ACCOUNT)
USER = documents.user_document(_USER)
USER_ROW = documents.user_row(_USER)
ERASURE = erasure_row(_ERASURE)
HOLD = hold_row(_HOLD)
EXPORT = export_row(_EXPORT)
NAMED_API_KEY = api_key_row(_KEY)
CREATED_API_KEY = created_api_key(_KEY, API_KEY)
WEBHOOK = webhook_document(_WEBHOOK)
NEWLY_CREATED_WEBHOOK = new_webhook_document(_WEBHOOK, format_secret(bytes(range(SECRET_BYTES))))
WEBHOOK_ROW = webhook_row(_WEBHOOK)
WEBHOOK_ATTEMPT = attempt_row(_ATTEMPT)
GREETING = documents.greeting_document(_GREETING)
GREETING_ROW = documents.greeting_row(_GREETING)
PLAYING_GREETING = playing_greeting(
    PlayingGreeting(role=GreetingRole.UNAVAILABLE, greeting=_GREETING, changes_at=None)
)
VMBOX = documents.vmbox_document(_VMBOX)
VMBOX_ROW = documents.vmbox_row(_VMBOX, WireProfile.KAZOO)
DEAD_DELIVERY = dead_delivery_row(_DEAD_DELIVERY)
AUDIT_ROW = audit_row(_AUDIT_RECORD)
MWI = documents.mwi_response(MessageCounts(new=1, saved=0))

WAVEFORM = WaveformData(duration_ms=3140, length=4, data=[-3, 4, -96, 101, -48, 47, -2, 1])
MESSAGE = message_metadata(_MESSAGE, _CONTEXT)
MATCHED_ROW = matched_row(
    SearchResult(
        message=_MESSAGE,
        vmbox_name="Ann",
        places=[Place(SearchField.TRANSCRIPTION, 24, 33, 1240, 1810)],
    ),
    _CONTEXT,
)
TRASH_ROW = trash_row(RemovedMessage(_MESSAGE, CREATED), timedelta(days=7), _CONTEXT)
HELD_ROW = held_row(HeldMessage(message=_MESSAGE, removed_at=CREATED), _CONTEXT)
PENDING = stored_message(_PENDING, _CONTEXT, has_audio=False)
SAVED = msgspec.structs.replace(MESSAGE, folder=Folder.SAVED)
REMOVED = msgspec.structs.replace(MESSAGE, folder=Folder.DELETED)
DELETED: Json = {"_read_only": {"deleted": True}}
LINK = LinkResponse(
    url="https://voicemail.example.com/v2/recordings/eyJhbGciOiJFZERTQSJ9.eyJhdWQiOiJyZWNvcmRpbmcifQ.c2ln",
    expires=gregorian(CREATED),
)
LINK_TOKEN = LINK.url.rpartition("/")[2]
OPENED_MESSAGE = OpenedMessage(
    account_name="acme",
    vmbox_id=VMBOX_ID,
    vmbox_name="Reception",
    timezone="Europe/Berlin",
    media_id=MESSAGE_ID,
    timestamp=gregorian(CREATED),
    length=4200,
    caller_id_number="+49 89 1234567",
    caller_id_name="Ann",
    transcription="Please call me back.",
    url=LINK.url,
    expires=gregorian(CREATED),
)
VMBOX_TRASH_ROW = vmbox_trash_row(
    DeletedVmbox(
        vmbox_id=UUID(VMBOX_ID),
        name="Ann",
        mailbox="100",
        deleted_at=CREATED,
    ),
    timedelta(days=7),
    WireProfile.KAZOO,
)
VMBOX_BATCH = VmboxBatchResponse(
    succeeded=[VMBOX_ID],
    failed=[{OTHER_VMBOX_ID: "number_taken"}],
    numbers={OTHER_VMBOX_ID: ["101"]},
)
UPLOAD = UploadResponse(
    upload="BTIwMjZhM1Vt",
    method="PUT",
    url="https://s3.example.com/aftertone/audio/202611/recording.wav?X-Amz-Signature=0a1b",
    headers={
        "Content-Length": "9600044",
        "Content-Type": "audio/wav",
        "x-amz-checksum-sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    },
    expires=gregorian(CREATED),
)
FORWARDED = ForwardResponse(
    succeeded=[MESSAGE_ID],
    failed=[{OTHER_VMBOX_ID: "mailbox_full"}],
)
BATCH = BatchResponse(
    succeeded=[MESSAGE_ID],
    failed=[{UNKNOWN_MESSAGE_ID: "not_found"}],
)
SESSION = documents.session_response(Caller(_ACCOUNT, ADMIN_ACCESS))
USER_SESSION = msgspec.structs.replace(SESSION, owner_id=OWNER_ID)
FRAME: dict[str, Any] = {
    "auth_token": TOKEN,
    "request_id": "7d2bbd8e4a5bd0ba1a4f4a0b1b7f0c11",
    "timestamp": format_iso(CREATED),
    "version": "0.1.0",
    "node": "9c1f0f3cb7e1c0de",
}

EVENT: Json = {
    "specversion": "1.0",
    "id": "01a20008-03d9-73d6-8f31-ebc5015d945d",
    "source": f"/accounts/{ACCOUNT_ID}/vmboxes/{VMBOX_ID}",
    "type": "voicemail.message.new",
    "time": "2026-11-21T21:34:15Z",
    "datacontenttype": "application/json",
    "sequence": "00000000000000000002",
    "subject": MESSAGE_ID,
    "data": {"counts": {"new": 1, "saved": 0}, "sequence": 2},
}
