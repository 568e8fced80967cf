"""The OpenAPI 3.1 document, assembled from one section per dialect."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import msgspec

from service.api.description.openapi.fields import Json

_ABOUT = """\
Aftertone stores voicemail: boxes, messages and their audio. It publishes changes as events on NATS.

Every GET path also supports HEAD. A trailing slash is ignored.
"""


_EXAMPLES = {"example", "examples", "value"}


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """The operations of one dialect and the components that they reference."""

    about: str
    tags: list[Json]
    paths: Json
    components: dict[str, Json]


def document(sections: Iterable[Section]) -> Json:
    """Returns the document. Raises ValueError when two sections define a name differently."""
    sections = tuple(sections)
    paths: Json = {}
    components: dict[str, Json] = {}
    for section in sections:
        _add(paths, section.paths)
        for kind, definitions in section.components.items():
            _add(components.setdefault(kind, {}), definitions)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Aftertone",
            "version": version("aftertone"),
            "description": "\n".join((_ABOUT, *(section.about for section in sections))),
            "contact": {"name": "The Aftertone maintainers"},
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "tags": [tag for section in sections for tag in section.tags],
        "paths": without_defaults(paths),
        "components": without_defaults(components),
    }


def without_defaults(value: Any) -> Any:
    """Moves the default of each schema into its description.

    Client generators handle `default` badly: they make the property required, or always send it.
    """
    if isinstance(value, list):
        return [without_defaults(item) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {
        name: inner if name in _EXAMPLES else without_defaults(inner)
        for name, inner in value.items()
    }
    if isinstance(value.get("type"), str | list) and "default" in value:
        default = changed.pop("default")
        text = default if isinstance(default, str) else msgspec.json.encode(default).decode()
        texts = (value.get("description"), f"The default is `{text}`")
        changed["description"] = ". ".join(text for text in texts if text)
    return changed


def _add(target: Json, definitions: Json) -> None:
    for name, definition in definitions.items():
        if target.setdefault(name, definition) != definition:
            raise ValueError(f"{name} is defined twice, differently")
