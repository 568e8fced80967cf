"""Direct uploads: `.../messages/upload`, and the messages that complete them."""

from uuid import UUID

from litestar import Response, post

from service.api.dependencies import App, UseCases
from service.api.http.access import PERMISSION
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    idempotency_key,
    message_context,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed, warn
from service.api.kazoo.vmboxes import VMBOX
from service.api.kazoo.wire.messages import MESSAGE_FIELDS, to_new_message
from service.api.kazoo.wire.metadata_limits import fit_metadata
from service.api.kazoo.wire.uploads import upload_response
from service.domain.access import Permission
from service.domain.account import AccountFacts
from service.domain.audio_errors import UploadTokenInvalid
from service.domain.direct_upload import AudioDeclaration, DirectUpload
from service.domain.errors import Invalid
from service.domain.formats import SHA256
from service.domain.schema import Document, Field, apply_schema
from service.usecases.uploads import DECLARABLE_TYPES

UPLOAD_FIELDS = {
    "size": Field(types=("integer",), required=True, minimum=1),
    "sha256": Field(required=True, format=SHA256),
    "content_type": Field(required=True, enum=DECLARABLE_TYPES),
}


@post(VMBOX + "/messages/upload", status_code=201, opt={PERMISSION: Permission.MESSAGES_WRITE})
async def announce_upload(
    request: AnyRequest, account: TheAccount, vmbox_id: str, app: App
) -> Response[bytes]:
    """Announces audio that the client sends to the audio store, and not to the service. The
    response has the request for the store. After it, store the message with the token in `upload`.
    It gets the metadata of this request, except for the fields that it has itself. No message is
    stored until then."""
    context = await message_context(request, account, app, vmbox_id)
    vmbox = vmbox_of_path(vmbox_id)
    declared, data = _read_declaration(await read_data(request))
    if not app.strict_metadata:
        data, warnings = fit_metadata(data)
        warn(request, warnings)
    announced = await app.direct_uploads.announce(
        account,
        vmbox,
        to_new_message(data, context.profile),
        declared,
        {name: data[name] for name in MESSAGE_FIELDS if data.get(name) is not None},
        idempotency_key(request),
    )
    return succeed(request, upload_response(announced, context), status=201)


ROUTES = (announce_upload,)


def take_upload(
    app: UseCases, account: AccountFacts, vmbox_id: UUID, data: Document
) -> tuple[DirectUpload | None, Document]:
    """Returns the upload that `data` names, if any, and the metadata of its message.

    The metadata of the announcement applies where `data` has none. Raises UploadTokenInvalid.
    """
    token = data.get("upload")
    if token is None:
        return None, data
    if not isinstance(token, str):
        raise UploadTokenInvalid
    upload = app.direct_uploads.read(account, vmbox_id, token)
    sent = {name: value for name, value in data.items() if value is not None and name != "upload"}
    return upload, {**upload.metadata, **sent}


def _read_declaration(data: Document) -> tuple[AudioDeclaration, Document]:
    """Returns the properties of the audio, and the metadata of the message. Raises Invalid."""
    values = {name: data[name] for name in UPLOAD_FIELDS if data.get(name) is not None}
    fields, problems = apply_schema(values, UPLOAD_FIELDS)
    if problems:
        raise Invalid(problems)
    declared = AudioDeclaration(
        size=fields["size"],
        sha256=bytes.fromhex(fields["sha256"]),
        content_type=fields["content_type"],
    )
    return declared, {name: value for name, value in data.items() if name not in UPLOAD_FIELDS}
