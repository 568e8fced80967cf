"""Another account's ids answer exactly as ids that do not exist: every route, every id position.

The routes come from the running service's own document, which other tests hold against the routes.
"""

import base64
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
import pytest_asyncio

from tests.contract.described import Described
from tests.contract.wire import no_fault_logged
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, RunningService, data_of

Ids = dict[str, str]

# What an answer is given anew each time.
_GENERATED = ("request_id", "timestamp", "revision", "metadata")
_HEADERS = ("x-request-id", "date", "content-length", "etag")
# Tokens that are the only credential of a request, and names that are public.
_FOR_EVERYONE = {"link_token", "recipient_token", "schema_name"}
_SOUND: dict[str, Any] = {"content": b"sound", "headers": {"Content-Type": "audio/mpeg"}}


class Tenant:
    """Account with one resource of each kind."""

    def __init__(self, account: AccountClient, ids: Ids) -> None:
        self.account = account
        self.ids = ids

    async def everything(self) -> list[Any]:
        """Returns everything that the account can read."""
        paths = (
            *("", "api_key", "children", "descendants", "users", "vmboxes", "vmboxes/messages"),
            *("media", "webhooks", "events", "holds", "exports", f"users/{self.ids['user_id']}"),
            f"vmboxes/{self.ids['vmbox_id']}",
            f"vmboxes/{self.ids['vmbox_id']}/messages/{self.ids['message_id']}",
            f"media/{self.ids['media_id']}",
            f"webhooks/{self.ids['webhook_id']}",
        )
        return [data_of(await self.account.http.get(self.account.path(path))) for path in paths]


async def a_tenant(service: RunningService) -> Tenant:
    account = await service.an_account()

    async def made(kind: str, **data: Any) -> str:
        answer = await account.http.put(account.path(kind), json={"data": data})
        identity: str = data_of(answer, 201)["id"]
        return identity

    ids = {
        "account_id": account.account_id,
        "token": account.token,
        "user_id": await made("users", username="ann", password="secret words"),
        "media_id": await made("media", name="Closed"),
        "key_id": await made("api_keys", name="Program", scopes=["messages:read"]),
        "hold_id": await made("holds", name="Case", reason="Order"),
        "export_id": await made("exports"),
        "webhook_id": await made(
            "webhooks", name="All", uri="https://93.184.215.14/", hook="message.new"
        ),
        "vmbox_id": await account.a_vmbox(notify_email_addresses=["a@example.com"]),
    }
    person = {"data": {"caller_id_number": "+999 00000001"}}
    erasure = await account.http.post(account.path("erasures"), json=person)
    ids["erasure_id"] = data_of(erasure, 201)["id"]
    ids["message_id"] = ids["message_uuid"] = await account.leave(ids["vmbox_id"], an_mp3())
    greeting = account.path("media", ids["media_id"], "raw")
    data_of(await account.http.put(greeting, **_SOUND), 201)
    ids["uuid"] = str(UUID(ids["vmbox_id"]))
    recipients = f"{service.url}/voip/mailbox/{ids['uuid']}/recipients"
    ids["recipient_uuid"] = (await account.http.get(recipients)).json()["result"][0]["uuid"]
    return Tenant(account, ids)


