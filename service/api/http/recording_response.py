"""Responses with the audio of a recording, stored or converted, in both dialects."""

from functools import partial
from typing import Any

from litestar import Request, Response
from litestar.response import Stream

from service.api.dependencies import UseCases
from service.api.http.audio_response import create_audio_response, file_name_of
from service.api.http.rendition_choice import choose_format
from service.domain.account import AccountFacts
from service.domain.audit import Action
from service.domain.recording import Recording

AnyRequest = Request[Any, Any, Any]


async def answer_recording(
    request: AnyRequest,
    app: UseCases,
    account: AccountFacts,
    recording: Recording,
    *,
    is_redirected: bool = False,
) -> Response[bytes] | Stream:
    """Returns the audio in the requested format, or a redirect to it.

    The audit records that the client gets the audio or its URL. It does not record HEAD or a 304.
    """
    message = recording.message
    record = partial(
        app.audit.queue.record,
        Action.AUDIO_READ,
        account.account_id,
        vmbox_id=message.vmbox_id,
        message_id=message.id,
    )
    read = app.recordings.read
    target = choose_format(request, recording.audio, app.renditions.is_available)
    if target is not None:
        recording = await app.renditions.of_recording(account, recording, target)
        read = app.renditions.read
    presign = app.recordings.presign if is_redirected else None
    return await create_audio_response(
        request, recording.audio, file_name_of(recording), read, record, presign
    )
