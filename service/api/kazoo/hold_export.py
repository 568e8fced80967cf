"""ZIP archive of the messages of a legal hold. It is built while it is sent."""

import hashlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO, Any
from zipfile import ZipFile

import msgspec

from service.api.dependencies import UseCases
from service.api.http.times import format_iso
from service.api.kazoo.pages import encode_cursor
from service.api.kazoo.wire.holds import hold_row, manifest_row
from service.api.kazoo.zip import ZipSink, zip_entry
from service.domain.account import AccountFacts
from service.domain.audio_errors import AudioMissing
from service.domain.audit import Action
from service.domain.clock import utc_now
from service.domain.hold import HeldCursor, HeldMessage, Hold
from service.domain.message import Audio

MAX_MESSAGES = 50_000
"""Messages of one archive: their entries stay in memory until its directory is written."""
_MANIFEST_BYTES_IN_MEMORY = 1024**2
_BLOCK = 64 * 1024


async def archive(
    account: AccountFacts, hold: Hold, start: HeldCursor | None, app: UseCases
) -> AsyncGenerator[bytes, None]:
    """Yields the archive block by block. Its last entry is `manifest.json`.

    A failure closes the connection, so that the client detects an incomplete archive.
    """
    sink, count, following = ZipSink(), 0, None
    now = utc_now()
    with (
        ZipFile(sink, "w") as target,
        SpooledTemporaryFile(_MANIFEST_BYTES_IN_MEMORY) as rows,
    ):
        async for held in app.holds.iterate_messages(account, hold.hold_id, start):
            if count == MAX_MESSAGES:
                following = HeldCursor(held.message.id.month, held.message.id.id)
                break
            file: dict[str, Any] = {}
            if (audio := held.message.audio) is not None:
                _record_reading(account, hold, held, app)
                async for block in _add_audio(target, sink, held, audio, app, file):
                    yield block
            rows.write(b",\n" if count else b"")
            rows.write(msgspec.json.encode(manifest_row(held, **file)))
            count += 1
        header = _header(hold, now, count, following)
        for block in _manifest(target, sink, rows, header, now):
            yield block
    yield sink.take()


def _record_reading(account: AccountFacts, hold: Hold, held: HeldMessage, app: UseCases) -> None:
    app.audit.queue.record(
        Action.AUDIO_READ,
        account.account_id,
        vmbox_id=held.message.vmbox_id,
        message_id=held.message.id,
        target=hold.hold_id.hex,
    )


async def _add_audio(
    target: ZipFile,
    sink: ZipSink,
    held: HeldMessage,
    audio: Audio,
    app: UseCases,
    file: dict[str, Any],
) -> AsyncGenerator[bytes, None]:
    """Adds an entry and yields its blocks. Fills `file` with the fields of the manifest.

    A missing object leaves no entry.
    """
    name, digest, size = f"audio/{held.message.id}.{audio.extension}", hashlib.sha256(), 0
    async with AsyncExitStack() as stack:
        try:
            blocks = await stack.enter_async_context(app.recordings.read(audio, 0, audio.size))
        except AudioMissing:
            return
        entry = zip_entry(name, held.message.received_at)
        with target.open(entry, "w") as written:
            async for block in blocks:
                written.write(block)
                digest.update(block)
                size += len(block)
                yield sink.take()
    is_unchanged = digest.digest() == audio.sha256
    file |= {
        "file": name,
        "size": size,
        "sha256": digest.hexdigest(),
        "is_unchanged": is_unchanged,
    }


def _header(hold: Hold, now: datetime, count: int, following: HeldCursor | None) -> bytes:
    """Returns the beginning of the manifest, up to its list of messages."""
    fields = {
        "hold": hold_row(hold),
        "account_id": hold.account_id.hex,
        "exported_at": format_iso(now),
        "message_count": count,
    }
    if following is not None:
        fields["next_start_key"] = encode_cursor(following)
    return msgspec.json.encode(fields)[:-1] + b',"messages":[\n'


def _manifest(
    target: ZipFile, sink: ZipSink, rows: IO[bytes], header: bytes, now: datetime
) -> Iterator[bytes]:
    rows.seek(0)
    with target.open(zip_entry("manifest.json", now), "w") as written:
        written.write(header)
        while block := rows.read(_BLOCK):
            written.write(block)
            yield sink.take()
        written.write(b"\n]}\n")
