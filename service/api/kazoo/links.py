"""Routes of recording links: `.../messages/{message}/link` and `/v2/recordings/{token}`."""

from datetime import timedelta

from litestar import Response, post, route
from litestar.response import Stream

from service.api.dependencies import App, UseCases
from service.api.http.access import PERMISSION
from service.api.http.auth import record_caller
from service.api.http.recording_response import answer_recording
from service.api.http.times import format_iso
from service.api.kazoo.accept import MEDIA, RECORDING, negotiate
from service.api.kazoo.body import read_data
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    TheCaller,
    message_of_path,
    take_request,
    vmbox_of_path,
    wire_profile,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.messages import MESSAGE
from service.api.kazoo.profiles import WireProfile
from service.api.kazoo.raw import is_redirected
from service.api.kazoo.times import gregorian
from service.api.kazoo.wire.links import opened_message
from service.api.kazoo.wire.messages import LinkResponse
from service.domain.access import Permission
from service.domain.account import AccountFacts
from service.domain.audit import Action, current_actor
from service.domain.errors import Invalid
from service.domain.recording import MAX_LINK_LIFETIME, Recording
from service.domain.schema import Field, apply_schema, submitted_keys
from service.security import MAX_TOKEN

LINK_FIELDS = {
    "expires_in_s": Field(
        types=("integer",),
        minimum=1,
        maximum=int(MAX_LINK_LIFETIME.total_seconds()),
        default=300,
    ),
}
MAIL_LINK_FIELDS = {"token": Field(required=True, min_length=1, max_length=MAX_TOKEN)}


@post(MESSAGE + "/link", status_code=200, opt={PERMISSION: Permission.MESSAGES_READ})
async def create_link(
    request: AnyRequest,
    caller: TheCaller,
    account: TheAccount,
    vmbox_id: str,
    message_id: str,
    app: App,
) -> Response[bytes]:
    """Creates a link that plays one recording without other credentials. The link ends at its
    expiry and when the message is deleted. It also ends when the token of this request is revoked,
    or when the user, API key or account of the token changes. It does not end when the token
    expires."""
    profile = wire_profile(request, account)
    vmbox, identity = vmbox_of_path(vmbox_id), message_of_path(message_id)
    data, problems = apply_schema(submitted_keys(await read_data(request)), LINK_FIELDS)
    if problems:
        raise Invalid(problems)
    lifetime = timedelta(seconds=data["expires_in_s"])
    token, link = await app.recording_links.create(caller, account, vmbox, identity, lifetime)
    app.audit.queue.record(
        Action.LINK_CREATED,
        account.account_id,
        vmbox_id=vmbox,
        message_id=identity,
        target=link.link_id.hex,
    )
    is_audian = profile is WireProfile.AUDIAN
    expires = format_iso(link.expires_at) if is_audian else gregorian(link.expires_at)
    return succeed(request, LinkResponse(url=_url_of(request, app, token), expires=expires))


@post("/recordings", status_code=200)
async def open_mail(request: AnyRequest, app: App) -> Response[bytes]:
    """Returns the message of a link in a mail, and a URL that plays it for an hour. `token` is the
    only credential. It is sent in the body, so that no proxy logs it. The link ends at its expiry
    and when the message is deleted. It also ends when its recipient no longer gets mails of the box
    with audio."""
    negotiate(request)
    data, problems = apply_schema(submitted_keys(await read_data(request)), MAIL_LINK_FIELDS)
    if problems:
        raise Invalid(problems)
    opened = await app.recording_links.open_mail(data["token"])
    record_caller(request, opened.caller)
    current_actor().identify_link(opened.caller, opened.mail_link.link_id)
    take_request(app, opened.caller)
    link = opened.link
    app.audit.queue.record(
        Action.LINK_CREATED,
        link.account_id,
        vmbox_id=link.vmbox_id,
        message_id=link.message_id,
        target=link.link_id.hex,
    )
    return succeed(request, opened_message(opened, _url_of(request, app, opened.token)))


@route("/recordings/{link_token:str}", http_method=["GET", "HEAD"], opt={MEDIA: RECORDING})
async def play_recording(
    request: AnyRequest, link_token: str, app: App
) -> Response[bytes] | Stream:
    """Returns the audio of a recording link. The link is the only credential. `Range` selects a
    part of the audio, `redirect=true` redirects to the audio store, and `format` or `Accept`
    selects the format, as for `raw`."""
    account, recording = await open_link(request, link_token, app)
    return await answer_recording(
        request, app, account, recording, is_redirected=is_redirected(request, app, account)
    )


ROUTES = (create_link, open_mail, play_recording)


async def open_link(
    request: AnyRequest, link_token: str, app: UseCases
) -> tuple[AccountFacts, Recording]:
    """Returns the recording of a link and its account. The audit names the link as the actor.

    Raises LinkInvalid, TooManyRequests, MessageNotFound, AudioMissing.
    """
    link, signer = await app.recording_links.verify(link_token)
    record_caller(request, signer)
    current_actor().identify_link(signer, link.link_id)
    take_request(app, signer)
    negotiate(request)
    return await app.recording_links.get(link, signer)


def _url_of(request: AnyRequest, app: UseCases, token: str) -> str:
    base = app.public_url or f"{request.url.scheme}://{request.url.netloc}"
    return f"{base}/v2/recordings/{token}"
