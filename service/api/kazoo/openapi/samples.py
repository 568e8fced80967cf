"""Examples of the document, encoded by the code that encodes real responses."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from service.api.description.openapi.fields import Json
from service.api.http.times import format_iso
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
    message_row,
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
from service.domain.user import CredentialMethod, User, digests_of, validate_user
from service.domain.vmbox import (
    DeletedVmbox,
    MessageCounts,
    Vmbox,
    split_pin,
    validate_settings,
)
from service.domain.webhook import SECRET_BYTES, Attempt, Webhook, WebhookResponse, format_secret
from service.usecases.searches import SearchResult

ACCOUNT_ID = "4b5f02e5d4c54e43a5f9d1e2c3b4a596"
PARENT_ID = "290ac723eb6e73dd4a0adcd77785e04e"
VMBOX_ID = "3a63acc3694ba189947235ae4727941b"
OTHER_VMBOX_ID = "0e820108c0f4ca391500f3be1b02bdfa"
OWNER_ID = "f1d98a5df729f95cd208ee9430e3b21b"
MEDIA_ID = "d2f4a19f1d0f4b5c8e6f7a8b9c0d1e2f"
WEBHOOK_ID = "5c3f0a8e9b1d4f6e8a7c2b4d6e8f0a1c"
EVENT_ID = "0190f3a1-c2d4-7e5f-8a9b-0c1d2e3f4a5d"
UNKNOWN_MESSAGE_ID = "201605-6aadef09f6fcf5fd8bcdfca312e923ba"
MESSAGE_ID = "201605-49be0985ea3a33046f8073083517d27b"
API_KEY = "a26dc5bb3a6e4ba4a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718"
REVISION = f"1-{VMBOX_ID}"
LIST_REVISION = "4f0d1f8a3c5e7b9d2a4c6e8f0b1d3f5a"

CREATED = datetime(2024, 5, 15, 11, 39, 26, tzinfo=UTC)

NEW_ACCOUNT: dict[str, Any] = {"name": "Example", "realm": "aeac33.sip.2600hz.com"}

NEW_USER: dict[str, Any] = {
    "username": "reception",
    "password": "correct horse battery staple",
    "first_name": "Pat",
    "last_name": "Doe",
    "email": "pat@example.com",
}
CREDENTIALS = {
    "credentials": digests_of(NEW_USER["username"], NEW_USER["password"])[CredentialMethod.MD5],
    "account_name": NEW_ACCOUNT["name"],
}

NEW_API_KEY: dict[str, Any] = {
    "name": "Call control",
    "scopes": ["messages:read", "vmboxes:read"],
    "vmbox_ids": [VMBOX_ID],
    "expires": "2027-01-01T00:00:00Z",
}

NEW_ERASURE: dict[str, Any] = {
    "caller_id_number": "+49 89 1234567",
    "caller_id_name": "Ann Example",
}

NEW_HOLD: dict[str, Any] = {
    "name": "Case 4711",
    "reason": "Order of the district court, 3 May 2024",
    "caller_id_number": "+49 89 1234567",
    "created_from": "2024-01-01T00:00:00Z",
}

NEW_GREETING: dict[str, Any] = {
    "name": "On holiday",
    "description": "Until the end of August",
    "language": "en-us",
}

NEW_WEBHOOK: dict[str, Any] = {
    "name": "Ticket system",
    "uri": "https://tickets.example.com/voicemail",
    "hook": "message.new",
    "enabled": True,
    "custom_data": {"queue": "support"},
}

NEW_VMBOX: dict[str, Any] = {
    "name": "VMBox 0",
    "require_pin": True,
    "is_setup": False,
    "pin": "0000",
    "mailbox": "3000",
    "timezone": "America/Los_Angeles",
    "notify_email_addresses": [],
    "owner_id": OWNER_ID,
    "media": {},
}
VMBOX_CHANGE: dict[str, Any] = {"name": "Front desk", "pin": None, "some_key": "some_value"}

NEW_MESSAGE: dict[str, Any] = {
    "caller_id_name": "userb userb",
    "caller_id_number": "1001",
    "folder": "new",
    "from": "1001@aeac33.sip.2600hz.com",
}

NEW_UPLOAD: dict[str, Any] = {
    **NEW_MESSAGE,
    "size": 9_600_044,
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "content_type": "audio/wav",
}

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
    media_id=UUID(MEDIA_ID), document=validate_greeting(NEW_GREETING), audio=_AUDIO, **_STORED
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
    webhook_id=UUID(WEBHOOK_ID), document=NEW_WEBHOOK, disable_reason=None, **_STORED
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
MESSAGE_ROW = message_row(_MESSAGE, _CONTEXT)
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
    DeletedVmbox(vmbox_id=UUID(VMBOX_ID), name="Ann", mailbox="100", deleted_at=CREATED),
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
NEW_FORWARD = {
    "source_id": [OTHER_VMBOX_ID],
    "prepend": MEDIA_ID,
    "after_forward_action": "save",
}
FORWARDED = ForwardResponse(succeeded=[MESSAGE_ID], failed=[{OTHER_VMBOX_ID: "mailbox_full"}])
BATCH = BatchResponse(succeeded=[MESSAGE_ID], failed=[{UNKNOWN_MESSAGE_ID: "not_found"}])
SESSION = documents.session_response(Caller(_ACCOUNT, ADMIN_ACCESS))
USER_SESSION = msgspec.structs.replace(SESSION, owner_id=OWNER_ID)
TOKEN = "{AUTH_TOKEN}"  # noqa: S105 - a placeholder
FRAME: dict[str, Any] = {
    "auth_token": TOKEN,
    "request_id": "7d2bbd8e4a5bd0ba1a4f4a0b1b7f0c11",
    "timestamp": format_iso(CREATED),
    "version": "0.1.0",
    "node": "9c1f0f3cb7e1c0de",
}
CREATED_FROM = gregorian(CREATED)

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
