"""Verification: rows against objects in both directions, audio, counts; what it repairs."""

import asyncio
import os
import signal
import struct
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from service.audio.keys import greeting_key
from service.audio.store import AudioStore
from service.domain.message import MessageId
from service.postgres import messages as rows
from service.postgres.messages import MessageKey
from service.postgres.pool import Connection, Database
from service.workers.keeper import StepProgress
from service.workers.keeper.purge import Purge
from service.workers.verification import Findings, Kind, Verification
from tests.support.builders import NOW, Box, a_vmbox, an_account_row, some_audio, stored
from tests.support.forked import run_command
from tests.support.keeper import in_days, key_of, keys_in, put, put_bytes
from tests.support.running import RunningService
from tests.support.waiting import wait_until

CONTENT = b"audio"
WAV_FORMAT = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
EMPTY_WAV = b"RIFF" + struct.pack("<I", 36) + b"WAVE" + WAV_FORMAT + b"data" + bytes(4)
Damage = Callable[[asyncpg.Connection, AudioStore, MessageKey, str], Awaitable[object]]


async def verified(
    owner: Database,
    bucket: AudioStore,
    *,
    days: float = 2,
    account: Box | None = None,
    sample: int | None = None,
    repair: bool = False,
    batch: int = 2,
) -> Findings:
    """Verifies with all audio, at a time at which all objects are older than the grace."""
    findings = Findings(in_days(0), {})
    verification = Verification(
        owner,
        bucket,
        in_days(days),
        orphan_grace=timedelta(days=1),
        account_id=None if account is None else account.account_id,
        sample_size=sample,
        is_repairing=repair,
        settle_s=0,
        batch=batch,
    )
    await verification.run(findings, lambda _label: nullcontext(StepProgress()))
    assert findings.is_complete
    return findings


async def kept(
    connection: Connection,
    bucket: AudioStore,
    box: Box,
    received_at: datetime = NOW,
    content: bytes = CONTENT,
) -> tuple[MessageKey, str]:
    """Stores a message and its audio."""
    message_id = MessageId.generate(received_at, NOW)
    key = key_of(box.place(message_id))
    await put_bytes(bucket, key, content, "audio/mpeg")
    audio = some_audio(key=key, size=len(content), sha256=sha256(content).digest())
    place = await stored(connection, box, id=message_id, received_at=received_at, audio=audio)
    return place, key


async def a_box_of_messages(owner: Database, bucket: AudioStore) -> list[tuple[MessageKey, str]]:
    """Stores messages of two months, one of them removed, with one that waits for its audio."""
    account = await an_account_row(owner)
    async with owner.connection() as connection:
        box = await a_vmbox(connection, account.account_id)
        moments = [NOW, NOW, NOW, NOW - timedelta(days=60)]
        pairs = [await kept(connection, bucket, box, moment) for moment in moments]
        await stored(connection, box, audio=None)
        await rows.remove_message(connection, pairs[-1][0], reason="api")
    return pairs


def delete() -> Damage:
    return lambda _connection, bucket, _place, key: bucket.delete(key)


def write(content: bytes) -> Damage:
    return lambda _connection, bucket, _place, key: put_bytes(bucket, key, content, "audio/mpeg")


def add_other(name: str = "") -> Damage:
    """Adds an object beside that of the message, and one beside the greetings."""

    async def add(_: asyncpg.Connection, bucket: AudioStore, place: MessageKey, key: str) -> None:
        greeting = greeting_key(place.account_id, uuid4(), uuid4(), "mp3")
        await put(bucket, f"{key}{name}" if name else key_of(place), *(() if name else (greeting,)))

    return add


async def write_page(
    inspector: asyncpg.Connection, bucket: AudioStore, place: MessageKey, key: str
) -> None:
    """Writes a WAV without audio in place of the audio, and its size and SHA-256 to the row."""
    await put_bytes(bucket, key, EMPTY_WAV, "audio/wav")
    await inspector.execute(
        "UPDATE messages SET audio_size = $2, audio_sha256 = $3, audio_type = 'audio/wav'"
        " WHERE id = $1",
        place.message_id.id,
        len(EMPTY_WAV),
        sha256(EMPTY_WAV).digest(),
    )


