"""Choice between stored audio and its renditions: `?format=`, else `Accept` (RFC 9110, 12.5.1)."""

import re
from collections.abc import Collection, Iterable
from typing import Any

import msgspec
from litestar import Request

from service.domain.audio_errors import FormatNotAcceptable
from service.domain.errors import Invalid, Rule
from service.domain.message import Audio
from service.domain.rendition import RenditionFormat
from service.usecases.uploads import types_like

AnyRequest = Request[Any, Any, Any]

_WEIGHT = re.compile(r";\s*q\s*=\s*(\d*\.?\d+)\s*(?:;|\Z)", re.IGNORECASE)
_ANYTHING = frozenset({"", "*/*"})
_BYTES = "application/octet-stream"
# Browsers send `audio/webm,audio/ogg,audio/wav,audio/*;q=0.9,*/*;q=0.5` for every audio element.
_INDIFFERENT = 0.9


class _Match(msgspec.Struct, frozen=True):
    """Weight of a type in an Accept header. `is_named` is False if only a wildcard matches it."""

    weight: float
    is_named: bool = False


def choose_format(request: AnyRequest, audio: Audio, can_convert: bool) -> RenditionFormat | None:
    """Returns the format of the response, None for the stored bytes.

    The type with the highest weight is chosen. Between types of equal weight, the stored bytes come
    first, then the formats in their order. A wildcard with a weight of 0.9 or more accepts the
    stored bytes. Raises Invalid, FormatNotAcceptable.
    """
    if (name := request.query_params.get("format")) is not None:
        return parse_format(name)
    accept = request.headers.get("accept", "").strip()
    if accept in _ANYTHING:
        return None
    ranges = parse_accept(accept)
    stored = _match(ranges, {*types_like(audio.content_type), _BYTES})
    if not stored.is_named and stored.weight >= _INDIFFERENT:
        return None
    best, best_weight = None, stored.weight
    for target in RenditionFormat if can_convert else ():
        weight = _match(ranges, target.types).weight
        if weight > best_weight:
            best, best_weight = target, weight
    if not best_weight:
        raise FormatNotAcceptable(audio.content_type)
    return best


def parse_format(name: str) -> RenditionFormat:
    """Returns the format with this name. Raises Invalid."""
    try:
        return RenditionFormat(name)
    except ValueError:
        names = [target.value for target in RenditionFormat]
        raise Invalid.of("format", Rule.ENUM, target=names, value=name[:64]) from None


def parse_accept(accept: str) -> dict[str, float]:
    """Returns the weights of the media ranges of an Accept header. A malformed weight is 1."""
    weights = {}
    for part in accept.split(","):
        name = part.partition(";")[0].strip().lower()
        weight = _WEIGHT.search(part)
        weights["*/*" if name == "*" else name] = min(float(weight[1]), 1.0) if weight else 1.0
    return weights


def _match(ranges: dict[str, float], types: Collection[str]) -> _Match:
    """Returns the weight of the most specific range that covers one of these synonyms."""
    if named := [ranges[name] for name in types if name in ranges]:
        return _Match(max(named), is_named=True)
    families = {f"{name.partition('/')[0]}/*" for name in _without_bytes(types)}
    if covering := [ranges[name] for name in families if name in ranges]:
        return _Match(max(covering))
    return _Match(ranges.get("*/*", 0.0))


def _without_bytes(types: Iterable[str]) -> set[str]:
    names = set(types) - {_BYTES}
    return names or {_BYTES}
