"""Clients that use the service while it fails, and record every answer in a ledger."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from tests.support.ledger import Entry, Ledger
from tests.support.running import AccountClient, multipart
from tests.support.waiting import DEADLINE_S, wait_until

# Shorter than Retry-After, but long enough not to flood a service that is down.
_PAUSE_S = 0.25
# Limits the load: clients, service and servers share two cores.
_THINKING_S = 0.01

Act = Callable[[Entry], Awaitable[None]]


async def answer_of(request: Awaitable[httpx.Response]) -> httpx.Response | None:
    """Returns the answer; None when the connection ended without one."""
    try:
        return await request
    except httpx.TransportError:
        return None


def check_outage(answer: httpx.Response) -> None:
    """Checks the answer of an outage: 503, Retry-After and the error envelope."""
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    envelope = answer.json()
    assert (envelope["status"], envelope["error"]) == ("error", "503")
    assert envelope["message"] == "datastore_unreachable"
    assert envelope["data"]["message"]


class ClientRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request and the effect of its success on the ledger. With a key it may be repeated."""

    method: str
    path: str
    content: dict[str, Any] = {}
    key: str = ""
    note: Callable[[Any], None] = lambda _data: None


class Clients:
    """Clients of one account. An error other than an outage fails the test."""

    def __init__(self, account: AccountClient, ledger: Ledger, *, seed: int = 1) -> None:
        self.answers: Counter[str] = Counter()
        self.slowest_s = 0.0
        self.unanswered: list[ClientRequest] = []
        """Requests with a key whose outcome is unknown: they must be repeated."""
        self._account = account
        self._ledger = ledger
        self._random = random.Random(seed)

    @asynccontextmanager
    async def at_work(self, count: int = 4) -> AsyncIterator[None]:
        """Runs `count` clients until the block ends; each finishes its last request."""
        stop = asyncio.Event()
        tasks = [asyncio.create_task(self._work(stop)) for _ in range(count)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def answered_more(self, count: int) -> None:
        """Waits until `count` more requests have ended, whatever their answers."""
        enough = self.answers.total() + count
        await wait_until(lambda: self.answers.total() >= enough)

    async def repeat_unanswered(self) -> int:
        """Repeats them until each has succeeded; returns how many there were.

        A store that is up again may refuse requests for a while.
        """
        count = len(self.unanswered)
        deadline = time.monotonic() + DEADLINE_S
        while self.unanswered and time.monotonic() < deadline:
            requests, self.unanswered = self.unanswered, []
            for request in requests:
                await self.ask(request)
        assert self.unanswered == []
        return count

    async def _work(self, stop: asyncio.Event) -> None:
        mine: list[Entry] = []
        others: list[Act] = [self.file, self.file, self.move, self.copy, self.remove, self.hear]
        while not stop.is_set():
            mine = [entry for entry in mine if entry.media_id][-20:]
            if len(mine) < 4 or self._random.random() < 0.5:
                mine.append(await self.store())
            elif self._random.random() < 0.2:
                await self.transfer(
                    [entry for entry in mine if entry.vmbox_id == mine[0].vmbox_id],
                    moved=self._random.random() < 0.5,
                )
            else:
                await self._random.choice(others)(self._random.choice(mine))
            await asyncio.sleep(_THINKING_S)

    async def store(self, vmbox_id: str = "") -> Entry:
        entry = self._ledger.begin(vmbox_id or self._any_vmbox())
        await self.ask(self.storing(entry))
        return entry

    async def stored(self, vmbox_id: str = "") -> Entry:
        """Stores a message; repeats the request after a 503."""
        while not (entry := await self.store(vmbox_id)).media_id:
            assert self.answers["503"] < 100, self.answers
        del self.answers["503"]
        return entry

    def storing(self, entry: Entry) -> ClientRequest:
        def note(stored: Any) -> None:
            entry.media_id, entry.least = stored["media_id"], 1

        data = {"caller_id_name": entry.marker}
        return ClientRequest(
            method="PUT",
            path=self._account.path("vmboxes", entry.vmbox_id, "messages"),
            content=multipart(entry.audio, "audio/mpeg", data),
            key=entry.marker,
            note=note,
        )

    async def transfer(self, entries: Sequence[Entry], *, moved: bool, target: str = "") -> None:
        """Moves or copies messages of one box in one request."""
        await self.ask(self.transferring(entries, moved=moved, target=target))

    def transferring(
        self, entries: Sequence[Entry], *, moved: bool, target: str = ""
    ) -> ClientRequest:
        target = target or self._any_vmbox()
        vmbox_id, ids = entries[0].vmbox_id, [entry.media_id for entry in entries]
        for entry in entries:
            # No other request may name them until this one is answered.
            entry.media_id = ""
            entry.most += 0 if moved else 1

        def note(result: Any) -> None:
            assert result["failed"] == []
            for entry, before, after in zip(entries, ids, result["succeeded"], strict=True):
                entry.least += 0 if moved else 1
                entry.vmbox_id = target if moved else vmbox_id
                entry.media_id = after if moved else before

        return ClientRequest(
            method="POST",
            path=self._account.path("vmboxes", vmbox_id, "messages"),
            content={
                "json": {"data": {"messages": ids, "source_id": target if moved else [target]}}
            },
            key=uuid4().hex,
            note=note,
        )

    async def file(self, entry: Entry) -> None:
        folder = self._random.choice(("new", "saved", "deleted"))
        content = {"json": {"data": {"folder": folder}}}
        await self.ask(ClientRequest(method="POST", path=self._path(entry), content=content))

    async def move(self, entry: Entry, target: str = "") -> None:
        target = target or self._any_vmbox()

        def note(moved: Any) -> None:
            entry.vmbox_id, entry.media_id = target, moved["media_id"]

        content = {"json": {"data": {"source_id": target}}}
        path, entry.media_id = self._path(entry), ""
        await self.ask(ClientRequest(method="POST", path=path, content=content, note=note))

    async def copy(self, entry: Entry) -> None:
        def note(copied: Any) -> None:
            assert len(copied["succeeded"]) == 1, copied
            entry.least += 1

        content = {"json": {"data": {"source_id": [self._any_vmbox()]}}}
        entry.most += 1
        await self.ask(
            ClientRequest(method="POST", path=self._path(entry), content=content, note=note)
        )

    async def remove(self, entry: Entry) -> None:
        def note(_removed: Any) -> None:
            entry.most -= 1

        path, entry.media_id = self._path(entry), ""
        entry.least -= 1
        await self.ask(ClientRequest(method="DELETE", path=path, note=note))

    async def hear(self, entry: Entry) -> None:
        answer = await self.send(ClientRequest(method="GET", path=self._path(entry) + "/raw"))
        if answer is not None and answer.status_code == httpx.codes.OK:
            assert answer.content == entry.audio
        elif answer is not None:
            check_outage(answer)

    async def ask(self, request: ClientRequest) -> None:
        """Sends a request and records its outcome."""
        answer = await self.send(request)
        if answer is not None and answer.is_success:
            request.note(answer.json()["data"])
            return
        if request.key:
            self.unanswered.append(request)
        if answer is not None:
            check_outage(answer)
        await asyncio.sleep(_PAUSE_S)

    async def send(self, request: ClientRequest) -> httpx.Response | None:
        """Returns the answer to a request; None when there was none."""
        began = time.monotonic()
        headers = {"Idempotency-Key": request.key} if request.key else {}
        sent = self._account.http.request(
            request.method, request.path, headers=headers, **request.content
        )
        answer = await answer_of(sent)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.answers["none" if answer is None else str(answer.status_code)] += 1
        return answer

    def _any_vmbox(self) -> str:
        return self._random.choice(self._ledger.vmboxes)

    def _path(self, entry: Entry) -> str:
        return self._account.path("vmboxes", entry.vmbox_id, "messages", entry.media_id)
