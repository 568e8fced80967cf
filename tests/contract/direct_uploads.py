"""Client that announces, sends and completes direct uploads."""

import hashlib
from typing import Any

import httpx

from tests.support.running import data_of


class Uploader:
    """A client that announces uploads for one box, sends them to the store and completes them."""

    def __init__(self, http: httpx.AsyncClient, visitor: httpx.AsyncClient, messages: str) -> None:
        self._http = http
        self._visitor = visitor
        self.messages = messages

    async def announce(
        self, audio: bytes, content_type: str = "audio/wav", key: str | None = None, **data: Any
    ) -> httpx.Response:
        declared = {
            "size": len(audio),
            "sha256": hashlib.sha256(audio).hexdigest(),
            "content_type": content_type,
        }
        return await self._http.post(
            f"{self.messages}/upload",
            json={"data": {**declared, **data}},
            headers={"Idempotency-Key": key} if key else {},
        )

    async def send(self, announced: dict[str, Any], body: bytes, **more: str) -> int:
        """Sends the request to the store, without credentials; returns the status."""
        headers = {**announced["headers"], **more}
        method, url = announced["method"], announced["url"]
        answer = await self._visitor.request(method, url, headers=headers, content=body)
        return answer.status_code

    async def uploaded(
        self, audio: bytes, content_type: str = "audio/wav", **data: Any
    ) -> dict[str, Any]:
        """Announces audio and sends it; returns the announcement."""
        announced: dict[str, Any] = data_of(await self.announce(audio, content_type, **data), 201)
        assert await self.send(announced, audio) == 200
        return announced

    async def complete(
        self, announced: dict[str, Any], key: str | None = None, **data: Any
    ) -> httpx.Response:
        return await self._http.put(
            self.messages,
            json={"data": {"upload": announced["upload"], **data}},
            headers={"Idempotency-Key": key} if key else {},
        )
