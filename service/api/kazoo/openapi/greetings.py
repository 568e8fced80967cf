"""Operations of greetings."""

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import greetings
from service.api.kazoo.openapi import parameters, sample_requests, samples
from service.api.kazoo.openapi.bodies import (
    DocumentResponse,
    audio,
    document_links,
    envelope,
    not_modified,
    pages,
    success,
    upload,
)
from service.api.kazoo.openapi.refusals import CONVERSIONS, RANGE_PAST_END, UPLOADS
from service.api.kazoo.openapi.vmboxes import BAD_LIST, UNKNOWN_VMBOX
from service.api.kazoo.wire.documents import GreetingRow
from service.api.kazoo.wire.greetings import PlayingGreetingRow
from service.domain.audio_errors import GreetingHasNoAudio
from service.domain.errors import (
    EditConflict,
    GreetingInUse,
    GreetingNotFound,
    Invalid,
    NoGreetingPlays,
    PreconditionFailed,
    Rule,
    StorageUnavailable,
)

TAG = {
    "name": "Greetings",
    "description": "Recordings that callers hear before they leave a message",
}

_NOT_FOUND = GreetingNotFound(sample_requests.MEDIA_ID)
_NAME_MISSING = Invalid.of("name", Rule.REQUIRED)
_AUDIO = upload(ref("NewGreeting"), {}, json_alone=False)
_AUDIO_ANSWERS = {
    200: audio("The complete audio", *parameters.AUDIO_HEADERS),
    206: audio("A range of the audio", *parameters.AUDIO_HEADERS, "Content-Range"),
    304: not_modified(),
}


_GREETING = DocumentResponse(
    schema="Greeting",
    example=samples.GREETING,
    revision=f"1-{sample_requests.MEDIA_ID}",
    has_metadata=False,
)
_LINKS = document_links(
    *("media_id", "greeting", "greeting"),
    listen=("get_greeting_audio", "Download its audio"),
    attach=("put_greeting_audio", "Upload its audio"),
)

OPERATIONS = (
    Operation(
        handler=greetings.list_greetings,
        parameters=parameters.list_of(GreetingRow),
        answers=pages(ref(GreetingRow), samples.GREETING_ROW, description="A page of greetings"),
        refusals=BAD_LIST,
    ),
    Operation(
        handler=greetings.create_greeting,
        parameters=("filename",),
        body=upload(
            ref("NewGreeting"),
            {"greeting": sample_requests.NEW_GREETING},
            json_alone=True,
            audio_alone=False,
        ),
        answers={201: _GREETING.describe("The new greeting", "Location", links=_LINKS)},
        refusals=(_NAME_MISSING, *UPLOADS),
    ),
    Operation(
        handler=greetings.get_greeting,
        answers={200: _GREETING.describe("The greeting")},
        refusals=(_NOT_FOUND,),
    ),
    Operation(
        handler=greetings.replace_greeting,
        body=envelope(ref("NewGreeting"), {"greeting": sample_requests.NEW_GREETING}),
        answers={200: _GREETING.describe("The changed greeting")},
        refusals=(_NOT_FOUND, _NAME_MISSING, EditConflict()),
    ),
    Operation(
        handler=greetings.patch_greeting,
        body=envelope(ref("GreetingChanges"), {"language": {"language": "de"}}, required=False),
        answers={200: _GREETING.describe("The changed greeting")},
        refusals=(_NOT_FOUND, EditConflict()),
    ),
    Operation(
        handler=greetings.delete_greeting,
        answers={200: _GREETING.describe("The deleted greeting", extras=samples.DELETED)},
        refusals=(_NOT_FOUND, GreetingInUse()),
    ),
    Operation(
        handler=greetings.get_greeting_audio,
        parameters=("format", *parameters.RANGES),
        answers=_AUDIO_ANSWERS,
        refusals=(
            _NOT_FOUND,
            GreetingHasNoAudio(),
            PreconditionFailed(),
            RANGE_PAST_END,
            StorageUnavailable(),
            *CONVERSIONS,
        ),
    ),
    Operation(
        handler=greetings.get_playing_greeting,
        parameters=("busy",),
        answers={
            200: success(
                ref(PlayingGreetingRow), samples.PLAYING_GREETING, description="The greeting"
            )
        },
        refusals=(UNKNOWN_VMBOX, NoGreetingPlays()),
    ),
    Operation(
        handler=greetings.get_playing_greeting_audio,
        parameters=("busy", "format", *parameters.RANGES),
        answers=_AUDIO_ANSWERS,
        refusals=(
            UNKNOWN_VMBOX,
            NoGreetingPlays(),
            PreconditionFailed(),
            RANGE_PAST_END,
            StorageUnavailable(),
            *CONVERSIONS,
        ),
    ),
    Operation(
        handler=greetings.put_greeting_audio,
        parameters=("filename",),
        body=_AUDIO,
        answers={201: _GREETING.describe("The greeting", "Location")},
        refusals=(_NOT_FOUND, *UPLOADS),
    ),
    Operation(
        handler=greetings.post_greeting_audio,
        parameters=("filename",),
        body=_AUDIO,
        answers={200: _GREETING.describe("The greeting")},
        refusals=(_NOT_FOUND, *UPLOADS),
    ),
)
