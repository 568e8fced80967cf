"""This dialect's section of the OpenAPI document: examples that hold, and real answers too."""

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
    """Asserts that status, headers and body are as the document says, and no key is missing."""
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
    _knows(schema, answer.json())


def _names(answer: httpx.Response) -> Iterator[str]:
    for name in answer.headers:
        yield "ETag" if name == "etag" else name.title()


def _knows(schema: Json, value: Any) -> None:
    schema = DESCRIBED.resolve(schema)
    if isinstance(value, list):
        for inner in value:
            _knows(schema["items"], inner)
    elif isinstance(value, dict) and "properties" in schema:
        assert value.keys() <= schema["properties"].keys()
        for name, inner in value.items():
            _knows(schema["properties"][name], inner)


@pytest_asyncio.fixture(loop_scope="session")
async def judged(account: AccountClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose every answer is held against the document."""

    async def judge(answer: httpx.Response) -> None:
        await answer.aread()
        check(answer)

    async with mailbox_client(account.service, x_auth_token=account.token) as client:
        client.event_hooks["response"] = [judge]
        yield client


async def test_answers_are_as_the_document_says(
    account: AccountClient, judged: httpx.AsyncClient
) -> None:
    body = {**FULL, "greeting": dashed(await a_greeting(account))}
    made = await judged.post("/voip/mailbox", json=body)
    one = f"/voip/mailbox/{made.json()['result']['uuid']}"
    await judged.put(one, json={"name": "Bare"})
    await judged.put(one, json={"name": ""})
    await judged.put(one, content=b"{")
    await judged.put(one, content=b"{}", headers={"Content-Type": "text/plain"})
    await judged.post("/voip/mailbox", content=b" " * 1_048_577)
    await judged.get(one)
    await judged.head(one)
    email = {"email": "a@example.com"}
    added = await judged.post(f"{one}/recipients", json=email)
    await judged.post(f"{one}/recipients", json=email)
    await judged.post(f"{one}/recipients", json={})
    await judged.get(f"{one}/recipients")
    await judged.get("/voip/mailbox")
    await judged.delete(added.headers["location"])
    await judged.delete(added.headers["location"])
    vmbox_id = made.json()["result"]["uuid"].replace("-", "")
    left = f"{one}/messages/{await account.leave(vmbox_id, an_mp3())}"
    await judged.get(f"{one}/messages")
    await judged.get(f"{one}/messages", params={"limit": 0})
    await judged.get(left)
    etag = (await judged.get(f"{left}/audio")).headers["etag"]
    await judged.get(f"{left}/audio", headers={"Range": "bytes=0-1"})
    await judged.get(f"{left}/audio", headers={"Range": "bytes=99999999-"})
    await judged.get(f"{left}/audio", headers={"If-None-Match": etag})
    await judged.delete(left)
    await judged.get(left)
    await judged.delete(one)
    await judged.delete(one)
    await judged.get("/authenticated")
    await judged.get("/authenticated", headers={"X-Auth-Token": "x"})
    await judged.get("/authenticated", headers={"X-Auth-For": "nobody"})
    await judged.get(f"/voip/mailbox/{NO_ID}/messages")


async def test_a_mailbox_of_the_other_dialect_is_described_too(
    account: AccountClient, judged: httpx.AsyncClient
) -> None:
    await account.a_vmbox(pin="123456", beep="no", notify_email_addresses=["a@example.com"])
    assert len((await judged.get("/voip/mailbox")).json()["result"]) == 1


def test_examples_hold_for_their_schemas() -> None:
    for _, _, operation in OPERATIONS:
        bodies = operation.get("requestBody", {}).get("content", {})
        answers = [DESCRIBED.resolve(answer) for answer in operation["responses"].values()]
        contents = [*bodies.values()]
        contents += [one for answer in answers for one in answer.get("content", {}).values()]
        for content in contents:
            for value in _examples(content):
                DESCRIBED.holds(content["schema"], value)
                _knows(content["schema"], value)


def test_every_operation_shows_its_success_and_its_refusals() -> None:
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
