"""Route of a ZIP archive of audio: `POST .../vmboxes/{vmbox}/messages/raw`.

The archive is built while it is sent, so that only one block of audio is in memory.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from datetime import datetime
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from litestar import post
from litestar.exceptions import NotFoundException
from litestar.response import Stream

from service.api.dependencies import App, UseCases
from service.api.http.access import PERMISSION
from service.api.http.audio_response import Read, content_disposition, file_name_of
from service.api.http.rendition_choice import parse_format
from service.api.kazoo.accept import MEDIA, ZIP, ZIP_TYPE
from service.api.kazoo.batches import read_ids
from service.api.kazoo.body import read_parameters
from service.api.kazoo.dependencies import AnyRequest, TheAccount, vmbox_of_path
from service.api.kazoo.messages import MESSAGES
from service.domain.access import Permission
from service.domain.account import AccountFacts
from service.domain.audio_errors import AudioMissing, AudioUnreadable
from service.domain.audit import Action
from service.domain.message import MessageId
from service.domain.recording import Recording
from service.domain.rendition import RenditionFormat
from service.domain.text import safe_file_name

_OLDEST_DATE = (1980, 1, 1, 0, 0, 0)
# Audio is already compressed. The method is not "stored", since a client that unpacks while it
# receives the archive could not detect the end of such an entry.
_NO_COMPRESSION = 0
# The attribute is public since Python 3.13.
_LEVEL = "compress_level" if hasattr(ZipInfo, "compress_level") else "_compresslevel"


@post(MESSAGES + "/raw", status_code=200, opt={PERMISSION: Permission.MESSAGES_READ, MEDIA: ZIP})
async def download_messages(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Stream:
    """Returns a ZIP archive with the audio of messages. Unknown messages and messages without
    audio are skipped; 404 means that nothing is left. With `format`, the audio is converted; a
    recording that cannot be decoded is included as it is stored."""
    vmbox = vmbox_of_path(vmbox_id)
    requested_ids = read_ids(await read_parameters(request))
    ids = [parsed for requested_id in requested_ids if (parsed := MessageId.parse(requested_id))]
    recordings = await app.recordings.list(account, vmbox, ids)
    name = request.query_params.get("format")
    target = None if name is None else parse_format(name)
    archive = await prefetched(_archive(account, recordings, app, target))
    request_id = request.scope["state"]["request_id"]
    headers = {"Content-Disposition": content_disposition(f"{request_id}.zip")}
    return Stream(archive, status_code=200, media_type=ZIP_TYPE, headers=headers)


ROUTES = (download_messages,)


async def prefetched(archive: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """Returns the archive after reading its first block, so that early errors get a status."""
    first = await anext(archive)

    async def blocks() -> AsyncIterator[bytes]:
        async with aclosing(archive):
            yield first
            async for block in archive:
                yield block

    return blocks()


async def _archive(
    account: AccountFacts,
    recordings: Sequence[Recording],
    app: UseCases,
    target: RenditionFormat | None,
) -> AsyncGenerator[bytes, None]:
    """Yields a ZIP archive block by block. Raises NotFoundException if it would be empty.

    An entry begins with its first block, so a missing object leaves no entry. A later failure
    closes the connection, so that the client detects an incomplete archive.
    """
    sink, used_names = ZipSink(), set[str]()
    with ZipFile(sink, "w") as archive:
        for stored in recordings:
            async with AsyncExitStack() as stack:
                recording, read = await _converted(account, stored, app, target)
                audio, message = recording.audio, recording.message
                app.audit.queue.record(
                    Action.AUDIO_READ,
                    account.account_id,
                    vmbox_id=message.vmbox_id,
                    message_id=message.id,
                )
                try:
                    blocks = await stack.enter_async_context(read(audio, 0, audio.size))
                except AudioMissing:
                    continue
                name = entry_name(recording, used_names)
                with archive.open(zip_entry(name, recording.local_time), "w") as entry:
                    async for block in blocks:
                        entry.write(block)
                        yield sink.take()
        if not archive.namelist():
            raise NotFoundException
    yield sink.take()


async def _converted(
    account: AccountFacts, stored: Recording, app: UseCases, target: RenditionFormat | None
) -> tuple[Recording, Read]:
    """Returns a recording in a format, or as it is stored, and the function that reads it."""
    if target is not None:
        with suppress(AudioUnreadable, AudioMissing):
            recording = await app.renditions.of_recording(account, stored, target)
            return recording, app.renditions.read
    return stored, app.recordings.read


def entry_name(recording: Recording, used: set[str]) -> str:
    """Returns a safe file name and adds it to `used`, in which case does not matter.

    A name that is in use gets the message id.
    """
    name = safe_file_name(file_name_of(recording))
    if name.casefold() in used:
        stem, _, extension = name.rpartition(".")
        name = f"{stem}_{recording.message.id}.{extension}"
    used.add(name.casefold())
    return name


def zip_entry(name: str, moment: datetime) -> ZipInfo:
    """Returns an entry that is written without a known size."""
    entry = ZipInfo(name, max(_OLDEST_DATE, moment.timetuple()[:6]))
    entry.compress_type = ZIP_DEFLATED
    setattr(entry, _LEVEL, _NO_COMPRESSION)
    return entry


class ZipSink:
    """Write-only file without positions. `take` returns and clears its content."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, block: bytes) -> int:
        self._written += block
        return len(block)

    def flush(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""

    def take(self) -> bytes:
        content, self._written = bytes(self._written), bytearray()
        return content
