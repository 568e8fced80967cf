"""Routes of legal holds: `/v2/accounts/{account}/holds`."""

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, delete, post, put, route
from litestar.response import Stream

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.http.audio_response import content_disposition, create_audio_response, file_name_of
from service.api.kazoo.accept import AUDIO, MEDIA, ZIP, ZIP_TYPE
from service.api.kazoo.batches import read_ids
from service.api.kazoo.body import read_data, read_parameters
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    account_context,
    hold_of_path,
    location,
    message_of_path,
    vmbox_of_path,
)
from service.api.kazoo.documents import list_documents
from service.api.kazoo.envelope import succeed
from service.api.kazoo.hold_export import archive
from service.api.kazoo.pages import answer_page, decode_cursor, page_query
from service.api.kazoo.times import parse_time, time_problem
from service.api.kazoo.vmboxes import VMBOX
from service.api.kazoo.wire.holds import HeldIdsResponse, hold_row
from service.api.kazoo.wire.messages import held_row
from service.api.kazoo.zip import prefetched
from service.domain.access import Permission
from service.domain.account import AccountFacts
from service.domain.audio_errors import AudioMissing
from service.domain.audit import Action
from service.domain.clock import utc_now
from service.domain.errors import Invalid, Problem, Rule
from service.domain.hold import FIELDS, HeldCursor, Hold
from service.domain.message import MessageId, parse_hex_id, uuid7
from service.domain.recording import Recording, zone_of
from service.domain.schema import Document, apply_schema, submitted_keys

HOLDS = "/accounts/{account_id:str}/holds"
HOLD = HOLDS + "/{hold_id:str}"
HELD = HOLD + "/messages"
_ADMIN = {PERMISSION: Permission.ACCOUNT_ADMIN}


