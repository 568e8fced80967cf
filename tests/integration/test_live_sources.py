"""Imports from a running service over its two HTTP APIs."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from service.api.kazoo.times import gregorian
from service.audio.store import AudioStore
from service.postgres.pool import Database
from service.transfer.kazoo import KazooCredentials, KazooSource
from service.transfer.mailbox_api import MailboxApiSource, MailboxCredentials
from service.transfer.report import ImportResult, RecordKind
from service.transfer.source import SourceFailed
from tests.support.accounts import a_child, a_key_ring, a_root, accounts_over
from tests.support.audio_samples import a_wav
from tests.support.audio_stores import got
from tests.support.imports import run_import
from tests.support.running import AccountClient, data_of

NEW, EXISTING = ImportResult.NEW, ImportResult.EXISTING
PASSWORD = "a long password"


async def a_tenant(account: AccountClient) -> list[str]:
    """Fills an account with a user, a greeting, boxes, and messages of 200 days."""
    user = {"username": "ann", "password": PASSWORD, "priv_level": "admin"}
    owner = data_of(await account.http.put(account.path("users"), json={"data": user}), 201)
    greeting = await account.http.put(account.path("media"), json={"data": {"name": "hello"}})
    media_id = data_of(greeting, 201)["id"]
    await account.http.post(
        account.path("media", media_id, "raw"),
        content=a_wav(0.1),
        headers={"Content-Type": "audio/wav"},
    )
    boxes = [
        await account.a_vmbox(
            name="Réception",
            mailbox="100",
            pin="1234",
            owner_id=owner["id"],
            media={"unavailable": media_id},
            notify_email_addresses=["ann@example.com"],
        ),
        await account.a_vmbox(name="Other", mailbox="101"),
    ]
    now = datetime.now(UTC).replace(microsecond=0)
    for number in range(12):
        await account.leave(
            boxes[number % 2],
            a_wav(0.1 + number / 100),
            "audio/wav",
            timestamp=gregorian(now - timedelta(days=number * 17)),
            folder=("new", "saved", "deleted")[number % 3],
            caller_id_name=f"Caller № {number}",
            caller_id_number=f"+49{number}",
        )
    return boxes


async def rows_of(account: AccountClient) -> list[dict[str, object]]:
    """Returns all messages of an account in the order of their ids."""
    rows = []
    now = datetime.now(UTC)
    for days in range(0, 230, 30):
        window = {
            "created_from": gregorian(now - timedelta(days=days + 30)) + 1,
            "created_to": gregorian(now - timedelta(days=days)),
            "page_size": 100,
        }
        listed = await account.http.get(account.path("vmboxes", "messages"), params=window)
        rows += [{"box": box, **row} for each in data_of(listed) for box, row in each.items()]
    return sorted(rows, key=lambda row: str(row["media_id"]))


_IMPORTED = """
    SELECT month || '-' || hex(id) AS media_id, hex(vmbox_id) AS box, folder, audio_key, audio_size,
        extract(epoch FROM received_at)::bigint + 62167219200 AS timestamp, length_ms AS length,
        caller_id_number, caller_id_name, call_id, from_uri AS "from", to_uri AS "to", audio_type
    FROM messages ORDER BY 1
"""


async def test_a_running_kazoo_is_imported_with_its_ids_counts_and_audio(
    account: AccountClient,
    database: Database,
    store: AudioStore,
    inspector: asyncpg.Connection,
) -> None:
    boxes = await a_tenant(account)
    key = data_of(await account.http.get(account.path("api_key")))["api_key"]
    accounts = accounts_over(database, a_key_ring())
    root = await a_root(accounts)

    async def run(credentials: KazooCredentials) -> dict[tuple[RecordKind, ImportResult], int]:
        source = KazooSource(account.service.url, credentials, rate=1000)
        try:
            counts, observer = await run_import(source, accounts, root, store)
        finally:
            await source.close()
        assert observer.skipped == []
        return counts

    assert await run(KazooCredentials(api_key=key)) == {
        (RecordKind.ACCOUNT, NEW): 1,
        (RecordKind.USER, NEW): 1,
        (RecordKind.GREETING, NEW): 1,
        (RecordKind.BOX, NEW): 2,
        (RecordKind.MESSAGE, NEW): 12,
    }
    user = KazooCredentials(username="ann", password=PASSWORD, realm=account.realm)
    assert (await run(user))[RecordKind.MESSAGE, EXISTING] == 12
    expected = await rows_of(account)
    imported = [dict(row) for row in await inspector.fetch(_IMPORTED)]
    for row, other in zip(expected, imported, strict=True):
        # Over the API, a message past its retention is in the folder `deleted`.
        if row.pop("retention", None):
            row.pop("retention_message")
        audio_key, size = other.pop("audio_key"), other.pop("audio_size")
        assert other.pop("audio_type") == "audio/wav"
        assert row == other
        path = account.path("vmboxes", str(row["box"]), "messages", str(row["media_id"]), "raw")
        assert await got(store, audio_key, 0, size) == (await account.http.get(path)).content
    counts = await inspector.fetch("SELECT * FROM vmbox_counts")
    assert {row["vmbox_id"].hex: (row["new_count"], row["saved_count"]) for row in counts} == {
        box: (folders["new"], folders["saved"])
        for box in boxes
        for folders in [await account.counts(box)]
    }
    document = await inspector.fetchval(
        "SELECT document::text FROM vmboxes WHERE vmbox_id::text = $1::uuid::text", boxes[0]
    )
    media = await inspector.fetchrow("SELECT hex(media_id) AS id, audio_size FROM media")
    assert media is not None
    assert f'"unavailable": "{media["id"]}"' in document
    assert media["audio_size"] == len(a_wav(0.1))


async def test_a_running_mailbox_api_is_imported_into_an_account(
    account: AccountClient,
    database: Database,
    store: AudioStore,
    inspector: asyncpg.Connection,
) -> None:
    await a_tenant(account)
    accounts = accounts_over(database, a_key_ring())
    root = await a_root(accounts)
    into = (await a_child(accounts, root, f"into{uuid4().hex}")).facts
    credentials = MailboxCredentials(reseller=account.realm, user="ann", password=PASSWORD)
    for result in (NEW, EXISTING):
        source = MailboxApiSource(account.service.url, credentials, rate=1000)
        try:
            counts, observer = await run_import(source, accounts, root, store, into=into)
        finally:
            await source.close()
        assert counts[RecordKind.BOX, result] == 2
        # The API does not list messages past their retention.
        assert counts[RecordKind.MESSAGE, result] == 6
        assert list(observer.reasons) == ["greeting of Réception"]
    listed = [row for row in await rows_of(account) if "retention" not in row]
    ids = await inspector.fetch("SELECT month || '-' || hex(id) AS id FROM messages ORDER BY 1")
    assert [row["id"] for row in ids] == [row["media_id"] for row in listed]
    numbers = await inspector.fetch("SELECT number FROM vmbox_numbers ORDER BY 1")
    assert [row["number"] for row in numbers] == ["1000", "1001"]


async def test_wrong_credentials_end_an_import_with_a_text(
    account: AccountClient, database: Database, store: AudioStore
) -> None:
    accounts = accounts_over(database, a_key_ring())
    root = await a_root(accounts)
    wrong = MailboxCredentials(reseller=account.realm, user="ann", password="wrong")
    for source in (
        KazooSource(account.service.url, KazooCredentials(api_key="f" * 64)),
        MailboxApiSource(account.service.url, wrong),
    ):
        with pytest.raises(SourceFailed, match="rejects the credentials"):
            await run_import(source, accounts, root, store, into=root.account)
        await source.close()
