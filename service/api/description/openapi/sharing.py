"""Refusals that many operations share, written once: what is usual for a status is a component."""

from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus

import msgspec

from service.api.description.openapi.fields import Json


def share_refusals(paths: Json, prefix: str = "") -> Json:
    """Replaces the most usual refusal of each status by a reference; the components by name.

    `prefix` tells the names of one dialect from those of another.
    """
    counts: dict[str, Counter[bytes]] = {}
    for _, status, answer in _refusals(paths):
        counts.setdefault(status, Counter())[_fingerprint(answer)] += 1
    usual = {status: record.most_common(1)[0] for status, record in counts.items()}
    shared: Json = {}
    for responses, status, answer in list(_refusals(paths)):
        fingerprint, times = usual[status]
        if times > 1 and fingerprint == _fingerprint(answer):
            name = prefix + _name(status)
            shared[name] = answer
            responses[status] = {"$ref": f"#/components/responses/{name}"}
    return shared


def _refusals(paths: Json) -> Iterator[tuple[Json, str, Json]]:
    for item in paths.values():
        for operation in item.values():
            responses = operation["responses"]
            yield from (
                (responses, status, responses[status]) for status in responses if _bad(status)
            )


def _bad(status: str) -> bool:
    return int(status) >= HTTPStatus.BAD_REQUEST


def _fingerprint(answer: Json) -> bytes:
    return msgspec.json.encode(answer)


def _name(status: str) -> str:
    return HTTPStatus(int(status)).phrase.title().replace(" ", "").replace("-", "")
