"""Importer: writes a source through the use cases. A second run adds only what is missing.

The ids of records are derived from the source, and the audio of a message is written before its
row. So a run that is killed at any point leaves only complete records, and the next run continues.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import msgspec

from service.audio.conversion.files import store_file
from service.audio.conversion.pool import ConversionPool
from service.audio.keys import message_key
from service.audio.store import AudioStore
from service.domain.account import NO_QUOTAS, Quota, Quotas
from service.domain.audio_errors import ConversionUnavailable
from service.domain.errors import MonthNotAllowed, Refused, Unavailable, VoicemailError
from service.domain.forwarding import MAX_STEPS
from service.domain.message import (
    ANONYMOUS,
    FUTURE_ALLOWANCE,
    MAX_ADDRESS,
    MAX_CALLER_ID,
    CallerId,
    MessageId,
    uuid7,
)
from service.domain.rendition import RenditionFormat
from service.domain.transcription import storable_words
from service.postgres import imports as rows
from service.postgres.batches import filter_stored_ids
from service.postgres.messages import Draft
from service.postgres.pool import Connection, Database
from service.transfer.ids import message_id_of, utc_seconds
from service.transfer.report import ImportReport, ImportResult, RecordKind
from service.transfer.source import Skipped, Source, SourceError, SourceMessage
from service.transfer.structure import BoxTarget, ImportOptions, StructureWriter
from service.transfer.writing import retry_unavailable, spool_audio
from service.usecases.forward_audio import join_audio
from service.usecases.partitions import with_partitions
from service.usecases.uploads import (
    StoredUpload,
    Upload,
    delete_on_error,
    delete_orphan,
    store_upload,
)

_BATCH = 64
_JOINED = RenditionFormat.WAV
"""Format of a message with its introduction. It keeps the quality of a telephone line."""
_CONCURRENCY = 8


class _Item(msgspec.Struct, frozen=True):
    """Message to import, its target, and its id here."""

    message: SourceMessage
    target: BoxTarget
    id: MessageId

    @property
    def name(self) -> str:
        return self.message.name or f"{self.target.name}/{self.message.key}"


@dataclass(frozen=True, kw_only=True)
class Importer:
    """Imports one source. `months` is the connection that may create a partition of any month."""

    source: Source
    structure: StructureWriter
    options: ImportOptions
    report: ImportReport
    database: Database
    months: Database
    audio: AudioStore
    clock: Callable[[], datetime]
    max_upload_bytes: int
    quotas: Quotas = NO_QUOTAS
    conversion: ConversionPool | None = None
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CONCURRENCY))

    async def run(self) -> None:
        """Imports everything. Raises SourceFailed, Unavailable; a further run continues."""
        if (total := await self.source.count_messages()) is not None:
            self.report.observer.set_total(total)
        await self.structure.write()
        batch: list[_Item] = []
        async for item in self._items():
            batch.append(item)
            if len(batch) == _BATCH:
                await self._import_batch(batch)
                batch = []
        await self._import_batch(batch)

    async def _items(self) -> AsyncIterator[_Item]:
        """Yields the messages that have a target; reports the others."""
        latest = self.clock() + FUTURE_ALLOWANCE
        async for message in self.source.messages():
            if isinstance(message, Skipped):
                self._skip(message.name, message.reason)
                continue
            target = self.structure.box_targets.get(message.box_key)
            if target is None:
                name = message.name or f"{message.box_key}/{message.key}"
                self._skip(name, "its box was not imported")
                continue
            received_at = utc_seconds(message.received_at)
            message_id = message_id_of(self.source.name, message.key, received_at)
            item = _Item(message, target, message_id)
            if received_at > latest:
                self._skip(item.name, "its time is in the future")
            elif self.options.since is None or received_at >= self.options.since:
                yield item
            else:
                self.report.observer.advance(1)

    async def _import_batch(self, batch: Sequence[_Item]) -> None:
        stored = await retry_unavailable(lambda: self._stored_ids(batch))
        unique = {item.id: item for item in batch if item.id not in stored}
        now = self.clock()
        self.report.expired += sum(not _is_retained(item, now) for item in unique.values())
        self._count(ImportResult.EXISTING, len(batch) - len(unique))
        if self.options.dry_run:
            self._count(ImportResult.NEW, len(unique))
            return
        try:
            async with asyncio.TaskGroup() as group:
                for item in unique.values():
                    group.create_task(self._import_item(item))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _stored_ids(self, batch: Sequence[_Item]) -> set[MessageId]:
        """Returns the ids of the batch that are stored, removed or not."""

        def partition_of(item: _Item) -> tuple[bytes, int]:
            return item.target.account.account_id.bytes, item.id.month

        stored: set[MessageId] = set()
        async with self.database.connection() as connection:
            for _, group in itertools.groupby(sorted(batch, key=partition_of), partition_of):
                items = list(group)
                account_id = items[0].target.account.account_id
                ids = [item.id for item in items]
                stored |= await filter_stored_ids(connection, account_id, ids)
        return stored

    async def _import_item(self, item: _Item) -> None:
        async with self._slots:
            try:
                is_new = await retry_unavailable(lambda: self._store(item))
            except SourceError as error:
                self._skip(item.name, str(error))
            except Unavailable:
                raise
            except VoicemailError as error:
                self._skip(item.name, _reason_of(error))
            else:
                self._count(ImportResult.NEW if is_new else ImportResult.EXISTING, 1)

    async def _store(self, item: _Item) -> bool:
        """Stores the audio, then the row. Returns False when the message exists."""
        message, account = item.message, item.target.account
        now = self.clock()
        key_of = partial(message_key, item.id.month, account.account_id, item.id.id, uuid7(now))
        async with spool_audio(
            message.open, self.max_upload_bytes, message.content_type, message.filename
        ) as upload:
            stored = None
            if message.introduction is not None:
                stored = await self._store_with_introduction(item, upload, key_of)
            if stored is not None:
                # The length of the source is that of the message alone.
                message = msgspec.structs.replace(message, length_ms=None)
                item = msgspec.structs.replace(item, message=message)
            else:
                stored = await store_upload(self.audio, upload, key_of)
        async with delete_on_error(self.audio, stored.audio):
            is_new = await self._insert(item, stored, now)
        if not is_new:
            await delete_orphan(self.audio, stored.audio.key)
        return is_new

    async def _store_with_introduction(
        self, item: _Item, upload: Upload, key_of: Callable[[str], str]
    ) -> StoredUpload | None:
        """Stores the introduction and the message as one recording. Returns None if it cannot."""
        introduction = item.message.introduction
        if introduction is None:
            return None
        try:
            if self.conversion is None:
                raise ConversionUnavailable
            async with (
                spool_audio(
                    introduction, self.max_upload_bytes, None, item.message.introduction_filename
                ) as comment,
                join_audio(
                    self.conversion,
                    item.target.account.account_id,
                    self.audio,
                    [comment, upload],
                    [_JOINED],
                ) as joined,
            ):
                recording, key = joined[_JOINED], key_of(_JOINED.extension)
                audio = await store_file(self.audio, key, recording.file, _JOINED.content_type)
                return StoredUpload(audio, recording.length_ms)
        except (Refused, SourceError) as error:
            reason = _reason_of(error) if isinstance(error, Refused) else str(error)
            text = f"imported without its introduction: {reason}"
            self.report.add_incomplete(RecordKind.MESSAGE, item.name, text)
            return None

    async def _insert(self, item: _Item, stored: StoredUpload, now: datetime) -> bool:
        account, message = item.target.account, item.message
        draft = self._draft(item, stored, now)

        async def insert(connection: Connection) -> bool:
            return await rows.import_message(
                connection,
                account.account_id,
                item.target.vmbox_id,
                draft,
                transcription=message.transcription,
                words=storable_words(message.words) if message.transcription else (),
                forwarded=message.forwarded[-MAX_STEPS:],
                changed_at=message.changed_at,
                removed_at=message.removed_at,
                vmbox_deleted_at=item.target.deleted_at,
                max_stored_bytes=self.quotas.limit_of(account, Quota.STORED_BYTES),
            )

        return await with_partitions(self.database, item.id.month, now, insert, self.months)

    def _draft(self, item: _Item, stored: StoredUpload, now: datetime) -> Draft:
        message, realm = item.message, item.target.account.realm
        number = _fit(message.caller_id_number, MAX_CALLER_ID) or ANONYMOUS
        received_at = utc_seconds(message.received_at)
        return Draft(
            id=item.id,
            folder=message.folder,
            received_at=received_at,
            length_ms=message.length_ms or stored.length_ms,
            caller_id=CallerId(number, _fit(message.caller_id_name, MAX_CALLER_ID) or ANONYMOUS),
            call_id=_fit(message.call_id or "", MAX_ADDRESS) or item.id.id.hex[:24],
            from_uri=_address(message.from_uri or number, realm),
            to_uri=_address(message.to_uri, realm) if message.to_uri else None,
            realm=realm,
            audio=stored.audio,
            retained=_is_retained(item, now),
        )

    def _skip(self, name: str, reason: str) -> None:
        self.report.add_skipped(RecordKind.MESSAGE, Skipped(name, reason))
        self.report.observer.advance(1)

    def _count(self, result: ImportResult, count: int) -> None:
        self.report.counts[RecordKind.MESSAGE, result] += count
        self.report.observer.advance(count)


def _is_retained(item: _Item, now: datetime) -> bool:
    return item.message.received_at >= item.target.retention.retained_since(now)


def _fit(text: str, limit: int) -> str:
    """Returns text that the database can hold, cut to `limit` characters."""
    return text.encode(errors="replace").decode().replace("\0", "")[:limit]


def _address(address: str, realm: str) -> str:
    address = _fit(address, MAX_ADDRESS)
    return address if "@" in address else f"{address}@{realm}"


def _reason_of(error: VoicemailError) -> str:
    """Returns the text of an error without its advice for clients."""
    is_advice_for_client = isinstance(error, Refused) and not isinstance(error, MonthNotAllowed)
    return str(error).partition(";")[0] if is_advice_for_client else str(error)
