"""Routes of audio: `.../messages/{message}/raw`."""

from litestar import Response, put, route
from litestar.response import Stream

from service.api.dependencies import App
from service.api.http.audio_response import create_audio_response, file_name_of
from service.api.kazoo import wire
from service.api.kazoo.accept import AUDIO, MEDIA, UPLOAD
from service.api.kazoo.body import read_upload
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheView,
    location,
    message_of_path,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.messages import MESSAGE
from service.domain.errors import AudioEmpty

RAW = MESSAGE + "/raw"


@route(RAW, http_method=["GET", "HEAD"], opt={MEDIA: AUDIO})
async def get_audio(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    message_id: str,
    app: App,
) -> Response[bytes] | Stream:
    """The audio of a message, or a range of it."""
    vmbox, identity = vmbox_of_path(vmbox_id), message_of_path(message_id)
    recording = await app.recordings.get(account, vmbox, identity)
    name = file_name_of(recording)
    return await create_audio_response(request, recording.audio, name, app.recordings.read)


@put(RAW, status_code=201, opt={MEDIA: UPLOAD})
async def put_audio(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    message_id: str,
    app: App,
    view: TheView,
) -> Response[bytes]:
    """The audio of a message that awaits it, or other audio in place of what it has."""
    vmbox, identity = vmbox_of_path(vmbox_id), message_of_path(message_id)
    with app.messages.uploads.spool() as spool:
        _, upload = await read_upload(request, spool)
        if upload is None:
            raise AudioEmpty
        message = await app.messages.attach_audio(account, vmbox, identity, upload)
    return succeed(
        request,
        wire.message_metadata(message, view),
        status=201,
        headers=location(request, account),
    )


ROUTES = (get_audio, put_audio)
