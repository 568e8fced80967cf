"""Each principal x each route x own, sibling, child and parent account, from one table."""

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import httpx
import jwt
import msgspec
import pytest_asyncio

from service.api.http.access import ALL_VMBOXES, PERMISSION
from service.domain.access import Permission
from service.domain.user import CredentialMethod, digests_of
from tests.contract.access_matrix import (
    COLUMNS,
    NO_PERMISSION,
    ROUTES,
    RouteAccess,
    reference,
    written,
)
from tests.contract.test_openapi import NOT_FOR_CLIENTS, ROUTED
from tests.support.audio_samples import an_mp3
from tests.support.issuer import EC, EC_JWK, URL, Publisher
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.waiting import DEADLINE_S

PASSWORD = "a long password"
ADMIN, USER, READER, BOX_KEY, LINK = range(len(COLUMNS))
# No route returns this type, so an authorised request does nothing: the answer is 406.
_HARMLESS = {"Accept": "image/x-icon"}
# Requests of the mailbox dialect that change nothing, and their status when they are authorised.
_VOIP_STATUS = {"GET": 200, "POST": 400, "PUT": 400, "DELETE": 404}
_PARALLEL = 8

Ids = dict[str, str]


class Principal(msgspec.Struct):
    """Credentials, the column of the table, and the objects that `own` allows."""

    name: str
    column: int
    headers: Mapping[str, str]
    owns: bool = True
    url: str | None = None
    dialects: tuple[str, ...] = ("/v2/", "/voip/", "/authenticated")
    is_root: bool = False


