"""Events: subjects, CloudEvents attributes, data."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from service.bus import headers_of
from service.domain.events import (
    DATA,
    NO_VMBOX,
    Event,
    EventType,
    MessageFolderChanged,
    MessageNew,
    OriginReason,
    attributes_of,
    decode_data,
    subject_of,
)
from service.domain.message import Folder

ACCOUNT = UUID("0190f3a1c2d47e5f8a9b0c1d2e3f4a5b")
VMBOX = UUID("0190f3a1c2d47e5f8a9b0c1d2e3f4a5c")


def an_event(**changes: Any) -> Event:
    fields: dict[str, Any] = {
        "account_id": ACCOUNT,
        "vmbox_id": VMBOX,
        "sequence": 42,
        "event_id": UUID("0190f3a1-c2d4-7e5f-8a9b-0c1d2e3f4a5d"),
        "type": "message.new",
        "created_at": datetime(2026, 3, 1, 12, 30, 0, 500_000, tzinfo=UTC),
        "data": b"{}",
        "media_id": "202603-0190f3a1c2d47e5f8a9b0c1d2e3f4a5e",
    }
    return Event(**{**fields, **changes})


def test_the_subject_names_account_box_and_event() -> None:
    assert subject_of(an_event()) == f"voicemail.v1.{ACCOUNT.hex}.{VMBOX.hex}.message.new"


def test_an_event_of_an_account_has_an_underscore_for_its_box() -> None:
    event = an_event(vmbox_id=NO_VMBOX, type="account.deleted", media_id=None)
    assert subject_of(event) == f"voicemail.v1.{ACCOUNT.hex}._.account.deleted"
    assert attributes_of(event)["source"] == f"/accounts/{ACCOUNT.hex}"


def test_the_envelope_is_cloudevents() -> None:
    assert attributes_of(an_event()) == {
        "specversion": "1.0",
        "id": "0190f3a1-c2d4-7e5f-8a9b-0c1d2e3f4a5d",
        "source": f"/accounts/{ACCOUNT.hex}/vmboxes/{VMBOX.hex}",
        "type": "voicemail.message.new",
        "subject": "202603-0190f3a1c2d47e5f8a9b0c1d2e3f4a5e",
        "time": "2026-03-01T12:30:00.500000Z",
        "datacontenttype": "application/json",
        "sequence": "00000000000000000042",
    }


def test_an_event_of_a_box_has_no_subject_attribute() -> None:
    assert "subject" not in attributes_of(an_event(type="vmbox.updated", media_id=None))


def test_headers_are_binary_mode_with_the_id_for_deduplication() -> None:
    headers = headers_of(an_event(traceparent="00-aa-bb-01"))
    assert headers["Nats-Msg-Id"] == headers["ce-id"] == "0190f3a1-c2d4-7e5f-8a9b-0c1d2e3f4a5d"
    assert headers["ce-datacontenttype"] == "application/json"
    assert headers["traceparent"] == "00-aa-bb-01"
    assert "Content-Type" not in headers


def test_header_values_are_percent_encoded_as_the_binding_requires() -> None:
    headers = headers_of(an_event(type='a "b" 100% \u20ac~!'))
    assert headers["ce-type"] == "voicemail.a%20%22b%22%20100%25%20%E2%82%AC~!"


def test_every_event_has_its_data() -> None:
    assert set(DATA) == set(EventType)


def test_data_decodes_by_its_type() -> None:
    message = {
        "media_id": "202603-0190f3a1c2d47e5f8a9b0c1d2e3f4a5e",
        "timestamp": 63_900_000_000,
        "folder": "saved",
        "length": 1200,
        "caller_id_number": "1",
        "caller_id_name": "a",
        "call_id": "c",
        "from": "a@b",
        "to": "c@d",
    }
    common = {
        "account_id": ACCOUNT.hex,
        "vmbox_id": VMBOX.hex,
        "mailbox": "100",
        "epoch": 1,
        "sequence": 42,
        "counts": {"new": 0, "saved": 1},
        "message": message,
    }
    changed = decode_data(
        EventType.MESSAGE_FOLDER_CHANGED,
        msgspec.json.encode({**common, "from": "new", "to": "saved", "reason": "api"}),
    )
    assert isinstance(changed, MessageFolderChanged)
    assert (changed.from_, changed.to, changed.message.from_) == (Folder.NEW, Folder.SAVED, "a@b")
    new = decode_data(
        EventType.MESSAGE_NEW, msgspec.json.encode({**common, "origin": {"reason": "stored"}})
    )
    assert isinstance(new, MessageNew)
    assert new.origin.reason is OriginReason.STORED
    assert msgspec.json.decode(msgspec.json.encode(new)) == {
        **common,
        "origin": {"reason": "stored"},
    }


def test_data_without_its_common_part_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_data(EventType.VMBOX_FULL, b'{"max_message_count": 1, "message_count": 1}')
