"""Effects that each notifier channel must have although it is killed repeatedly."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
from aiohttp import web

from tests.support.ari import PASSWORD, USER, AriStub, running_ari
from tests.support.audio_samples import a_wav
from tests.support.channel_kill_case import ChannelKillCase
from tests.support.relay import jetstream
from tests.support.running import AccountClient, data_of
from tests.support.smtp import MailServer, running_mail_server
from tests.support.transcription_server import (
    KEY,
    TranscriptionServer,
    running_transcription_server,
)
from tests.support.webhook_receiver import WebhookReceiver


class EmailKillCase(ChannelKillCase):
    """Two mails for each message, then its folder change."""

    channel = "email"
    vmbox_id = ""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, account: AccountClient, inspector: asyncpg.Connection
    ) -> AsyncIterator[ChannelKillCase]:
        async with running_mail_server() as post:
            case = cls(account, inspector)
            case.post, case.read, case.ids = post, 0, []
            who = [f"{name}.{account.account_id}@example.com" for name in ("greylisted", "mary")]
            case.vmbox_id = await account.a_vmbox(
                notify_email_addresses=who, save_after_notify=True
            )
            case.environment = {
                "AFTERTONE_SMTP_URL": post.url,
                "AFTERTONE_EMAIL_SENDER": "Voicemail <voicemail@service.example>",
                "AFTERTONE_SMTP_TIMEOUT_S": "10",
            }
            yield case

    post: MailServer
    read: int
    ids: list[str]

    async def act(self, number: int) -> None:
        await self.account.leave(self.vmbox_id, audio=b"%d" % number * 2000)

    def effects(self) -> Sequence[str]:
        # The channel serves every account: mail that another test left behind comes here too.
        fresh, self.read = self.post.mails[self.read :], len(self.post.mails)
        self.ids += [
            mail.message["Message-ID"]
            for mail in fresh
            if f".{self.account.account_id}@" in mail.recipient
        ]
        return self.ids

    async def complete(self) -> bool:
        return await self.statuses() == {"done": 2 * self.acts}

    async def check(self) -> str:
        # What came twice came twice under one id: a mail program shows it once.
        assert len(set(self.effects())) == 2 * self.acts
        assert await self.account.counts(self.vmbox_id) == {"new": 0, "saved": self.acts}
        moves = await self.events("message.folder_changed")
        assert {move["reason"] for move in moves} == {"notified"}
        moved = Counter(move["message"]["media_id"] for move in moves)
        assert (len(moved), moved.total()) == (self.acts, self.acts)
        return f"{2 * self.acts} mails, {self.repeated()} twice; {len(moves)} filed"


class WebhookKillCase(ChannelKillCase):
    """Two webhooks get each message; one of them sometimes fails at first."""

    channel = "webhook"
    vmbox_id = ""
    receiver: WebhookReceiver
    secrets: dict[str, str]

    @classmethod
    @asynccontextmanager
    async def open(
        cls, account: AccountClient, inspector: asyncpg.Connection
    ) -> AsyncIterator[ChannelKillCase]:
        async with WebhookReceiver().running() as receiver:
            case = cls(account, inspector)
            case.receiver, case.secrets, case.taken, case.refused = receiver, {}, [], set()
            case.vmbox_id = await account.a_vmbox()
            for path in ("/well", "/moody"):
                receiver.acts[path] = case.take
                document = {"name": path, "uri": receiver.url(path), "hook": "message.new"}
                made = await account.http.put(account.path("webhooks"), json={"data": document})
                case.secrets[path] = data_of(made, 201)["secret"]
            yield case

    taken: list[str]
    refused: set[str]

    async def take(self, request: web.Request) -> web.Response:
        key = request.headers["webhook-id"]
        # Rarely, or so many failures in a row that the webhook is disabled would come about.
        if request.path == "/moody" and key[-1] in "048c" and key not in self.refused:
            self.refused.add(key)
            return web.Response(status=500)
        self.taken.append(key)
        await asyncio.sleep(0.03)
        return web.Response()

    async def act(self, number: int) -> None:
        await self.account.leave(self.vmbox_id, caller_id_name=str(number))

    def effects(self) -> Sequence[str]:
        return self.taken

    async def complete(self) -> bool:
        return await self.statuses() == {"done": 2 * self.acts}

    async def check(self) -> str:
        for request in self.receiver.received:
            request.verify(self.secrets[request.path])
        requests = {(request.path, request.event["id"]) for request in self.receiver.received}
        ids = {request.headers["webhook-id"] for request in self.receiver.received}
        assert len(requests) == len(ids) == len(set(self.taken)) == 2 * self.acts
        # Whatever an attempt came to is noted once, unless its process died first.
        noted = await self.inspector.fetchval(
            "SELECT count(*) FROM webhook_attempts WHERE hex(account_id) = $1",
            self.account.account_id,
        )
        assert 0 <= len(self.receiver.received) - noted <= len(self.kills) * 8
        return (
            f"{2 * self.acts} told, {self.repeated()} twice; {len(self.refused)} refused at first;"
            f" {len(self.receiver.received) - noted} requests unnoted"
        )


class LampKillCase(ChannelKillCase):
    """Lamps of boxes whose messages are stored, moved and removed; one box is deleted."""

    channel = "mwi"
    vmboxes: list[str]
    ari: AriStub
    bucket: str

    @classmethod
    @asynccontextmanager
    async def open(
        cls, account: AccountClient, inspector: asyncpg.Connection
    ) -> AsyncIterator[ChannelKillCase]:
        async with running_ari() as ari:
            case = cls(account, inspector)
            case.ari, case.bucket = ari, f"T{uuid4().hex}"
            case.vmboxes = [await account.a_vmbox() for _ in range(5)]
            case.environment = {
                "AFTERTONE_LAMP_BUCKET": case.bucket,
                "AFTERTONE_ARI_URL": ari.url,
                "AFTERTONE_ARI_USER": USER,
                "AFTERTONE_ARI_PASSWORD": PASSWORD,
                "AFTERTONE_ARI_CONTEXT": "{account_id}",
            }
            yield case
            async with jetstream(case.nats_url) as js:
                for name in (case.bucket, f"{case.bucket}_SWITCH"):
                    await js.delete_key_value(name)

    @property
    def nats_url(self) -> str:
        return self.account.service.environment["AFTERTONE_NATS_URL"]

    async def act(self, number: int) -> None:
        account = self.account
        if number == 5:
            gone = self.vmboxes.pop()
            data_of(await account.http.delete(account.path("vmboxes", gone)))
        vmbox_id = random.Random(number).choice(self.vmboxes)
        media_id = await account.leave(vmbox_id)
        message = account.path("vmboxes", vmbox_id, "messages", media_id)
        if number % 2:
            data_of(await account.http.post(message, json={"data": {"folder": "saved"}}))
        if number % 5 == 0:
            data_of(await account.http.delete(message))

    async def progress(self) -> int:
        return len(self.ari.calls)

    async def complete(self) -> bool:
        return (
            await self.stored_lamps() == await self.expected_lamps()
            and self.lit() == await self.expected_counts()
        )

    async def expected_lamps(self) -> dict[str, dict[str, Any]]:
        """Returns the lamps that the bucket must contain, from the counts rows."""
        rows = await self.inspector.fetch(
            "SELECT hex(vmbox_id) AS id, mailbox, new_count AS new, saved_count AS saved,"
            " new_count > 0 AS waiting, epoch, sequence FROM vmbox_counts, deployment"
            " WHERE hex(account_id) = $1 AND deleted_at IS NULL",
            self.account.account_id,
        )
        return {row["id"]: {k: v for k, v in row.items() if k != "id"} for row in rows}

    async def expected_counts(self) -> dict[str, tuple[int, int]]:
        """Returns the counts that Asterisk must show."""
        boxes = (await self.expected_lamps()).values()
        return {box["mailbox"]: (box["new"], box["saved"]) for box in boxes}

    async def stored_lamps(self) -> dict[str, dict[str, Any]]:
        async with jetstream(self.nats_url) as js:
            store = await js.key_value(self.bucket)
            held = {}
            for vmbox_id in await self.expected_lamps():
                entry = await store.get(f"{self.account.account_id}.{vmbox_id}")
                held[vmbox_id] = msgspec.json.decode(entry.value or b"{}")
            return held

    def lit(self) -> dict[str, tuple[int, int]]:
        context = f"@{self.account.account_id}"
        return {
            name.removesuffix(context): counts
            for name, counts in self.ari.lit.items()
            if name.endswith(context)
        }

    async def check(self) -> str:
        assert len(await self.expected_lamps()) == 4
        puts = len([call for call in self.ari.calls if self.account.account_id in call[1]])
        return f"lamps {sorted(self.lit().values())}; {puts} requests to the switch"


class CallbackKillCase(ChannelKillCase):
    """Boxes that request two calls for each message."""

    channel = "callback"
    waits = (0, 1)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, account: AccountClient, inspector: asyncpg.Connection
    ) -> AsyncIterator[ChannelKillCase]:
        yield cls(account, inspector)

    async def act(self, number: int) -> None:
        callback = {"number": f"+49{number}", "schedule": list(self.waits)}
        vmbox_id = await self.account.a_vmbox(notify={"callback": callback})
        await self.account.leave(vmbox_id)

    async def complete(self) -> bool:
        return await self.statuses() == {"done": self.acts}

    async def check(self) -> str:
        events = await self.events("callback.requested")
        tasks = Counter((item["vmbox_id"], item["number"], item["attempt"]) for item in events)
        assert tasks.total() == len(tasks) == self.acts * len(self.waits)
        assert {attempt for _, _, attempt in tasks} == {1, 2}
        return f"{self.acts} tasks, {len(events)} requests"


class TranscriptionKillCase(ChannelKillCase):
    """Messages of a box with transcription."""

    channel = "transcription"
    vmbox_id = ""
    server: TranscriptionServer
    ids: list[str]

    @classmethod
    @asynccontextmanager
    async def open(
        cls, account: AccountClient, inspector: asyncpg.Connection
    ) -> AsyncIterator[ChannelKillCase]:
        async with running_transcription_server() as server:
            case = cls(account, inspector)
            case.server, case.ids = server, []
            case.vmbox_id = await account.a_vmbox(transcribe=True)
            case.environment = {
                "AFTERTONE_TRANSCRIPTION_URL": server.url,
                "AFTERTONE_TRANSCRIPTION_KEY": KEY,
            }
            yield case

    async def act(self, number: int) -> None:
        text = f"{self.account.account_id} {number}"
        self.ids.append(await self.account.leave(self.vmbox_id, text.encode().ljust(2000, b"\0")))

    def effects(self) -> Sequence[str]:
        # The channel serves every account.
        mine = self.account.account_id
        return [request.text for request in self.server.requests if request.text.startswith(mine)]

    async def complete(self) -> bool:
        return await self.statuses() == {"done": self.acts}

    async def check(self) -> str:
        events = await self.events("message.transcribed")
        received = {
            event["message"]["media_id"]: event["message"]["transcription"] for event in events
        }
        assert len(events) == len(received) == self.acts
        assert [received[media_id]["text"] for media_id in self.ids] == [
            f"{self.account.account_id} {number}" for number in range(self.acts)
        ]
        return f"{self.acts} texts, {self.repeated()} asked for twice"


class MediaKillCase(ChannelKillCase):
    """Messages of different lengths, which the client does not send."""

    channel = "media"
    vmbox_id = ""
    lengths: dict[str, int]

    @classmethod
    @asynccontextmanager
    async def open(
        cls, account: AccountClient, inspector: asyncpg.Connection
    ) -> AsyncIterator[ChannelKillCase]:
        case = cls(account, inspector)
        case.lengths, case.vmbox_id = {}, await account.a_vmbox()
        yield case

    async def act(self, number: int) -> None:
        length_ms = 100 + number * 10
        audio = a_wav(length_ms / 1000)
        media_id = await self.account.leave(self.vmbox_id, audio, "audio/wav")
        self.lengths[media_id] = length_ms

    async def complete(self) -> bool:
        return await self.statuses() == {"done": self.acts}

    async def check(self) -> str:
        events = await self.events("message.measured")
        measured = {
            event["message"]["media_id"]: event["message"]["media"]["duration_ms"]
            for event in events
        }
        assert len(events) == len(measured)
        assert measured == self.lengths
        outlines = await self.inspector.fetchval(
            "SELECT count(*) FROM waveforms WHERE hex(account_id) = $1", self.account.account_id
        )
        assert outlines == self.acts
        return f"{self.acts} messages measured once"


CHANNEL_KILL_CASES: Sequence[type[ChannelKillCase]] = (
    EmailKillCase,
    WebhookKillCase,
    LampKillCase,
    CallbackKillCase,
    TranscriptionKillCase,
    MediaKillCase,
)
