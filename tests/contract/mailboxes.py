"""Client and assertions of the mailbox dialect for the contract tests."""

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
    """Returns a client that sends these headers; `x_auth_user` is `X-Auth-User`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    hooks = {"request": [CONFIDENTIAL.learn_request]}
    return httpx.AsyncClient(
        base_url=service.url, headers=named, timeout=30, event_hooks=hooks, verify=NO_TLS
    )


def result(answer: httpx.Response, status: int = 200) -> Any:
    """Returns the `result` of an envelope, which must be complete and have this status."""
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
    """Asserts that a response is an error without invalid fields."""
    assert result(answer, status) == {}
    assert answer.json()["status_message"] == message


def errors(answer: httpx.Response) -> dict[str, str]:
    """Returns the invalid fields of a 400 with their broken rules."""
    body = result(answer, 400)
    assert answer.json()["status_message"] == "Bad Request"
    assert body.keys() == {"errors"}
    results: dict[str, str] = body["errors"]
    return results


async def a_mailbox(client: httpx.AsyncClient, **settings: Any) -> str:
    """Creates a mailbox and returns its id with dashes."""
    made = await client.post("/voip/mailbox", json={"name": "Box", **settings})
    mailbox_id: str = result(made, 201)["uuid"]
    return mailbox_id


async def a_greeting(account: AccountClient) -> str:
    """Creates a greeting without audio and returns its id without dashes."""
    made = await account.http.put(account.path("media"), json={"data": {"name": "Hello"}})
    media_id: str = data_of(made, 201)["id"]
    return media_id


def bare(mailbox_id: str) -> str:
    """Returns an id in the form of the Kazoo dialect."""
    return mailbox_id.replace("-", "")


def dashed(vmbox_id: str) -> str:
    """Returns an id in the form of the mailbox dialect."""
    digits = bare(vmbox_id)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def as_json(value: Any) -> dict[str, Any]:
    """Returns the arguments of a request with a JSON body."""
    return {
        "content": value if isinstance(value, bytes) else msgspec.json.encode(value),
        "headers": {"Content-Type": "application/json"},
    }
