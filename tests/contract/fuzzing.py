"""Facts about this API that schemathesis needs: JSON media types, and rules beyond the schema.

It loads this module itself, in a process of its own, by the name that its settings give.
"""

import itertools
import json
import os
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from zoneinfo import available_timezones

import schemathesis
from hypothesis import strategies
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import IgnoredAuth, RejectedPositiveData, UseAfterFree

from service.api.kazoo.openapi.bodies import IGNORED_BODY
from service.api.kazoo.times import gregorian
from service.domain.clock import utc_now
from tests.contract.described import Described

Json = dict[str, Any]

_BRIEFLY = os.environ.get("FUZZ_BRIEFLY") == "yes"
_TURNS = itertools.count()
_BYTES = "application/octet-stream"
_UPLOADS = {_BYTES, "multipart/form-data"}
_WEBHOOKS = ("NewWebhook", "WebhookChanges")
_FEW = 12

_UNIQUE = {"name", "realm", "mailbox", "username"}
# What depends on what is stored, on tables of names, or on keys that only the server can make.
_OF_THE_STATE = {"unique", "not_found", "date_range", "wrong_format", "format"}
_OF_THE_SERVER = {"password", "upload"}
_PUT_OFF = {409, 412, 413, 416}
# What is ignored when it makes no sense, as KAZOO ignores it.
_LENIENT = {
    *("paginate", "ascending", "descending"),
    *("created_from", "created_to", "modified_from", "modified_to"),
    *("X-Auth-Account-ID", "X-Request-ID", "filename"),
    # Not looked at where messages are only filed.
    "Idempotency-Key",
}
_SPELLED = re.compile(r"true|false|-?[0-9]+")

schemathesis.openapi.format(
    "iana-time-zone", strategies.sampled_from(sorted(available_timezones()))
)


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: Json) -> None:
    """Generates bodies of JSON media types as JSON."""
    del context
    schemas = raw_schema["components"]["schemas"]
    # How far back a message may be dated is a setting.
    now = gregorian(utc_now())
    recent = {"type": "integer", "minimum": now - 2_000_000, "maximum": now}
    schemas["NewMessage"]["properties"]["timestamp"] = recent
    # The rules of these keys depend on `hook`.
    for name, key in itertools.product(_WEBHOOKS, ("type", "action", "format")):
        del schemas[name]["properties"][key]
    if _BRIEFLY:
        _shorten(raw_schema)


def _shorten(raw_schema: Json) -> None:
    """Shortens the run: fewer content types, and a few of many values in turn."""
    for content in _bodies(raw_schema):
        if _BYTES not in content:
            content.pop("multipart/form-data", None)
    for schema in raw_schema["components"]["schemas"].values():
        properties = schema.get("properties", {})
        few = [*list(properties)[::4], *schema.get("required", ())]
        if len(properties) > _FEW:
            schema["properties"] = {name: properties[name] for name in few}
    required = {
        f"#/components/parameters/{name}"
        for name, parameter in raw_schema["components"]["parameters"].items()
        if parameter.get("required")
    }
    for turn, operation in enumerate(_operations(raw_schema)):
        named = operation["parameters"]
        optional = [item for item in named if item["$ref"] not in required]
        few = optional[turn % 9 :: 9]
        operation["parameters"] = [item for item in named if item not in optional or item in few]


def _operations(raw_schema: Json) -> Iterator[Json]:
    for item in raw_schema["paths"].values():
        yield from item.values()


def _bodies(raw_schema: Json) -> Iterator[Json]:
    for operation in _operations(raw_schema):
        yield operation.get("requestBody", {}).get("content", {})


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case[Any]) -> bool:
    """A brief run sends one in twelve of what covers the schemas; a long run sends all."""
    del context
    covers = case.meta is not None and case.meta.phase.name.value == "coverage"
    return not (_BRIEFLY and covers) or next(_TURNS) % 12 == 0


@schemathesis.hook
def map_case(
    context: schemathesis.HookContext, case: schemathesis.Case[Any]
) -> schemathesis.Case[Any]:
    """Makes unique values unique when links are followed, so that steps can be repeated."""
    del context
    data = case.body.get("data") if isinstance(case.body, dict) else None
    if isinstance(data, dict) and _is_a_good_step(case):
        for name in data.keys() & _UNIQUE:
            data[name] = f"unique-{next(_TURNS)}"
        data.pop("aliases", None)
    return case


