"""Boxes and messages for tests over Postgres, concurrent clients, and an audit of a box."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec

from service.domain.account import AccountFacts
from service.domain.events import EventType, VmboxEvent, decode_data
from service.domain.media import MediaFacts, Waveform
from service.domain.message import Audio, CallerId, Folder, MessageId, retained_since
from service.domain.vmbox import split_pin, validate_settings
from service.postgres import messages as rows
from service.postgres.messages import Draft, MessageKey
from service.postgres.pool import Connection, Database
from service.postgres.vmboxes import insert_vmbox
from tests.support.log_scan import CONFIDENTIAL

NOW = datetime.now(UTC).replace(microsecond=0)
RETAINED_SINCE = retained_since(NOW, 30)
EXPIRED = RETAINED_SINCE - timedelta(seconds=1)
CLIENTS = 16
SOME_FACTS = MediaFacts(
    duration_ms=1234,
    codec="gsm_ms",
    sample_rate=8000,
    channels=1,
    silence_ratio=0.25,
    peak_dbfs=-3.1,
    loudness_lufs=-19.4,
)
SOME_WAVEFORM = Waveform(duration_ms=1234, peaks=bytes((0x80, 0x7F)) * 8)

Work = Callable[[Connection, random.Random], Awaitable[None]]

_RECOUNT = """
SELECT
    count(*) FILTER (WHERE folder = 'new' AND complete AND retained) AS new_count,
    count(*) FILTER (WHERE folder = 'saved' AND complete AND retained) AS saved_count,
    count(*) FILTER (WHERE NOT complete) AS pending_count,
    count(*) FILTER (WHERE counted <> (complete AND retained)) AS wrongly_counted,
    coalesce(sum(audio_size), 0)::bigint AS stored_bytes
FROM (
    SELECT folder, counted, audio_size, audio_key IS NOT NULL AS complete,
        received_at >= $3 AS retained
    FROM messages
    WHERE account_id = $1 AND vmbox_id = $2 AND removed_at IS NULL
)
"""


STORED_BYTES = """
SELECT
    (SELECT coalesce(sum(bytes), 0) FROM account_bytes WHERE account_id = $1) AS total,
    (SELECT coalesce(sum(stored_bytes), 0) FROM vmbox_counts WHERE account_id = $1)
        + (SELECT coalesce(sum(audio_size), 0) FROM media WHERE account_id = $1) AS counted
"""


class Box(msgspec.Struct, frozen=True):
    """Key of a box."""

    account_id: UUID
    vmbox_id: UUID

    def place(self, message_id: MessageId) -> MessageKey:
        return MessageKey(self.account_id, self.vmbox_id, message_id)


class CountsRow(msgspec.Struct, frozen=True, kw_only=True):
    """The counts row of a box."""

    new_count: int
    saved_count: int
    pending_count: int
    stored_bytes: int
    sequence: int
    deleted: bool


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event in the outbox."""

    sequence: int
    seq: int
    type: str
    data: dict[str, Any]

    @property
    def counts(self) -> tuple[int, int]:
        return self.data["counts"]["new"], self.data["counts"]["saved"]


def an_account(**changes: Any) -> AccountFacts:
    """Facts of an account without a row: boxes and messages have no reference to accounts."""
    facts = AccountFacts(
        account_id=uuid4(),
        parent_id=uuid4(),
        ancestors=(),
        name="account",
        realm="example.com",
        max_message_count=None,
        wire_profile=None,
        auth_epoch=1,
        revision=1,
    )
    return msgspec.structs.replace(facts, **changes)


