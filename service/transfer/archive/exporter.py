"""Exporter: writes an account and all accounts below it to an archive."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol
from uuid import UUID

import msgspec

from service.audio.spool import Spool
from service.audio.store import AudioStore
from service.domain.account import Account
from service.domain.audio_errors import AudioMissing
from service.domain.message import Audio
from service.postgres import exports as rows
from service.postgres.exports import AccountPosition
from service.postgres.pool import Database
from service.transfer.archive.destination import Destination, ExportFailed
from service.transfer.archive.format import (
    HEAD,
    MANIFEST,
    SECTIONS,
    ArchivedGreeting,
    ArchivedMessage,
    ArchivedRow,
    ArchiveHead,
    ArchiveManifest,
    ArchiveSection,
    lines_member,
)
from service.transfer.archive.records import CHUNK, RecordReader
from service.transfer.archive.writer import ArchiveWriter
from service.transfer.writing import retry_unavailable

_FIRST = AccountPosition(-1, UUID(int=0))
_AHEAD = 8
_MISSING = "missing_audio"


class ExportObserver(Protocol):
    """Receives the progress of an export."""

    def set_total(self, total: int) -> None:
        """Receives the expected number of messages."""

    def advance(self, count: int) -> None:
        """Receives a number of exported messages."""

    def report_missing(self, name: str) -> None:
        """Receives the name of audio that is not in the bucket, or is damaged."""


class ExportState(msgspec.Struct, kw_only=True):
    """Position of an export, stored at each checkpoint.

    The next chunk has the rows of `section` of the account after `account` up to `row`; `members`
    are the SHA-256s of the members with JSON lines.
    """

    account_id: UUID
    messages: int
    section: int = 0
    account: AccountPosition = _FIRST
    row: str = ""
    number: int = 1
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    members: dict[str, str] = msgspec.field(default_factory=dict)


class _ArchiveChunk(msgspec.Struct):
    """Rows of one member, their audio, and the state after them."""

    rows: list[ArchivedRow]
    audio: list[Audio | None]


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """Exports one account. Its memory is bounded: it keeps one chunk of rows and eight spools."""

    database: Database
    audio: AudioStore
    reader: RecordReader
    clock: Callable[[], datetime]
    observer: ExportObserver
    chunk: int = CHUNK

    async def run(self, account_id: UUID, destination: Destination) -> ArchiveManifest:
        """Writes the archive, or its rest after an interruption. Returns its manifest.

        Raises ExportFailed when the destination has an archive of another account, AccountNotFound,
        Unavailable.
        """
        writer = ArchiveWriter(destination)
        state = await self._start(account_id, destination, writer)
        self.observer.set_total(state.messages)
        self.observer.advance(state.counts.get(ArchiveSection.MESSAGES, 0))
        while state.section < len(SECTIONS):
            await self._write_chunk(state, writer)
            await writer.checkpoint(state)
        manifest = ArchiveManifest(
            created_at=self.clock().replace(microsecond=0),
            account_id=account_id.hex,
            counts={**dict.fromkeys([*SECTIONS, _MISSING], 0), **state.counts},
            members=state.members,
        )
        await writer.add(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        await writer.finish()
        return manifest

    async def _start(
        self, account_id: UUID, destination: Destination, writer: ArchiveWriter
    ) -> ExportState:
        """Returns the state of the last checkpoint, or writes the head."""
        if destination.state is not None:
            state = msgspec.json.decode(destination.state, type=ExportState)
            if state.account_id != account_id:
                raise ExportFailed("The unfinished archive is of another account; delete it.")
            return state
        messages = await self.reader.count_messages(account_id)
        state = ExportState(account_id=account_id, messages=messages)
        head = ArchiveHead(account_id=account_id.hex, messages=messages)
        await writer.add(HEAD, msgspec.json.format(msgspec.json.encode(head)) + b"\n")
        await writer.checkpoint(state)
        return state

    async def _write_chunk(self, state: ExportState, writer: ArchiveWriter) -> None:
        """Writes the next chunk of the section. The new state points after it."""
        section = SECTIONS[state.section]
        chunk = await self._read_chunk(section, state)
        if chunk.rows:
            name = lines_member(section, state.number)
            lines = b"".join(msgspec.json.encode(row, order="sorted") + b"\n" for row in chunk.rows)
            state.members[name] = hashlib.sha256(lines).hexdigest()
            state.counts[section] = state.counts.get(section, 0) + len(chunk.rows)
            state.number += 1
            await writer.add(name, lines)
            await self._write_audio(chunk, state, writer)
            if section is ArchiveSection.MESSAGES:
                self.observer.advance(len(chunk.rows))
        if len(chunk.rows) < self.chunk:
            state.section, state.account, state.row, state.number = state.section + 1, _FIRST, "", 1

    async def _read_chunk(self, section: ArchiveSection, state: ExportState) -> _ArchiveChunk:
        """Reads up to `chunk` rows, of one account after the other."""
        chunk = _ArchiveChunk([], [])
        while len(chunk.rows) < self.chunk:
            account = await self._account_after(state)
            if account is None:
                break
            room = self.chunk - len(chunk.rows)
            read = partial(self.reader.read, section, account, state.account_id, state.row, room)
            page = await retry_unavailable(read)
            chunk.rows += [row for row, _ in page]
            chunk.audio += [audio for _, audio in page]
            if len(page) < room:
                state.account = _position_of(account)
                state.row = ""
            else:
                state.row = page[-1][0].id
        return chunk

    async def _account_after(self, state: ExportState) -> Account | None:
        async def read() -> list[Account]:
            async with self.database.connection() as connection:
                return await rows.export_accounts(connection, state.account_id, state.account, 1)

        accounts = await retry_unavailable(read)
        return accounts[0] if accounts else None

    async def _write_audio(
        self, chunk: _ArchiveChunk, state: ExportState, writer: ArchiveWriter
    ) -> None:
        """Writes the audio of the rows in their order; reads a few objects ahead."""
        async for row, spool in self._read_audio(chunk):
            assert isinstance(row, ArchivedMessage | ArchivedGreeting)
            assert row.audio is not None
            if spool is None or spool.size != row.audio.size:
                state.counts[_MISSING] = state.counts.get(_MISSING, 0) + 1
                self.observer.report_missing(row.audio.name)
            else:
                await _add_audio(writer, row.audio.name, spool)
            if spool is not None:
                spool.close()

    async def _read_audio(
        self, chunk: _ArchiveChunk
    ) -> AsyncIterator[tuple[ArchivedRow, Spool | None]]:
        pending: deque[tuple[ArchivedRow, asyncio.Task[Spool | None]]] = deque()
        remaining = [(row, audio) for row, audio in zip(chunk.rows, chunk.audio, strict=True)]
        try:
            for row, audio in remaining:
                if audio is not None:
                    pending.append((row, asyncio.create_task(self._spool(audio))))
                if len(pending) > _AHEAD:
                    yield await _next(pending)
            while pending:
                yield await _next(pending)
        finally:
            for _, task in pending:
                task.cancel()
            await asyncio.gather(*(task for _, task in pending), return_exceptions=True)

    async def _spool(self, audio: Audio) -> Spool | None:
        """Returns the audio, or None if the object is missing or has another size."""
        return await retry_unavailable(lambda: self._read_object(audio))

    async def _read_object(self, audio: Audio) -> Spool | None:
        spool = Spool(audio.size)
        try:
            async with self.audio.read(audio.key, 0, audio.size) as blocks:
                async for block in blocks:
                    await spool.write(block)
        except AudioMissing:
            spool.close()
            return None
        except BaseException:
            spool.close()
            raise
        return spool


async def _add_audio(writer: ArchiveWriter, name: str, spool: Spool) -> None:
    body = spool.body()
    if isinstance(body, bytes):
        await writer.add(name, body)
    else:
        await writer.add_stream(name, spool.size, body)


async def _next(
    pending: deque[tuple[ArchivedRow, asyncio.Task[Spool | None]]],
) -> tuple[ArchivedRow, Spool | None]:
    row, task = pending.popleft()
    return row, await task


def _position_of(account: Account) -> AccountPosition:
    return AccountPosition(len(account.ancestors), account.account_id)
