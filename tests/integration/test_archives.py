"""Archives: an exported account is complete, and is the same after it was imported elsewhere."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from service.audio.store import AudioStore
from service.domain.clock import utc_now
from service.domain.errors import RestoredNumberTaken
from service.embedded.servers import EmbeddedServers
from service.postgres.imports import find_vmbox_by_numbers
from service.postgres.pool import Database
from service.transfer.archive.bucket import BucketDestination, delete_archive, state_key
from service.transfer.archive.destination import ExportFailed
from service.transfer.archive.source import ArchiveSource
from service.transfer.report import ImportResult, RecordKind
from service.transfer.source import SourceBox, SourceFailed
from service.usecases.vmboxes import Vmboxes
from tests.support.archives import (
    ACME,
    BRANCH,
    DELETED_BOX,
    EXPIRED_BOX,
    YESTERDAY,
    InterruptedDestination,
    Missing,
    a_deployment,
    a_tenant,
    a_tenant_with_old_boxes,
    a_vmbox_trash,
    an_exporter,
    exported,
    members_of,
)
from tests.support.audio_samples import a_wav
from tests.support.audio_stores import got
from tests.support.database import DatabasePool
from tests.support.imports import ListSource, a_message, audio_of, run_import


@pytest_asyncio.fixture(loop_scope="session")
async def elsewhere(
    servers: EmbeddedServers, database_pool: DatabasePool
) -> AsyncIterator[Database]:
    """Another deployment without accounts."""
    acquired = await database_pool.acquire()
    url = servers.postgres.url(acquired.name, "aftertone")
    async with Database.open(url, size=20, timeout_s=30, name="test") as opened:
        yield opened
    await database_pool.release(acquired)


async def test_an_archive_is_the_same_after_an_import_into_an_empty_deployment(
    database: Database,
    elsewhere: Database,
    store: AudioStore,
    tmp_path: Path,
) -> None:
    accounts, root = await a_deployment(database)
    await run_import(a_tenant(), accounts, root, store)
    manifest, _ = await exported(accounts, store, tmp_path / "first.tar.zst")
    assert manifest.counts == {
        "accounts": 2, "users": 1, "greetings": 2, "boxes": 2, "messages": 8, "missing_audio": 0,
    }  # fmt: skip
    source = ArchiveSource(tmp_path / "first.tar.zst")
    other_accounts, other_root = await a_deployment(elsewhere)
    counts, observer = await run_import(source, other_accounts, other_root, store)
    assert observer.skipped == []
    assert counts[RecordKind.MESSAGE, ImportResult.NEW] == 8
    await exported(other_accounts, store, tmp_path / "second.tar.zst")
    first, second = members_of(tmp_path / "first.tar.zst"), members_of(tmp_path / "second.tar.zst")
    assert list(first) == list(second)
    assert first == second
    assert b'"pin":"1234"' in first["boxes/00000001.jsonl"]
    assert b'"words":[[0,420,97,"hello"]]' in b"".join(first.values())
    assert a_wav(0.1) in first.values()


async def test_a_deleted_box_is_in_the_trash_after_an_import_and_can_be_restored(
    database: Database,
    elsewhere: Database,
    store: AudioStore,
    inspector: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    accounts, root = await a_deployment(database)
    await run_import(a_tenant_with_old_boxes(), accounts, root, store)
    branch = (await accounts.get(root, UUID(BRANCH))).facts
    for key in (DELETED_BOX, EXPIRED_BOX):
        await Vmboxes(database, accounts.secrets, utc_now).delete(branch, UUID(key))
    await run_import(
        ListSource(
            accounts=a_tenant().records["accounts"],
            boxes=[
                SourceBox(key="0", account_key=BRANCH, document={"name": "C", "mailbox": "200"})
            ],
        ),
        accounts,
        root,
        store,
    )
    age = "UPDATE vmbox_counts SET deleted_at = deleted_at - interval '8 days' WHERE vmbox_id = $1"
    await inspector.execute(age, UUID(EXPIRED_BOX))
    manifest, observer = await exported(accounts, store, tmp_path / "first.tar.zst")
    assert (manifest.counts["boxes"], manifest.counts["messages"]) == (4, 11)
    assert observer.total == 11

    source = ArchiveSource(tmp_path / "first.tar.zst")
    other_accounts, other_root = await a_deployment(elsewhere)
    for result in (ImportResult.NEW, ImportResult.EXISTING):
        counts, report = await run_import(source, other_accounts, other_root, store)
        assert report.skipped == []
        assert counts[RecordKind.BOX, result] == 4
        assert counts[RecordKind.MESSAGE, result] == 11
    await exported(other_accounts, store, tmp_path / "second.tar.zst")
    first, second = members_of(tmp_path / "first.tar.zst"), members_of(tmp_path / "second.tar.zst")
    assert list(first) == list(second)
    assert first == second
    assert b'"pin":"9876"' in b"".join(first.values())

    await assert_without_effects(elsewhere)
    vmboxes = Vmboxes(elsewhere, other_accounts.secrets, utc_now)
    facts = (await other_accounts.get(other_root, UUID(BRANCH))).facts
    trash = a_vmbox_trash(elsewhere, store)
    [listed] = (await trash.list(facts, None, 10)).items
    assert [listed] == (await a_vmbox_trash(database, store).list(branch, None, 10)).items
    with pytest.raises(RestoredNumberTaken):
        await trash.restore(facts, [DELETED_BOX])
    await vmboxes.delete(facts, await number_owner(elsewhere, "200"))
    assert (await trash.restore(facts, [DELETED_BOX])).succeeded == [UUID(DELETED_BOX)]
    restored = await vmboxes.get(facts, UUID(DELETED_BOX))
    assert (restored.pin, restored.counts.new, restored.counts.saved) == ("9876", 1, 1)


async def assert_without_effects(database: Database) -> None:
    """Checks that the deleted box has no events, takes no number and is not counted."""
    box = (UUID(BRANCH), UUID(DELETED_BOX))
    async with database.connection() as connection:
        events = "SELECT type FROM outbox WHERE account_id = $1 AND vmbox_id = $2"
        assert await connection.fetch(events, *box) == []
        numbers = "SELECT FROM vmbox_numbers WHERE account_id = $1 AND vmbox_id = $2"
        assert await connection.fetch(numbers, *box) == []
        counts_of_box = (
            "SELECT new_count, saved_count, stored_bytes FROM vmbox_counts"
            " WHERE account_id = $1 AND vmbox_id = $2"
        )
        assert [tuple(row) for row in await connection.fetch(counts_of_box, *box)] == [(0, 0, 0)]


async def number_owner(database: Database, number: str) -> UUID:
    async with database.connection() as connection:
        vmbox_id = await find_vmbox_by_numbers(connection, UUID(BRANCH), {number})
    assert vmbox_id is not None
    return vmbox_id


async def test_an_interrupted_export_continues_and_equals_an_uninterrupted_one(
    database: Database, store: AudioStore, tmp_path: Path
) -> None:
    accounts, root = await a_deployment(database)
    await run_import(a_tenant(), accounts, root, store)
    whole, parted = tmp_path / "whole.tar.zst", tmp_path / "parted.tar.zst"
    await exported(accounts, store, whole)
    for _ in range(6):
        with pytest.raises(asyncio.CancelledError):
            await exported(accounts, store, parted, InterruptedDestination)
    await exported(accounts, store, parted)
    assert members_of(parted) == members_of(whole)
    assert sorted(os.listdir(tmp_path)) == [parted.name, whole.name]
    assert parted.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ExportFailed, match="exists"):
        await exported(accounts, store, whole)


async def test_an_archive_in_a_bucket_has_the_same_bytes_as_a_file(
    database: Database, store: AudioStore, tmp_path: Path
) -> None:
    accounts, root = await a_deployment(database)
    noise = random.Random(1)
    large = [
        a_message(f"large{number}", YESTERDAY, open=audio_of(noise.randbytes(900_000)))
        for number in range(16)
    ]
    source = a_tenant()
    source.records["messages"] = [*source.records["messages"], *large]
    await run_import(source, accounts, root, store)
    manifest, _ = await exported(accounts, store, tmp_path / "file.tar.zst")
    assert manifest.counts["messages"] == 24
    key = f"exports/{uuid4().hex}.tar.zst"

    class Interrupted(BucketDestination):
        async def checkpoint(self, state: bytes) -> None:
            before = await store.multipart.read_small(state_key(key))
            await super().checkpoint(state)
            if await store.multipart.read_small(state_key(key)) != before:
                raise asyncio.CancelledError

    for kind in (Interrupted, Interrupted, BucketDestination):
        destination = await kind.open(store.multipart, key)
        exporter = an_exporter(accounts, store, Missing())
        account_id = UUID(ACME)
        if kind is Interrupted:
            with pytest.raises(asyncio.CancelledError):
                await exporter.run(account_id, destination)
        else:
            await exporter.run(account_id, destination)
    size = await store.multipart.size_of(key)
    assert size is not None
    copy = tmp_path / "copy.tar.zst"
    copy.write_bytes(await got(store, key, 0, size))
    assert members_of(copy) == members_of(tmp_path / "file.tar.zst")
    assert await store.multipart.read_small(state_key(key)) is None
    with pytest.raises(ExportFailed, match="exists"):
        await BucketDestination.open(store.multipart, key)
    await delete_archive(store.multipart, key)
    assert await store.multipart.size_of(key) is None


async def test_a_damaged_archive_and_missing_audio_are_reported(
    database: Database,
    store: AudioStore,
    inspector: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    accounts, root = await a_deployment(database)
    await run_import(a_tenant(), accounts, root, store)
    key = await inspector.fetchval("SELECT audio_key FROM messages WHERE folder = 'saved'")
    await store.delete(key)
    archive = tmp_path / "acme.tar.zst"
    manifest, observer = await exported(accounts, store, archive)
    assert manifest.counts["missing_audio"] == len(observer.names) == 1
    await inspector.execute("DELETE FROM messages")
    counts, report = await run_import(ArchiveSource(archive), accounts, root, store)
    assert counts[RecordKind.MESSAGE, ImportResult.NEW] == 7
    [reason] = report.reasons.values()
    assert reason == "its audio was missing when the archive was written"
    damaged = tmp_path / "damaged.tar.zst"
    damaged.write_bytes(archive.read_bytes()[:-300])
    for path, text in ((damaged, "incomplete"), (tmp_path / "no.zst", "cannot be read")):
        with pytest.raises(SourceFailed, match=text):
            await run_import(ArchiveSource(path), accounts, root, store)
