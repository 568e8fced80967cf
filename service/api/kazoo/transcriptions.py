"""Routes of transcriptions: `/v2/accounts/{account}/vmboxes/{vmbox}/messages/{message}/...`."""

from litestar import Response, put, route

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    message_of_path,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.messages import MESSAGE
from service.api.kazoo.wire.transcriptions import TranscriptionRequest, transcription_detail
from service.domain.access import Permission

TRANSCRIPTION = MESSAGE + "/transcription"


@route(TRANSCRIPTION, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.MESSAGES_READ})
async def get_transcription(
    request: AnyRequest, account: TheAccount, vmbox_id: str, message_id: str, app: App
) -> Response[bytes]:
    """Returns the transcription of a message with its words and their times. There are no words
    if the engine gives only a text."""
    found = await app.transcriptions.get(
        account, vmbox_of_path(vmbox_id), message_of_path(message_id)
    )
    return succeed(request, transcription_detail(found))


@put(TRANSCRIPTION, status_code=202, opt={PERMISSION: Permission.MESSAGES_WRITE})
async def request_transcription(
    request: AnyRequest, account: TheAccount, vmbox_id: str, message_id: str, app: App
) -> Response[bytes]:
    """Requests a transcription of a message, also if it has one or if its box does not transcribe.
    The channel `transcription` must be running. The result replaces the earlier transcription and
    causes a `message.transcribed` event. A repeated request has no effect until then, or for an
    hour."""
    identity = message_of_path(message_id)
    await app.transcriptions.request(account, vmbox_of_path(vmbox_id), identity)
    return succeed(request, TranscriptionRequest(media_id=str(identity)), status=202)


ROUTES = (get_transcription, request_transcription)
