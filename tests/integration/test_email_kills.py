"""The e-mail channel as a process of its own, killed with -9 while messages come in."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tests.support.relay import eventually
from tests.support.running import AccountClient, RunningService
from tests.support.smtp import PostServer, post_server

QUICK = {
    "AFTERTONE_EMAIL_SENDER": "Voicemail <voicemail@service.example>",
    "AFTERTONE_SMTP_TIMEOUT_S": "0.5",
    "AFTERTONE_NOTIFIER_RETRIES_S": "0.1,0.2,0.5,1,2",
    "AFTERTONE_NOTIFIER_LEASE_MARGIN_S": "0.5",
    "AFTERTONE_NOTIFIER_ACK_WAIT_S": "1",
}


@pytest_asyncio.fixture(loop_scope="session")
async def post() -> AsyncIterator[PostServer]:
    async with post_server() as server:
        yield server


async def killed(
    service: RunningService, account: AccountClient, post: PostServer, kills: int, messages: int
) -> None:
    """Leaves messages while the channel is killed again and again; then looks at everything."""
    chance = random.Random(kills)
    options = {**QUICK, "AFTERTONE_SMTP_URL": post.url}
    who = [f"{name}.{account.account_id}@example.com" for name in ("greylisted", "mary")]
    vmbox_id = await account.a_vmbox(notify_email_addresses=who, save_after_notify=True)

    async def leave() -> None:
        for number in range(messages):
            await account.leave(vmbox_id, audio=b"%d" % number * 2000)
            await asyncio.sleep(kills * 0.8 / messages)

    leaving = asyncio.create_task(leave())
    for _ in range(kills):
        channel = await service.start("notifier", "email", **options)
        await asyncio.sleep(chance.uniform(0.6, 1.4))
        await channel.kill()
    await leaving
    inspector = await asyncpg.connect(service.environment["AFTERTONE_OWNER_DATABASE_URL"])
    try:
        channel = await service.start("notifier", "email", **options)
        await everything_mailed(inspector, account, 2 * messages)
        await channel.stop()
        await look(inspector, account, post, vmbox_id, messages)
    finally:
        await inspector.close()


async def rows_of(inspector: asyncpg.Connection, account: AccountClient) -> list[asyncpg.Record]:
    found: list[asyncpg.Record] = await inspector.fetch(
        "SELECT * FROM deliveries WHERE hex(account_id) = $1 AND channel = 'email'"
        " AND target <> ''",
        account.account_id,
    )
    return found


async def everything_mailed(
    inspector: asyncpg.Connection, account: AccountClient, wanted: int
) -> None:
    async def mailed() -> bool:
        rows = await rows_of(inspector, account)
        return [row["status"] for row in rows].count("done") == wanted

    await eventually(mailed, within_s=60)


async def look(
    inspector: asyncpg.Connection,
    account: AccountClient,
    post: PostServer,
    vmbox_id: str,
    messages: int,
) -> None:
    rows = await rows_of(inspector, account)
    assert Counter((row["event_id"], row["target"]) for row in rows).total() == 2 * messages
    # What came twice came twice under one id: a mail program shows it once. The channel serves
    # every account of the database, so mail that another test left behind comes here too.
    mails = [mail for mail in post.mails if f".{account.account_id}@" in mail.recipient]
    ids = {mail.message["Message-ID"] for mail in mails}
    assert len(ids) == 2 * messages
    assert await account.counts(vmbox_id) == {"new": 0, "saved": messages}
    moves = await inspector.fetch(
        "SELECT data -> 'message' ->> 'media_id' AS id FROM outbox WHERE hex(vmbox_id) = $1"
        " AND type = 'message.folder_changed'",
        vmbox_id,
    )
    assert Counter(row["id"] for row in moves).most_common(1)[0][1] == 1
    assert len(moves) == messages


async def test_a_killed_channel_forgets_no_mail_and_files_each_message_once(
    service: RunningService, account: AccountClient, post: PostServer
) -> None:
    await killed(service, account, post, kills=2, messages=15)


@pytest.mark.long
async def test_a_channel_killed_fifty_times_forgets_no_mail_and_files_each_message_once(
    service: RunningService, account: AccountClient, post: PostServer
) -> None:
    await killed(service, account, post, kills=50, messages=400)
