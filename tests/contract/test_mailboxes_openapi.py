"""OpenAPI section of the mailbox dialect: examples and real responses match the schemas."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest_asyncio

from service.api.description.openapi.document import document
from service.api.mailboxes import openapi
from tests.contract.described import Described, Json
from tests.contract.mailboxes import FULL, a_greeting, dashed, mailbox_client
from tests.contract.wire import NO_ID
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient

DESCRIBED = Described(document([openapi.section()]))
OPERATIONS = list(DESCRIBED.operations())


def check(answer: httpx.Response) -> None:
    """Asserts that a response matches the document, which must describe every key."""
    method = "GET" if answer.request.method == "HEAD" else answer.request.method
    operation = DESCRIBED.operation(method, answer.request.url.path)
    described = DESCRIBED.resolve(operation["responses"][str(answer.status_code)])
    assert described["headers"].keys() - {"X-Request-ID"} <= {*_names(answer)}
    content_type = answer.headers.get("content-type", "")
    if not answer.content:
        return
    if content_type.startswith("audio/"):
        assert "audio/*" in described["content"]
        return
    schema = DESCRIBED.resolve(described["content"][content_type]["schema"])
    DESCRIBED.holds(schema, answer.json())
    _describes(schema, answer.json())


def _names(answer: httpx.Response) -> Iterator[str]:
    for name in answer.headers:
        yield "ETag" if name == "etag" else name.title()


def _describes(schema: Json, value: Any) -> None:
    schema = DESCRIBED.resolve(schema)
    if isinstance(value, list):
        for inner in value:
            _describes(schema["items"], inner)
    elif isinstance(value, dict) and "properties" in schema:
        assert value.keys() <= schema["properties"].keys()
        for name, inner in value.items():
            _describes(schema["properties"][name], inner)


@pytest_asyncio.fixture(loop_scope="session")
async def checked_client(account: AccountClient) -> AsyncIterator[httpx.AsyncClient]:
    """Client whose responses are all checked against the document."""

    async def check_response(answer: httpx.Response) -> None:
        await answer.aread()
        check(answer)

    async with mailbox_client(account.service, x_auth_token=account.token) as client:
        client.event_hooks["response"] = [check_response]
        yield client


async def test_responses_match_the_document(
    account: AccountClient, checked_client: httpx.AsyncClient
) -> None:
    body = {**FULL, "greeting": dashed(await a_greeting(account))}
    made = await checked_client.post("/voip/mailbox", json=body)
    path = f"/voip/mailbox/{made.json()['result']['uuid']}"
    await checked_client.put(path, json={"name": "Bare"})
    await checked_client.put(path, json={"name": ""})
    await checked_client.put(path, content=b"{")
    await checked_client.put(path, content=b"{}", headers={"Content-Type": "text/plain"})
    await checked_client.post("/voip/mailbox", content=b" " * 1_048_577)
    await checked_client.get(path)
    await checked_client.head(path)
    email = {"email": "a@example.com"}
    added = await checked_client.post(f"{path}/recipients", json=email)
    await checked_client.post(f"{path}/recipients", json=email)
    await checked_client.post(f"{path}/recipients", json={})
    await checked_client.get(f"{path}/recipients")
    await checked_client.get("/voip/mailbox")
    await checked_client.delete(added.headers["location"])
    await checked_client.delete(added.headers["location"])
    vmbox_id = made.json()["result"]["uuid"].replace("-", "")
    left = f"{path}/messages/{await account.leave(vmbox_id, an_mp3())}"
    await checked_client.get(f"{path}/messages")
    await checked_client.get(f"{path}/messages", params={"limit": 0})
    await checked_client.get(left)
    etag = (await checked_client.get(f"{left}/audio")).headers["etag"]
    await checked_client.get(f"{left}/audio", headers={"Range": "bytes=0-1"})
    await checked_client.get(f"{left}/audio", headers={"Range": "bytes=99999999-"})
    await checked_client.get(f"{left}/audio", headers={"If-None-Match": etag})
    await checked_client.delete(left)
    await checked_client.get(left)
    await checked_client.delete(path)
    await checked_client.delete(path)
    await checked_client.get("/authenticated")
    await checked_client.get("/authenticated", headers={"X-Auth-Token": "x"})
    await checked_client.get("/authenticated", headers={"X-Auth-For": "nobody"})
    await checked_client.get(f"/voip/mailbox/{NO_ID}/messages")


async def test_a_mailbox_of_the_kazoo_dialect_matches_the_document(
    account: AccountClient, checked_client: httpx.AsyncClient
) -> None:
    await account.a_vmbox(pin="123456", beep="no", notify_email_addresses=["a@example.com"])
    assert len((await checked_client.get("/voip/mailbox")).json()["result"]) == 1


def test_examples_match_their_schemas() -> None:
    for _, _, operation in OPERATIONS:
        bodies = operation.get("requestBody", {}).get("content", {})
        answers = [DESCRIBED.resolve(answer) for answer in operation["responses"].values()]
        contents = [*bodies.values()]
        contents += [item for answer in answers for item in answer.get("content", {}).values()]
        for content in contents:
            for value in _examples(content):
                DESCRIBED.holds(content["schema"], value)
                _describes(content["schema"], value)


def test_every_operation_describes_its_success_and_its_errors() -> None:
    for path, method, operation in OPERATIONS:
        statuses = operation["responses"].keys()
        assert statuses & {"200", "201", "204"}, (path, method)
        expected = {"401", "403", "429", "500", "503"}
        expected |= {"400", "408", "413", "415"} if "requestBody" in operation else set()
        expected |= {"404"} if "{uuid}" in path else set()
        assert expected <= statuses
        for status in statuses - {"200", "201", "204", "206", "304"}:
            content = DESCRIBED.resolve(operation["responses"][status])["content"]
            for example in content["application/json"]["examples"].values():
                assert example["value"]["status_code"] == int(status)


def _examples(content: Json) -> Iterator[Any]:
    yield from (example["value"] for example in content.get("examples", {}).values())
    if "example" in content:
        yield content["example"]
