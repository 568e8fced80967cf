"""Audit after failures: what HTTP, Postgres, the bucket and the stream must agree on."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from service.audio.s3_session import BucketSettings
from service.audio.store import AudioStore
from service.bus import StreamSettings
from service.domain.events import SUBJECT_PREFIX
from service.postgres.pool import Database
from service.workers.keeper import StepProgress
from service.workers.keeper.orphans import Orphans
from tests.support.ledger import Ledger
from tests.support.relay import Received, all_sent, everything_in
from tests.support.running import AccountClient

# Boxes whose counts and bytes are not what their messages say. All messages are within retention.
_DRIFT = """
SELECT c.vmbox_id, c.new_count, c.saved_count, c.pending_count, c.stored_bytes, r.*
FROM vmbox_counts AS c
LEFT JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE folder = 'new' AND audio_key IS NOT NULL) AS lie_new,
        count(*) FILTER (WHERE folder = 'saved' AND audio_key IS NOT NULL) AS lie_saved,
        count(*) FILTER (WHERE audio_key IS NULL) AS lie_pending,
        coalesce(sum(audio_size), 0)::bigint AS lie_bytes,
        count(*) FILTER (WHERE counted <> (audio_key IS NOT NULL)) AS wrongly_counted
    FROM messages AS m
    WHERE m.account_id = c.account_id AND m.vmbox_id = c.vmbox_id AND m.removed_at IS NULL
) AS r ON true
WHERE c.deleted_at IS NULL AND (
    (c.new_count, c.saved_count, c.pending_count, c.stored_bytes)
        IS DISTINCT FROM (lie_new, lie_saved, lie_pending, lie_bytes)
    OR wrongly_counted > 0
)
"""

# Boxes whose events are not numbered 1..n, n being what the box itself says.
_GAPS = """
SELECT c.vmbox_id, c.sequence, e.*
FROM vmbox_counts AS c
LEFT JOIN LATERAL (
    SELECT count(*) AS events, min(o.sequence) AS first, max(o.sequence) AS last
    FROM outbox AS o WHERE o.account_id = c.account_id AND o.vmbox_id = c.vmbox_id
) AS e ON true
WHERE c.sequence > 0 AND (e.events, e.first, e.last) IS DISTINCT FROM (c.sequence, 1, c.sequence)
"""

_OBJECTS = "SELECT audio_key, audio_size FROM messages WHERE audio_key IS NOT NULL"
_EVENTS = "SELECT event_id FROM outbox WHERE $1 IN ('*', hex(account_id))"


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of an audit that found no fault."""

    listed: int
    acknowledged: int
    objects: int
    orphans_swept: int
    events: int
    resent: int


