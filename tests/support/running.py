"""Real API and relay processes over real servers, and a client of one account."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest_asyncio

from service.embedded.child import Command
from service.embedded.cluster import EmbeddedCluster
from service.embedded.servers import EmbeddedServers
from service.wiring.dev import prepare_dev
from tests.support.forked import ForkedChild, ServiceProcess
from tests.support.log_scan import CONFIDENTIAL
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE_S, wait_until

# Never used. Without it each client reads all CA certificates, which takes 20 ms.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class RunningService:
    """The processes of one deployment. Each can be killed and started on its own."""

    def __init__(
        self,
        servers: EmbeddedServers | EmbeddedCluster,
        folder: Path,
        kind: Callable[[str, Command], ServiceProcess] = ForkedChild,
    ) -> None:
        """Measurements pass `Child` as `kind`: forked processes share memory."""
        self.servers = servers
        self.folder = folder
        self.kind = kind
        self.environment: dict[str, str] = {}
        self.processes: dict[str, ServiceProcess] = {}
        self.url = ""

    async def prepare(
        self, more: Mapping[str, str] | None = None, elsewhere: Mapping[str, str] | None = None
    ) -> None:
        """Creates tables, bucket, keys and root account. `more` are settings of every process.

        `elsewhere` replaces addresses of the servers, for a second deployment on the same ones.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {**self.servers.environment(), **(elsewhere or {})}
        prepared = await prepare_dev(self.folder, environment)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            "PATH": "/usr/bin:/bin",
            **environment,
            **prepared,
            # Tests name hosts that do not exist.
            "AFTERTONE_WEBHOOK_ALLOW_PRIVATE": "true",
            "AFTERTONE_WEBHOOK_ALLOW_HTTP": "true",
            "AFTERTONE_HOST": "127.0.0.1",
            "AFTERTONE_PORT": str(port),
            "AFTERTONE_ADMIN_PORT": "0",
            # All clients of the tests have one address.
            "AFTERTONE_SIGN_IN_MAX_FAILURES_PER_PEER": "0",
            **(more or {}),
        }

    async def start(self, name: str, *arguments: str, **more: str) -> ServiceProcess:
        """Starts `aftertone <name>`; the log is a file of the folder."""
        command = Command(
            argv=[sys.executable, "-m", "service", name, *arguments],
            environment={**self.environment, **more},
            log=self.folder / f"{name}.log",
        )
        child = self.processes[name] = self.kind(name, command)
        await child.start()
        if name == "api":
            await self.answers()
        return child

    async def answers(self) -> None:
        """Waits until the API answers HTTP requests."""
        async with httpx.AsyncClient(verify=NO_TLS, timeout=DEADLINE_S) as client:

            async def is_up() -> bool:
                try:
                    await client.get(self.url)
                except httpx.TransportError:
                    return False
                return True

            await wait_until(is_up)

    async def another_api(self, **more: str) -> "RunningService":
        """Starts another API process of this deployment with `more` settings."""
        other = RunningService(self.servers, self.folder / f"api-{uuid4().hex[:8]}", self.kind)
        other.folder.mkdir()
        port = free_port()
        other.url = f"http://127.0.0.1:{port}"
        other.environment = {**self.environment, "AFTERTONE_PORT": str(port), **more}
        await other.start("api")
        return other

    async def stop(self) -> None:
        await asyncio.gather(*(child.stop() for child in self.processes.values()))

    def client(self, token: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"{self.url}/v2/",
            headers={"X-Auth-Token": token},
            timeout=DEADLINE_S,
            event_hooks={"request": [CONFIDENTIAL.learn_request]},
            verify=NO_TLS,
        )

    @property
    def root_id(self) -> str:
        return self.environment["AFTERTONE_ACCOUNT_ID"]

    @property
    def root_token(self) -> str:
        return self.environment["AFTERTONE_AUTH_TOKEN"]

    async def an_account(self) -> "AccountClient":
        """Creates an account below the root and signs in with its API key."""
        name = f"t{uuid4().hex}"
        async with self.client(self.root_token) as root:
            made = await root.put(
                f"accounts/{self.root_id}",
                json={"data": {"name": name, "realm": f"{name}.example"}},
            )
            account_id = data_of(made, 201)["id"]
            key = data_of(await root.get(f"accounts/{account_id}/api_key"))["api_key"]
            signed_in = await root.put("api_auth", json={"data": {"api_key": key}})
        token = signed_in.json()["auth_token"]
        return AccountClient(self, account_id, f"{name}.example", token)


class AccountClient:
    """Requests of one account."""

    def __init__(self, service: RunningService, account_id: str, realm: str, token: str) -> None:
        self.service = service
        self.account_id = account_id
        self.realm = realm
        self.token = token
        self.http = service.client(token)

    def path(self, *parts: str) -> str:
        return "/".join(("accounts", self.account_id, *parts))

    async def a_vmbox(self, **settings: Any) -> str:
        """Creates a box; returns its id."""
        document = {"name": "Box", "mailbox": str(uuid4().int)[:12], **settings}
        made = await self.http.put(self.path("vmboxes"), json={"data": document})
        vmbox_id: str = data_of(made, 201)["id"]
        return vmbox_id

    async def leave(
        self, vmbox_id: str, audio: bytes = b"audio", content_type: str = "audio/mpeg", **data: Any
    ) -> str:
        """Stores a message with audio in one request; returns its id."""
        left = await self.http.put(
            self.path("vmboxes", vmbox_id, "messages"), **multipart(audio, content_type, data)
        )
        media_id: str = data_of(left, 201)["media_id"]
        return media_id

    async def listed(self, vmbox_id: str, **query: Any) -> list[dict[str, Any]]:
        """Returns the first page of a box."""
        answer = await self.http.get(self.path("vmboxes", vmbox_id, "messages"), params=query)
        rows: list[dict[str, Any]] = data_of(answer)
        return rows

    async def counts(self, vmbox_id: str) -> dict[str, int]:
        """Returns the counts of a box, from its row in the list."""
        rows = data_of(await self.http.get(self.path("vmboxes"), params={"page_size": 1000}))
        folders: dict[str, int] = next(row for row in rows if row["id"] == vmbox_id)["folders"]
        return folders


def multipart(audio: bytes, content_type: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Builds a multipart body as curl does: a JSON part, then a file part."""
    metadata = msgspec.json.encode({"data": data})
    CONFIDENTIAL.learn_json(metadata)
    return {
        "files": [
            ("content", ("message.json", metadata, "application/json")),
            ("content", ("voice", audio, content_type)),
        ]
    }


def data_of(answer: httpx.Response, status: int = 200) -> Any:
    """Returns the `data` of an answer; asserts its status."""
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service(servers: EmbeddedServers, servers_folder: Path) -> AsyncIterator[RunningService]:
    """API and relay for all tests. Each test uses its own account."""
    running = RunningService(servers, servers_folder / "service")
    await running.prepare()
    await asyncio.gather(running.start("api"), running.start("relay"))
    yield running
    await running.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def account(service: RunningService) -> AsyncIterator[AccountClient]:
    client = await service.an_account()
    yield client
    await client.http.aclose()
