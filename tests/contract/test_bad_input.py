"""Invalid input: refused in an envelope, nothing stored, no error logged."""

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from service.api.kazoo.times import gregorian
from tests.contract.wire import (
    NO_ID,
    NOW,
    assert_nothing_stored,
    json_part,
    mixed,
    no_fault_logged,
    problems,
    refusal,
)
from tests.support.running import AccountClient, RunningService, data_of

MONTH = f"{NOW:%Y%m}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def victim(service: RunningService) -> AsyncIterator[tuple[AccountClient, str]]:
    """Account with an empty box, which must still be empty after the test."""
    async with no_fault_logged(service):
        account = await service.an_account()
        vmbox_id = await account.a_vmbox()
        yield account, vmbox_id
        await assert_nothing_stored(account, vmbox_id)
        (row,) = data_of(await account.http.get(account.path("vmboxes")))
        assert (row["id"], row["name"]) == (vmbox_id, "Box")
        await account.http.aclose()


def nested(levels: int, opened: bytes = b"[", closed: bytes = b"]", core: bytes = b"") -> bytes:
    return b'{"data": {"name": "n", "mailbox": "7", "x": %b%b%b}}' % (
        opened * levels,
        core,
        closed * levels,
    )


UNREADABLE = {
    "no JSON": b"caller=ann",
    "cut off": b'{"data": {"name": "n"',
    "two documents": b"{} {}",
    "an array": b"[]",
    "a string": b'"data"',
    "a number": b"5",
    "null": b"null",
    "data an array": b'{"data": [{"name": "n"}]}',
    "data a string": b'{"data": "name"}',
    "data a number": b'{"data": 5}',
    "not UTF-8": b'{"data": {"name": "\xff"}}',
    "UTF-16": '{"data": {}}'.encode("utf-16"),
    "NUL in a string": b'{"data": {"name": "a\x00b", "mailbox": "7"}}',
    "a high surrogate": b'{"data": {"name": "\\ud800", "mailbox": "7"}}',
    "a low surrogate": b'{"data": {"name": "\\udc00x", "mailbox": "7"}}',
    "surrogates reversed": b'{"data": {"name": "\\udc00\\ud800", "mailbox": "7"}}',
    "a float beyond doubles": b'{"data": {"name": "n", "mailbox": "7", "x": 1e999}}',
    "NaN": b'{"data": {"name": "n", "mailbox": "7", "x": NaN}}',
    "an endless integer": b'{"data": {"name": "n", "mailbox": "7", "x": %b}}' % (b"9" * 5000),
    "1 000 levels": nested(1000),
    "1 000 objects": nested(1000, b'{"a":', b"}", b"1"),
    "100 000 levels": nested(100_000),
    "100 000 levels, not closed": b'{"data":' + b"[" * 100_000,
    "100 000 objects, not closed": b'{"data":' * 100_000,
}
UNSTORABLE = {
    "NUL spelled": b'{"data": {"name": "a\\u0000b", "mailbox": "7"}}',
    "NUL in a key": b'{"data": {"name": "n", "mailbox": "7", "x": [{"a\\u0000": 1}]}}',
    "101 levels": nested(101),
    "970 levels": nested(970),
    "500 objects around NUL": nested(500, b'{"a":', b"}", b'"\\u0000"'),
}


@pytest.mark.parametrize("body", UNSTORABLE.values(), ids=UNSTORABLE.keys())
async def test_a_document_that_cannot_be_stored_is_refused(
    victim: tuple[AccountClient, str], body: bytes
) -> None:
    account, vmbox_id = victim
    for method, path in (
        ("PUT", account.path("vmboxes")),
        ("PATCH", account.path("vmboxes", vmbox_id)),
        ("POST", f"{account.path('vmboxes', vmbox_id, 'messages')}/{MONTH}-{NO_ID}"),
        ("PUT", account.path()),
        ("PUT", "api_auth"),
    ):
        answer = await account.http.request(method, path, content=body)
        assert problems(answer)["json"]["invalid"]["target"] == "body", (method, path)


# Deeper JSON may be too deep for the decoder.
@pytest.mark.parametrize("name", ["NUL spelled", "NUL in a key", "101 levels"])
async def test_unknown_metadata_never_prevents_the_storage_of_audio(
    account: AccountClient, name: str
) -> None:
    vmbox_id, body = await account.a_vmbox(), UNSTORABLE[name]
    form = mixed((["Content-Type: application/json"], body), (["Content-Type: audio/mp3"], b"x"))
    answer = await account.http.put(account.path("vmboxes", vmbox_id, "messages"), **form)
    assert answer.status_code == 201
    warnings = {warning["field"]: warning["rule"] for warning in answer.json()["warnings"]}
    assert warnings.items() >= {"name": "unknown", "mailbox": "unknown"}.items()


FAULTS = {
    b'{"data": {"name": "\\ud83d"}}': "half of a surrogate pair",
    b'{"data": {"name": "\\ud83d!", "mailbox": "7"}}': "half of a surrogate pair",
    b'{"data": {"name": "n"': "incomplete",
    b'{"data": {"name": "\xe9"}}': "not UTF-8 (byte 19)",
    b"RIFF\x24\x00\x00\x00WAVE": "Content-Type",
    b"ID3\x04\x00": "Content-Type",
    b"caller=ann": "JSON object",
}


