"""Imports from Asterisk, FusionPBX and FreeSWITCH: what the service has afterwards."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from service.audio.store import AudioStore
from service.domain.message import Folder
from service.postgres.pool import Database
from service.transfer.asterisk.source import AsteriskSource
from service.transfer.freeswitch.audio import StorageFolder
from service.transfer.freeswitch.freeswitch_source import FreeSwitchSource
from service.transfer.freeswitch.fusionpbx_source import FusionPbxSource
from service.transfer.freeswitch.tables import Tables
from service.transfer.report import ImportResult, RecordKind
from service.transfer.source import Source
from tests.support.accounts import a_key_ring, a_root, accounts_over
from tests.support.asterisk_spool import REALM, generate_spool, renumber
from tests.support.imports import run_import
from tests.support.source_content import ImportedMessage
from tests.support.switch_databases import generate_freeswitch, generate_fusionpbx, write_sqlite

COUNT = 24
_MESSAGES = """
SELECT a.realm || '/' || (v.document::jsonb ->> 'mailbox') AS box, m.*
FROM messages m
JOIN vmboxes v USING (account_id, vmbox_id)
JOIN accounts a USING (account_id)
"""
_LAMPS = "SELECT sum(new_count) AS new, sum(saved_count) AS saved FROM vmbox_counts"


def _asterisk(folder: Path) -> tuple[Source, list[ImportedMessage], set[str]]:
    spool = generate_spool(folder, COUNT)
    return AsteriskSource(spool.root, spool.conf, REALM), spool.messages, spool.skipped


def _fusionpbx(folder: Path) -> tuple[Source, list[ImportedMessage], set[str]]:
    switch = generate_fusionpbx(folder, COUNT)
    write_sqlite(switch, folder / "fusionpbx.db")
    source = FusionPbxSource(Tables(str(folder / "fusionpbx.db")), StorageFolder(switch.folder))
    return source, switch.messages, set(switch.skipped)


def _freeswitch(folder: Path) -> tuple[Source, list[ImportedMessage], set[str]]:
    switch = generate_freeswitch(folder, COUNT)
    write_sqlite(switch, folder / "freeswitch.db")
    source = FreeSwitchSource(Tables(str(folder / "freeswitch.db")), StorageFolder(switch.folder))
    return source, switch.messages, set(switch.skipped)


def _line(message: ImportedMessage) -> tuple[object, ...]:
    """Returns the stored form of an expected message. An unknown caller is anonymous."""
    return (
        message.box,
        message.received_at,
        message.number or "anonymous",
        message.name or "anonymous",
        message.folder,
        hashlib.sha256(message.audio).digest(),
        message.length_s,
    )


async def _stored(
    inspector: asyncpg.Connection, expected: list[ImportedMessage]
) -> list[tuple[object, ...]]:
    """Returns the stored messages. A length that the source does not have is measured."""
    unknown = {(each.box, each.received_at) for each in expected if each.length_s is None}
    lines = []
    for row in await inspector.fetch(_MESSAGES):
        received_at = int(row["received_at"].timestamp())
        measured = (row["box"], received_at) in unknown
        assert row["length_ms"] > 0
        lines.append(
            (
                row["box"],
                received_at,
                row["caller_id_number"],
                row["caller_id_name"],
                Folder(row["folder"]),
                row["audio_sha256"],
                None if measured else row["length_ms"] // 1000,
            )
        )
    return sorted(lines, key=lambda line: line[:2])


@pytest.mark.parametrize("prepare", [_asterisk, _fusionpbx, _freeswitch])
async def test_everything_is_imported_once_with_its_properties(
    prepare: Callable[[Path], tuple[Source, list[ImportedMessage], set[str]]],
    database: Database,
    store: AudioStore,
    inspector: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    source, expected, skipped = prepare(tmp_path)
    accounts = accounts_over(database, a_key_ring())
    root = await a_root(accounts)

    counts, observer = await run_import(source, accounts, root, store)

    assert await _stored(inspector, expected) == [_line(message) for message in expected]
    assert counts[RecordKind.MESSAGE, ImportResult.NEW] == COUNT
    assert set(observer.reasons) >= skipped
    lamps = await inspector.fetchrow(_LAMPS)
    assert lamps is not None
    assert lamps["new"] == sum(each.folder is Folder.NEW for each in expected)
    assert lamps["saved"] == sum(each.folder is Folder.SAVED for each in expected)
    reasons = await inspector.fetch(
        "SELECT DISTINCT data -> 'origin' ->> 'reason' FROM outbox WHERE type = 'message.new'"
    )
    assert [row[0] for row in reasons] == ["imported"]

    again, _ = await run_import(source, accounts, root, store)
    await source.close()

    assert not any(result is ImportResult.NEW for _, result in again)
    assert await inspector.fetchval("SELECT count(*) FROM messages") == COUNT


@pytest.mark.long
async def test_contexts_in_one_account_do_not_share_a_box_and_moved_messages_are_known(
    database: Database, store: AudioStore, inspector: asyncpg.Connection, tmp_path: Path
) -> None:
    spool = generate_spool(tmp_path, COUNT)
    accounts = accounts_over(database, a_key_ring())
    root = await a_root(accounts)
    source = AsteriskSource(spool.root, spool.conf, REALM)

    _, observer = await run_import(source, accounts, root, store, into=root.account)

    # The context `sales` is first in the configuration.
    reason = "its number belongs to the box sales/100 in the same account"
    assert reason in observer.reasons.values()
    boxes = await inspector.fetch("SELECT document::jsonb ->> 'name' AS name FROM vmboxes")
    assert sorted(row["name"] for row in boxes) == [
        *("900", "Front desk", "Long PIN", "Müller & Sohn", "New User", "Sales"),
    ]
    stored = await inspector.fetchval("SELECT count(*) FROM messages")
    assert stored == sum(not each.box.endswith(f"default.{REALM}/100") for each in spool.messages)

    renumber(spool)
    counts, _ = await run_import(source, accounts, root, store, into=root.account)
    assert counts[RecordKind.MESSAGE, ImportResult.EXISTING] == stored
    assert not any(result is ImportResult.NEW for _, result in counts)
