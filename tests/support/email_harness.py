"""E-mail harness: boxes, a relay, the e-mail channel and an SMTP server that records mails."""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest_asyncio

from service.audio.store import AudioStore
from service.bus import StreamSettings
from service.domain.delivery import Delivery
from service.domain.events import Event
from service.domain.message import Audio, CallerId, Folder, Message, month_of
from service.domain.retention import Retention
from service.embedded.servers import EmbeddedServers
from service.postgres import messages
from service.postgres.messages import MessageKey
from service.postgres.months import ensure_month
from service.postgres.pool import Database
from service.security import MailLinkTokens
from service.usecases.renditions import Renditions
from service.workers.channels.email import (
    EmailChannel,
    EmailSettings,
    RecipientLinks,
    SmtpSender,
    SmtpServer,
    Templates,
)
from tests.support.builders import Box, a_vmbox, stored
from tests.support.database import execute
from tests.support.keeper import put_bytes
from tests.support.notifier import QUICK, running_notifier
from tests.support.relay import a_stream, running_relay
from tests.support.smtp import Mail, MailServer, running_mail_server
from tests.support.waiting import wait_until

SENDER = "Voicemail <voicemail@service.example>"
SOUND = bytes(range(256)) * 40


class EmailHarness:
    """Shared by tests: each test uses its own accounts."""

    def __init__(
        self,
        *,
        servers: EmbeddedServers,
        stream: StreamSettings,
        database: Database,
        store: AudioStore,
        smtp: SmtpSender,
        post: MailServer,
        inspector: asyncpg.Connection,
    ) -> None:
        self.servers = servers
        self.stream = stream
        self.database = database
        self.store = store
        self.post = post
        self.inspector = inspector
        self._smtp = smtp

    def channel(
        self,
        templates: Templates | None = None,
        links: RecipientLinks | None = None,
        mail_links: MailLinkTokens | None = None,
        renditions: Renditions | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        **settings: Any,
    ) -> EmailChannel:
        return EmailChannel(
            self.database,
            self.store,
            self._smtp,
            templates or Templates(),
            EmailSettings(
                **{
                    "sender": SENDER,
                    "from_domains": frozenset({"ann.example"}),
                    "retention": Retention(message_days=30, deleted_days=30),
                    "timeout_s": 30.0,
                    **settings,
                }
            ),
            clock,
            links,
            mail_links,
            renditions,
        )

    async def an_account(self, **document: Any) -> UUID:
        account_id = uuid4()
        await self.inspector.execute(
            """
            INSERT INTO accounts (account_id, parent_id, ancestors, name, realm, document,
                api_key_lookup, api_key_sealed)
            VALUES ($1, (SELECT account_id FROM accounts WHERE parent_id IS NULL), '{}',
                $2, $2, $3, $4, '')
            """,
            account_id,
            account_id.hex,
            msgspec.json.encode({"name": "Example Ltd", **document}).decode(),
            account_id.bytes,
        )
        return account_id

    async def an_owner(self, account_id: UUID, **document: Any) -> str:
        user_id = uuid4()
        await self.inspector.execute(
            "INSERT INTO users (account_id, user_id, username, document) VALUES ($1, $2, $3, $4)",
            account_id,
            user_id,
            user_id.hex,
            msgspec.json.encode({"username": user_id.hex, **document}).decode(),
        )
        return user_id.hex

    async def a_box(self, account_id: UUID | None = None, **settings: Any) -> Box:
        account_id = account_id or await self.an_account()
        async with self.database.connection() as connection:
            return await a_vmbox(connection, account_id, **settings)

    async def leave(
        self,
        box: Box,
        sound: bytes = SOUND,
        *,
        caller: CallerId | None = None,
        content_type: str = "audio/mpeg",
        extension: str = "mp3",
        there: bool = True,
        **draft: Any,
    ) -> MessageKey:
        """Stores a message; without its audio unless `there`."""
        key = f"audio/202603/{box.account_id.hex}/{uuid4().hex}/{uuid4().hex}.{extension}"
        if there:
            await put_bytes(self.store, key, sound, content_type)
        audio = Audio(
            key=key,
            content_type=content_type,
            size=len(sound),
            sha256=hashlib.sha256(sound).digest(),
        )
        if caller is not None:
            draft["caller_id"] = caller
        async with self.database.connection() as connection:
            if "received_at" in draft:
                await ensure_month(connection, month_of(draft["received_at"]))
            return await stored(connection, box, audio=audio, **draft)

    async def delivery(self, box: Box, recipient: str) -> Delivery:
        """Builds a first attempt to mail the newest message of a box."""
        row = await self.inspector.fetchrow(
            "SELECT * FROM outbox WHERE account_id = $1 AND type = 'message.new'"
            " ORDER BY sequence DESC LIMIT 1",
            box.account_id,
        )
        assert row is not None
        event = Event(
            account_id=box.account_id,
            vmbox_id=box.vmbox_id,
            sequence=row["sequence"],
            event_id=row["event_id"],
            type=row["type"],
            created_at=row["created_at"],
            data=row["data"].encode(),
        )
        return Delivery(
            account_id=box.account_id,
            event_id=event.event_id,
            channel="email",
            target=recipient,
            attempt=1,
            created_at=event.created_at,
            event=event,
            state={},
        )

    async def finished(self, box: Box, events: int = 1) -> list[asyncpg.Record]:
        """Waits until `events` events of an account are finished; returns the target rows."""

        async def all_finished() -> bool:
            rows = await self._rows(box)
            markers = [row for row in rows if row["target"] == ""]
            return len(markers) == events and all(row["status"] != "pending" for row in rows)

        await wait_until(all_finished, every_s=0.02)
        return [row for row in await self._rows(box) if row["target"]]

    async def _rows(self, box: Box) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self.inspector.fetch(
            "SELECT * FROM deliveries WHERE account_id = $1 ORDER BY target", box.account_id
        )
        return rows

    async def quiet(self, box: Box) -> None:
        """Waits until the channel has read every event of a box."""
        marked = await self.a_box(box.account_id, notify_email_addresses=[])
        before = len([row for row in await self._rows(box) if row["target"] == ""])
        await self.leave(marked)
        await self.finished(box, before + 1)

    async def message(self, place: MessageKey) -> Message:
        async with self.database.connection() as connection:
            return await messages.get_message(connection, place)

    async def folder(self, place: MessageKey) -> Folder:
        return (await self.message(place)).folder

    async def reasons(self, box: Box) -> list[str]:
        """Returns the reasons of the folder changes of a box."""
        rows = await self.inspector.fetch(
            "SELECT data ->> 'reason' AS reason FROM outbox WHERE account_id = $1"
            " AND vmbox_id = $2 AND type = 'message.folder_changed' ORDER BY sequence",
            box.account_id,
            box.vmbox_id,
        )
        return [row["reason"] for row in rows]

    async def only_mail(self, box: Box, recipient: str) -> Mail:
        """Returns the only mail to a recipient, once all deliveries are finished."""
        await self.finished(box)
        [mail] = self.post.to(recipient)
        return mail


