"""Route that forwards a message: `.../messages/{message}/forward`."""

from uuid import UUID

from litestar import Response, post

from service.api.dependencies import App
from service.api.http.access import PERMISSION
from service.api.http.auth import slot_owner
from service.api.kazoo.accept import MEDIA, UPLOAD
from service.api.kazoo.body import read_upload
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheCaller,
    idempotency_key,
    message_of_path,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.messages import MESSAGE
from service.api.kazoo.wire.forwards import ForwardResponse
from service.api.kazoo.wire.messages import batch_response
from service.domain.access import Permission
from service.domain.batch import MAX_TARGETS
from service.domain.errors import Invalid, Rule
from service.domain.forwarding import AfterForward
from service.domain.message import parse_hex_id
from service.domain.schema import Document, Field, apply_schema
from service.usecases.forwards import ForwardRequest
from service.usecases.uploads import Upload

FORWARD = MESSAGE + "/forward"

FORWARD_FIELDS = {
    "source_id": Field(
        types=("array",),
        required=True,
        items=Field(min_length=1, max_length=64),
        min_items=1,
        max_items=MAX_TARGETS,
    ),
    "prepend": Field(min_length=32, max_length=32),
    "after_forward_action": Field(enum=tuple(each.value for each in AfterForward)),
}


@post(FORWARD, status_code=200, opt={PERMISSION: Permission.MESSAGES_WRITE, MEDIA: UPLOAD})
async def forward_message(
    request: AnyRequest,
    account: TheAccount,
    caller: TheCaller,
    vmbox_id: str,
    message_id: str,
    app: App,
) -> Response[bytes]:
    """Forwards a message to boxes. A comment before the message is the greeting `prepend`, or audio
    in a multipart body; the box must have `vm_message_forward_type` `prepend_forward`. Each box in
    `source_id` gets a new message or fails on its own: the status is 200 even if all of them fail.
    Then the original changes as `after_forward_action` of the request, or of its box, defines."""
    vmbox, parsed_id = vmbox_of_path(vmbox_id), message_of_path(message_id)
    with app.messages.uploads.spool(slot_owner(request, account)) as spool:
        data, upload = await read_upload(request, spool, is_stored=False)
        values = _read_fields(data)
        targets: list[str] = values["source_id"]
        for target in targets:
            caller.access.check_vmbox(parse_hex_id(target))
        comment = _read_comment(values, upload)
        if isinstance(comment, UUID):
            await app.greetings.check_access(account, caller.access, [comment])
        action = values.get("after_forward_action")
        result = await app.forwards.forward(
            account,
            vmbox,
            parsed_id,
            ForwardRequest(
                targets=targets,
                comment=comment,
                action=None if action is None else AfterForward(action),
            ),
            idempotency_key(request),
        )
    batch = batch_response(result)
    return succeed(request, ForwardResponse(succeeded=batch.succeeded, failed=batch.failed))


ROUTES = (forward_message,)


def _read_fields(data: Document) -> Document:
    """Reads the parameters of a request. Raises Invalid."""
    fields = {name: data[name] for name in FORWARD_FIELDS if data.get(name) is not None}
    values, problems = apply_schema(fields, FORWARD_FIELDS)
    if problems:
        raise Invalid(problems)
    return values


def _read_comment(values: Document, upload: Upload | None) -> UUID | Upload | None:
    """Reads the comment: received audio, or the greeting `prepend`. Raises Invalid."""
    text = values.get("prepend")
    if text is None:
        return upload
    if upload is not None:
        message = "Send the audio of the comment or the id of a greeting, not both"
        raise Invalid.of("prepend", Rule.NOT_ALLOWED, value=text, message=message)
    media_id = parse_hex_id(text)
    if media_id is None:
        raise Invalid.of("prepend", Rule.NOT_FOUND, value=text)
    return media_id