class Auditor:
    """Reads the servers of one deployment directly, without the proxies."""

    def __init__(self, environment: Mapping[str, str], store: AudioStore) -> None:
        self._database_url = environment["AFTERTONE_OWNER_DATABASE_URL"]
        self._nats_url = environment["AFTERTONE_NATS_URL"]
        self._store = store

    @classmethod
    @asynccontextmanager
    async def open(cls, environment: Mapping[str, str]) -> "AsyncIterator[Auditor]":
        """Opens the bucket with the credentials of `environment`."""
        with pytest.MonkeyPatch.context() as process:
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                process.setenv(name, environment[name])
            opening = AudioStore.open(
                BucketSettings(
                    endpoint=environment["AFTERTONE_S3_ENDPOINT"],
                    bucket=environment["AFTERTONE_S3_BUCKET"],
                    region=environment["AFTERTONE_S3_REGION"],
                    addressing_style="path",
                    pool_size=4,
                    connect_timeout_s=2,
                    timeout_s=20,
                )
            )
            store = await opening.__aenter__()
        try:
            yield cls(environment, store)
        finally:
            await opening.__aexit__(None, None, None)

    async def check(
        self, account: AccountClient, ledger: Ledger, *, all_accounts: bool = False
    ) -> Findings:
        """Checks everything after an orphan sweep, once every event is published.

        Needs a deployment at rest: the sweep removes uploads in progress. Reads only the account's
        part of the stream unless `all_accounts`.
        """
        whose = "*" if all_accounts else account.account_id
        swept = await self._sweep()
        listed = await check_messages(account, ledger)
        connection = await asyncpg.connect(self._database_url)
        try:
            await all_sent(connection)
            await _check_counts(connection)
            objects = await self._check_objects(connection)
            events = [str(row["event_id"]) for row in await connection.fetch(_EVENTS, whose)]
        finally:
            await connection.close()
        prefix = SUBJECT_PREFIX if all_accounts else f"{SUBJECT_PREFIX}.{whose}"
        received = await everything_in(self._nats_url, StreamSettings(subject_prefix=prefix))
        _check_stream(events, received)
        return Findings(
            listed=listed,
            acknowledged=ledger.acknowledged,
            objects=objects,
            orphans_swept=swept,
            events=len(events),
            resent=len(received) - len(events),
        )

    async def _sweep(self) -> int:
        """Removes objects without a row, as the keeper does after a day."""
        async with Database.open(
            self._database_url, size=2, timeout_s=20, name="audit"
        ) as database:
            orphans = Orphans(database, self._store, _tomorrow, timedelta(hours=23))
            return (await orphans.run(StepProgress()))["orphans_deleted"]

    async def _check_objects(self, connection: asyncpg.Connection) -> int:
        rows = await connection.fetch(_OBJECTS)
        expected = {row["audio_key"]: row["audio_size"] for row in rows}
        stored = {item.key: item.size async for item in self._store.list("audio/")}
        assert len(expected) == len(rows), "two rows share an object"
        missing = {key: size for key, size in expected.items() if stored.get(key) != size}
        assert missing == {}, "rows without their object"
        assert stored.keys() - expected.keys() == set(), "objects without a row"
        return len(stored)


async def check_messages(account: AccountClient, ledger: Ledger) -> int:
    """Checks that each acknowledged message is listed once with its audio; returns the count."""
    rows = [(vmbox, row) for vmbox in ledger.vmboxes for row in await _listed(account, vmbox)]
    ids = [row["media_id"] for _, row in rows]
    assert len(set(ids)) == len(ids), "an id is listed twice"
    result = Counter(row["caller_id_name"] for _, row in rows)
    assert result.keys() <= ledger.entries.keys(), "messages that no client stored"
    for marker, entry in ledger.entries.items():
        assert entry.least <= result[marker] <= entry.most, entry
    places = {(vmbox, row["media_id"]): row["caller_id_name"] for vmbox, row in rows}
    for entry in ledger.entries.values():
        if entry.media_id:
            assert places.get((entry.vmbox_id, entry.media_id)) == entry.marker, entry
    await _check_audio(account, ledger, places)
    return len(rows)


async def _listed(account: AccountClient, vmbox_id: str) -> list[dict[str, Any]]:
    return await account.listed(vmbox_id, paginate="false")


async def _check_audio(
    account: AccountClient, ledger: Ledger, places: dict[tuple[str, str], str]
) -> None:
    free = asyncio.Semaphore(8)

    async def check(vmbox_id: str, media_id: str, marker: str) -> None:
        async with free:
            path = account.path("vmboxes", vmbox_id, "messages", media_id, "raw")
            response = await account.http.get(path)
            assert response.status_code == 200, response.text
            assert response.content == ledger.entries[marker].audio, f"other bytes: {media_id}"

    await asyncio.gather(*(check(*place, marker) for place, marker in places.items()))


async def _check_counts(connection: asyncpg.Connection) -> None:
    assert [dict(row) for row in await connection.fetch(_DRIFT)] == [], "counts and messages"
    assert [dict(row) for row in await connection.fetch(_GAPS)] == [], "sequences and events"


def _check_stream(events: Sequence[str], received: Sequence[Received]) -> None:
    """Checks that every event is in the stream, in the order of its box's sequence."""
    ids = {request.id for request in received}
    assert set(events) - ids == set(), "events that are not in the stream"
    assert ids - set(events) == set(), "events without an outbox row"
    expected: Counter[str] = Counter()
    record: set[str] = set()
    for request in received:
        assert request.headers["ce-id"] == request.id
        if request.id not in record:
            record.add(request.id)
            expected[request.vmbox_id] += 1
            assert request.sequence == expected[request.vmbox_id], (
                request.vmbox_id,
                request.sequence,
            )


def _tomorrow() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)
