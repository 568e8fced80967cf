"""Routes of audio: `.../messages/{message}/raw`."""

from litestar import Response, put, route
from litestar.response import Stream

from service.api.dependencies import App, UseCases
from service.api.http.access import PERMISSION
from service.api.http.auth import slot_owner
from service.api.http.recording_response import answer_recording
from service.api.kazoo.accept import MEDIA, RECORDING, UPLOAD
from service.api.kazoo.body import read_upload
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    location,
    message_context,
    message_of_path,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.messages import MESSAGE
from service.api.kazoo.wire.messages import message_metadata
from service.domain.access import Permission
from service.domain.account import AccountFacts
from service.domain.audio_errors import AudioEmpty, RedirectUnavailable
from service.domain.errors import Invalid, Rule

MESSAGE_AUDIO = MESSAGE + "/raw"


@route(
    MESSAGE_AUDIO,
    http_method=["GET", "HEAD"],
    opt={PERMISSION: Permission.MESSAGES_READ, MEDIA: RECORDING},
)
async def get_audio(
    request: AnyRequest, account: TheAccount, vmbox_id: str, message_id: str, app: App
) -> Response[bytes] | Stream:
    """Returns the audio of a message. `Range` selects a part of it. With `redirect=true` the
    response is a 307 to a URL of the audio store, which is valid for 60 seconds.

    `format` or `Accept` selects another format than the stored one. The audio is converted at the
    first request; it is kept until the message is deleted. `*/*` returns the stored audio."""
    vmbox, parsed_id = vmbox_of_path(vmbox_id), message_of_path(message_id)
    recording = await app.recordings.get(account, vmbox, parsed_id)
    return await answer_recording(
        request, app, account, recording, is_redirected=is_redirected(request, app, account)
    )


@put(MESSAGE_AUDIO, status_code=201, opt={PERMISSION: Permission.MESSAGES_WRITE, MEDIA: UPLOAD})
async def put_audio(
    request: AnyRequest,
    account: TheAccount,
    vmbox_id: str,
    message_id: str,
    app: App,
) -> Response[bytes]:
    """Stores the audio of a message. It completes a message that was stored without audio, and
    replaces the current audio of any other message."""
    context = await message_context(request, account, app, vmbox_id)
    vmbox, parsed_id = vmbox_of_path(vmbox_id), message_of_path(message_id)
    with app.messages.uploads.spool(slot_owner(request, account)) as spool:
        _, upload = await read_upload(request, spool, is_stored=False)
        if upload is None:
            raise AudioEmpty
        message = await app.messages.attach_audio(account, vmbox, parsed_id, upload)
    metadata = message_metadata(message, context)
    return succeed(request, metadata, status=201, headers=location(request, account))


ROUTES = (get_audio, put_audio)


def is_redirected(request: AnyRequest, app: UseCases, account: AccountFacts) -> bool:
    """Reads `redirect`, the account and the setting. Raises Invalid, RedirectUnavailable."""
    match request.query_params.get("redirect"):
        case None if account.redirect_audio is None:
            return app.redirect_audio
        case None:
            return account.redirect_audio is True and app.recordings.has_public_url
        case "false":
            return False
        case "true" if app.recordings.has_public_url:
            return True
        case "true":
            raise RedirectUnavailable
        case value:
            raise Invalid.of("redirect", Rule.ENUM, target=["true", "false"], value=value[:64])
