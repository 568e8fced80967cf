"""The OpenAPI document: valid, complete, and the same as the routes."""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from service.api.app import create_handlers
from service.api.kazoo.accept import BASE64_TYPES, JSON, JSON_TYPES, MEDIA
from service.api.kazoo.openapi.bodies import IGNORED_BODY
from service.domain.vmbox import FIELDS as VMBOX_FIELDS
from service.usecases.uploads import ACCEPTED_TYPES
from tests.contract.described import DESCRIBED, Json

OPERATIONS = list(DESCRIBED.operations())
UNDER_V2 = [item for item in OPERATIONS if item[0].startswith("/v2/")]
# Read, and refused: JSON where audio must come, audio where other fields must.
NEVER_ENOUGH = {
    "put_audio": JSON_TYPES,
    "put_greeting_audio": JSON_TYPES,
    "post_greeting_audio": JSON_TYPES,
    "create_greeting": ACCEPTED_TYPES | BASE64_TYPES,
    "forward_message": ACCEPTED_TYPES | BASE64_TYPES,
}
JSON_TYPE = "application/json"
READ_BY_GENERATORS = {JSON_TYPE, "multipart/form-data", "application/octet-stream"}
SCALARS = {"string", "integer", "boolean"}
NOT_FOR_CLIENTS = {
    "/",
    "/docs",
    "/docs/{digest}/{name}",
    "/inbox",
    "/inbox/{digest}/{path}",
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
    from openapi_spec_validator import validate  # takes a second

    validate(DESCRIBED.document)


def test_every_reference_can_be_resolved() -> None:
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


def test_every_operation_has_a_unique_name_and_a_description() -> None:
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
        is_read = operation.get("requestBody", IGNORED_BODY) != IGNORED_BODY
        expected |= {"400", "408", "413", "415"} if is_read else set()
        expected |= {"403", "404"} if "{account_id}" in path else set()
        assert expected <= operation["responses"].keys()
        for status in operation["responses"].keys() - {"200", "201", "202", "206", "304", "307"}:
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
                DESCRIBED.allows_every_key(content["schema"], value)


def test_content_types_are_those_that_the_routes_negotiate() -> None:
    for path, method, operation in UNDER_V2:
        media = ROUTED[path, method].opt.get(MEDIA, JSON)
        returned = {kind for answer in _successes(operation) for kind in answer["content"]}
        assert all(any(fnmatch(kind, name) for name in returned) for kind in media.returns)
        assert all(any(fnmatch(kind, name) for kind in media.returns) for name in returned)
        body = operation.get("requestBody", IGNORED_BODY)
        if body != IGNORED_BODY:
            useless = NEVER_ENOUGH.get(operation["operationId"], frozenset())
            others = set(re.findall(r"`([^`]+)`", body["description"]))
            assert body["content"].keys() | others == media.accepts - useless - {""}
            assert not body["content"].keys() & others


def test_a_body_is_described_only_under_types_that_generators_read() -> None:
    for _, _, operation in OPERATIONS:
        content = operation.get("requestBody", {}).get("content", {})
        assert content.keys() <= READ_BY_GENERATORS, operation["operationId"]


def test_every_delete_of_kazoo_declares_the_body_that_it_accepts() -> None:
    bodies = [operation["requestBody"] for _, method, operation in UNDER_V2 if method == "DELETE"]
    assert len(bodies) >= 9
    assert all(body["required"] is False and JSON_TYPE in body["content"] for body in bodies)


def test_schemas_have_only_what_generators_understand() -> None:
    for schema in _schemas(DESCRIBED.document):
        # Of constants they understand strings and integers.
        constants = [*schema.get("enum", ()), schema.get("const")]
        assert all(isinstance(value, str | int | None) for value in constants), schema
        assert not any(isinstance(value, bool) for value in constants), schema
        assert "items" in schema or "array" not in schema["type"], schema
        # They make a property with a default required.
        assert "default" not in schema, schema
    for _, _, operation in OPERATIONS:
        for reference in operation["parameters"]:
            # They do not write an object into a query.
            assert DESCRIBED.resolve(reference)["schema"]["type"] in SCALARS


def test_the_schema_of_a_refusal_has_a_name() -> None:
    names = {"Failure", "ValidationFailure", "MailboxFailure"}
    expected = {f"#/components/schemas/{name}" for name in names}
    for _, _, operation in OPERATIONS:
        for status, answer in operation["responses"].items():
            if status >= "400":
                content = DESCRIBED.resolve(answer)["content"][JSON_TYPE]
                assert content["schema"]["$ref"] in expected


def test_the_default_of_a_field_is_in_its_description() -> None:
    schemas = DESCRIBED.document["components"]["schemas"]
    for name, field in VMBOX_FIELDS.items():
        if field.default is not None:
            text = field.default if isinstance(field.default, str) else json.dumps(field.default)
            described = schemas["NewVmbox"]["properties"][name]["description"]
            assert f"The default is `{text}`" in described


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


def _schemas(value: Any) -> Iterator[Json]:
    """Yields every schema that names its type, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get("type"), str | list):
            yield value
        for name, inner in value.items():
            if name not in ("example", "examples", "securitySchemes"):
                yield from _schemas(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _schemas(inner)


def _values(value: Any, name: str) -> Iterator[Any]:
    """Yields all values of this key, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get(name), str):
            yield value[name]
        for inner in value.values():
            yield from _values(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner, name)
