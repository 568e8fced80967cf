"""Routes of greetings: `/v2/accounts/{account}/media`, and `.../vmboxes/{vmbox}/greeting`."""

from functools import partial
from typing import Any

from litestar import Response, delete, patch, post, put, route
from litestar.response import Stream
from msgspec import UNSET

from service.api.dependencies import App, UseCases
from service.api.http.access import PERMISSION
from service.api.http.audio_response import create_audio_response
from service.api.http.auth import slot_owner
from service.api.http.rendition_choice import choose_format
from service.api.kazoo.accept import MEDIA, RECORDING, UPLOAD
from service.api.kazoo.body import read_data, read_upload
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheCaller,
    greeting_of_path,
    location,
    read_flag,
    vmbox_of_path,
)
from service.api.kazoo.documents import answer_document, list_documents
from service.api.kazoo.envelope import succeed
from service.api.kazoo.vmboxes import VMBOX
from service.api.kazoo.wire.documents import GreetingRow, greeting_document, greeting_row
from service.api.kazoo.wire.greetings import playing_greeting
from service.domain.access import Permission
from service.domain.account import AccountFacts
from service.domain.audio_errors import AudioEmpty, GreetingHasNoAudio
from service.domain.audit import Action
from service.domain.greeting import Greeting
from service.domain.greeting_rules import PlayingGreeting
from service.domain.message import Audio

GREETINGS = "/accounts/{account_id:str}/media"
GREETING = GREETINGS + "/{media_id:str}"
GREETING_AUDIO = GREETING + "/raw"
VMBOX_GREETING = VMBOX + "/greeting"
VMBOX_GREETING_AUDIO = VMBOX_GREETING + "/raw"


@route(GREETINGS, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.VMBOXES_READ})
async def list_greetings(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Lists the greetings of an account. The list is sorted by name."""
    read = partial(app.greetings.list, account, access=caller.access)
    return await list_documents(
        request, read, greeting_row, greeting_document, GreetingRow, has_metadata=False
    )


@put(GREETINGS, status_code=201, opt={PERMISSION: Permission.VMBOXES_WRITE, MEDIA: UPLOAD})
async def create_greeting(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Creates a greeting. A multipart body can contain its audio; otherwise send the audio to
    `raw`."""
    owner_id = caller.access.greeting_owner_id
    with app.greetings.uploads.spool(slot_owner(request, account)) as spool:
        data, upload = await read_upload(request, spool)
        greeting = await app.greetings.create(account, data, upload, owner_id)
    headers = location(request, account, greeting.media_id.hex)
    return _answer(request, greeting, status=201, headers=headers)


@route(GREETING, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.VMBOXES_READ})
async def get_greeting(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes]:
    """Returns a greeting without its audio. Type and size of the audio are present once it has
    been uploaded."""
    return _answer(request, await app.greetings.get(account, greeting_of_path(media_id)))


@post(GREETING, status_code=200, opt={PERMISSION: Permission.VMBOXES_WRITE})
async def replace_greeting(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes]:
    """Replaces all settings of a greeting. Absent settings are removed; the audio stays."""
    parsed_id, document = greeting_of_path(media_id), await read_data(request)
    return _answer(request, await app.greetings.replace(account, parsed_id, document))


@patch(GREETING, opt={PERMISSION: Permission.VMBOXES_WRITE})
async def patch_greeting(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes]:
    """Changes some settings of a greeting. A null deletes a setting; the audio stays."""
    parsed_id, changes = greeting_of_path(media_id), await read_data(request)
    return _answer(request, await app.greetings.patch(account, parsed_id, changes))


@delete(GREETING, status_code=200, opt={PERMISSION: Permission.VMBOXES_WRITE})
async def delete_greeting(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes]:
    """Deletes a greeting with its audio. Fails with 409 while a box uses it."""
    deleted = await app.greetings.delete(account, greeting_of_path(media_id))
    return _answer(request, deleted, is_deleted=True)


@route(
    GREETING_AUDIO,
    http_method=["GET", "HEAD"],
    opt={PERMISSION: Permission.VMBOXES_READ, MEDIA: RECORDING},
)
async def get_greeting_audio(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes] | Stream:
    """Returns the audio of a greeting. `Range` selects a part of it. `format` or `Accept` selects
    another format than the stored one, as for messages."""
    greeting = await app.greetings.get(account, greeting_of_path(media_id))
    return await answer_greeting_audio(request, app, account, greeting)


