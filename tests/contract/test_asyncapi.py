"""The AsyncAPI document: complete, and true for the events that the relay publishes."""

import copy
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import jsonschema_rs
import msgspec
import nats
from nats.aio.msg import Msg

from service.api.description.asyncapi import describe_events
from service.domain.events import EventMessage, EventType
from service.domain.message import Folder, MessageId
from service.domain.transcription import successful_transcription
from service.domain.vmbox import MAX_WRONG_PINS
from service.postgres.account_moves import append_accounts_moved
from service.postgres.callbacks import request_callback
from service.postgres.media import measure_message
from service.postgres.messages import MessageKey, get_message
from service.postgres.pool import Database
from service.postgres.transcriptions import transcribe_message
from tests.support.builders import SOME_FACTS, SOME_WAVEFORM
from tests.support.running import AccountClient, data_of
from tests.support.waiting import wait_until

Json = dict[str, Any]

DOCUMENT = describe_events()
CHANNELS: Json = DOCUMENT["channels"]


def _resolve(value: Json) -> Json:
    while "$ref" in value:
        result: Any = DOCUMENT
        for step in value["$ref"].removeprefix("#/").split("/"):
            result = result[step]
        value = result
    return value


def _holds(schema: Json, value: object) -> None:
    """Asserts that a value matches a schema, without a key that the schema does not have."""
    whole = {**schema, "components": CLOSED_COMPONENTS}
    validator = jsonschema_rs.validator_for(whole, validate_formats=True)
    assert [str(error) for error in validator.iter_errors(value)] == []


def _closed(value: Any) -> Any:
    """Returns schemas that refuse unknown keys in every object whose properties they name."""
    if isinstance(value, list):
        return [_closed(item) for item in value]
    if not isinstance(value, dict):
        return value
    schema = {key: _closed(inner) for key, inner in value.items()}
    if isinstance(value.get("properties"), dict):
        schema["additionalProperties"] = False
    return schema


CLOSED_COMPONENTS: Json = {"schemas": _closed(DOCUMENT["components"]["schemas"])}


