"""The OpenAPI document: valid, whole, and what the routes really take and give."""

import re
from collections.abc import Iterator
from typing import Any

from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from openapi_spec_validator import validate

from service.api.app import create_handlers, describe
from service.api.kazoo.accept import BASE64_TYPES, JSON, JSON_TYPES, MEDIA
from service.usecases.uploads import ACCEPTED_TYPES
from tests.contract.described import Described, Json

DESCRIBED = Described(describe())
OPERATIONS = list(DESCRIBED.operations())
UNDER_V2 = [item for item in OPERATIONS if item[0].startswith("/v2/")]
# Read, and refused: JSON where audio must come, audio where a name must.
NEVER_ENOUGH = {
    "put_audio": JSON_TYPES,
    "put_greeting_audio": JSON_TYPES,
    "post_greeting_audio": JSON_TYPES,
    "create_greeting": ACCEPTED_TYPES | BASE64_TYPES,
}
NOT_FOR_CLIENTS = {
    "/",
    "/docs",
    "/docs/{digest}/{name}",
    "/openapi.json",
    "/asyncapi.json",
    "/v1",
    "/v1/{rest}",
    "/v2/mail/confirm/{recipient_token}",
    "/v2/mail/unsubscribe/{recipient_token}",
}


def _routed() -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """Path, method and handler of everything that is routed."""
    for handler in create_handlers():
        if isinstance(handler, HTTPRouteHandler):
            for path in handler.paths:
                yield from ((path, method, handler) for method in handler.http_methods)
            continue
        assert isinstance(handler, Router)
        for route in handler.routes:
            assert isinstance(route, HTTPRoute)
            for route_handler in route.route_handlers:
                yield from (
                    (route.path, method, route_handler) for method in route_handler.http_methods
                )


ROUTED = {
    (re.sub(r":\w+\}", "}", path), method): handler
    for path, method, handler in _routed()
    if method != "OPTIONS"
}


def test_document_and_routes_are_the_same() -> None:
    routed = {
        (path, method)
        for path, method in ROUTED
        if path not in NOT_FOR_CLIENTS and method != "HEAD"
    }
    assert {(path, method) for path, method, _ in OPERATIONS} == routed


def test_a_path_that_is_read_answers_head_too() -> None:
    read = {path for path, method in ROUTED if method == "GET"}
    assert {path for path, method in ROUTED if method == "HEAD"} == read


def test_the_document_is_valid() -> None:
    validate(DESCRIBED.document)


def test_every_reference_leads_somewhere() -> None:
    references = set(_values(DESCRIBED.document, "$ref"))
    assert references
    assert all(DESCRIBED.resolve({"$ref": reference}) for reference in references)


def test_every_component_is_used() -> None:
    components = DESCRIBED.document["components"]
    named = {
        f"#/components/{kind}/{name}"
        for kind, all_of_it in components.items()
        for name in all_of_it
        if kind != "securitySchemes"
    }
    assert named == set(_values(DESCRIBED.document, "$ref"))


def test_every_operation_has_a_name_of_its_own_and_words() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in DESCRIBED.document["tags"]}
    for _, _, operation in OPERATIONS:
        assert operation["summary"]
        assert operation["description"]
        assert set(operation["tags"]) <= tags
        assert operation["parameters"]


def test_every_operation_shows_its_success() -> None:
    for path, method, operation in OPERATIONS:
        answers = _successes(operation)
        assert answers, (path, method)
        for answer in answers:
            content = answer.get("content", {}).get("application/json")
            assert content is None or content["example"]


def test_refusals_have_examples_in_the_envelope() -> None:
    for path, _, operation in UNDER_V2:
        expected = {"406", "500", "503"}
        expected |= {"401", "429"} if operation["security"] else set()
        expected |= {"400", "408", "413", "415"} if "requestBody" in operation else set()
        expected |= {"403", "404"} if "{account_id}" in path else set()
        assert expected <= operation["responses"].keys()
        for status in operation["responses"].keys() - {"200", "201", "206", "304"}:
            content = DESCRIBED.resolve(operation["responses"][status])["content"]
            for example in content["application/json"]["examples"].values():
                assert example["value"]["error"] == status
                assert example["value"]["message"]


def test_examples_hold_for_their_schemas() -> None:
    for _, _, operation in OPERATIONS:
        bodies = operation.get("requestBody", {}).get("content", {})
        answers = [DESCRIBED.resolve(answer) for answer in operation["responses"].values()]
        contents = [*bodies.values()]
        contents += [item for answer in answers for item in answer.get("content", {}).values()]
        for content in contents:
            for value in _examples(content):
                DESCRIBED.holds(content["schema"], value)


def test_content_types_are_those_that_the_routes_negotiate() -> None:
    for path, method, operation in UNDER_V2:
        media = ROUTED[path, method].opt.get(MEDIA, JSON)
        parameters = {kind for answer in _successes(operation) for kind in answer["content"]}
        assert parameters == set(media.returns)
        if "requestBody" in operation:
            useless = NEVER_ENOUGH.get(operation["operationId"], frozenset())
            body = operation["requestBody"]["content"]
            assert body.keys() == media.accepts - useless - {""}


def test_links_lead_to_operations_and_name_all_their_parameters() -> None:
    paths = {operation["operationId"]: path for path, _, operation in OPERATIONS}
    for _, _, operation in OPERATIONS:
        for answer in _successes(operation):
            for link in answer.get("links", {}).values():
                named = re.findall(r"\{(\w+)\}", paths[link["operationId"]])
                assert set(named) == link["parameters"].keys()


def _successes(operation: Json) -> list[Json]:
    return [answer for status, answer in operation["responses"].items() if status < "300"]


def _examples(content: Json) -> Iterator[Any]:
    yield from (example["value"] for example in content.get("examples", {}).values())
    if "example" in content:
        yield content["example"]


def _values(value: Any, name: str) -> Iterator[Any]:
    """Everything that stands under this key, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get(name), str):
            yield value[name]
        for inner in value.values():
            yield from _values(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner, name)
