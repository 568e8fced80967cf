"""Clients that go on using the service while it fails, and note what they were told."""

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

# Less patient than the service asks for, but not at full speed against what is not there.
_PAUSE_S = 0.25
# Four clients are enough of a load for two cores that run everything.
_THINKING_S = 0.01

Act = Callable[[Entry], Awaitable[None]]


async def answer_of(request: Awaitable[httpx.Response]) -> httpx.Response | None:
    """The answer; None when the connection ended without one."""
    try:
        return await request
    except httpx.TransportError:
        return None


def check_outage(answer: httpx.Response) -> None:
    """An outage is told as one: 503, when to come again, and the envelope."""
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    envelope = answer.json()
    assert (envelope["status"], envelope["error"]) == ("error", "503")
    assert envelope["message"] == "datastore_unreachable"
    assert envelope["data"]["message"]


class ClientRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and what is to be noted once it has succeeded. With a key it may be repeated."""

    method: str
    path: str
    content: dict[str, Any] = {}
    key: str = ""
    note: Callable[[Any], None] = lambda _data: None


class Clients:
    """Some clients of one account. A refusal other than an outage fails the test."""

    def __init__(self, account: AccountClient, ledger: Ledger, *, seed: int = 1) -> None:
        self.answers: Counter[str] = Counter()
        self.slowest_s = 0.0
        self.unanswered: list[ClientRequest] = []
        """What may be repeated, since it has a key, and must be, since nobody knows its outcome."""
        self._account = account
        self._ledger = ledger
        self._random = random.Random(seed)

    @asynccontextmanager
    async def at_work(self, count: int = 4) -> AsyncIterator[None]:
        """`count` of them work until the block ends; then each finishes what it is at."""
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
            asked, self.unanswered = self.unanswered, []
            for one in asked:
                await self.ask(one)
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
        """A message that is there: a store that was put off by a 503 is asked again."""
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
            # Nothing else is to be asked of them until this is answered.
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

    async def ask(self, asked: ClientRequest) -> None:
        """Sends a request, and notes what it came to."""
        answer = await self.send(asked)
        if answer is not None and answer.is_success:
            asked.note(answer.json()["data"])
            return
        if asked.key:
            self.unanswered.append(asked)
        if answer is not None:
            check_outage(answer)
        await asyncio.sleep(_PAUSE_S)

    async def send(self, asked: ClientRequest) -> httpx.Response | None:
        """The answer to a request, whatever it is; None when there was none."""
        began = time.monotonic()
        headers = {"Idempotency-Key": asked.key} if asked.key else {}
        request = self._account.http.request(
            asked.method, asked.path, headers=headers, **asked.content
        )
        answer = await answer_of(request)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.answers["none" if answer is None else str(answer.status_code)] += 1
        return answer

    def _any_vmbox(self) -> str:
        return self._random.choice(self._ledger.vmboxes)

    def _path(self, entry: Entry) -> str:
        return self._account.path("vmboxes", entry.vmbox_id, "messages", entry.media_id)