def _objects(value: Any) -> Iterator[Json]:
    """Yields every object of a JSON value, itself included."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner)


def _refused(schema: Json, value: object) -> bool:
    whole = {**schema, "components": CLOSED_COMPONENTS}
    return not jsonschema_rs.validator_for(whole).is_valid(value)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _message_of(subject: str) -> Json:
    """Returns the message description of a subject, which exactly one channel must match."""
    results = []
    for channel in CHANNELS.values():
        pattern = re.sub(r"\\{\w+\\}", "[0-9a-f]{32}", re.escape(channel["address"]))
        if re.fullmatch(pattern, subject):
            results.append(channel)
    [channel] = results
    [message] = channel["messages"].values()
    return _resolve(message)


def test_the_document_has_all_required_parts() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version", "description", "contact", "tags"} <= DOCUMENT["info"].keys()
    assert [server["protocol"] for server in DOCUMENT["servers"].values()] == ["nats"]
    assert DOCUMENT.keys() <= {
        "asyncapi",
        "id",
        "info",
        "servers",
        "defaultContentType",
        "channels",
        "operations",
        "components",
    }
    for channel in CHANNELS.values():
        named = set(re.findall(r"\{(\w+)\}", channel["address"]))
        assert named == channel["parameters"].keys()
        assert channel["messages"]
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] == "send"
        channel = _resolve(operation["channel"])
        for message in operation["messages"]:
            # A message of an operation is one of its channel's, not of the components.
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
            assert _resolve(message) in [_resolve(value) for value in channel["messages"].values()]


def test_every_part_has_a_description() -> None:
    operations = DOCUMENT["operations"].values()
    parts = [*CHANNELS.values(), *operations, *DOCUMENT["components"]["tags"].values()]
    parts += [*DOCUMENT["servers"].values(), *DOCUMENT["components"]["messages"].values()]
    schemas = DOCUMENT["components"]["schemas"].values()
    parts += schemas
    for schema in schemas:
        parts += [_resolve(value) for value in schema.get("properties", {}).values()]
    assert all(part["description"] for part in parts)
    used = [tag for operation in operations for tag in operation["tags"]]
    assert all(tag in used for tag in DOCUMENT["info"]["tags"])
    assert all(tag in DOCUMENT["info"]["tags"] for tag in used)


def test_every_event_has_one_channel() -> None:
    kinds = [channel["address"].split(".", 4)[-1] for channel in CHANNELS.values()]
    assert sorted(kinds) == sorted(EventType)


def test_every_reference_resolves_and_every_component_is_used() -> None:
    references = set(_references(DOCUMENT))
    assert all(_resolve({"$ref": reference}) for reference in references)
    named = {
        f"#/components/{kind}/{name}"
        for kind, parts in DOCUMENT["components"].items()
        for name in parts
    }
    assert named <= references


def test_schemas_are_valid_and_examples_match_them() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    for message in DOCUMENT["components"]["messages"].values():
        [example] = message["examples"]
        _holds(message["payload"], example["payload"])
        _holds(message["headers"], example["headers"])
        assert example["summary"].removeprefix("Subject ").startswith("voicemail.v1.")
        assert _message_of(example["summary"].removeprefix("Subject ")) == message


def test_an_event_without_a_required_field_does_not_match() -> None:
    for message in DOCUMENT["components"]["messages"].values():
        [example] = message["examples"]
        for part in ("payload", "headers"):
            for name in example[part]:
                less = {key: value for key, value in example[part].items() if key != name}
                assert _refused(message[part], less), name


def test_an_unknown_key_is_refused_at_every_depth() -> None:
    for message in DOCUMENT["components"]["messages"].values():
        [example] = message["examples"]
        for part in ("payload", "headers"):
            for index, _ in enumerate(_objects(example[part])):
                changed = copy.deepcopy(example[part])
                inner = list(_objects(changed))[index]
                if inner is changed.get("vmbox"):
                    continue  # the document of a mailbox, which may have any key
                inner["unknown"] = 1
                assert _refused(message[part], changed), (message["name"], inner)


async def test_the_document_needs_no_token(account: AccountClient) -> None:
    async with httpx.AsyncClient(base_url=account.service.url) as client:
        answer = await client.get("/asyncapi.json")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == DOCUMENT
        assert (await client.head("/asyncapi.json")).status_code == 200


async def test_published_events_match_the_document(account: AccountClient) -> None:
    client = await nats.connect(account.service.servers.nats.url())
    received: list[Msg] = []

    async def record(message: Msg) -> None:
        received.append(message)

    async def every_kind() -> bool:
        return len({_kind(message) for message in received}) == len(EventType)

    await client.subscribe(f"voicemail.v1.{account.account_id}.>", cb=record)
    await client.flush()
    try:
        await _do_everything(account)
        await wait_until(every_kind)
    finally:
        await client.close()
    for message in received:
        described = _message_of(message.subject)
        payload = msgspec.json.decode(message.data)
        _holds(described["payload"], payload)
        _holds(described["headers"], dict(message.headers or {}))


async def _do_everything(account: AccountClient) -> None:
    """Causes each event at least once; those of the account are last."""
    http = account.http
    vmbox_id = await account.a_vmbox(max_message_count=1)
    media_id = await account.leave(vmbox_id)
    box = account.path("vmboxes", vmbox_id)
    full = await http.put(f"{box}/messages", json={"data": {}})
    assert full.status_code >= 400
    data_of(await http.patch(box, json={"data": {"name": "Other"}}))
    for _ in range(MAX_WRONG_PINS):
        data_of(await http.post(f"{box}/pin", json={"data": {"pin": "0000"}}))
    changed = await http.put(
        f"{box}/messages/{media_id}/raw",
        content=b"other",
        headers={"Content-Type": "audio/mpeg"},
    )
    assert changed.is_success, changed.text
    await _act_as_channels(account, vmbox_id, media_id)
    requested = await http.put(f"{box}/messages/{media_id}/transcription")
    assert requested.status_code == 202, requested.text
    data_of(await http.post(f"{box}/messages/{media_id}", json={"data": {"folder": "saved"}}))
    data_of(await http.delete(f"{box}/messages/{media_id}"))
    data_of(await http.post(f"{box}/trash", json={"data": {"messages": [media_id]}}))
    data_of(await http.delete(box))
    restored = {"data": {"vmboxes": [vmbox_id]}}
    data_of(await http.post(account.path("trash"), json=restored))
    async with account.service.client(account.service.root_token) as root:
        data_of(await root.delete(f"accounts/{account.account_id}"))
    url = account.service.environment["AFTERTONE_DATABASE_URL"]
    async with (
        Database.open(url, size=1, timeout_s=30, name="test") as database,
        database.connection() as connection,
    ):
        await append_accounts_moved(
            connection, [UUID(account.account_id)], "https://cell2.example.com"
        )


async def _act_as_channels(account: AccountClient, vmbox_id: str, media_id: str) -> None:
    """Requests a callback and stores a transcription."""
    message_id = MessageId.parse(media_id)
    assert message_id is not None
    key = MessageKey(UUID(account.account_id), UUID(vmbox_id), message_id)
    message = EventMessage(
        media_id=media_id,
        timestamp=63_931_000_000,
        folder=Folder.NEW,
        length=1,
        caller_id_number="",
        caller_id_name="",
        call_id="",
        from_="",
        to="",
    )
    url = account.service.environment["AFTERTONE_DATABASE_URL"]
    async with (
        Database.open(url, size=1, timeout_s=30, name="test") as database,
        database.connection() as connection,
    ):
        assert await request_callback(
            connection,
            key.account_id,
            key.vmbox_id,
            number="+491",
            attempt=1,
            timeout_s=20,
            message=message,
        )
        audio = (await get_message(connection, key)).audio
        assert audio is not None
        assert await transcribe_message(
            connection, key, audio.key, successful_transcription("Hello.")
        )
        assert await measure_message(
            connection, key, audio.key, SOME_FACTS, SOME_WAVEFORM, computed_length_ms=1
        )


def _kind(message: Msg) -> str:
    return message.subject.split(".", 4)[-1]
