"""Operations of audio."""

from litestar.exceptions import HTTPException

from service.api.description.openapi.operations import Operation
from service.api.kazoo import raw, zip
from service.api.kazoo.accept import ZIP
from service.api.kazoo.openapi import parameters, samples
from service.api.kazoo.openapi.bodies import (
    archive,
    audio,
    envelope,
    not_modified,
    success,
    upload,
)
from service.api.kazoo.openapi.messages import NOTHING_NAMED, UNKNOWN_MESSAGE
from service.api.kazoo.openapi.refusals import RANGE_BEHIND_END, UPLOADS
from service.api.kazoo.openapi.schemas import ref
from service.api.kazoo.openapi.vmboxes import UNKNOWN_VMBOX
from service.domain.errors import (
    AudioMissing,
    EditConflict,
    PreconditionFailed,
    StorageUnavailable,
    VmboxFull,
)

TAG = {"name": "Audio", "description": "What was recorded"}

_NAME = TAG["name"]

OPERATIONS = (
    Operation(
        handler=raw.get_audio,
        tag=_NAME,
        parameters=parameters.RANGES,
        answers={
            200: audio("The audio, as it was stored", *parameters.AUDIO_HEADERS),
            206: audio("A range of it", *parameters.AUDIO_HEADERS, "Content-Range"),
            304: not_modified(),
        },
        refusals=(
            UNKNOWN_VMBOX,
            UNKNOWN_MESSAGE,
            AudioMissing(samples.MESSAGE_ID),
            PreconditionFailed(),
            RANGE_BEHIND_END,
            StorageUnavailable(),
        ),
    ),
    Operation(
        handler=raw.put_audio,
        tag=_NAME,
        parameters=("filename", "profile"),
        body=upload(ref("NewMessage"), {}, alone=False),
        answers={
            201: success(ref("Message"), samples.MESSAGE, text="The message", headers=("Location",))
        },
        refusals=(UNKNOWN_VMBOX, UNKNOWN_MESSAGE, VmboxFull(100, 100), EditConflict(), *UPLOADS),
    ),
    Operation(
        handler=zip.download_messages,
        tag=_NAME,
        body=envelope(
            ref("MessageIds"), {"messages": {"messages": [samples.MESSAGE_ID]}}, media=ZIP
        ),
        answers={200: archive("An archive of the audio there is")},
        refusals=(
            UNKNOWN_VMBOX,
            NOTHING_NAMED,
            HTTPException(status_code=404),
            StorageUnavailable(),
        ),
    ),
)