@route(VMBOX_GREETING, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.VMBOXES_READ})
async def get_playing_greeting(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Returns the greeting of a box that callers hear now. Between its start and its end the
    temporary greeting replaces the others. With `busy=true` the greeting for a busy line precedes
    the one for an absent user. A greeting without audio does not play."""
    playing = await _get_playing(request, account, vmbox_id, app)
    return succeed(request, playing_greeting(playing))


@route(
    VMBOX_GREETING_AUDIO,
    http_method=["GET", "HEAD"],
    opt={PERMISSION: Permission.VMBOXES_READ, MEDIA: RECORDING},
)
async def get_playing_greeting_audio(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes] | Stream:
    """Returns the audio of the greeting that callers hear now. `Range` selects a part of it.
    `format` or `Accept` selects another format than the stored one, as for messages."""
    playing = await _get_playing(request, account, vmbox_id, app)
    return await answer_greeting_audio(request, app, account, playing.greeting)


@put(GREETING_AUDIO, status_code=201, opt={PERMISSION: Permission.VMBOXES_WRITE, MEDIA: UPLOAD})
async def put_greeting_audio(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes]:
    """Stores the audio of a greeting. It replaces the current audio."""
    greeting = await _attach_audio(request, account, media_id, app)
    return _answer(request, greeting, status=201, headers=location(request, account))


@post(GREETING_AUDIO, status_code=200, opt={PERMISSION: Permission.VMBOXES_WRITE, MEDIA: UPLOAD})
async def post_greeting_audio(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes]:
    """Stores the audio of a greeting, like PUT. Clients of KAZOO's media API upload by POST."""
    return _answer(request, await _attach_audio(request, account, media_id, app))


ROUTES = (
    list_greetings,
    create_greeting,
    get_greeting,
    replace_greeting,
    patch_greeting,
    delete_greeting,
    get_greeting_audio,
    get_playing_greeting,
    get_playing_greeting_audio,
    put_greeting_audio,
    post_greeting_audio,
)


def file_name(greeting: Greeting, audio: Audio) -> str:
    """Returns the greeting's name with the extension of its audio."""
    name: str = greeting.document["name"]
    return name if name.lower().endswith(f".{audio.extension}") else f"{name}.{audio.extension}"


async def answer_greeting_audio(
    request: AnyRequest, app: UseCases, account: AccountFacts, greeting: Greeting
) -> Response[bytes] | Stream:
    """Returns the audio of a greeting in the requested format. The audit records a GET.

    Raises GreetingHasNoAudio.
    """
    audio, read = greeting.audio, app.greetings.read
    if audio is None:
        raise GreetingHasNoAudio
    target = choose_format(request, audio, app.renditions.is_available)
    if target is not None:
        audio = await app.renditions.of_greeting(account, greeting, target)
        read = app.renditions.read
    record = partial(
        app.audit.queue.record,
        Action.GREETING_AUDIO_READ,
        account.account_id,
        target=greeting.media_id.hex,
    )
    name = file_name(greeting, audio)
    return await create_audio_response(request, audio, name, read, record)


async def _get_playing(
    request: AnyRequest, account: AccountFacts, vmbox_id: str, app: UseCases
) -> PlayingGreeting:
    is_busy = read_flag(request, "busy")
    return await app.greetings.get_playing(account, vmbox_of_path(vmbox_id), is_busy=is_busy)


async def _attach_audio(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Greeting:
    parsed_id = greeting_of_path(media_id)
    with app.greetings.uploads.spool(slot_owner(request, account)) as spool:
        _, upload = await read_upload(request, spool, is_stored=False)
        if upload is None:
            raise AudioEmpty
        return await app.greetings.attach_audio(account, parsed_id, upload)


def _answer(request: AnyRequest, greeting: Greeting, **envelope: Any) -> Response[bytes]:
    return answer_document(
        request,
        greeting_document(greeting),
        greeting,
        greeting.media_id,
        metadata=UNSET,
        **envelope,
    )