class Matrix:
    """A tree of accounts, two sets of objects in one of them, and all principals of it."""

    def __init__(self, service: RunningService, account: AccountClient) -> None:
        self.service = service
        self.account = account
        self.principals: list[Principal] = []
        self.own: Ids = {}
        self.foreign: Ids = {}

    async def create(self, kind: str, **data: Any) -> dict[str, Any]:
        answer = await self.account.http.put(self.account.path(kind), json={"data": data})
        made: dict[str, Any] = data_of(answer, 201)
        return made

    async def objects(self, name: str) -> Ids:
        user_id = (await self.create("users", username=name, password=PASSWORD))["id"]
        media_id = (await self.create("media", name=name))["id"]
        vmbox_id = await self.account.a_vmbox(
            owner_id=user_id,
            media={"unavailable": media_id},
            notify_email_addresses=[f"{name}@example.com"],
        )
        message_id = await self.account.leave(vmbox_id, an_mp3())
        return {
            "user_id": user_id,
            "media_id": media_id,
            "vmbox_id": vmbox_id,
            "message_id": message_id,
            "uuid": str(UUID(vmbox_id)),
            "message_uuid": message_id,
            "key_id": uuid4().hex,
            "hold_id": uuid4().hex,
            "erasure_id": uuid4().hex,
            "export_id": uuid4().hex,
            "webhook_id": uuid4().hex,
            "recipient_uuid": str(uuid4()),
            "schema_name": "vmboxes",
        }

    async def token_of_key(self, *scopes: str, **more: Any) -> Mapping[str, str]:
        key = await self.create("api_keys", name="key", scopes=scopes, **more)
        data = {"data": {"api_key": key["api_key"]}}
        answer = await self.account.http.put("api_auth", json=data)
        return {"X-Auth-Token": answer.json()["auth_token"]}

    async def token_of_user(self, name: str) -> Mapping[str, str]:
        digest = digests_of(name, PASSWORD)[CredentialMethod.MD5]
        data = {"credentials": digest, "realm": self.account.realm}
        answer = await self.account.http.put("user_auth", json={"data": data})
        return {"X-Auth-Token": answer.json()["auth_token"]}

    async def token_of_link(self) -> Mapping[str, str]:
        messages = self.account.path("vmboxes", self.own["vmbox_id"], "messages")
        answer = await self.account.http.post(f"{messages}/{self.own['message_id']}/link")
        return {"X-Auth-Token": data_of(answer)["url"].rpartition("/")[2]}

    def outside_token(self, **claims: Any) -> Mapping[str, str]:
        payload = {"iss": URL, "aud": "voicemail", "exp": int(time.time()) + 600, **claims}
        payload["account_id"] = self.account.account_id
        token = jwt.encode(payload, EC, "ES256", headers={"kid": "ec"})
        return {"Authorization": f"Bearer {token}"}

    async def prepare(self, issuing_url: str) -> None:
        account = self.account
        self.child = await self.below(account.account_id, account.http)
        await self.below(self.child, account.http)
        self.sibling = (await self.service.an_account()).account_id
        self.own, self.foreign = await self.objects("member"), await self.objects("other")
        await self.create("users", username="chief", password=PASSWORD, priv_level="admin")
        await self.create("users", username="nobox", password=PASSWORD)
        digest = digests_of("member", PASSWORD)[CredentialMethod.SHA]
        basic = b64encode(f"{account.account_id}:{digest}".encode()).decode()
        box_scopes = [each for each in Permission if each.value.split(":")[0] not in _NOT_FOR_BOXES]
        reseller = {"X-Auth-Reseller": account.realm, "X-Auth-Password": PASSWORD}
        own_user = self.own["user_id"]
        only: dict[str, Any] = {"owns": False}
        voip: dict[str, Any] = {"dialects": ("/voip/", "/authenticated")}
        outside: dict[str, Any] = {"url": issuing_url}
        self.principals = [
            Principal("root", ADMIN, {"X-Auth-Token": self.service.root_token}, is_root=True),
            Principal("account key", ADMIN, {"X-Auth-Token": account.token}),
            Principal("admin", ADMIN, await self.token_of_user("chief")),
            Principal("user", USER, await self.token_of_user("member")),
            Principal("user without boxes", USER, await self.token_of_user("nobox"), **only),
            Principal("reading key", READER, await self.token_of_key("messages:read")),
            Principal(
                "box key",
                BOX_KEY,
                await self.token_of_key(*box_scopes, vmbox_ids=[self.own["vmbox_id"]]),
            ),
            Principal("recording link", LINK, await self.token_of_link(), **only),
            Principal("basic", USER, {"Authorization": f"Basic {basic}"}, dialects=("/v2/",)),
            Principal("mailbox user", USER, {**reseller, "X-Auth-User": "member"}, **voip),
            Principal("mailbox admin", ADMIN, {**reseller, "X-Auth-User": "chief"}, **voip),
            Principal("outside admin", ADMIN, self.outside_token(access="admin"), **outside),
            Principal("outside user", USER, self.outside_token(owner_id=own_user), **outside),
            Principal("outside stranger", USER, self.outside_token(access="x"), **only, **outside),
        ]

    async def below(self, account_id: str, client: httpx.AsyncClient) -> str:
        name = f"m{uuid4().hex}"
        data = {"data": {"name": name, "realm": f"{name}.example"}}
        made: dict[str, Any] = data_of(await client.put(f"accounts/{account_id}", json=data), 201)
        child_id: str = made["id"]
        return child_id

    def cells(self) -> Iterator[tuple[Principal, RouteAccess, str, Ids, bool]]:
        """Principal, route, account, ids of the path, and whether the request is allowed."""
        accounts = {
            "own": self.account.account_id,
            "child": self.child,
            "sibling": self.sibling,
            "parent": self.service.root_id,
        }
        for principal in self.principals:
            reachable = {"own"} | ({"child"} if principal.column == ADMIN else set())
            for route in ROUTES:
                word = route.words[principal.column]
                for place, account_id in accounts.items():
                    is_reached = principal.is_root or place in reachable
                    if not route.path.startswith(principal.dialects):
                        continue
                    if "{account_id}" not in route.path and (place != "own" or principal.is_root):
                        continue
                    objects = [(self.own, principal.owns), (self.foreign, False)]
                    for ids, is_own in (
                        objects if route.names_object and is_reached else objects[:1]
                    ):
                        allowed = word == "yes" or (
                            word == "own" and (is_own or not route.names_object)
                        )
                        yield (
                            principal,
                            route,
                            place,
                            {**ids, "account_id": account_id, **_tokens(principal)},
                            allowed and is_reached,
                        )


