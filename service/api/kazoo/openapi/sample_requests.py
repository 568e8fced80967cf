"""Ids and request bodies of the examples."""

from datetime import UTC, datetime
from typing import Any

from service.api.kazoo.times import gregorian
from service.domain.user import CredentialMethod, digests_of

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
NEW_FORWARD = {
    "source_id": [OTHER_VMBOX_ID],
    "prepend": MEDIA_ID,
    "after_forward_action": "save",
}
TOKEN = "{AUTH_TOKEN}"  # noqa: S105 - a placeholder
CREATED_FROM = gregorian(CREATED)
