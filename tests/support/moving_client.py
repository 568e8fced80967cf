"""Client of an account that is moved: it follows the redirect and keeps a ledger."""

import asyncio
import hashlib
import random
import time
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from tests.support.running import AccountClient, data_of, multipart

_PAUSE_S = 0.3
_THINKING_S = (0.1, 0.4)


class Stored(msgspec.Struct):
    """Acknowledged message: its caller name, from which its audio is made, and its folder."""

    marker: str
    folder: str = "new"

    @property
    def audio(self) -> bytes:
        size = 500 + int(self.marker[:4], 16) % 6_000
        return hashlib.shake_256(self.marker.encode()).digest(size)


class MovingClient:
    """Sends one request after the other, so that the content of the account is always known."""

    def __init__(self, account: AccountClient, there: AccountClient, seed: int) -> None:
        self.account = account
        self.there = there
        self.boxes: dict[str, dict[str, Stored]] = {}
        self.stored_ids: list[str] = []
        self.answers: Counter[str] = Counter()
        self.outages_s: list[float] = []
        """Time from the first 503 of a change until it succeeded."""
        self._current = account
        self._random = random.Random(seed)

    @property
    def is_redirected(self) -> bool:
        return self._current is self.there

    async def close(self) -> None:
        await asyncio.gather(self.account.http.aclose(), self.there.http.aclose())

    async def prepare(self, boxes: int, messages: int) -> None:
        """Creates boxes with messages, in some of the folders."""
        for _ in range(boxes):
            document = {"name": "Box", "mailbox": str(uuid4().int)[:12]}
            made = await self._send("PUT", "vmboxes", json={"data": document})
            self.boxes[data_of(made, 201)["id"]] = {}
        for vmbox_id in self.boxes:
            for _ in range(messages):
                await self._store(vmbox_id)
        await self._change_folder()
        await self._remove()

    async def work(self, stop: asyncio.Event, more: int = 4) -> None:
        """Works until `stop` is set, and for `more` requests after the redirect."""
        acts = [self._store, self._store, self._change_folder, self._list, self._listen]
        while not stop.is_set() or not self.is_redirected or more:
            if stop.is_set() and self.is_redirected:
                more -= 1
            await self._random.choice([*acts, self._remove])()
            await asyncio.sleep(self._random.uniform(*_THINKING_S))

    async def check(self) -> None:
        """Checks lists, counts and all audio at the new side."""
        assert self.is_redirected
        listed = data_of(await self._send("GET", "vmboxes"))
        assert {box["id"] for box in listed} == self.boxes.keys()
        for box in listed:
            counts = self.counts(box["id"])
            assert {name: box["folders"][name] for name in counts} == counts
            await self._list(box["id"])
            for media_id in self.boxes[box["id"]]:
                await self._listen(box["id"], media_id)

    def counts(self, vmbox_id: str) -> dict[str, int]:
        """Returns the counts that a lamp shows."""
        folders = Counter(stored.folder for stored in self.boxes[vmbox_id].values())
        return {"new": folders["new"], "saved": folders["saved"]}

    async def _send(self, method: str, *parts: str, **request: Any) -> httpx.Response:
        """Repeats a request until it is answered, in the deployment that serves the account."""
        refused_at: float | None = None
        while True:
            client = self._current
            try:
                answer = await client.http.request(method, client.path(*parts), **request)
            except httpx.TransportError:
                self.answers["none"] += 1
                await asyncio.sleep(_PAUSE_S)
                continue
            self.answers[str(answer.status_code)] += 1
            if answer.status_code == httpx.codes.PERMANENT_REDIRECT:
                self._follow(answer)
            elif answer.status_code == httpx.codes.CONFLICT:
                # The first request with this key has not ended yet.
                await asyncio.sleep(_PAUSE_S)
            elif answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                assert answer.headers["retry-after"]
                refused_at = refused_at or time.monotonic()
                await asyncio.sleep(_PAUSE_S)
            else:
                if refused_at is not None and method != "GET":
                    self.outages_s.append(time.monotonic() - refused_at)
                return answer

    def _follow(self, answer: httpx.Response) -> None:
        assert not self.is_redirected, "redirected twice"
        address = f"{self.there.service.url}/v2/{self.there.path()}"
        assert answer.headers["location"].startswith(address)
        self._current = self.there

    def _any(self, vmbox_id: str = "") -> tuple[str, str]:
        chosen = vmbox_id or self._random.choice([*self.boxes])
        return chosen, self._random.choice([*self.boxes[chosen], ""])

    async def _store(self, vmbox_id: str = "") -> None:
        vmbox_id = vmbox_id or self._any()[0]
        stored = Stored(uuid4().hex)
        answer = await self._send(
            *("PUT", "vmboxes", vmbox_id, "messages"),
            headers={"Idempotency-Key": stored.marker},
            **multipart(stored.audio, "audio/mpeg", {"caller_id_name": stored.marker}),
        )
        media_id = data_of(answer, 201)["media_id"]
        self.boxes[vmbox_id][media_id] = stored
        self.stored_ids.append(media_id)

    async def _change_folder(self) -> None:
        vmbox_id, media_id = self._any()
        if media_id:
            folder = self._random.choice(["new", "saved"])
            path = ("vmboxes", vmbox_id, "messages", media_id)
            data_of(await self._send("POST", *path, json={"data": {"folder": folder}}))
            self.boxes[vmbox_id][media_id].folder = folder

    async def _remove(self) -> None:
        vmbox_id, media_id = self._any()
        if media_id:
            answer = await self._send("DELETE", "vmboxes", vmbox_id, "messages", media_id)
            # An earlier attempt without an answer may have removed it.
            assert answer.status_code in (200, 404), answer.text
            del self.boxes[vmbox_id][media_id]

    async def _list(self, vmbox_id: str = "") -> None:
        vmbox_id = vmbox_id or self._any()[0]
        path = ("vmboxes", vmbox_id, "messages")
        rows = data_of(await self._send("GET", *path, params={"paginate": "false"}))
        listed = {row["media_id"]: Stored(row["caller_id_name"], row["folder"]) for row in rows}
        assert listed == self.boxes[vmbox_id]
        assert len(rows) == len(listed)

    async def _listen(self, vmbox_id: str = "", media_id: str = "") -> None:
        if not media_id:
            vmbox_id, media_id = self._any()
        if media_id:
            path = ("vmboxes", vmbox_id, "messages", media_id, "raw")
            answer = await self._send("GET", *path)
            assert answer.status_code == 200, answer.text
            assert answer.content == self.boxes[vmbox_id][media_id].audio
