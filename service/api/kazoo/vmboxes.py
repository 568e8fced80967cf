"""Routes of boxes: `/v2/accounts/{account}/vmboxes`."""

from collections.abc import Collection
from functools import partial
from typing import Any

import msgspec
from litestar import Response, delete, patch, post, put, route

from service.api.dependencies import App, UseCases
from service.api.http.access import ALL_VMBOXES, PERMISSION
from service.api.http.conditional import if_match_matches, if_none_match_matches
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheCaller,
    location,
    vmbox_of_path,
    wire_profile,
)
from service.api.kazoo.documents import answer_document, list_documents, revision_of
from service.api.kazoo.dry_run import dry_run_field, is_dry_run
from service.api.kazoo.envelope import succeed
from service.api.kazoo.profiles import WireProfile
from service.api.kazoo.wire.documents import (
    AudianVmboxRow,
    PinResponse,
    VmboxRow,
    mwi_response,
    vmbox_document,
    vmbox_filterable,
    vmbox_row,
)
from service.domain import vmbox as vmbox_fields
from service.domain.access import Access, Permission
from service.domain.account import AccountFacts
from service.domain.audit import Action, Result
from service.domain.errors import Invalid, PreconditionFailed
from service.domain.message import parse_hex_id
from service.domain.retention import KEYS as RETENTION_KEYS
from service.domain.schema import Document, Field, apply_schema, merge
from service.domain.user import hide_value
from service.domain.vmbox import Vmbox, greetings_of
from service.usecases.vmboxes import Precondition

VMBOXES = "/accounts/{account_id:str}/vmboxes"
VMBOX = VMBOXES + "/{vmbox_id:str}"

FIELDS = {
    WireProfile.KAZOO: vmbox_fields.FIELDS,
    WireProfile.AUDIAN: {
        **vmbox_fields.FIELDS,
        "owner_id": Field(min_length=1, max_length=64),
    },
}

# Any length: a wrong number of digits is a wrong PIN.
PIN_FIELDS = {"pin": Field(required=True, min_length=1, max_length=64)}


ROW_TYPES: dict[WireProfile, type[msgspec.Struct]] = {
    WireProfile.KAZOO: VmboxRow,
    WireProfile.AUDIAN: AudianVmboxRow,
}


@route(VMBOXES, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.VMBOXES_READ})
async def list_vmboxes(
    request: AnyRequest, account: TheAccount, caller: TheCaller, app: App
) -> Response[bytes]:
    """Lists the boxes of an account with their message counts. The list is sorted by name.
    Filters apply to the complete documents."""
    profile = wire_profile(request, account)
    with_pins = profile is WireProfile.AUDIAN
    if with_pins:
        app.audit.queue.record(Action.PIN_READ, account.account_id)
    read = partial(
        app.vmboxes.list, account, with_pins=with_pins, vmbox_ids=caller.access.vmbox_ids
    )
    row_of = partial(vmbox_row, profile=profile)
    return await list_documents(request, read, row_of, vmbox_filterable, ROW_TYPES[profile])


@put(VMBOXES, status_code=201, opt={PERMISSION: Permission.VMBOXES_WRITE, ALL_VMBOXES: True})
async def create_vmbox(request: AnyRequest, account: TheAccount, app: App) -> Response[bytes]:
    """Creates a box. Its number must be unique in the account, among mailboxes and aliases."""
    profile = wire_profile(request, account)
    vmbox = await app.vmboxes.create(account, await read_data(request), FIELDS[profile])
    headers = location(request, account, vmbox.vmbox_id.hex)
    return _answer(request, vmbox, status=201, headers=headers)