def nobody(like: Ids) -> Ids:
    """Ids of resources that do not exist, in the format of a tenant's ids."""
    month = like["message_id"].partition("-")[0]
    token = base64.urlsafe_b64encode(uuid4().bytes * 20).decode()
    return {
        name: f"{month}-{uuid4().hex}"
        if value.startswith(f"{month}-")
        else {32: uuid4().hex, 36: str(uuid4())}.get(len(value), token)
        for name, value in like.items()
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tenants(service: RunningService) -> AsyncIterator[tuple[Tenant, Tenant]]:
    """The tenant that sends the requests, and another one."""
    both = await a_tenant(service), await a_tenant(service)
    yield both
    for tenant in both:
        await tenant.account.http.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def described(service: RunningService) -> Described:
    async with httpx.AsyncClient() as client:
        return Described((await client.get(f"{service.url}/openapi.json")).json())


def _operations(described: Described) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Method, path and the bodies to send of every operation; HEAD wherever there is GET."""
    for path, method, operation in described.operations():
        if _FOR_EVERYONE & set(_positions(path)):
            continue
        yield method, path, list(_bodies(operation))
        if method == "GET":
            yield "HEAD", path, [{}]


def _bodies(operation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Returns the example bodies of an operation, else audio, or no body if it accepts none."""
    content = operation.get("requestBody", {}).get("content")
    if content is None or not operation["requestBody"].get("required", True):
        yield {}
    if content is None:
        return
    json = content.get("application/json", {})
    examples = [item["value"] for item in json.get("examples", {}).values()]
    examples += [json["example"]] if "example" in json else []
    yield from ({"json": value} for value in examples)
    if "audio/mpeg" in content:
        yield _SOUND


def _positions(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _choices(path: str) -> Iterator[tuple[str, ...]]:
    """Yields each set of positions that get an id of the other tenant."""
    positions = _positions(path)
    for number in range(1, len(positions) + 1):
        yield from itertools.combinations(positions, number)


def shape(answer: httpx.Response, ids: Ids) -> tuple[Any, ...]:
    """Returns the parts of a response that could reveal a resource, without generated values."""
    body = answer.json() if answer.content else {}
    for name in _GENERATED:
        body.pop(name, None)
    text = msgspec.json.encode(body).decode()
    headers = {
        name: value for name, value in answer.headers.items() if name.lower() not in _HEADERS
    }
    for name, value in ids.items():
        text = text.replace(value, f"<{name}>")
    return answer.status_code, text, headers


async def test_every_route_answers_for_foreign_ids_as_for_unknown_ones(
    tenants: tuple[Tenant, Tenant], described: Described, service: RunningService
) -> None:
    mine, other = tenants
    before = [await mine.everything(), await other.everything()]
    unknown = nobody(other.ids)
    request_count = 0
    async with no_fault_logged(service):
        for method, path, bodies in _operations(described):
            for chosen, body in itertools.product(_choices(path), bodies):
                record = []
                for ids in (other.ids, unknown):
                    filled = {**mine.ids, **{name: ids[name] for name in chosen}}
                    url = service.url + path.format_map(filled)
                    answer = await mine.account.http.request(method, url, **body)
                    record.append(shape(answer, filled))
                where = method, path, chosen, body
                assert record[0] == record[1], where
                assert record[0][0] in (403, 404), where
                request_count += 1
    assert request_count > 150
    assert [await mine.everything(), await other.everything()] == before


# Ids that stand elsewhere than in the path: what is sent, with the position in braces.
_MESSAGES = "vmboxes/{vmbox_id}/messages"
_ELSEWHERE: list[tuple[str, str, str, str, dict[str, Any]]] = [
    ("POST", _MESSAGES, "vmbox_id", "move", {"messages": ["<own>"], "source_id": "<id>"}),
    ("POST", _MESSAGES, "vmbox_id", "copy", {"messages": ["<own>"], "source_id": ["<id>"]}),
    ("POST", _MESSAGES + "/{message_id}", "vmbox_id", "move one", {"source_id": "<id>"}),
    ("POST", _MESSAGES + "/{message_id}", "vmbox_id", "copy one", {"source_id": ["<id>"]}),
    ("POST", _MESSAGES, "message_id", "file", {"messages": ["<id>"], "folder": "saved"}),
    ("POST", _MESSAGES, "message_id", "move here", {"messages": ["<id>"], "source_id": "<box>"}),
    ("POST", _MESSAGES, "message_id", "copy here", {"messages": ["<id>"], "source_id": ["<box>"]}),
    ("DELETE", _MESSAGES, "message_id", "remove", {"messages": ["<id>"]}),
    ("POST", _MESSAGES + "/raw", "message_id", "zip", {"messages": ["<id>"]}),
    ("PATCH", "vmboxes/{vmbox_id}", "media_id", "greeting", {"media": {"unavailable": "<id>"}}),
    (
        *("PUT", "vmboxes", "media_id", "greeting of a new box"),
        {"name": "x", "mailbox": "77", "media": {"temporary_unavailable": "<id>"}},
    ),
    ("PATCH", "vmboxes/{vmbox_id}", "user_id", "owner", {"owner_id": "<id>"}),
]


@pytest.mark.parametrize("case", _ELSEWHERE, ids=lambda case: case[3])
async def test_a_foreign_id_in_a_body_answers_as_an_unknown_one(
    tenants: tuple[Tenant, Tenant], case: tuple[str, str, str, str, dict[str, Any]]
) -> None:
    mine, other = tenants
    method, path, position, _, data = case
    before = [await mine.everything(), await other.everything()]
    url = mine.account.path(path.format_map(mine.ids))
    record = []
    for ids in (other.ids, nobody(other.ids)):
        body = msgspec.json.encode({"data": data}).decode()
        for mark, value in (
            ("<id>", ids[position]),
            ("<own>", mine.ids["message_id"]),
            ("<box>", mine.ids["vmbox_id"]),
        ):
            body = body.replace(mark, value)
        answer = await mine.account.http.request(method, url, content=body)
        record.append(shape(answer, {position: ids[position]}))
    assert record[0] == record[1]
    if position == "user_id":
        # Whoever owns a box need not be there: it is a name, and reaches nobody elsewhere.
        data_of(await mine.account.http.patch(url, json={"data": {"owner_id": None}}))
    else:
        assert [await mine.everything(), await other.everything()] == before


@pytest.mark.parametrize(
    ("name", "position"),
    [("X-Auth-Account-ID", "account_id"), ("X-Auth-For", "account_name")],
)
async def test_a_foreign_account_in_a_header_answers_as_an_unknown_one(
    tenants: tuple[Tenant, Tenant], service: RunningService, name: str, position: str
) -> None:
    mine, other = tenants
    names = {
        "account_id": (other.account.account_id, uuid4().hex),
        "account_name": (other.account.realm.removesuffix(".example"), f"t{uuid4().hex}"),
    }
    for path in (f"/v2/{mine.account.path('vmboxes')}", "/voip/mailbox"):
        record = [
            shape(await mine.account.http.get(service.url + path, headers={name: value}), {})
            for value in names[position]
        ]
        assert record[0] == record[1]


async def test_a_message_of_another_account_is_not_a_cursor(
    tenants: tuple[Tenant, Tenant], service: RunningService
) -> None:
    """The mailbox dialect's `before`, and its `greeting`."""
    mine, other = tenants
    mailbox = f"{service.url}/voip/mailbox/{mine.ids['uuid']}"
    before = [await mine.everything(), await other.everything()]
    record = []
    for ids in (other.ids, nobody(other.ids)):
        params = {"before": ids["message_uuid"]}
        listed = await mine.account.http.get(f"{mailbox}/messages", params=params)
        changed = await mine.account.http.put(
            mailbox, json={"name": "Box", "greeting": str(UUID(ids["media_id"]))}
        )
        assert changed.status_code == 400
        record.append([shape(listed, ids), shape(changed, ids)])
    assert record[0] == record[1]
    assert [await mine.everything(), await other.everything()] == before
