"""Operations of legal holds."""

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import holds
from service.api.kazoo.openapi import parameters, sample_requests, samples
from service.api.kazoo.openapi.bodies import archive, audio, envelope, not_modified, pages, success
from service.api.kazoo.openapi.messages import UNKNOWN_MESSAGE
from service.api.kazoo.openapi.refusals import RANGE_PAST_END
from service.api.kazoo.openapi.vmboxes import BAD_LIST, BAD_START
from service.api.kazoo.wire.holds import HeldIdsResponse, HoldRow
from service.api.kazoo.wire.messages import HeldRow
from service.domain.audio_errors import AudioMissing
from service.domain.errors import (
    HoldNotFound,
    Invalid,
    PreconditionFailed,
    Rule,
    StorageUnavailable,
    TooManyHolds,
)
from service.domain.hold import MAX_HOLDS

TAG = {"name": "Legal holds", "description": "Messages that must not be deleted"}

_UNKNOWN = HoldNotFound(sample_requests.WEBHOOK_ID)
_UNKNOWN_BOX = Invalid.of("vmbox_ids", Rule.NOT_FOUND)
_BAD_WINDOW = Invalid.of("created_to", Rule.DATE_RANGE)

OPERATIONS = (
    Operation(
        handler=holds.list_holds,
        parameters=parameters.list_of(HoldRow),
        answers=pages(ref(HoldRow), samples.HOLD, description="A page of holds", metadata=True),
        refusals=BAD_LIST,
    ),
    Operation(
        handler=holds.create_hold,
        body=envelope(ref("NewHold"), {"hold": sample_requests.NEW_HOLD}),
        answers={
            201: success(
                ref(HoldRow), samples.HOLD, headers=("Location",), description="The new hold"
            )
        },
        refusals=(_UNKNOWN_BOX, _BAD_WINDOW, TooManyHolds(MAX_HOLDS)),
    ),
    Operation(
        handler=holds.get_hold,
        answers={200: success(ref(HoldRow), samples.HOLD, description="The hold")},
        refusals=(_UNKNOWN,),
    ),
    Operation(
        handler=holds.release_hold,
        answers={200: success(ref(HoldRow), samples.HOLD, description="The released hold")},
        refusals=(_UNKNOWN,),
    ),
    Operation(
        handler=holds.select_held_messages,
        body=envelope(ref("MessageIds"), {"messages": {"messages": [sample_requests.MESSAGE_ID]}}),
        answers={
            200: success(
                ref(HeldIdsResponse),
                HeldIdsResponse(held=[sample_requests.MESSAGE_ID]),
                description="The held ones",
            )
        },
    ),
    Operation(
        handler=holds.list_held_messages,
        parameters=("paginate", "page_size", "start_key", "if_none_match", "profile"),
        answers=pages(ref(HeldRow), samples.HELD_ROW, description="A page of held messages"),
        refusals=(*BAD_LIST, _UNKNOWN),
    ),
    Operation(
        handler=holds.get_held_audio,
        parameters=parameters.RANGES,
        answers={
            200: audio("The complete audio", *parameters.AUDIO_HEADERS),
            206: audio("A range of the audio", *parameters.AUDIO_HEADERS, "Content-Range"),
            304: not_modified(),
        },
        refusals=(
            _UNKNOWN,
            UNKNOWN_MESSAGE,
            AudioMissing(sample_requests.MESSAGE_ID),
            PreconditionFailed(),
            RANGE_PAST_END,
            StorageUnavailable(),
        ),
    ),
    Operation(
        handler=holds.export_hold,
        parameters=("start_key",),
        answers={200: archive("The archive")},
        refusals=(_UNKNOWN, BAD_START, StorageUnavailable()),
    ),
)
