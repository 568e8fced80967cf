"""Operations of recording links."""

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import links, waveforms
from service.api.kazoo.openapi import parameters, sample_requests, samples
from service.api.kazoo.openapi.bodies import (
    audio,
    envelope,
    not_modified,
    redirect,
    success,
    waveform,
)
from service.api.kazoo.openapi.messages import UNKNOWN_MESSAGE
from service.api.kazoo.openapi.refusals import CONVERSIONS, RANGE_PAST_END, WAVEFORMS
from service.api.kazoo.openapi.vmboxes import UNKNOWN_VMBOX
from service.api.kazoo.wire.links import OpenedMessage
from service.api.kazoo.wire.messages import LinkResponse
from service.domain.audio_errors import AudioMissing, RedirectUnavailable
from service.domain.errors import (
    Invalid,
    LinkInvalid,
    PreconditionFailed,
    Rule,
    StorageUnavailable,
    TooManyRequests,
)

TAG = {"name": "Links", "description": "URLs that play one recording without other credentials"}

_TOO_LONG = Invalid.of("expires_in_s", Rule.MAXIMUM, target=86_400, value=100_000)
_MISSING = (UNKNOWN_VMBOX, UNKNOWN_MESSAGE, AudioMissing(sample_requests.MESSAGE_ID))

OPERATIONS = (
    Operation(
        handler=links.create_link,
        parameters=("profile",),
        body=envelope(ref("NewLink"), {"link": {"expires_in_s": 300}}, required=False),
        answers={200: success(ref(LinkResponse), samples.LINK, description="The link")},
        refusals=(*_MISSING, _TOO_LONG),
    ),
    Operation(
        handler=links.open_mail,
        signed_in=False,
        body=envelope(ref("MailLink"), {"link": {"token": samples.LINK_TOKEN}}),
        answers={
            200: success(ref(OpenedMessage), samples.OPENED_MESSAGE, description="The message")
        },
        refusals=(
            LinkInvalid(),
            *_MISSING,
            Invalid.of("token", Rule.REQUIRED),
            TooManyRequests(wait_s=1),
        ),
    ),
    Operation(
        handler=links.play_recording,
        signed_in=False,
        parameters=parameters.AUDIO,
        answers={
            200: audio("The complete audio", *parameters.AUDIO_HEADERS),
            206: audio("A range of the audio", *parameters.AUDIO_HEADERS, "Content-Range"),
            304: not_modified(),
            307: redirect(),
        },
        refusals=(
            LinkInvalid(),
            *_MISSING,
            PreconditionFailed(),
            RANGE_PAST_END,
            RedirectUnavailable(),
            TooManyRequests(wait_s=1),
            StorageUnavailable(),
            *CONVERSIONS,
        ),
    ),
    Operation(
        handler=waveforms.get_linked_waveform,
        signed_in=False,
        parameters=("points", "if_none_match"),
        answers={200: waveform(samples.WAVEFORM), 304: not_modified()},
        refusals=(
            LinkInvalid(),
            *_MISSING,
            TooManyRequests(wait_s=1),
            StorageUnavailable(),
            *WAVEFORMS,
        ),
    ),
)