@pytest.mark.parametrize(("body", "fault"), FAULTS.items())
async def test_the_text_describes_the_error_of_a_body(
    victim: tuple[AccountClient, str], body: bytes, fault: str
) -> None:
    account, vmbox_id = victim
    for path in (account.path("vmboxes"), account.path("vmboxes", vmbox_id, "messages")):
        answer = await account.http.put(path, content=body)
        assert fault in problems(answer)["json"]["invalid"]["message"]


async def test_a_byte_order_mark_is_skipped(account: AccountClient) -> None:
    body = b'\xef\xbb\xbf{"auth_token": "%s", "verb": "PUT", "data": {"name": "n", "mailbox": "7"}}'
    answer = await account.http.post(
        account.path("vmboxes"), content=body % account.token.encode(), headers={"X-Auth-Token": ""}
    )
    assert data_of(answer, 201)["mailbox"] == "7"


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_body_that_is_no_envelope_is_refused_everywhere(
    victim: tuple[AccountClient, str], body: bytes
) -> None:
    account, vmbox_id = victim
    messages = account.path("vmboxes", vmbox_id, "messages")
    for method, path in (
        ("PUT", account.path("vmboxes")),
        ("PATCH", account.path("vmboxes", vmbox_id)),
        ("PUT", messages),
        ("POST", f"{messages}/{MONTH}-{NO_ID}"),
        ("PUT", account.path()),
        ("PUT", "api_auth"),
    ):
        answer = await account.http.request(method, path, content=body)
        assert problems(answer)["json"]["invalid"]["target"] == "body", (method, path)
    as_part = mixed((["Content-Type: application/json"], body), (["Content-Type: audio/mp3"], b"x"))
    assert "json" in problems(await account.http.put(messages, **as_part))


@pytest.mark.parametrize(
    ("field", "rule", "values"),
    [
        ("timestamp", "maximum", [10**30, 2**63, 2**70 * 1.0]),
        ("timestamp", "minimum", [-(10**30)]),
        ("timestamp", "type", [1.5, "", "63e9", "٣", "1" * 21, True, [], {}]),
        ("timestamp", "date_range", [0, -1, 1, 2**53 - 1, 62_167_219_200, "62167219200"]),
        ("timestamp", "date_range", [gregorian(NOW + timedelta(days=365))]),
        ("timestamp", "date_range", [1_790_000_000, "1790000000", 1_790_000_000_123, 1.79e9 + 0.5]),
        ("timestamp", "date_range", [gregorian(NOW + timedelta(hours=25))]),
        ("folder", "enum", ["inbox", "", "NEW"]),
        ("folder", "type", [["new"], 0]),
    ],
)
async def test_metadata_beyond_its_rules_stores_no_message(
    victim: tuple[AccountClient, str], field: str, rule: str, values: list[Any]
) -> None:
    account, vmbox_id = victim
    messages = account.path("vmboxes", vmbox_id, "messages")
    for value in values:
        alone = await account.http.put(messages, json={"data": {field: value}})
        with_audio = await account.http.put(
            messages, **mixed((["Content-Type: audio/mp3"], b"x"), json_part(**{field: value}))
        )
        for answer in (alone, with_audio):
            assert list(problems(answer)[field]) == [rule], value


@pytest.mark.parametrize(
    "size", ["0", "-1", "abc", "1001", "1" + "0" * 30, "0000000059999999999", "", "1.0", "²", "%00"]
)
@pytest.mark.parametrize("route", ["vmboxes", "vmboxes/{B}/messages", "vmboxes/messages"])
async def test_a_bad_page_size_is_refused(
    victim: tuple[AccountClient, str], route: str, size: str
) -> None:
    account, vmbox_id = victim
    path = account.path(route.format(B=vmbox_id))
    answer = await account.http.get(f"{path}?page_size={size}")
    assert list(problems(answer)) == ["page_size"]


def key(value: Any) -> str:
    """A start_key that carries `value`."""
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


ZERO = "0" * 32
BAD_KEYS = {
    "garbage": "%21%21%21",
    "one letter": "a",
    "not UTF-8": "%ff%fe",
    "NUL": "%00",
    "of nothing": key(None),
    "an object": key({}),
    "a number": key(5),
    "a string": key("202601"),
    "an empty array": key([]),
    "too few": key([202601]),
    "strings": key(["a", "b", "c"]),
    "deep": base64.urlsafe_b64encode(b"[" * 5000).decode(),
    "a month beyond integers": key([10**12, "2026-01-01T00:00:00Z", ZERO]),
    "a month of its own": key([202602, "2026-01-01T00:00:00Z", ZERO]),
    "no time zone": key([202601, "2026-01-01T00:00:00", ZERO]),
    "before the calendar": key([101, "0001-01-01T00:00:00+23:00", ZERO]),
    "after the calendar": key([999912, "9999-12-31T23:59:59-23:00", ZERO]),
    "no id": key([202601, "2026-01-01T00:00:00Z", "x"]),
    "a box with NUL": key(["\0", ZERO]),
    "a name beyond the bound of a cursor": key(["x" * 513, ZERO]),
    "a box without a name": key([None, ZERO]),
}


