"""Operations of audio."""

from litestar.exceptions import HTTPException

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import raw, waveforms, zip
from service.api.kazoo.accept import ZIP
from service.api.kazoo.openapi import parameters, sample_requests, samples
from service.api.kazoo.openapi.bodies import (
    archive,
    audio,
    envelope,
    not_modified,
    redirect,
    success,
    upload,
    waveform,
)
from service.api.kazoo.openapi.messages import NO_MESSAGES, UNKNOWN_MESSAGE
from service.api.kazoo.openapi.refusals import (
    CONVERSIONS,
    FORMAT_UNKNOWN,
    RANGE_PAST_END,
    UPLOADS,
    WAVEFORMS,
)
from service.api.kazoo.openapi.vmboxes import UNKNOWN_VMBOX
from service.api.kazoo.wire.messages import MessageMetadata
from service.domain.audio_errors import AudioMissing, ConversionUnavailable, RedirectUnavailable
from service.domain.errors import (
    EditConflict,
    PreconditionFailed,
    StorageUnavailable,
    TooManyConversions,
    VmboxFull,
)

TAG = {"name": "Audio", "description": "Recordings of messages"}


OPERATIONS = (
    Operation(
        handler=raw.get_audio,
        parameters=parameters.AUDIO,
        answers={
            200: audio("The complete audio", *parameters.AUDIO_HEADERS),
            206: audio("A range of the audio", *parameters.AUDIO_HEADERS, "Content-Range"),
            304: not_modified(),
            307: redirect(),
        },
        refusals=(
            UNKNOWN_VMBOX,
            UNKNOWN_MESSAGE,
            AudioMissing(sample_requests.MESSAGE_ID),
            PreconditionFailed(),
            RANGE_PAST_END,
            RedirectUnavailable(),
            StorageUnavailable(),
            *CONVERSIONS,
        ),
    ),
    Operation(
        handler=waveforms.get_waveform,
        parameters=("points", "if_none_match"),
        answers={200: waveform(samples.WAVEFORM), 304: not_modified()},
        refusals=(
            UNKNOWN_VMBOX,
            UNKNOWN_MESSAGE,
            AudioMissing(sample_requests.MESSAGE_ID),
            StorageUnavailable(),
            *WAVEFORMS,
        ),
    ),
    Operation(
        handler=raw.put_audio,
        parameters=("filename", "profile"),
        body=upload(ref("NewMessage"), {}, json_alone=False),
        answers={
            201: success(
                ref(MessageMetadata),
                samples.MESSAGE,
                description="The message",
                headers=("Location",),
            )
        },
        refusals=(UNKNOWN_VMBOX, UNKNOWN_MESSAGE, VmboxFull(100, 100), EditConflict(), *UPLOADS),
    ),
    Operation(
        handler=zip.download_messages,
        parameters=("format",),
        body=envelope(
            ref("MessageIds"), {"messages": {"messages": [sample_requests.MESSAGE_ID]}}, media=ZIP
        ),
        answers={200: archive("The archive")},
        refusals=(
            UNKNOWN_VMBOX,
            NO_MESSAGES,
            HTTPException(status_code=404),
            StorageUnavailable(),
            FORMAT_UNKNOWN,
            ConversionUnavailable(),
            TooManyConversions(),
        ),
    ),
)
