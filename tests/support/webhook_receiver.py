"""HTTP server that receives webhooks, and an independent check of their signatures."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from service.domain.webhook import SECRET_BYTES, Webhook, validate_webhook
from service.postgres import webhooks as rows
from service.postgres.pool import Database
from service.usecases.webhook_sender import WebhookSender

Act = Callable[[web.Request], Awaitable[web.StreamResponse]]

MEGABYTE = 1_000_000


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A received request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        result: dict[str, Any] = msgspec.json.decode(self.body)
        return result

    def verify(self, secret: str) -> None:
        """Verifies the signature by the Standard Webhooks specification; raises if it is wrong."""
        headers = self.headers
        assert abs(time.time() - int(headers["webhook-timestamp"])) < 300
        version, _, signature = headers["webhook-signature"].partition(",")
        assert version == "v1"
        mac = HMAC(base64.b64decode(secret.removeprefix("whsec_"), validate=True), SHA256())
        mac.update(f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode())
        mac.update(self.body)
        mac.verify(base64.b64decode(signature, validate=True))


class WebhookReceiver:
    """Records requests and answers 200, or as `acts` says for a path."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.acts: dict[str, Act] = {}
        self.sent = 0
        self.port = 0
        self._stalled = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["WebhookReceiver"]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._take)
        runner = web.AppRunner(application, shutdown_timeout=1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        yield self
        self._stalled.set()
        await runner.cleanup()

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def to(self, path: str) -> list[Received]:
        return [request for request in self.received if request.path == path]

    async def _take(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        self.received.append(Received(path=request.path, headers=headers, body=body))
        act = self.acts.get(request.path)
        return await act(request) if act else web.Response()

    def status(self, *codes: int, **headers: str) -> Act:
        """Answers with these statuses one after the other, then always with the last one."""
        left = list(codes)

        async def act(_request: web.Request) -> web.StreamResponse:
            code = left.pop(0) if len(left) > 1 else left[0]
            return web.Response(status=code, headers=headers)

        return act

    async def stall(self, _request: web.Request) -> web.StreamResponse:
        """Never responds."""
        await self._stalled.wait()
        return web.Response()

    def stop_stalling(self) -> None:
        """Responds to all requests that stall."""
        self._stalled.set()

    async def hang_up(self, request: web.Request) -> web.StreamResponse:
        """Closes the connection without an answer."""
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def babble(self, request: web.Request) -> web.StreamResponse:
        """Answers with bytes that are not HTTP."""
        assert request.transport is not None
        request.transport.write(b"220 mail.example.com ESMTP\r\n\r\n")
        request.transport.close()
        return web.Response()

    async def flood(self, request: web.Request) -> web.StreamResponse:
        """Answers 200 with up to 100 megabytes; `sent` counts the bytes."""
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(bytes(MEGABYTE))
            self.sent += MEGABYTE
        return response

    async def drip(self, request: web.Request) -> web.StreamResponse:
        """Answers 200 at once; the body never ends."""
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b".")
        await self._stalled.wait()
        return response


async def a_webhook(
    database: Database, posts: WebhookSender, uri: str, **settings: Any
) -> tuple[Webhook, str]:
    """Creates a webhook; returns it and its secret. The account need not exist."""
    account_id = settings.pop("account_id", None) or uuid4()
    document = {"name": "Hook", "uri": uri, "hook": "all", **settings}
    checked, problems = validate_webhook(document)
    assert problems == []
    webhook_id = UUID(int=uuid4().int)
    secret, sealed = posts.new_secret(account_id, webhook_id, bytes(SECRET_BYTES))
    async with database.transaction() as connection:
        made = await rows.insert_webhook(connection, account_id, webhook_id, checked, sealed)
    return made, secret
