"""The importer over a source of records in memory: what is stored, kept, refused and repeated."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.pool import ConversionPool
from service.audio.store import AudioStore
from service.domain.errors import Unavailable
from service.domain.message import Folder, month_of
from service.postgres.pool import Database
from service.transfer.report import ImportResult, RecordKind
from service.transfer.source import (
    GreetingKind,
    Skipped,
    SourceAccount,
    SourceBox,
    SourceError,
    SourceGreeting,
    SourceMessage,
    SourceUser,
)
from tests.support.accounts import a_key_ring, a_root, accounts_over
from tests.support.audio_samples import a_wav
from tests.support.database import TestDatabase
from tests.support.imports import ListSource, a_message, audio_of, run_import

NEW, EXISTING, SKIPPED = ImportResult.NEW, ImportResult.EXISTING, ImportResult.SKIPPED
YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


async def unreadable() -> AsyncIterator[bytes]:
    raise SourceError("the file was deleted")
    yield b""


def a_source(messages: list[SourceMessage | Skipped] | None = None) -> ListSource:
    return ListSource(
        accounts=[SourceAccount(key="acme", name="Acme", realm="acme.example.com")],
        users=[SourceUser(key="ann", account_key="acme", document={"username": "ann"})],
        greetings=[
            SourceGreeting(
                key="hello",
                account_key="acme",
                box_key="box",
                kind=GreetingKind.UNAVAILABLE,
                open=audio_of(a_wav(0.2)),
            )
        ],
        boxes=[
            SourceBox(
                key="box",
                account_key="acme",
                document={
                    "name": "Reception",
                    "mailbox": "100",
                    "owner_id": "ann",
                    "pin": "1",
                    "max_message_count": 1,
                    "notify_email_addresses": ["ann@example.com", "not an address"],
                },
            )
        ],
        messages=messages
        if messages is not None
        else [
            a_message("1", YESTERDAY, caller_id_name="Žofie 李", length_ms=4321),
            a_message("2", YESTERDAY, folder=Folder.SAVED, transcription={"text": "hello"}),
            a_message("3", YESTERDAY, folder=Folder.DELETED),
            a_message("4", YESTERDAY, removed_at=YESTERDAY + timedelta(hours=1)),
            a_message("5", open=audio_of(b"")),
            a_message("6", open=unreadable),
            a_message("7", datetime.now(UTC) + timedelta(days=9)),
            a_message("8", box_key="unknown"),
            Skipped("9", "half written"),
        ],
    )


async def test_a_source_is_imported_once_and_what_cannot_be_is_listed(
    database: Database, store: AudioStore, inspector: asyncpg.Connection
) -> None:
    accounts = accounts_over(database, a_key_ring())
    root = await a_root(accounts)
    first, observer = await run_import(a_source(), accounts, root, store)
    assert first == {
        (RecordKind.ACCOUNT, NEW): 1,
        (RecordKind.USER, NEW): 1,
        (RecordKind.GREETING, NEW): 1,
        (RecordKind.BOX, NEW): 1,
        (RecordKind.MESSAGE, NEW): 4,
        (RecordKind.MESSAGE, SKIPPED): 5,
    }
    assert observer.reasons == {
        "Acme/100": "imported without notify_email_addresses.1 (wrong_format), pin (minLength)",
        "Acme/100/5": "The audio is empty",
        "Acme/100/6": "the file was deleted",
        "Acme/100/7": "its time is in the future",
        "unknown/8": "its box was not imported",
        "9": "half written",
    }
    assert observer.advanced == observer.total == 9
    state = await _state(inspector)
    second, _ = await run_import(a_source(), accounts, root, store)
    assert second[RecordKind.MESSAGE, EXISTING] == 4
    assert not any(count for (_, result), count in second.items() if result is NEW)
    assert await _state(inspector) == state
    counts = await inspector.fetchrow("SELECT * FROM vmbox_counts")
    assert counts is not None
    assert (counts["new_count"], counts["saved_count"]) == (1, 1)
    rows = await inspector.fetch("SELECT * FROM messages ORDER BY length_ms DESC")
    assert rows[0]["caller_id_name"] == "Žofie 李"
    assert (rows[0]["length_ms"], rows[1]["length_ms"]) == (4321, 500)
    assert {row["received_at"] for row in rows} == {YESTERDAY}
    assert counts["stored_bytes"] == 3 * rows[0]["audio_size"]
    reasons = await inspector.fetch(
        "SELECT data -> 'origin' ->> 'reason' AS reason FROM outbox WHERE type = 'message.new'"
    )
    assert [row["reason"] for row in reasons] == ["imported"] * 3
    box = await inspector.fetchrow("SELECT v.document, u.user_id FROM vmboxes v, users u")
    media = await inspector.fetchval("SELECT media_id FROM vmbox_media")
    assert box is not None
    assert f'"owner_id": "{box["user_id"].hex}"' in box["document"]
    assert f'"unavailable": "{media.hex}"' in box["document"]


async def _state(inspector: asyncpg.Connection) -> list[list[asyncpg.Record]]:
    tables = ("accounts", "users", "media", "vmboxes", "vmbox_counts", "messages", "outbox")
    statement = "SELECT * FROM {} ORDER BY 1, 2, 3"
    return [await inspector.fetch(statement.format(table)) for table in tables]


async def test_a_dry_run_writes_nothing_and_counts_new_and_existing_records(
    database: Database, store: AudioStore, inspector: asyncpg.Connection
) -> None:
    accounts = accounts_over(database, a_key_ring())
    root = await a_root(accounts)
    before = await _state(inspector)
    counts, observer = await run_import(a_source(), accounts, root, store, dry_run=True)
    assert await _state(inspector) == before
    assert counts[RecordKind.BOX, NEW] == 1
    assert counts[RecordKind.MESSAGE, NEW] == 6
    assert [(each.kind, each.result) for each in observer.mapped] == [
        (RecordKind.ACCOUNT, NEW),
        (RecordKind.BOX, NEW),
    ]


async def test_existing_accounts_and_boxes_are_used_and_ids_of_kazoo_are_kept(
    database: Database, store: AudioStore, inspector: asyncpg.Connection
) -> None:
    accounts = accounts_over(database, a_key_ring())
    root = await a_root(accounts)
    await run_import(a_source([]), accounts, root, store)
    box_id = await inspector.fetchval("SELECT vmbox_id FROM vmboxes")
    kept = f"{month_of(YESTERDAY)}-{'ab' * 16}"
    source = ListSource(
        accounts=[SourceAccount(key="cd" * 16, name="Other", realm="ACME.example.com")],
        boxes=[
            SourceBox(
                key="ef" * 16,
                account_key="cd" * 16,
                document={"name": "Same number", "mailbox": "0100"},
            )
        ],
        messages=[
            a_message(kept, YESTERDAY, box_key="ef" * 16),
            a_message(f"197001-{'ab' * 16}", YESTERDAY, box_key="ef" * 16),
            a_message("old", YESTERDAY - timedelta(days=9), box_key="ef" * 16),
        ],
    )
    counts, _ = await run_import(source, accounts, root, store, since=YESTERDAY)
    assert counts == {
        (RecordKind.ACCOUNT, EXISTING): 1,
        (RecordKind.BOX, EXISTING): 1,
        (RecordKind.MESSAGE, NEW): 2,
    }
    rows = await inspector.fetch("SELECT month || '-' || hex(id) AS id, vmbox_id FROM messages")
    assert {row["vmbox_id"] for row in rows} == {box_id}
    assert {row["id"] for row in rows} > {kept}
    assert {row["id"][:6] for row in rows} == {kept[:6]}


async def test_a_month_before_the_oldest_one_needs_the_owner_of_the_tables(
    database: Database, store: AudioStore, test_database: TestDatabase
) -> None:
    accounts = accounts_over(database, a_key_ring())
    root = await a_root(accounts)
    old = [a_message("1", datetime(2009, 5, 31, 23, 59, 59, tzinfo=UTC))]
    refused, observer = await run_import(a_source(list(old)), accounts, root, store)
    assert refused[RecordKind.MESSAGE, SKIPPED] == 1
    assert "AFTERTONE_OWNER_DATABASE_URL" in observer.reasons["Acme/100/1"]
    async with Database.open(test_database.owner_url, size=1, timeout_s=30, name="test") as owner:
        stored, _ = await run_import(a_source(list(old)), accounts, root, store, owner)
    assert stored[RecordKind.MESSAGE, NEW] == 1


async def test_an_import_whose_store_fails_is_completed_by_the_next_run(
    database: Database, store: AudioStore, nowhere: AudioStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.transfer.writing._RETRY_DELAYS_S", (0.0,))
    accounts = accounts_over(database, a_key_ring())
    root = await a_root(accounts)
    messages = [a_message(str(number), YESTERDAY) for number in range(100)]
    source = a_source(list(messages))
    source.records["greetings"] = []
    with pytest.raises(Unavailable):
        await run_import(source, accounts, root, nowhere)
    counts, _ = await run_import(a_source(list(messages)), accounts, root, store)
    assert counts[RecordKind.MESSAGE, NEW] == 100


async def test_an_introduction_becomes_the_start_of_its_message(
    database: Database, store: AudioStore, inspector: asyncpg.Connection
) -> None:
    accounts = accounts_over(database, a_key_ring())
    root = await a_root(accounts)
    introduction = audio_of(a_wav(0.25))
    messages: list[SourceMessage | Skipped] = [
        a_message("1", YESTERDAY, length_ms=500, introduction=introduction),
        a_message("2", YESTERDAY, length_ms=400, introduction=audio_of(b"text")),
        a_message("3", YESTERDAY, length_ms=400, introduction=unreadable),
    ]
    async with ConversionPool.open(ConversionLimits(processes=1)) as pool:
        source = a_source(messages)
        counts, observer = await run_import(source, accounts, root, store, conversion=pool)
    assert counts[RecordKind.MESSAGE, NEW] == 3
    rows = await inspector.fetch("SELECT length_ms, audio_type FROM messages ORDER BY length_ms")
    assert [row["length_ms"] for row in rows] == [400, 400, 750]
    assert rows[2]["audio_type"] == "audio/wav"
    notes = [reason for reason in observer.reasons.values() if "introduction" in reason]
    assert len(notes) == 2
    assert any("the file was deleted" in note for note in notes)
