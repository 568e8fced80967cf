"""Routes of greetings: `/v2/accounts/{account}/media`."""

from collections.abc import Callable
from uuid import UUID

from litestar import Response, delete, patch, post, put, route
from litestar.response import Stream

from service.api.dependencies import App
from service.api.http.audio_response import create_audio_response
from service.api.kazoo import wire
from service.api.kazoo.accept import AUDIO, MEDIA, UPLOAD
from service.api.kazoo.body import read_data, read_upload
from service.api.kazoo.dependencies import AnyRequest, TheAccount, location
from service.api.kazoo.envelope import succeed
from service.api.kazoo.filters import Filter, read_filter
from service.api.kazoo.pages import answer_page
from service.api.kazoo.query import (
    Times,
    ascends,
    created_and_modified,
    decode_key,
    page_query,
)
from service.domain.errors import AudioEmpty, GreetingHasNoAudio, GreetingNotFound
from service.domain.greeting import Greeting
from service.domain.message import Audio, parse_hex_id
from service.domain.page import NameCursor

COLLECTION = "/accounts/{account_id:str}/media"
ONE = COLLECTION + "/{media_id:str}"
RAW = ONE + "/raw"


@route(COLLECTION, http_method=["GET", "HEAD"])
async def list_greetings(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """The greetings of an account by name."""
    query = page_query(request)
    start = decode_key(query.start_key, NameCursor)
    wanted = read_filter(request.query_params.multi_items())
    times = created_and_modified(request)
    page = await app.greetings.list(
        account,
        start,
        query.limit,
        descending=not ascends(request, default=True),
        predicate=_keeper(wanted, times) if wanted or times else None,
    )
    rows = [wire.greeting_row(greeting) for greeting in page.items]
    return answer_page(request, query, rows, start=start, following=page.next)


@put(COLLECTION, status_code=201, opt={MEDIA: UPLOAD})
async def create_greeting(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """A new greeting, with its audio or without."""
    with app.greetings.uploads.spool() as spool:
        data, upload = await read_upload(request, spool)
        greeting = await app.greetings.create(account, data, upload)
    return _one(request, greeting, 201, location(request, account, greeting.media_id.hex))


@route(ONE, http_method=["GET", "HEAD"])
async def get_greeting(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes]:
    """One greeting."""
    return _one(request, await app.greetings.get(account, greeting_of_path(media_id)))


@post(ONE, status_code=200)
async def replace_greeting(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes]:
    """All that is said of a greeting; its audio stays."""
    identity = greeting_of_path(media_id)
    return _one(request, await app.greetings.replace(account, identity, await read_data(request)))


@patch(ONE)
async def patch_greeting(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes]:
    """Some of what is said of a greeting; null deletes."""
    identity = greeting_of_path(media_id)
    return _one(request, await app.greetings.patch(account, identity, await read_data(request)))


@delete(ONE, status_code=200)
async def delete_greeting(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes]:
    """Deletes a greeting that no box plays."""
    greeting = await app.greetings.delete(account, greeting_of_path(media_id))
    data = {**wire.greeting_document(greeting), "_read_only": {"deleted": True}}
    return succeed(request, data, revision=_revision(greeting))


@route(RAW, http_method=["GET", "HEAD"], opt={MEDIA: AUDIO})
async def get_greeting_audio(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes] | Stream:
    """The audio of a greeting, or a range of it."""
    greeting = await app.greetings.get(account, greeting_of_path(media_id))
    if greeting.audio is None:
        raise GreetingHasNoAudio
    name = file_name(greeting, greeting.audio)
    return await create_audio_response(request, greeting.audio, name, app.greetings.read)


@put(RAW, status_code=201, opt={MEDIA: UPLOAD})
async def put_greeting_audio(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes]:
    """The audio of a greeting, in place of what it has."""
    greeting = await _attach(request, account, media_id, app)
    return _one(request, greeting, 201, location(request, account))


@post(RAW, status_code=200, opt={MEDIA: UPLOAD})
async def post_greeting_audio(
    request: AnyRequest, account: TheAccount, media_id: str, app: App
) -> Response[bytes]:
    """As PUT; KAZOO's own media API takes uploads by POST, and its clients send them so."""
    return _one(request, await _attach(request, account, media_id, app))


ROUTES = (
    list_greetings,
    create_greeting,
    get_greeting,
    replace_greeting,
    patch_greeting,
    delete_greeting,
    get_greeting_audio,
    put_greeting_audio,
    post_greeting_audio,
)


def greeting_of_path(text: str) -> UUID:
    """The media id in a path; what is no id names no greeting."""
    media_id = parse_hex_id(text)
    if media_id is None:
        raise GreetingNotFound(text[:64])
    return media_id


def file_name(greeting: Greeting, audio: Audio) -> str:
    """The greeting's name, and the extension of its audio unless the name has it."""
    name: str = greeting.document["name"]
    return name if name.lower().endswith(f".{audio.extension}") else f"{name}.{audio.extension}"


async def _attach(request: AnyRequest, account: TheAccount, media_id: str, app: App) -> Greeting:
    identity = greeting_of_path(media_id)
    with app.greetings.uploads.spool() as spool:
        _, upload = await read_upload(request, spool)
        if upload is None:
            raise AudioEmpty
        return await app.greetings.attach_audio(account, identity, upload)


def _one(
    request: AnyRequest,
    greeting: Greeting,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response[bytes]:
    return succeed(
        request,
        wire.greeting_document(greeting),
        status=status,
        revision=_revision(greeting),
        headers=headers,
    )


def _revision(greeting: Greeting) -> str:
    return f"{greeting.revision}-{greeting.media_id.hex}"


def _keeper(wanted: Filter, times: Times) -> Callable[[Greeting], bool]:
    def keep(greeting: Greeting) -> bool:
        return times.holds(greeting.created_at, greeting.modified_at) and wanted.matches(
            wire.greeting_document(greeting)
        )

    return keep