def _tokens(principal: Principal) -> Ids:
    """Parameters of a path that contain the token of the request."""
    return dict.fromkeys(("token", "link_token"), principal.headers.get("X-Auth-Token", "x"))


# A key of boxes has no scopes for the account and users.
_NOT_FOR_BOXES = ("account", "user")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def matrix(service: RunningService) -> AsyncIterator[Matrix]:
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(Publisher(EC_JWK).running())
        issuing = await service.another_api(
            AFTERTONE_ISSUER_URL=URL,
            AFTERTONE_ISSUER_JWKS_URL=publisher.url,
            AFTERTONE_ISSUER_AUDIENCE="voicemail",
        )
        stack.push_async_callback(issuing.stop)
        account = await service.an_account()
        await stack.enter_async_context(account.http)
        made = Matrix(service, account)
        await made.prepare(issuing.url)
        yield made


def test_each_route_declares_the_permission_of_the_table() -> None:
    declared = {
        (method, path): str(handler.opt.get(PERMISSION, NO_PERMISSION))
        for (path, method), handler in ROUTED.items()
        if method != "HEAD" and path not in NOT_FOR_CLIENTS
    }
    assert declared == {(route.method, route.path): route.permission for route in ROUTES}
    whole = {
        (method, path) for (path, method), handler in ROUTED.items() if handler.opt.get(ALL_VMBOXES)
    }
    assert whole == {
        *(
            (method, "/v2/accounts/{account_id}/trash")
            for method in ("GET", "HEAD", "POST", "DELETE")
        ),
        ("PUT", "/v2/accounts/{account_id}/vmboxes"),
        ("POST", "/voip/mailbox"),
    }


def test_the_reference_contains_the_table() -> None:
    assert written() == reference(), "python -m tests.contract.access_matrix"


async def test_each_cell_of_the_matrix_has_the_expected_status(matrix: Matrix) -> None:
    slots = asyncio.Semaphore(_PARALLEL)
    wrong: list[str] = []

    async def check(
        client: aiohttp.ClientSession,
        principal: Principal,
        route: RouteAccess,
        cell: tuple[Any, ...],
    ) -> None:
        place, ids, allowed = cell
        async with slots:
            status = await _status(client, matrix.service.url, principal, route, ids)
        is_probe = route.path.startswith("/v2/")
        refused = 401 if LINK in (principal.column, _column_of(route)) else 403
        expected = refused if not allowed else 406 if is_probe else _VOIP_STATUS[route.method]
        if status != expected:
            wrong.append(f"{principal.name}: {route.method} {route.path} {place} {status}")

    # Its requests take a third of the time that those of httpx take.
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        await asyncio.gather(
            *(
                check(client, principal, route, tuple(cell))
                for principal, route, *cell in matrix.cells()
                if not _deletes_a_box(route, cell)
            )
        )
    assert not wrong, "\n".join(wrong)


def _column_of(route: RouteAccess) -> int | None:
    """The only column of a route that has its own credentials."""
    return LINK if "{link_token}" in route.path else None


async def _status(
    client: aiohttp.ClientSession,
    service_url: str,
    principal: Principal,
    route: RouteAccess,
    ids: Ids,
) -> int:
    path = route.path.format_map(ids)
    if route.path.startswith("/voip/") and route.method == "DELETE":
        path = path.replace(ids["message_uuid"], f"{ids['message_uuid'][:7]}{uuid4().hex}")
    async with client.request(
        route.method,
        (principal.url or service_url) + path,
        headers={**principal.headers, **(_HARMLESS if path.startswith("/v2/") else {})},
        data=None if route.method in ("GET", "DELETE") else b"[]",
        skip_auto_headers=("Content-Type",),
        allow_redirects=False,
    ) as answer:
        return answer.status


def _deletes_a_box(route: RouteAccess, cell: list[Any]) -> bool:
    *_, allowed = cell
    return allowed and (route.method, route.path) == ("DELETE", "/voip/mailbox/{uuid}")
