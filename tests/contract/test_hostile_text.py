"""Untrusted text: stored up to its limit, and safe in headers and lists."""

from typing import Any
from uuid import uuid4

from service.api.kazoo.times import gregorian
from tests.contract.wire import NOW, audio_part, json_part, mixed
from tests.support.running import AccountClient, data_of


async def store_with_metadata(account: AccountClient, vmbox_id: str, data: dict[str, Any]) -> str:
    """Stores a message with audio and this metadata. Returns its id."""
    path = account.path("vmboxes", vmbox_id, "messages")
    stored = await account.http.put(path, **mixed(json_part(**data), audio_part(b"x")))
    media_id: str = data_of(stored, 201)["media_id"]
    return media_id


async def test_names_cannot_carry_line_ends_into_headers(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    evil = "Ann\r\nX-Evil: 1\n\u2028\u2029\x0b\x85"
    names = ("caller_id_name", "caller_id_number", "call_id", "from")
    media_id = await store_with_metadata(account, vmbox_id, dict.fromkeys(names, evil))
    message = account.path("vmboxes", vmbox_id, "messages", media_id)
    response = data_of(await account.http.get(message))
    for name in ("caller_id_name", "caller_id_number", "call_id", "from_user"):
        assert response[name] == "AnnX-Evil: 1"
    for path in (message, f"{message}/raw"):
        assert "x-evil" not in (await account.http.get(path)).headers


async def test_the_largest_values_that_the_rules_allow_are_kept(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    said = {
        "caller_id_name": "😀" * 35,
        "caller_id_number": "0" * 35,
        "call_id": "ü" * 255,
        "from": "f" * 255,
        "to": "@" * 255,
        "length": 2**31 - 1,
        "timestamp": gregorian(NOW),
    }
    media_id = await store_with_metadata(account, vmbox_id, said)
    response = data_of(
        await account.http.get(account.path("vmboxes", vmbox_id, "messages", media_id))
    )
    assert response.items() >= {**said, "from": f"{said['from']}@{account.realm}"}.items()
    kept = {"x": {"a": [10**40, -(10**40), 0.1, 5e-324, "\u2028", "😀", {"": None}]}}
    with_more = await account.a_vmbox(mailbox=str(uuid4().int)[:30], **kept)
    assert data_of(await account.http.get(account.path("vmboxes", with_more)))["x"] == kept["x"]
    assert len(data_of(await account.http.get(account.path("vmboxes")))) == 2