def execute(statement: str) -> Damage:
    async def run(connection: asyncpg.Connection, *_: object) -> object:
        return await connection.execute(statement)

    return run


NOT_REPAIRED: dict[Kind, tuple[Damage, int]] = {
    Kind.AUDIO_MISSING: (delete(), 1),
    Kind.SIZE_DIFFERS: (write(CONTENT[:-1]), 1),
    Kind.CONTENT_DIFFERS: (write(CONTENT[::-1]), 1),
    Kind.AUDIO_UNREADABLE: (write_page, 1),
    Kind.UNKNOWN_OBJECT: (add_other(".txt.old"), 1),
    Kind.VMBOX_MISSING: (execute("DELETE FROM vmbox_counts"), 4),
}


@pytest.mark.parametrize("kind", NOT_REPAIRED)
async def test_damage_is_found_and_kept(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection, kind: Kind
) -> None:
    pairs = await a_box_of_messages(owner, bucket)
    assert (await verified(owner, bucket)).found == {}
    damage, number = NOT_REPAIRED[kind]
    await damage(inspector, bucket, *pairs[1])
    before = await inspector.fetch("SELECT * FROM messages ORDER BY id"), await keys_in(bucket)
    for repair in (False, True):
        findings = await verified(owner, bucket, repair=repair)
        assert (findings.found[kind], findings.repaired[kind]) == (number, 0)
    after = await inspector.fetch("SELECT * FROM messages ORDER BY id"), await keys_in(bucket)
    assert after == before


REPAIRED: dict[str, tuple[Damage, set[Kind]]] = {
    "orphans": (add_other(), {Kind.ORPHAN}),
    "counts": (
        execute("UPDATE vmbox_counts SET new_count = 7, pending_count = 0"),
        {Kind.COUNTS_DIFFER},
    ),
    "bytes of a box": (
        execute("UPDATE vmbox_counts SET stored_bytes = 1"),
        {Kind.VMBOX_BYTES_DIFFER, Kind.ACCOUNT_BYTES_DIFFER},
    ),
    "bytes of an account": (
        execute("UPDATE account_bytes SET bytes = bytes + 1"),
        {Kind.ACCOUNT_BYTES_DIFFER},
    ),
}


@pytest.mark.parametrize("name", REPAIRED)
async def test_damage_is_found_and_repaired(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection, name: str
) -> None:
    damage, kinds = REPAIRED[name]
    pairs = await a_box_of_messages(owner, bucket)
    await damage(inspector, bucket, *pairs[0])
    found = (await verified(owner, bucket)).found
    assert set(found) == kinds
    repaired = await verified(owner, bucket, repair=True)
    assert (kinds.issuperset(repaired.found), repaired.remaining) == (True, 0)
    assert (await verified(owner, bucket)).found == {}
    assert await keys_in(bucket) == sorted(key for _, key in pairs)


async def test_an_upload_in_progress_is_no_orphan(owner: Database, bucket: AudioStore) -> None:
    [(place, _), *_] = await a_box_of_messages(owner, bucket)
    await put(bucket, key_of(place))
    findings = await verified(owner, bucket, days=0, repair=True)
    assert (findings.found, findings.checked["recent_objects"]) == ({}, 1)


async def test_only_the_account_is_verified(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection
) -> None:
    places = []
    for _ in range(3):
        [(place, key), *_] = await a_box_of_messages(owner, bucket)
        places.append(place)
        await bucket.delete(key)
        await put(bucket, key_of(place))
    await inspector.execute("UPDATE vmbox_counts SET new_count = 7")
    box = Box(places[1].account_id, places[1].vmbox_id)
    findings = await verified(owner, bucket, account=box, repair=True)
    assert findings.found == {Kind.AUDIO_MISSING: 1, Kind.ORPHAN: 1, Kind.COUNTS_DIFFER: 1}
    assert findings.checked["rows"] == 4
    everything = await verified(owner, bucket)
    assert everything.found == {Kind.AUDIO_MISSING: 3, Kind.ORPHAN: 2, Kind.COUNTS_DIFFER: 2}


