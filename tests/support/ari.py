"""Stub of the mailboxes of Asterisk (ARI). It checks requests and stores the lamps."""

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

USER, PASSWORD = "aftertone", "s3cret"


class AriStub:
    """Lamps by mailbox; with `down` every answer is 503."""

    def __init__(self) -> None:
        self.url = ""
        self.down = False
        self.calls: list[tuple[str, str, int, int]] = []
        self.lit: dict[str, tuple[int, int]] = {}
        """The latest counts by mailbox: new, saved."""
        self.most_at_once: Counter[str] = Counter()
        self._at_once: Counter[str] = Counter()

    async def list(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        return web.json_response([]) if refusal is None else refusal

    def _refusal(self, request: web.Request) -> web.Response | None:
        expected = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {expected}":
            return web.Response(status=401)
        return web.Response(status=503) if self.down else None

    async def answer(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        mailbox = request.match_info["mailbox"]
        self._at_once[mailbox] += 1
        self.most_at_once[mailbox] = max(self.most_at_once[mailbox], self._at_once[mailbox])
        try:
            await asyncio.sleep(0.002)
            return self._do(request, mailbox)
        finally:
            self._at_once[mailbox] -= 1

    def _do(self, request: web.Request, mailbox: str) -> web.Response:
        if request.method == "DELETE":
            assert not request.query
            self.calls.append(("DELETE", mailbox, 0, 0))
            return web.Response(status=204 if self.lit.pop(mailbox, None) else 404)
        assert request.method == "PUT"
        assert set(request.query) == {"newMessages", "oldMessages"}
        new, saved = int(request.query["newMessages"]), int(request.query["oldMessages"])
        self.calls.append(("PUT", mailbox, new, saved))
        self.lit[mailbox] = (new, saved)
        return web.Response(status=204)


@asynccontextmanager
async def running_ari() -> AsyncIterator[AriStub]:
    stub = AriStub()
    app = web.Application()
    app.router.add_get("/ari/mailboxes", stub.list)
    app.router.add_route("*", "/ari/mailboxes/{mailbox}", stub.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        stub.url = f"http://{host}:{port}"
        yield stub
    finally:
        await runner.cleanup()
