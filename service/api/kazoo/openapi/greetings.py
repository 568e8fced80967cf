"""Operations of greetings."""

from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.kazoo import greetings
from service.api.kazoo.openapi import parameters, samples
from service.api.kazoo.openapi.bodies import (
    audio,
    envelope,
    link,
    not_modified,
    pages,
    success,
    upload,
)
from service.api.kazoo.openapi.refusals import RANGE_BEHIND_END, UPLOADS
from service.api.kazoo.openapi.schemas import ref
from service.api.kazoo.openapi.vmboxes import BAD_LIST
from service.domain.errors import (
    EditConflict,
    GreetingHasNoAudio,
    GreetingInUse,
    GreetingNotFound,
    Invalid,
    PreconditionFailed,
    Rule,
    StorageUnavailable,
)

TAG = {"name": "Greetings", "description": "What callers hear before they leave a message"}

_NAME = TAG["name"]
_UNKNOWN = GreetingNotFound(samples.MEDIA_ID)
_NO_NAME = Invalid.of("name", Rule.REQUIRED)
_AUDIO = upload(ref("NewGreeting"), {}, alone=False)


def _one(text: str, *headers: str, links: Json | None = None, more: Json | None = None) -> Json:
    return success(
        ref("Greeting"),
        samples.GREETING | (more or {}),
        text=text,
        revision=f"1-{samples.MEDIA_ID}",
        headers=headers,
        links=links,
    )


def _links() -> Json:
    """What one can do with a new greeting."""
    targets = {
        "get": ("get_greeting", "Read it"),
        "replace": ("replace_greeting", "Say all anew"),
        "patch": ("patch_greeting", "Change some of it"),
        "delete": ("delete_greeting", "Delete it"),
        "listen": ("get_greeting_audio", "Listen to it"),
        "attach": ("put_greeting_audio", "Give it its audio, or another"),
    }
    return {
        name: link(operation, text, media_id="$response.body#/data/id")
        for name, (operation, text) in targets.items()
    }


OPERATIONS = (
    Operation(
        handler=greetings.list_greetings,
        tag=_NAME,
        parameters=parameters.LIST,
        answers=pages(ref("GreetingRow"), [samples.GREETING_ROW], text="Greetings by name"),
        refusals=BAD_LIST,
    ),
    Operation(
        handler=greetings.create_greeting,
        tag=_NAME,
        parameters=("filename",),
        body=upload(ref("NewGreeting"), {"greeting": samples.NEW_GREETING}, alone=True, bare=False),
        answers={201: _one("Created", "Location", links=_links())},
        refusals=(_NO_NAME, *UPLOADS),
    ),
    Operation(
        handler=greetings.get_greeting,
        tag=_NAME,
        answers={200: _one("The greeting")},
        refusals=(_UNKNOWN,),
    ),
    Operation(
        handler=greetings.replace_greeting,
        tag=_NAME,
        body=envelope(ref("NewGreeting"), {"greeting": samples.NEW_GREETING}),
        answers={200: _one("The greeting as it is now")},
        refusals=(_UNKNOWN, _NO_NAME, EditConflict()),
    ),
    Operation(
        handler=greetings.patch_greeting,
        tag=_NAME,
        body=envelope(ref("GreetingChanges"), {"language": {"language": "de"}}, required=False),
        answers={200: _one("The greeting as it is now")},
        refusals=(_UNKNOWN, EditConflict()),
    ),
    Operation(
        handler=greetings.delete_greeting,
        tag=_NAME,
        answers={200: _one("The greeting as it was", more=samples.DELETED)},
        refusals=(_UNKNOWN, GreetingInUse()),
    ),
    Operation(
        handler=greetings.get_greeting_audio,
        tag=_NAME,
        parameters=parameters.RANGES,
        answers={
            200: audio("The audio, as it was stored", *parameters.AUDIO_HEADERS),
            206: audio("A range of it", *parameters.AUDIO_HEADERS, "Content-Range"),
            304: not_modified(),
        },
        refusals=(
            _UNKNOWN,
            GreetingHasNoAudio(),
            PreconditionFailed(),
            RANGE_BEHIND_END,
            StorageUnavailable(),
        ),
    ),
    Operation(
        handler=greetings.put_greeting_audio,
        tag=_NAME,
        parameters=("filename",),
        body=_AUDIO,
        answers={201: _one("The greeting", "Location")},
        refusals=(_UNKNOWN, *UPLOADS),
    ),
    Operation(
        handler=greetings.post_greeting_audio,
        tag=_NAME,
        parameters=("filename",),
        body=_AUDIO,
        answers={200: _one("The greeting")},
        refusals=(_UNKNOWN, *UPLOADS),
    ),
)
