"""Checks of responses against the OpenAPI document."""

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

import httpx
import jsonschema_rs

from service.api.app import describe

Json = dict[str, Any]

_JSON = "application/json"


class Described:
    """OpenAPI document. The description of a response is found by the path and method."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self._paths = {_pattern(path): path for path in sorted(document["paths"], key=_vague)}

    def operations(self) -> Iterator[tuple[str, str, Json]]:
        """Yields path, method and operation of all operations."""
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                yield path, method.upper(), operation

    def resolve(self, value: Json) -> Json:
        """Resolves a reference; returns anything else unchanged."""
        while "$ref" in value:
            result: Any = self.document
            for step in value["$ref"].removeprefix("#/").split("/"):
                result = result[step]
            value = result
        return value

    def operation(self, method: str, path: str) -> Json:
        """The operation of a request."""
        template = next(name for pattern, name in self._paths.items() if pattern.fullmatch(path))
        operation: Json = self.document["paths"][template][method.lower()]
        return operation

    def check(self, answer: httpx.Response) -> None:
        """Asserts that status, headers, content type and body are as the document says."""
        request = answer.request
        method = "GET" if request.method == "HEAD" else request.method
        operation = self.operation(method, request.url.path)
        described = self.resolve(operation["responses"][str(answer.status_code)])
        for name, header in described.get("headers", {}).items():
            assert name in answer.headers or not self.resolve(header)["required"], name
        if not answer.content:
            return
        content_type = answer.headers["content-type"].partition(";")[0]
        content = described["content"]
        name = next(name for name in content if fnmatch(content_type, name))
        schema = content[name]["schema"]
        if answer.is_error:
            self.shows(operation, answer.status_code, answer.json())
        if content_type == _JSON:
            self.holds(schema, answer.json())
            self._check_keys(schema, answer.json(), operation["operationId"])

    def shows(self, operation: Json, status: int, refusal: Json) -> None:
        """Asserts that the code of a refusal is one of those that the examples show."""
        described = self.resolve(operation["responses"][str(status)])
        examples = [item["value"] for item in described["content"][_JSON]["examples"].values()]
        shown = {(example["error"], example["message"]) for example in examples}
        assert (refusal["error"], refusal["message"]) in shown

    def allows_every_key(self, schema: Json, value: Any) -> None:
        """Asserts that each key, at any depth, is named by the schema or allowed explicitly."""
        branches = list(self._branches(schema))
        if isinstance(value, list):
            for item in value:
                self.allows_every_key(next(b["items"] for b in branches if "items" in b), item)
        if not isinstance(value, dict):
            return
        named = dict(self._properties(schema))
        if named and not any("additionalProperties" in branch for branch in branches):
            assert value.keys() <= named.keys()
        for name in value.keys() & named.keys():
            self.allows_every_key(named[name], value[name])

    def holds(self, schema: Json, value: object) -> None:
        """Asserts that a value matches a schema of this document."""
        whole = {**schema, "components": self.document["components"]}
        validator = jsonschema_rs.validator_for(whole, validate_formats=True)
        assert [str(error) for error in validator.iter_errors(value)] == []

    def _check_keys(self, schema: Json, value: Any, where: str) -> None:
        """Asserts that every key of an envelope and of its `data` is described."""
        known = dict(self._properties(schema))
        assert value.keys() <= known.keys(), where
        if not isinstance(value["data"], dict):
            return
        data = dict(self._properties(known["data"]))
        branches = self._branches(known["data"])
        free = any(isinstance(branch.get("additionalProperties"), dict) for branch in branches)
        assert free or not data or value["data"].keys() <= data.keys(), where

    def _branches(self, schema: Json) -> Iterator[Json]:
        schema = self.resolve(schema)
        yield schema
        for word in ("allOf", "anyOf"):
            for part in schema.get(word, ()):
                yield from self._branches(part)

    def _properties(self, schema: Json) -> Iterator[tuple[str, Json]]:
        for branch in self._branches(schema):
            yield from branch.get("properties", {}).items()


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))


def _vague(path: str) -> int:
    """Fixed words come before parameters, as they do for the router."""
    return path.count("{")


DESCRIBED = Described(describe())
