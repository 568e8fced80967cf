"""A server that publishes the keys of an external issuer."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

URL = "https://issuer.example"
EC = ec.generate_private_key(ec.SECP256R1())
EC_JWK = {**ECAlgorithm.to_jwk(EC.public_key(), as_dict=True), "kid": "ec"}


class Publisher:
    """A server that shows a key set, counts who asks, and can be told to fail."""

    def __init__(self, *keys: Mapping[str, Any]) -> None:
        self.keys = list(keys)
        self.request_count = 0
        self.status = 200
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Publisher"]:
        application = web.Application()
        application.router.add_get("/jwks", self._answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
        yield self
        await runner.cleanup()

    async def _answer(self, _request: web.Request) -> web.Response:
        self.request_count += 1
        return web.Response(body=msgspec.json.encode({"keys": self.keys}), status=self.status)
