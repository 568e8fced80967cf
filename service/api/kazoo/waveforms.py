"""Routes of waveforms: `.../messages/{message}/waveform` and `/recordings/{token}/waveform`."""

from itertools import chain

from litestar import Response, route

from service.api.dependencies import App, UseCases
from service.api.http.access import PERMISSION
from service.api.http.audio_response import VARY
from service.api.http.conditional import if_none_match_matches
from service.api.http.encoded_response import EncodedResponse
from service.api.http.png import encode_columns
from service.api.http.rendition_choice import parse_accept
from service.api.kazoo.accept import MEDIA, Media
from service.api.kazoo.dependencies import (
    AnyRequest,
    TheAccount,
    message_of_path,
    vmbox_of_path,
)
from service.api.kazoo.envelope import succeed
from service.api.kazoo.links import open_link
from service.api.kazoo.messages import MESSAGE
from service.api.kazoo.wire.waveforms import WaveformData
from service.domain.access import Permission
from service.domain.account import AccountFacts
from service.domain.audit import Action
from service.domain.errors import Invalid, Rule
from service.domain.media import MAX_POINTS, Waveform
from service.domain.recording import Recording

PICTURE_TYPE = "image/png"
WAVEFORM = Media(returns=("application/json", PICTURE_TYPE))
DEFAULT_POINTS = 1000

_HEIGHT = 128
_COLOR = (74, 111, 165)


@route(
    MESSAGE + "/waveform",
    http_method=["GET", "HEAD"],
    opt={PERMISSION: Permission.MESSAGES_READ, MEDIA: WAVEFORM},
)
async def get_waveform(
    request: AnyRequest, account: TheAccount, vmbox_id: str, message_id: str, app: App
) -> Response[bytes]:
    """Returns the waveform of a message: the lowest and the highest sample of each of `points`
    equal parts of its time. `Accept: image/png` selects a picture that is `points` pixels wide. A
    waveform that the channel `media` has not stored yet is read from the audio at the first
    request."""
    vmbox, parsed_id = vmbox_of_path(vmbox_id), message_of_path(message_id)
    recording = await app.recordings.get(account, vmbox, parsed_id)
    return await _answer(request, app, account, recording)


@route("/recordings/{link_token:str}/waveform", http_method=["GET", "HEAD"], opt={MEDIA: WAVEFORM})
async def get_linked_waveform(request: AnyRequest, link_token: str, app: App) -> Response[bytes]:
    """Returns the waveform of the recording of a link, as for a message. The link is the only
    credential."""
    account, recording = await open_link(request, link_token, app)
    return await _answer(request, app, account, recording)


ROUTES = (get_waveform, get_linked_waveform)


async def _answer(
    request: AnyRequest, app: UseCases, account: AccountFacts, recording: Recording
) -> Response[bytes]:
    """Returns the waveform as JSON, as a picture, or a 304. The audit records a GET."""
    points, is_picture = _points_of(request), _prefers_picture(request)
    tag = f"{recording.audio.sha256.hex()}-{points}{'-png' if is_picture else ''}"
    headers = {
        "ETag": f'"{tag}"',
        "Cache-Control": "private, no-cache",
        "Vary": VARY,
    }
    if if_none_match_matches(request.headers, tag):
        return Response(b"", status_code=304, headers=headers)
    waveform = await app.waveforms.get(account, recording)
    if request.method != "HEAD":
        message = recording.message
        app.audit.queue.record(
            Action.WAVEFORM_READ,
            account.account_id,
            vmbox_id=message.vmbox_id,
            message_id=message.id,
        )
    if is_picture:
        content = _draw(waveform, points)
        return EncodedResponse(content, status_code=200, media_type=PICTURE_TYPE, headers=headers)
    return succeed(request, _to_data(waveform, points), headers=headers)


def _points_of(request: AnyRequest) -> int:
    text: str = request.query_params.get("points", str(DEFAULT_POINTS))
    is_number = text.isascii() and text.isdecimal() and len(text) <= 4
    if not (is_number and 1 <= int(text) <= MAX_POINTS):
        message = f"points must be a whole number from 1 to {MAX_POINTS}"
        raise Invalid.of("points", Rule.WRONG_FORMAT, value=text[:32], message=message)
    return int(text)


def _prefers_picture(request: AnyRequest) -> bool:
    ranges = parse_accept(request.headers.get("accept", ""))

    def weight(media_type: str) -> float:
        family = f"{media_type.partition('/')[0]}/*"
        return ranges.get(media_type, ranges.get(family, ranges.get("*/*", 0.0)))

    return weight(PICTURE_TYPE) > weight("application/json")


def _to_data(waveform: Waveform, points: int) -> WaveformData:
    return WaveformData(
        duration_ms=waveform.duration_ms,
        length=points,
        data=list(chain.from_iterable(waveform.resample(points))),
    )


def _draw(waveform: Waveform, points: int) -> bytes:
    """Returns a picture with one column per point; full scale is the whole height."""
    middle = _HEIGHT // 2
    columns = []
    for low, high in waveform.resample(points):
        top, bottom = middle - high * middle // 128, middle - low * middle // 128
        filled = max(bottom - top, 1)
        columns.append(bytes(top) + b"\1" * filled + bytes(_HEIGHT - top - filled))
    return encode_columns(columns, _HEIGHT, _COLOR)
