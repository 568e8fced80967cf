"""Routes of audio: `.../messages/{message}/raw`."""

from litestar import Response, put, route
from litestar.response import Stream

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.http.audio_response import create_audio_response, file_name_of
from service.api.http.auth import slot_owner
from service.api.kazoo.accept import AUDIO, MEDIA, UPLOAD
from service.api.kazoo.body import read_upload
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheContext,
    location,
    message_of_path,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.messages import MESSAGE
from service.api.kazoo.wire.messages import message_metadata
from service.domain.access import Permission
from service.domain.audit import Action
from service.domain.errors import AudioEmpty

MESSAGE_AUDIO = MESSAGE + "/raw"


@route(
    MESSAGE_AUDIO,
    http_method=["GET", "HEAD"],
    opt={PERMISSION: Permission.MESSAGES_READ, MEDIA: AUDIO},
)
async def get_audio(
    request: AnyRequest, account: TheAccount, vmbox_id: str, message_id: str, app: App
) -> Response[bytes] | Stream:
    """Returns the audio of a message. `Range` selects a part of it."""
    vmbox, parsed_id = vmbox_of_path(vmbox_id), message_of_path(message_id)
    recording = await app.recordings.get(account, vmbox, parsed_id)
    read = app.audit.reading(
        app.recordings.read,
        Action.AUDIO_READ,
        account.account_id,
        vmbox_id=vmbox,
        message_id=parsed_id,
    )
    return await create_audio_response(request, recording.audio, file_name_of(recording), read)


@put(MESSAGE_AUDIO, status_code=201, opt={PERMISSION: Permission.MESSAGES_WRITE, MEDIA: UPLOAD})
async def put_audio(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    message_id: str,
    app: App,
    context: TheContext,
) -> Response[bytes]:
    """Stores the audio of a message. It completes a message that was stored without audio, and
    replaces the current audio of any other message."""
    vmbox, parsed_id = vmbox_of_path(vmbox_id), message_of_path(message_id)
    with app.messages.uploads.spool(slot_owner(request, account)) as spool:
        _, upload = await read_upload(request, spool, is_stored=False)
        if upload is None:
            raise AudioEmpty
        message = await app.messages.attach_audio(account, vmbox, parsed_id, upload)
    metadata = message_metadata(message, context)
    return succeed(request, metadata, status=201, headers=location(request, account))


ROUTES = (get_audio, put_audio)