@route(VMBOX, http_method=["GET", "HEAD"], opt={PERMISSION: Permission.VMBOXES_READ})
async def get_vmbox(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Returns a box. `ETag` is its revision, for `If-Match` and `If-None-Match`."""
    vmbox = await app.vmboxes.get(account, vmbox_of_path(vmbox_id))
    if not _precondition(request)(vmbox):
        raise PreconditionFailed
    if if_none_match_matches(request.headers, _revision(vmbox)):
        return Response(b"", status_code=304, headers=_etag(vmbox))
    if vmbox.pin is not None:
        app.audit.queue.record(Action.PIN_READ, account.account_id, vmbox_id=vmbox.vmbox_id)
    return _answer(request, vmbox)


@post(VMBOX, status_code=200, opt={PERMISSION: Permission.VMBOXES_WRITE})
async def replace_vmbox(
    request: AnyRequest,
    account: TheAccount,
    caller: TheCaller,
    vmbox_id: str,
    app: App,
) -> Response[bytes]:
    """Replaces all settings of a box. Absent settings get their default or are removed. In the
    `audian` profile the settings are merged, as by PATCH."""
    profile = wire_profile(request, account)
    parsed_id, precondition = vmbox_of_path(vmbox_id), _precondition(request)
    document = await read_data(request)
    fixed_keys = await _fixed_keys(account, caller.access, app, document)
    is_merged = profile is WireProfile.AUDIAN
    change = partial(merge, changes=document) if is_merged else lambda _: document
    arguments = (account, parsed_id, change, precondition, FIELDS[profile], fixed_keys)
    return await _change(request, app, *arguments)


@patch(VMBOX, opt={PERMISSION: Permission.VMBOXES_WRITE})
async def patch_vmbox(
    request: AnyRequest,
    account: TheAccount,
    caller: TheCaller,
    vmbox_id: str,
    app: App,
) -> Response[bytes]:
    """Changes some settings of a box. Objects are merged, and a null deletes a setting."""
    profile = wire_profile(request, account)
    parsed_id, precondition = vmbox_of_path(vmbox_id), _precondition(request)
    changes = await read_data(request)
    fixed_keys = await _fixed_keys(account, caller.access, app, changes)
    change = partial(merge, changes=changes)
    arguments = (account, parsed_id, change, precondition, FIELDS[profile], fixed_keys)
    return await _change(request, app, *arguments)


@delete(VMBOX, status_code=200, opt={PERMISSION: Permission.VMBOXES_WRITE})
async def delete_vmbox(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Deletes a box with all its messages. Until the trash of the account is purged, the box can
    be restored."""
    parsed_id, precondition = vmbox_of_path(vmbox_id), _precondition(request)
    vmbox = await app.vmboxes.delete(account, parsed_id, precondition)
    return answer_document(request, vmbox_document(vmbox), vmbox, vmbox.vmbox_id, is_deleted=True)


@route(VMBOX + "/mwi", http_method=["GET", "HEAD"], opt={PERMISSION: Permission.VMBOXES_READ})
async def get_mwi(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Returns the message-waiting state of a box. `waiting` is true while there are new
    messages."""
    vmbox = await app.vmboxes.get(account, vmbox_of_path(vmbox_id))
    return succeed(request, mwi_response(vmbox.counts))


@post(VMBOX + "/pin", status_code=200, opt={PERMISSION: Permission.VMBOXES_READ})
async def check_pin(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Checks a PIN. After 5 wrong PINs in 15 minutes the check of this box is locked for 15
    minutes: it answers 429, also for the right PIN. A new PIN ends the lock. For a box without a
    PIN, `valid` is always false."""
    identity = vmbox_of_path(vmbox_id)
    data, problems = apply_schema(await read_data(request), PIN_FIELDS)
    if problems:
        raise Invalid([hide_value(problem) for problem in problems])
    is_valid = await app.pin_checks.check(account, identity, data["pin"])
    result = Result.SUCCESS if is_valid else Result.UNAUTHORIZED
    app.audit.queue.record(Action.PIN_READ, account.account_id, result, vmbox_id=identity)
    return succeed(request, PinResponse(valid=is_valid))


ROUTES = (
    list_vmboxes,
    create_vmbox,
    get_vmbox,
    replace_vmbox,
    patch_vmbox,
    delete_vmbox,
    get_mwi,
    check_pin,
)


async def _fixed_keys(
    account: AccountFacts, access: Access, app: UseCases, document: Document
) -> Collection[str]:
    """Returns the settings that the caller may not change.

    Raises Forbidden when the document names a greeting that the caller may not read.
    """
    if access.vmbox_ids is None:
        return ()
    ids = {parse_hex_id(text) for text in greetings_of(document).values()} - {None}
    await app.greetings.check_access(account, access, [each for each in ids if each])
    return ("owner_id", *RETENTION_KEYS)


async def _change(
    request: AnyRequest, app: UseCases, account: AccountFacts, *arguments: Any
) -> Response[bytes]:
    """Changes a box, or in a dry run returns the box as it would be. See `Vmboxes.change`."""
    if not is_dry_run(request):
        return _answer(request, await app.vmboxes.change(account, *arguments))
    vmbox = await app.vmboxes.preview(account, *arguments)
    preview = await app.retention_previews.of_vmbox(account, vmbox)
    return _answer(request, vmbox, extras=dry_run_field(preview))


def _answer(
    request: AnyRequest,
    vmbox: Vmbox,
    headers: dict[str, str] | None = None,
    extras: Document = {},  # noqa: B006 - never changed
    **envelope: Any,
) -> Response[bytes]:
    headers = {**_etag(vmbox), **(headers or {})}
    document = vmbox_document(vmbox) | extras
    return answer_document(request, document, vmbox, vmbox.vmbox_id, headers=headers, **envelope)


def _revision(vmbox: Vmbox) -> str:
    return revision_of(vmbox, vmbox.vmbox_id)


def _etag(vmbox: Vmbox) -> dict[str, str]:
    return {"ETag": f'"{_revision(vmbox)}"'}


def _precondition(request: AnyRequest) -> Precondition:
    """Returns the predicate of the revisions in `If-Match`."""
    return lambda vmbox: if_match_matches(request.headers, _revision(vmbox))