@pytest.mark.parametrize("start_key", BAD_KEYS.values(), ids=BAD_KEYS.keys())
async def test_a_garbage_start_key_is_refused(
    victim: tuple[AccountClient, str], start_key: str
) -> None:
    account, vmbox_id = victim
    for route in ("vmboxes", f"vmboxes/{vmbox_id}/messages", "vmboxes/messages"):
        answer = await account.http.get(f"{account.path(route)}?start_key={start_key}")
        assert list(problems(answer)) == ["start_key"], route


IDS = [NO_ID, "0" * 32, "f" * 32]
NO_IDS = ["x", "%00", "%ff", "%F0%9F%98%80", "a" * 31, "a" * 33, "A" * 32, "g" * 32, "9" * 300, "-"]
MESSAGE_IDS = [f"{MONTH}-{NO_ID}", f"999912-{NO_ID}", f"000101-{NO_ID}", f"201605-{'0' * 32}"]
NO_MESSAGE_IDS = [
    *(NO_ID, "x", "%00", f"{MONTH}-%00", f"{MONTH}-", f"-{NO_ID}", f"{MONTH}-{'F' * 32}"),
    *(f"202613-{NO_ID}", f"202600-{NO_ID}", f"2026011-{NO_ID}", f"{'٢' * 6}-{NO_ID}", "9" * 300),
]


async def test_unknown_and_malformed_boxes_are_not_found(
    victim: tuple[AccountClient, str],
) -> None:
    account, _ = victim
    upload = mixed((["Content-Type: audio/mp3"], b"x"))
    message = f"messages/{MONTH}-{NO_ID}"
    for vmbox_id in (*IDS, *NO_IDS):
        for method, rest, request in (
            ("GET", "", {}),
            ("PATCH", "", {"json": {"data": {"name": "x"}}}),
            ("DELETE", "", {}),
            ("GET", "messages", {}),
            ("PUT", "messages", {"json": {"data": {}}}),
            ("PUT", "messages", upload),
            ("GET", message, {}),
            ("POST", message, {}),
            ("DELETE", message, {}),
            ("GET", f"{message}/raw", {}),
            ("PUT", f"{message}/raw", upload),
        ):
            path = account.path("vmboxes", vmbox_id, rest)
            answer = await account.http.request(method, path, **request)
            assert refusal(answer, 404, "bad_identifier", account.token)["message"]


async def test_unknown_and_malformed_messages_are_not_found(
    victim: tuple[AccountClient, str],
) -> None:
    account, vmbox_id = victim
    upload = mixed((["Content-Type: audio/mp3"], b"x"))
    for message_id in (*MESSAGE_IDS, *NO_MESSAGE_IDS):
        path = account.path("vmboxes", vmbox_id, "messages", message_id)
        for method, rest, request in (
            ("GET", "", {}),
            ("POST", "", {"json": {"data": {"folder": "saved"}}}),
            ("DELETE", "", {}),
            ("GET", "/raw", {}),
            ("PUT", "/raw", upload),
        ):
            answer = await account.http.request(method, path + rest, **request)
            assert refusal(answer, 404, "bad_identifier", account.token)["message"]


async def test_a_document_beyond_its_size_is_a_413(victim: tuple[AccountClient, str]) -> None:
    account, vmbox_id = victim
    box = account.path("vmboxes", vmbox_id)
    for method, path in (("PUT", account.path("vmboxes")), ("PATCH", box)):
        data = {"name": "n", "mailbox": "7", "notes": "x" * 65_536}
        answer = await account.http.request(method, path, json={"data": data})
        assert problems(answer, 413)["data"]["maxSize"]["target"] == 65_536
    for path in (account.path("vmboxes"), f"{box}/messages"):
        answer = await account.http.put(path, content=b" " * 1_048_577)
        assert problems(answer, 413)["data"]["maxSize"]["target"] == 1_048_576


async def test_a_body_of_an_unsupported_type_is_a_415(victim: tuple[AccountClient, str]) -> None:
    account, vmbox_id = victim
    messages = account.path("vmboxes", vmbox_id, "messages")
    for method, path, types in (
        ("PUT", account.path("vmboxes"), ("text/plain", "audio/mpeg", "application/xml")),
        ("PATCH", account.path("vmboxes", vmbox_id), ("text/html", "application/jsonx")),
        (
            "PUT",
            messages,
            ("text/plain", "audio/midi", "audio", "video/quicktime", "/", "multipart/x"),
        ),
        ("PUT", f"{messages}/{MONTH}-{NO_ID}/raw", ("text/plain", "image/png")),
        ("POST", f"{messages}/{MONTH}-{NO_ID}", ("audio/mpeg",)),
    ):
        for content_type in types:
            sent: dict[str, Any] = {"content": b"{}", "headers": {"Content-Type": content_type}}
            answer = await account.http.request(method, path, **sent)
            assert refusal(answer, 415, "unsupported_media_type")["message"]