def somebody(what: str = "mary") -> str:
    """Returns an address that no other test uses; `what` selects the behaviour of the server."""
    return f"{what}.{uuid4().hex}@example.com"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def email_harness(
    servers: EmbeddedServers, shared_bucket: AudioStore, migrated_template: str
) -> AsyncIterator[EmailHarness]:
    name, stream = f"office_{uuid4().hex}", a_stream()
    await execute(servers, f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    url = servers.postgres.url(name, "aftertone")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database.open(url, size=20, timeout_s=30, name="test e-mail harness")
        )
        post = await stack.enter_async_context(running_mail_server())
        smtp = await stack.enter_async_context(
            SmtpSender.open(SmtpServer.parse(post.url), timeout_s=3)
        )
        inspector = await asyncpg.connect(servers.postgres.url(name, "aftertone_owner"))
        await inspector.execute(
            "INSERT INTO accounts (account_id, ancestors, name, realm, document, api_key_lookup,"
            " api_key_sealed) VALUES (gen_random_uuid(), '{}', 'root', 'root', '{}', '', '')"
        )
        opened = EmailHarness(
            servers=servers,
            stream=stream,
            database=database,
            store=shared_bucket,
            smtp=smtp,
            post=post,
            inspector=inspector,
        )
        nats_url = servers.nats.url()
        await stack.enter_async_context(running_relay(url, nats_url, stream))
        await stack.enter_async_context(
            running_notifier(url, nats_url, stream, opened.channel(), QUICK)
        )
        yield opened
        await inspector.close()
    await execute(servers, f"DROP DATABASE {name} WITH (FORCE)", role="postgres")
