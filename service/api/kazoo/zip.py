"""Route of several messages' audio in one archive: `POST .../vmboxes/{vmbox}/messages/raw`.

The archive is made while it is sent: of the audio, only the block in hand is in memory.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from litestar import post
from litestar.exceptions import NotFoundException
from litestar.response import Stream

from service.api.dependencies import App
from service.api.http.audio_response import content_disposition, file_name_of
from service.api.kazoo.accept import MEDIA, ZIP, ZIP_TYPE
from service.api.kazoo.batches import ids_of
from service.api.kazoo.body import read_parameters
from service.api.kazoo.dependencies import AnyRequest, TheAccount, vmbox_of_path
from service.api.kazoo.messages import MESSAGES
from service.domain.errors import AudioMissing
from service.domain.message import MessageId
from service.domain.recording import Recording
from service.usecases.recordings import Recordings

_OLDEST_DATE = (1980, 1, 1, 0, 0, 0)
# Audio is compressed already. Not "stored": who unpacks while receiving could not tell its end.
_NO_EFFORT = 0
# Python 3.13 made it public.
_LEVEL = "compress_level" if hasattr(ZipInfo, "compress_level") else "_compresslevel"


@post(MESSAGES + "/raw", status_code=200, opt={MEDIA: ZIP})
async def download_messages(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Stream:
    """The audio of the messages that are named; what is not there, or has none, is left out."""
    vmbox = vmbox_of_path(vmbox_id)
    texts = ids_of(await read_parameters(request))
    ids = [parsed for text in texts if (parsed := MessageId.parse(text))]
    found = await app.recordings.list(account, vmbox, ids)
    archive = await _begun(_archive(found, app.recordings))
    request_id = request.scope["state"]["request_id"]
    headers = {"Content-Disposition": content_disposition(f"{request_id}.zip")}
    return Stream(archive, status_code=200, media_type=ZIP_TYPE, headers=headers)


ROUTES = (download_messages,)


async def _begun(archive: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """The archive with its beginning already here: what fails at once, fails before the answer."""
    first = await anext(archive)

    async def passed_on() -> AsyncIterator[bytes]:
        async with aclosing(archive):
            yield first
            async for piece in archive:
                yield piece

    return passed_on()


async def _archive(
    found: Sequence[Recording], recordings: Recordings
) -> AsyncGenerator[bytes, None]:
    """A ZIP, piece by piece. NotFoundException when nothing is in it.

    An entry begins when its first block is here: a missing object leaves nothing behind. What fails
    later ends the connection instead, for the client to notice.
    """
    sink = _Sink()
    with ZipFile(sink, "w") as archive:
        for name, recording in zip(entry_names(found), found, strict=True):
            async with AsyncExitStack() as stack:
                audio = recording.audio
                try:
                    blocks = await stack.enter_async_context(recordings.read(audio, 0, audio.size))
                except AudioMissing:
                    continue
                with archive.open(_entry(name, recording), "w") as entry:
                    async for block in blocks:
                        entry.write(block)
                        yield sink.take()
        if not archive.namelist():
            raise NotFoundException
    yield sink.take()


def entry_names(found: Sequence[Recording]) -> Iterator[str]:
    """Flat names, no two of which are one file anywhere: where they would be, the id tells them
    apart."""
    taken: set[str] = set()
    for recording in found:
        name = re.sub(r'[\\/"]', "_", file_name_of(recording))
        if name.casefold() in taken:
            stem, _, extension = name.rpartition(".")
            name = f"{stem}_{recording.message.id}.{extension}"
        taken.add(name.casefold())
        yield name


def _entry(name: str, recording: Recording) -> ZipInfo:
    entry = ZipInfo(name, max(_OLDEST_DATE, recording.local_time.timetuple()[:6]))
    entry.compress_type = ZIP_DEFLATED
    setattr(entry, _LEVEL, _NO_EFFORT)
    return entry


class _Sink:
    """A file without positions that gives away what was written to it."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, piece: bytes) -> int:
        self._written += piece
        return len(piece)

    def flush(self) -> None:
        """Nothing waits anywhere."""

    def close(self) -> None:
        """Nothing is open."""

    def take(self) -> bytes:
        taken, self._written = bytes(self._written), bytearray()
        return taken