def _is_a_good_step(case: schemathesis.Case[Any]) -> bool:
    meta = case.meta
    return (
        meta is not None
        and meta.phase.name.value == "stateful"
        and meta.generation.mode.is_positive
    )


@schemathesis.check
def shows_the_code_of_a_refusal(
    context: schemathesis.CheckContext,
    response: schemathesis.Response,
    case: schemathesis.Case[Any],
) -> None:
    """A refusal in an envelope of KAZOO has a code that the description shows."""
    del context
    status, operation = response.status_code, case.operation
    is_refusal = status >= HTTPStatus.BAD_REQUEST and operation.path.startswith("/v2/")
    if is_refusal and str(status) in operation.definition.raw["responses"]:
        described = Described(operation.schema.raw_schema)
        described.shows(operation.definition.raw, status, response.json())


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext,
    failure: Failure,
    case: schemathesis.Case[Any],
    response: schemathesis.Response,
) -> bool:
    """Keeps faults, but not refusals that depend on stored data or on ignored values."""
    del context
    if isinstance(failure, RejectedPositiveData):
        # The bytes of an upload decide whether it is audio.
        is_not_audio = response.status_code == 415 and case.media_type in _UPLOADS
        is_put_off = response.status_code in _PUT_OFF or is_not_audio
        return not (is_put_off or _no_schema_can_say(response))
    if isinstance(failure, AcceptedNegativeData):
        return not (_is_ignored(case) or _is_spelled(case) or _is_audian(case))
    if isinstance(failure, UseAfterFree):
        # A list is there without its messages.
        return not failure.free.endswith("/messages")
    # It makes one credential bad and leaves the good one beside it.
    return not (isinstance(failure, IgnoredAuth) and "auth_token=ey" in str(response.request.url))


def _no_schema_can_say(response: schemathesis.Response) -> bool:
    if response.status_code != 400:
        return False
    return all(
        field in _OF_THE_SERVER or rules <= _OF_THE_STATE
        for field, rules in _broken(response.json())
    )


def _broken(refusal: Json) -> Iterator[tuple[str, set[str]]]:
    """Returns each field and the rules that it breaks, in the form of both dialects."""
    for field, rules in refusal.get("data", {}).items():
        yield field, set(rules)
    for field, rule in refusal.get("result", {}).get("errors", {}).items():
        yield field, {rule}


def _mutated(case: schemathesis.Case[Any]) -> Iterator[tuple[str, str]]:
    """Returns the place and the name of the wrong value; empty if unknown."""
    assert case.meta is not None
    data = case.meta.phase.data
    for mutation in data.mutations:
        yield mutation.parameter_location.value, mutation.parameter or ""
    if not data.mutations:
        place = data.parameter_location.value if data.parameter_location else ""
        yield place, data.parameter or ""


def _is_ignored(case: schemathesis.Case[Any]) -> bool:
    """Returns True if only values are wrong that the service ignores."""
    ignored = set(_LENIENT)
    query = case.query or {}
    if query.get("paginate") in (False, "false"):
        ignored.add("page_size")
    if "filter_folder" in query or _names_folder(case.body):
        ignored.add("folder")
    # Parts may have any names, and there may be more than the two.
    parts = (case.media_type or "").startswith("multipart/")
    # Parameters that nobody knows have no name here, and are ignored as KAZOO does.
    return all(
        name in ignored
        or (place == "body" and (parts or _ignores_body(case)))
        or not place
        or (place, name) == ("query", "")
        # Whatever was made of it, the account of the run was asked about.
        or (place, name) == ("path", "account_id")
        for place, name in _mutated(case)
    )


def _ignores_body(case: schemathesis.Case[Any]) -> bool:
    return bool(case.operation.definition.raw.get("requestBody") == IGNORED_BODY)


def _names_folder(body: Any) -> bool:
    data = body.get("data") if isinstance(body, dict) else None
    return isinstance(data, dict) and bool({"folder", "source_id"} & data.keys())


def _is_spelled(case: schemathesis.Case[Any]) -> bool:
    """Returns True for a string that the service converts to an integer or a boolean."""
    in_body = all(place == "body" for place, _ in _mutated(case))
    return in_body and any(_SPELLED.fullmatch(text) for text in _texts(case.body))


def _is_audian(case: schemathesis.Case[Any]) -> bool:
    """This profile takes other owners, and merges where the other one replaces."""
    return "audian" in json.dumps(case.query, default=str)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)
