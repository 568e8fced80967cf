"""A client of the mailbox dialect for the contract tests, and how they look at its answers."""

from typing import Any

import httpx
import msgspec

from tests.support.log_scan import CONFIDENTIAL
from tests.support.running import NO_TLS, AccountClient, RunningService, data_of

ENVELOPE = {"result", "status_code", "status_message"}
FULL = {
    "name": "Pete's Mailbox",
    "password": "1234",
    "beep": True,
    "play_caller_id": True,
    "play_timestamp": True,
    "transcribe": True,
}


def mailbox_client(service: RunningService, **headers: str) -> httpx.AsyncClient:
    """Whoever these headers make of it: `x_auth_user` is `X-Auth-User`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    hooks = {"request": [CONFIDENTIAL.learn_request]}
    return httpx.AsyncClient(
        base_url=service.url, headers=named, timeout=30, event_hooks=hooks, verify=NO_TLS
    )


def result(answer: httpx.Response, status: int = 200) -> Any:
    """The `result` of a whole envelope with this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert answer.headers["access-control-allow-origin"] == "*"
    envelope = answer.json()
    assert envelope.keys() == ENVELOPE
    assert envelope["status_code"] == status
    assert envelope["status_message"]
    return envelope["result"]


def refused(answer: httpx.Response, status: int, message: str) -> None:
    """A refusal that blames no field: its result is empty."""
    assert result(answer, status) == {}
    assert answer.json()["status_message"] == message


def errors(answer: httpx.Response) -> dict[str, str]:
    """The fields that a 400 blames, and the rule that each breaks."""
    told = result(answer, 400)
    assert answer.json()["status_message"] == "Bad Request"
    assert told.keys() == {"errors"}
    found: dict[str, str] = told["errors"]
    return found


async def a_mailbox(client: httpx.AsyncClient, **settings: Any) -> str:
    """A new mailbox; its id with dashes."""
    made = await client.post("/voip/mailbox", json={"name": "Box", **settings})
    mailbox_id: str = result(made, 201)["uuid"]
    return mailbox_id


async def a_greeting(account: AccountClient) -> str:
    """A greeting without audio; its id without dashes."""
    made = await account.http.put(account.path("media"), json={"data": {"name": "Hello"}})
    media_id: str = data_of(made, 201)["id"]
    return media_id


def bare(mailbox_id: str) -> str:
    """The id as the other dialect writes it."""
    return mailbox_id.replace("-", "")


def dashed(vmbox_id: str) -> str:
    """The id as this dialect writes it."""
    digits = bare(vmbox_id)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def as_json(value: Any) -> dict[str, Any]:
    """A body by hand, with its type."""
    return {
        "content": value if isinstance(value, bytes) else msgspec.json.encode(value),
        "headers": {"Content-Type": "application/json"},
    }