@route(HOLDS, http_method=["GET", "HEAD"], opt=_ADMIN)
async def list_holds(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Lists the legal holds of an account. The list is sorted by name."""
    read = partial(app.holds.list, account)
    return await list_documents(request, read, hold_row, _filterable)


@put(HOLDS, status_code=201, opt=_ADMIN)
async def create_hold(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Creates a legal hold on messages of the account. `vmbox_ids`, `caller_id_number` and a time
    window restrict it. It also covers messages that arrive later. A held message is not purged, and
    its audio cannot be replaced. A hold cannot be changed: create another one and release it."""
    data, problems = apply_schema(submitted_keys(await read_data(request)), FIELDS)
    hold = _read_hold(account, data, problems)
    stored = await app.holds.create(hold)
    headers = location(request, account, stored.hold_id.hex)
    return succeed(request, hold_row(stored), status=201, headers=headers)


@route(HOLD, http_method=["GET", "HEAD"], opt=_ADMIN)
async def get_hold(
    request: AnyRequest, account: TheAccount, hold_id: str, app: App
) -> Response[bytes]:
    """Returns a legal hold. Its messages are under `messages`."""
    return succeed(request, hold_row(await app.holds.get(account, hold_of_path(hold_id))))


@delete(HOLD, status_code=200, opt=_ADMIN)
async def release_hold(
    request: AnyRequest, account: TheAccount, hold_id: str, app: App
) -> Response[bytes]:
    """Releases a legal hold. Messages that were removed for longer than the time of the trash are
    purged within a day."""
    return succeed(request, hold_row(await app.holds.release(account, hold_of_path(hold_id))))


@route(HELD, http_method=["GET", "HEAD"], opt=_ADMIN)
async def list_held_messages(
    request: AnyRequest, account: TheAccount, hold_id: str, app: App
) -> Response[bytes]:
    """Lists the messages that a hold covers, the last stored first. The list includes removed and
    expired messages, and those of deleted boxes. A page may have fewer messages than `page_size`:
    continue while there is a `next_start_key`."""
    context = await account_context(request, account, app)
    query = page_query(request)
    start = decode_cursor(query.start_key, HeldCursor)
    page = await app.holds.list_messages(account, hold_of_path(hold_id), start, query.limit)
    rows = [held_row(held, context) for held in page.messages]
    return answer_page(request, query, rows, start=start, following=page.next)


@route(HELD + "/{message_id:str}/raw", http_method=["GET", "HEAD"], opt={**_ADMIN, MEDIA: AUDIO})
async def get_held_audio(
    request: AnyRequest, account: TheAccount, hold_id: str, message_id: str, app: App
) -> Response[bytes] | Stream:
    """Returns the audio of a held message. `Range` selects a part of it."""
    hold, parsed_id = hold_of_path(hold_id), message_of_path(message_id)
    message = (await app.holds.get_message(account, hold, parsed_id)).message
    if message.audio is None:
        raise AudioMissing(message_id)
    local_time = message.received_at.astimezone(zone_of(account.timezone))
    recording = Recording(message=message, audio=message.audio, local_time=local_time)
    record = partial(
        app.audit.queue.record,
        Action.AUDIO_READ,
        account.account_id,
        vmbox_id=message.vmbox_id,
        message_id=message.id,
        target=hold.hex,
    )
    name = file_name_of(recording)
    return await create_audio_response(request, message.audio, name, app.recordings.read, record)


@route(HOLD + "/export", http_method=["GET", "HEAD"], opt={**_ADMIN, MEDIA: ZIP})
async def export_hold(
    request: AnyRequest, account: TheAccount, hold_id: str, app: App
) -> Response[bytes] | Stream:
    """Returns a ZIP archive with the audio of the held messages and `manifest.json`, which has the
    data of each message and the SHA-256 of each file. An archive has at most 50 000 messages.
    If its manifest has a `next_start_key`, send it as `start_key` to get the next archive."""
    start = decode_cursor(request.query_params.get("start_key") or None, HeldCursor)
    hold = await app.holds.get(account, hold_of_path(hold_id))
    headers = {"Content-Disposition": content_disposition(f"hold-{hold.hold_id.hex}.zip")}
    if request.method == "HEAD":
        return Response(b"", media_type=ZIP_TYPE, headers=headers)
    app.audit.queue.record(Action.HOLD_EXPORTED, account.account_id, target=hold.hold_id.hex)
    content = await prefetched(archive(account, hold, start, app))
    return Stream(content, status_code=200, media_type=ZIP_TYPE, headers=headers)


@post(VMBOX + "/holds", status_code=200, opt=_ADMIN)
async def select_held_messages(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Returns which of the given messages of a box a hold covers. Unknown ids are ignored."""
    vmbox = vmbox_of_path(vmbox_id)
    texts = read_ids(await read_parameters(request))
    ids = [parsed for text in texts if (parsed := MessageId.parse(text)) is not None]
    held = await app.holds.select_held(account, vmbox, ids)
    return succeed(request, HeldIdsResponse(held=[str(message_id) for message_id in held]))


ROUTES = (
    select_held_messages,
    list_holds,
    create_hold,
    get_hold,
    release_hold,
    list_held_messages,
    get_held_audio,
    export_hold,
)


def _filterable(hold: Hold) -> Document:
    document: Document = msgspec.to_builtins(hold_row(hold))
    return document


def _read_hold(account: AccountFacts, data: Document, problems: list[Problem]) -> Hold:
    """Returns the hold of a valid document. Raises Invalid."""
    times = {name: _time(data, name, problems) for name in ("created_from", "created_to")}
    vmbox_ids = _vmbox_ids(data, problems)
    if problems:
        raise Invalid(problems)
    now = utc_now()
    return Hold(
        account_id=account.account_id,
        hold_id=uuid7(now),
        name=data["name"],
        reason=data["reason"],
        vmbox_ids=vmbox_ids,
        caller_id_number=data.get("caller_id_number"),
        received_from=times["created_from"],
        received_to=times["created_to"],
        created_at=now,
    )


def _time(data: Document, name: str, problems: list[Problem]) -> datetime | None:
    value = data.get(name)
    if value is None or problems:
        return None
    moment = parse_time(value)
    if moment is None:
        problems.append(time_problem(name, value))
    return moment


def _vmbox_ids(data: Document, problems: list[Problem]) -> tuple[UUID, ...] | None:
    texts: Any = data.get("vmbox_ids")
    if texts is None or problems:
        return None
    ids = [parse_hex_id(text) for text in texts]
    if not all(ids):
        problems.append(Problem(field="vmbox_ids", rule=Rule.NOT_FOUND))
    return tuple(dict.fromkeys(each for each in ids if each is not None))