async def test_a_sample_reads_that_number_of_recordings(
    owner: Database, bucket: AudioStore
) -> None:
    pairs = await a_box_of_messages(owner, bucket)
    for _, key in pairs:
        await put_bytes(bucket, key, CONTENT[::-1], "audio/mpeg")
    for size, read in ((0, 0), (3, 3), (100, 4)):
        findings = await verified(owner, bucket, sample=size)
        assert findings.checked["audio"] == findings.found[Kind.CONTENT_DIFFERS] == read


@pytest.mark.long
async def test_messages_that_come_and_go_during_the_run_cause_no_finding(
    owner: Database, bucket: AudioStore
) -> None:
    stop = asyncio.Event()
    account = await an_account_row(owner)
    async with owner.connection() as connection:
        box = await a_vmbox(connection, account.account_id)

    async def use() -> None:
        """Stores, replaces and purges as the service does."""
        while not stop.is_set():
            async with owner.connection() as connection:
                for place, _ in [await kept(connection, bucket, box) for _ in range(3)]:
                    await rows.remove_message(connection, place, reason="api")
            purge = Purge(owner, bucket, in_days(8), grace=timedelta(days=7))
            await purge.run(StepProgress())

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(use())
        for _ in range(8):
            findings = await verified(owner, bucket, days=0, batch=5)
            assert findings.details == []
        stop.set()


async def by_hand(
    service: RunningService, *arguments: str, interrupt: bool = False
) -> tuple[int, str, str]:
    """Runs `aftertone verify`. Returns exit code, output and log."""

    async def send_signal(pid: int) -> None:
        # The lock below holds it at its first statement.
        await wait_until(lambda: is_waiting(service))
        os.kill(pid, signal.SIGINT)

    started = send_signal if interrupt else None
    finished = await run_command(service.environment, "verify", *arguments, started=started)
    return finished.code, finished.stdout, finished.stderr


async def is_waiting(service: RunningService) -> bool:
    connection = await asyncpg.connect(service.environment["AFTERTONE_OWNER_DATABASE_URL"])
    try:
        return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    finally:
        await connection.close()


@pytest.mark.long
async def test_the_command_writes_a_report_and_ends_with_its_exit_code(
    service: RunningService, tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    client = await service.an_account()
    vmbox_id = await client.a_vmbox()
    await client.leave(vmbox_id)
    arguments = ("--account", client.realm, "--report", str(file))

    async def report(code: int, *more: str, **options: bool) -> Any:
        ended, _, logged = await by_hand(service, *arguments, *more, **options)
        # A repair writes a warning with the counts.
        assert (ended, logged.count("\n")) == (code, "--repair" in more)
        return msgspec.json.decode(file.read_bytes())

    connection = await asyncpg.connect(service.environment["AFTERTONE_OWNER_DATABASE_URL"])
    clean = await report(0, "--all")
    assert (clean["version"], clean["complete"], clean["checked"]["audio"]) == (1, True, 1)
    await connection.execute("UPDATE vmbox_counts SET new_count = 5 WHERE vmbox_id = $1", vmbox_id)
    found = await report(3)
    assert found["not_repaired"] == {"counts_differ": 1}
    assert found["details"] == [
        {"kind": "counts_differ", "account_id": client.account_id, "vmbox_id": vmbox_id}
    ]
    async with connection.transaction():
        await connection.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        assert (await report(130, interrupt=True))["complete"] is False
    repaired = await report(0, "--repair")
    assert repaired["repaired"] == {"counts_differ": 1}
    assert repaired["details"][0]["expected"] == [1, 0, 0]
    await connection.close()
    await client.http.aclose()
