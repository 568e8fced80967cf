"""Routes of audio: `.../messages/{message}/raw`."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from urllib.parse import quote

from litestar import Response, put, route
from litestar.response import Stream

from service.api.kazoo import wire
from service.api.kazoo.body import read_upload
from service.api.kazoo.context import (
    AnyRequest,
    TheAccount,
    TheMessages,
    TheView,
    message_of_path,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.messages import MESSAGE
from service.api.ranges import ByteRange, parse_range
from service.domain.errors import AudioEmpty, AudioMissing
from service.domain.message import Audio, Message
from service.usecases.messages import Messages

RAW = MESSAGE + "/raw"


@route(RAW, http_method=["GET", "HEAD"])
async def get_audio(
    request: AnyRequest, account: TheAccount, vmbox_id: str, message_id: str, messages: TheMessages
) -> Response[bytes] | Stream:
    """The audio of a message, or a range of it."""
    message = await messages.get(account, vmbox_of_path(vmbox_id), message_of_path(message_id))
    audio = message.audio
    if audio is None:
        raise AudioMissing(message_id)
    headers = _headers(message, audio)
    if _is_known(headers["ETag"], request.headers.get("if-none-match", "")):
        return Response(b"", status_code=304, headers=headers)
    wanted = _wanted(request, audio, headers["ETag"])
    part = wanted or ByteRange(0, audio.size)
    if wanted is not None:
        headers["Content-Range"] = wanted.content_range(audio.size)
    headers["Content-Length"] = str(part.length)
    content = _nothing() if request.method == "HEAD" else await _opened(messages, audio, part)
    return Stream(
        content,
        status_code=200 if wanted is None else 206,
        media_type=audio.content_type,
        headers=headers,
    )


@put(RAW, status_code=201)
async def put_audio(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    message_id: str,
    messages: TheMessages,
    view: TheView,
) -> Response[bytes]:
    """The audio of a message that awaits it, or other audio in place of what it has."""
    vmbox, identity = vmbox_of_path(vmbox_id), message_of_path(message_id)
    with messages.uploads.spool() as spool:
        _, upload = await read_upload(request, spool)
        if upload is None:
            raise AudioEmpty
        message = await messages.attach_audio(account, vmbox, identity, upload)
    return succeed(
        request,
        wire.message_metadata(message, view),
        status=201,
        headers={"Location": request.url.path},
    )


ROUTES = (get_audio, put_audio)


def _is_known(etag: str, if_none_match: str) -> bool:
    """Whether the client has this version; the comparison is weak (RFC 9110, 13.1.2)."""
    return if_none_match.strip() == "*" or etag in if_none_match


def _wanted(request: AnyRequest, audio: Audio, etag: str) -> ByteRange | None:
    """The range that counts: `If-Range` with another version asks for the whole."""
    if request.headers.get("if-range", etag) != etag:
        return None
    return parse_range(request.headers.get("range"), audio.size)


async def _opened(messages: Messages, audio: Audio, part: ByteRange) -> AsyncIterator[bytes]:
    """The bytes, with the store's answer already here: what fails, fails before the answer."""
    stack = AsyncExitStack()
    blocks = await stack.enter_async_context(messages.read_audio(audio, part.start, part.length))

    async def passed_on() -> AsyncIterator[bytes]:
        async with stack:
            async for block in blocks:
                yield block

    return passed_on()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _headers(message: Message, audio: Audio) -> dict[str, str]:
    return {
        "ETag": f'"{audio.sha256.hex()}"',
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition(file_name(message, audio, message.received_at)),
    }


def file_name(message: Message, audio: Audio, local_time: datetime) -> str:
    """`<caller number>_<date>_<time>.<extension>`."""
    extension = audio.key.rpartition(".")[2]
    return f"{message.caller_id.number}_{local_time:%Y-%m-%d_%H:%M:%S}.{extension}"


def disposition(name: str) -> str:
    """A Content-Disposition for any name: quoted ASCII, and RFC 8187 when it is not ASCII."""
    plain = re.sub(r'[^\x20-\x7e]|["\\/]', "_", name)
    header = f'attachment; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe='')}"
