"""The OpenAPI 3.1 document: the sections of the dialects, side by side."""

from collections.abc import Iterable
from importlib.metadata import version

import msgspec

from service.api.description.openapi.fields import Json

_ABOUT = """\
Stores voicemail: boxes, messages and their audio. What happens is published on NATS.

Wherever there is a GET there is a HEAD. A trailing slash changes nothing.
"""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """What one dialect adds: its operations and the components that they refer to."""

    about: str
    tags: list[Json]
    paths: Json
    components: dict[str, Json]


def document(sections: Iterable[Section]) -> Json:
    """The whole document. Raises ValueError when two sections give one name two meanings."""
    sections = tuple(sections)
    paths: Json = {}
    components: dict[str, Json] = {}
    for section in sections:
        _add(paths, section.paths)
        for kind, named in section.components.items():
            _add(components.setdefault(kind, {}), named)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Aftertone",
            "version": version("aftertone"),
            "description": "\n".join((_ABOUT, *(section.about for section in sections))),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "tags": [tag for section in sections for tag in section.tags],
        "paths": paths,
        "components": components,
    }


def _add(known: Json, more: Json) -> None:
    for name, value in more.items():
        if known.setdefault(name, value) != value:
            raise ValueError(f"{name} has two meanings")