async def an_account_row(database: Database) -> AccountFacts:
    """Inserts an account that is its own parent, since only the root has none."""
    account_id = uuid4()
    async with database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO accounts (
                account_id, parent_id, ancestors, name, realm, document, api_key_lookup,
                api_key_sealed
            )
            VALUES ($1, $1, '{}', $2, $2, '{}', $3, '')
            """,
            account_id,
            account_id.hex,
            account_id.bytes,
        )
    return an_account(account_id=account_id)


async def a_vmbox(connection: Connection, account_id: UUID | None = None, **settings: Any) -> Box:
    """Creates a box as the service does; its `vmbox.created` is event 1."""
    box = Box(account_id or uuid4(), uuid4())
    parameters = {"name": "Box", "mailbox": str(uuid4().int)[:12], **settings}
    # Text of an earlier release may have another format.
    document, _ = split_pin(validate_settings(parameters, before=parameters))
    await insert_vmbox(connection, box.account_id, box.vmbox_id, document, None)
    return box


def some_audio(**changes: Any) -> Audio:
    """Audio without an object in the bucket."""
    audio = Audio(
        key=f"audio/{uuid4().hex}.mp3", content_type="audio/mpeg", size=5, sha256=os.urandom(32)
    )
    return msgspec.structs.replace(audio, **changes)


def a_draft(**changes: Any) -> Draft:
    """Draft of a message with audio, received now; `received_at` decides month and `retained`."""
    received_at = changes.get("received_at", NOW)
    draft = Draft(
        id=MessageId.generate(received_at, NOW),
        folder=Folder.NEW,
        received_at=received_at,
        length_ms=4_200,
        caller_id=CallerId("1001", "Ann"),
        call_id="call-1",
        from_uri="1001@example.com",
        to_uri=None,
        realm="example.com",
        audio=some_audio(),
        retained=received_at >= RETAINED_SINCE,
    )
    changed = msgspec.structs.replace(draft, **changes)
    CONFIDENTIAL.remember("caller_id_name", changed.caller_id.name)
    CONFIDENTIAL.remember("caller_id_number", changed.caller_id.number)
    return changed


async def stored(
    connection: Connection, box: Box, *, max_message_count: int | None = None, **changes: Any
) -> MessageKey:
    """Stores a draft; returns the key of the message."""
    message = await rows.insert_message(
        connection,
        box.account_id,
        box.vmbox_id,
        a_draft(**changes),
        max_message_count=max_message_count,
    )
    return box.place(message.id)


async def all_at_once(database: Database, work: Work, clients: int = CLIENTS) -> None:
    """Runs `work` by many clients at once, each with its own connection."""
    ready = asyncio.Barrier(clients)

    async def client(number: int) -> None:
        async with database.connection() as connection:
            await ready.wait()
            await work(connection, random.Random(number))

    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(client(number))


async def counts_of(connection: Connection, box: Box) -> CountsRow:
    row = await connection.fetchrow(
        """
        SELECT new_count, saved_count, pending_count, stored_bytes, sequence,
            deleted_at IS NOT NULL AS deleted
        FROM vmbox_counts WHERE account_id = $1 AND vmbox_id = $2
        """,
        box.account_id,
        box.vmbox_id,
    )
    assert row is not None
    return CountsRow(**dict(row))


async def events_of(connection: Connection, box: Box) -> list[Recorded]:
    """Returns the events of a box in the order in which the relay reads them."""
    result = await connection.fetch(
        """
        SELECT sequence, seq, type, data::text AS data
        FROM outbox WHERE account_id = $1 AND vmbox_id = $2 ORDER BY seq
        """,
        box.account_id,
        box.vmbox_id,
    )
    return [Recorded(**{**row, "data": msgspec.json.decode(row["data"])}) for row in result]


async def last_event(connection: Connection, box: Box) -> Recorded:
    return (await events_of(connection, box))[-1]


async def audit(connection: Connection, box: Box) -> list[Recorded]:
    """Checks that counts equal a recount and that events have no gap and carry the counts.

    Returns the events. For boxes into which no message past retention was stored.
    """
    events, counts = await events_of(connection, box), await counts_of(connection, box)
    assert [event.sequence for event in events] == list(range(1, counts.sequence + 1))
    for event in events:
        _assert_shape(event, box)
    _assert_counts_follow(events)
    _assert_settings_follow(events)
    recounted = await connection.fetchrow(_RECOUNT, box.account_id, box.vmbox_id, RETAINED_SINCE)
    assert recounted is not None
    if counts.deleted:
        assert (counts.new_count, counts.saved_count, counts.pending_count) == (0, 0, 0)
        assert counts.stored_bytes == 0
    else:
        assert recounted["wrongly_counted"] == 0
        for name in ("new_count", "saved_count", "pending_count", "stored_bytes"):
            assert getattr(counts, name) == recounted[name], name
    assert events[-1].counts == (counts.new_count, counts.saved_count)
    stored_bytes = await connection.fetchrow(STORED_BYTES, box.account_id)
    assert stored_bytes is not None
    assert stored_bytes["total"] == stored_bytes["counted"]
    return events


def _assert_shape(event: Recorded, box: Box) -> None:
    data = decode_data(EventType(event.type), msgspec.json.encode(event.data))
    assert isinstance(data, VmboxEvent)
    assert (data.account_id, data.vmbox_id) == (box.account_id.hex, box.vmbox_id.hex)
    assert (data.epoch, data.sequence) == (1, event.sequence)


def _assert_counts_follow(events: Sequence[Recorded]) -> None:
    """Replays the events: each carries the counts after it."""
    folders: dict[str, str] = {}
    deleted: dict[str, str] = {}
    for event in events:
        if event.type == "vmbox.deleted":
            deleted = dict(folders)
        elif event.type == "vmbox.restored":
            folders.update(deleted)
        _replay(event, folders)
        lying = list(folders.values())
        assert event.counts == (lying.count("new"), lying.count("saved")), event.sequence


def _assert_settings_follow(events: Sequence[Recorded]) -> None:
    """Checks that each event carries the mailbox number of the box at that time."""
    mailbox = None
    for event in events:
        if event.type in ("vmbox.created", "vmbox.updated"):
            mailbox = event.data["vmbox"]["mailbox"]
        assert event.data["mailbox"] == mailbox, event.sequence


def _replay(event: Recorded, folders: dict[str, str]) -> None:
    message: Mapping[str, Any] = event.data.get("message", {})
    match event.type:
        case "message.new":
            assert message["media_id"] not in folders
            folders[message["media_id"]] = message["folder"]
        case "message.folder_changed":
            assert folders[message["media_id"]] == event.data["from"] != event.data["to"]
            folders[message["media_id"]] = event.data["to"]
        case "message.removed":
            assert folders.pop(message["media_id"]) == message["folder"]
        case "message.restored":
            assert message["media_id"] not in folders
            folders[message["media_id"]] = message["folder"]
        case (
            "message.audio_replaced"
            | "message.transcription_requested"
            | "message.transcribed"
            | "message.measured"
        ):
            assert folders[message["media_id"]] == message["folder"]
        case "vmbox.deleted":
            lying = list(folders.values())
            assert event.data["messages_removed"] == lying.count("new") + lying.count("saved")
            folders.clear()
