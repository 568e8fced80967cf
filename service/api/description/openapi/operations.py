"""Operations as a dialect writes them down, and what of them is read off their route handlers."""

import re
from collections.abc import Callable, Iterable, Mapping

import msgspec
from litestar.handlers import HTTPRouteHandler

from service.api.description.openapi.fields import Json

_PATH_PARAMETER = re.compile(r"\{(\w+):\w+\}")
_READING = {"GET", "HEAD"}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of a path. Path, method, id and words come from the handler.

    `parameters` name components; those of the path need not be named. `answers` are the successes
    by status, `refusals` examples of what can go wrong here, as exceptions. `title` and `text`
    take the place of the handler's own words where those are for its readers only.
    """

    handler: HTTPRouteHandler
    tag: str
    answers: Mapping[int, Json]
    parameters: tuple[str, ...] = ()
    body: Json | None = None
    refusals: tuple[Exception, ...] = ()
    signed_in: bool = True
    title: str | None = None
    text: str | None = None

    @property
    def method(self) -> str:
        """HEAD goes where GET does, and is not described apart."""
        methods = set(self.handler.http_methods)
        method: str = "GET" if methods == _READING else methods.pop()
        return method

    @property
    def path(self) -> str:
        """As OpenAPI writes it: `/accounts/{account_id}`."""
        (path,) = self.handler.paths
        return _PATH_PARAMETER.sub(r"{\1}", path)


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """What all operations of a dialect share.

    `responses` makes the refusals of one operation; `security` is by whether it only reads.
    """

    parameters: tuple[str, ...]
    responses: Callable[[Operation], dict[int, Json]]
    security: Callable[[Operation], list[Json]]


def paths(prefix: str, operations: Iterable[Operation], common: Common) -> Json:
    """The path items of a section."""
    found: Json = {}
    for operation in operations:
        item = found.setdefault(prefix + operation.path, {})
        item[operation.method.lower()] = _described(operation, common)
    return found


def _described(operation: Operation, common: Common) -> Json:
    title, text = _words(operation)
    named = (
        *re.findall(r"\{(\w+)\}", operation.path),
        *operation.parameters,
        *common.parameters,
    )
    answers = {**operation.answers, **common.responses(operation)}
    described: Json = {
        "operationId": operation.handler.handler_name,
        "tags": [operation.tag],
        "summary": title,
        "description": text,
        "security": common.security(operation),
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in named],
        "requestBody": operation.body,
        "responses": {str(status): answers[status] for status in sorted(answers)},
    }
    return {name: value for name, value in described.items() if value not in (None, "")}


def _words(operation: Operation) -> tuple[str, str]:
    """The first sentence of the handler's docstring, and the rest of it."""
    docstring = " ".join((operation.handler.fn.__doc__ or "").split())
    first, dot, rest = docstring.partition(". ")
    title = operation.title or first.removesuffix(".")
    return title, operation.text if operation.text is not None else rest if dot else ""
