"""Refusals that many operations share, written once as components."""

from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus

import msgspec

from service.api.description.openapi.fields import Json


def share_refusals(paths: Json, prefix: str = "") -> Json:
    """Replaces the most frequent refusal of each status by a reference; returns the components.

    `prefix` keeps the component names of one dialect apart from those of another.
    """
    counts: dict[str, Counter[bytes]] = {}
    for _, status, answer in _refusals(paths):
        counts.setdefault(status, Counter())[msgspec.json.encode(answer)] += 1
    most_frequent = {status: counter.most_common(1)[0] for status, counter in counts.items()}
    components: Json = {}
    for responses, status, answer in list(_refusals(paths)):
        encoded, count = most_frequent[status]
        if count > 1 and encoded == msgspec.json.encode(answer):
            name = prefix + _component_name(status)
            components[name] = answer
            responses[status] = {"$ref": f"#/components/responses/{name}"}
    return components


def _refusals(paths: Json) -> Iterator[tuple[Json, str, Json]]:
    """Returns the responses of each operation, with the status and the content of each refusal."""
    for item in paths.values():
        for operation in item.values():
            responses = operation["responses"]
            for status, answer in responses.items():
                if int(status) >= HTTPStatus.BAD_REQUEST:
                    yield responses, status, answer


def _component_name(status: str) -> str:
    return HTTPStatus(int(status)).phrase.title().replace(" ", "").replace("-", "")
