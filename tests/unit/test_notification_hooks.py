"""Hooks `notifications` and `object`: the names and the payloads of each event."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest

from service.api.description.event_examples import example_of
from service.domain.events import Event, EventType, decode_data
from service.domain.notification_hooks import (
    BodyFormat,
    ObjectAction,
    ObjectType,
    encode_notification,
    subscriptions_to,
)
from service.workers.channels.notifications import notifications_of

README = Path(__file__).parents[2] / "service" / "workers" / "README.md"
MESSAGE_KEYS = {
    *("account_id", "app_name", "app_version", "event_category", "event_name", "msg_id", "node"),
    *("call_id", "caller_id_name", "caller_id_number"),
    *("from_realm", "from_user", "to_realm", "to_user"),
    *("voicemail_box", "voicemail_id", "voicemail_length", "voicemail_timestamp"),
}


def an_event(kind: str, **changes: Any) -> Event:
    """The example of a type; a key such as `message.folder` changes its data."""
    event = example_of(EventType(kind))
    data = msgspec.json.decode(event.data)
    for path, value in changes.items():
        *parents, key = path.split("__")
        place = data
        for parent in parents:
            place = place[parent]
        place[key] = value
    return msgspec.structs.replace(event, data=msgspec.json.encode(data))


CASES: list[tuple[Event, set[str]]] = [
    (
        an_event("message.new", origin={"reason": "stored"}),
        {"voicemail_new", "voicemail_saved", "mailbox_message.doc_created"},
    ),
    (
        an_event("message.new", origin={"reason": "stored"}, message__folder="saved"),
        {"mailbox_message.doc_created"},
    ),
    (
        an_event("message.new", origin={"reason": "forwarded"}),
        {"voicemail_new", "voicemail_saved", "mailbox_message.doc_created"},
    ),
    (an_event("message.new", origin={"reason": "moved"}), {"mailbox_message.doc_created"}),
    (an_event("message.new", origin={"reason": "imported"}), {"mailbox_message.doc_created"}),
    (
        an_event("message.folder_changed", to="deleted"),
        {"voicemail_deleted", "mailbox_message.doc_edited"},
    ),
    (an_event("message.folder_changed", to="saved"), {"mailbox_message.doc_edited"}),
    (
        an_event("message.removed", reason="api", message__folder="saved"),
        {"voicemail_deleted", "mailbox_message.doc_deleted"},
    ),
    (
        an_event("message.removed", reason="api", message__folder="deleted"),
        {"mailbox_message.doc_deleted"},
    ),
    (an_event("message.removed", reason="moved"), {"mailbox_message.doc_deleted"}),
    (an_event("message.removed", reason="retention"), {"mailbox_message.doc_deleted"}),
    (an_event("message.restored"), {"mailbox_message.doc_created"}),
    (an_event("message.audio_replaced"), {"mailbox_message.doc_edited"}),
    (an_event("message.transcription_requested"), set()),
    (an_event("message.transcribed"), {"mailbox_message.doc_edited"}),
    (an_event("message.measured"), {"mailbox_message.doc_edited"}),
    (an_event("vmbox.created"), {"vmbox.doc_created"}),
    (an_event("vmbox.updated"), {"vmbox.doc_edited"}),
    (an_event("vmbox.deleted"), {"vmbox.doc_deleted"}),
    (an_event("vmbox.restored"), {"vmbox.doc_created"}),
    (an_event("vmbox.full"), {"voicemail_full"}),
    (an_event("vmbox.pin_locked"), set()),
    (an_event("account.moved"), set()),
    (an_event("callback.requested"), set()),
    (an_event("account.deleted"), set()),
]


@pytest.mark.parametrize(("event", "names"), CASES)
def test_each_event_has_the_names_of_the_telephony_vocabulary(
    event: Event, names: set[str]
) -> None:
    assert {name.split(".", 1)[1] for name in notifications_of(event)} == names


def test_the_reference_has_a_table_of_both_vocabularies() -> None:
    described: dict[str, set[str]] = {}
    for line in README.read_text().partition("### The hooks of KAZOO")[2].splitlines():
        cells = [set(re.findall(r"`([a-z_.]+)`", cell)) for cell in line.split("|")[1:-1]]
        kinds = {name for name in cells[0] if name in list(EventType)} if cells else set()
        for kind in kinds:
            notifications = {name for name in cells[1] if name.startswith("voicemail_")}
            objects = {
                f"{t}.{a}" for t in cells[2] & {*ObjectType} for a in cells[2] & {*ObjectAction}
            }
            described.setdefault(kind, set()).update(notifications | objects)
    expected: dict[str, set[str]] = {}
    for event, names in CASES:
        expected.setdefault(event.type, set()).update(names)
    assert described == expected
    assert expected.keys() == {*EventType}


def test_an_event_of_a_later_release_has_no_names() -> None:
    event = msgspec.structs.replace(example_of(EventType.VMBOX_FULL), type="thing.happened")
    assert notifications_of(event) == {}


def test_the_payload_of_a_message_has_the_keys_of_kazoo() -> None:
    event = an_event("message.new", origin={"reason": "stored"}, message__to="100@a@b")
    message = msgspec.json.decode(event.data)["message"]
    payload = notifications_of(event)["notifications.voicemail_new"]
    assert payload.keys() == MESSAGE_KEYS
    expected = {
        "account_id": event.account_id.hex,
        "event_category": "notification",
        "event_name": "voicemail_new",
        "msg_id": str(event.event_id),
        "voicemail_box": event.vmbox_id.hex,
        "voicemail_id": event.media_id,
        "voicemail_length": message["length"],
        "voicemail_timestamp": message["timestamp"],
        "from_user": "+14155550100",
        "from_realm": "sip.example.com",
        "to_user": "100",
        "to_realm": "a@b",
    }
    assert expected.items() <= payload.items()


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (an_event("message.removed", reason="api", message__folder="new"), "crossbar_action"),
        (an_event("message.folder_changed", to="deleted", reason="api"), "crossbar_action"),
        (
            an_event("message.folder_changed", to="deleted", reason="notified"),
            "delete_after_notify",
        ),
    ],
)
def test_a_deletion_has_a_reason(event: Event, reason: str) -> None:
    payload = notifications_of(event)["notifications.voicemail_deleted"]
    assert payload.keys() == {*MESSAGE_KEYS, "reason"}
    assert payload["reason"] == reason


def test_a_full_box_has_the_counts_of_its_messages() -> None:
    event = example_of(EventType.VMBOX_FULL)
    payload = notifications_of(event)["notifications.voicemail_full"]
    data: Any = decode_data(EventType.VMBOX_FULL, event.data)
    counts = {
        "voicemail_box": event.vmbox_id.hex,
        "max_message_count": data.max_message_count,
        "message_count": data.message_count,
    }
    assert counts.items() <= payload.items()
    assert "voicemail_id" not in payload


def test_an_object_is_its_id_with_type_and_action() -> None:
    for kind, changed, action in (
        ("vmbox.created", "vmbox", "doc_created"),
        ("message.removed", "mailbox_message", "doc_deleted"),
    ):
        event = example_of(EventType(kind))
        assert notifications_of(event)[f"object.{changed}.{action}"] == {
            "id": event.vmbox_id.hex if changed == "vmbox" else event.media_id,
            "account_id": event.account_id.hex,
            "action": action,
            "type": changed,
        }


def test_a_subscription_can_have_all_in_place_of_each_part() -> None:
    assert set(subscriptions_to("object.vmbox.doc_edited")) == {
        "object.vmbox.doc_edited",
        "object.vmbox.all",
        "object.all.doc_edited",
        "object.all.all",
    }


def test_custom_data_is_added_in_both_formats_and_stays_one_field() -> None:
    payload: dict[str, str | int] = {"id": "1", "type": "vmbox", "count": 5}
    custom = {"type": "all", "team": "all", "id": "x&y=z é~+", "a b&c": "1"}
    expected = {"id": "x&y=z é~+", "type": "vmbox", "team": "all", "a b&c": "1"}
    kind, body = encode_notification(payload, custom, BodyFormat.JSON)
    assert (kind, msgspec.json.decode(body)) == ("application/json", {**expected, "count": 5})
    kind, body = encode_notification(payload, custom, BodyFormat.FORM_DATA)
    assert kind == "application/x-www-form-urlencoded"
    assert dict(parse_qsl(body.decode(), strict_parsing=True)) == {**expected, "count": "5"}
    assert b"x%26y%3Dz+%C3%A9~%2B" in body
