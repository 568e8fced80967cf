"""Operations as a dialect declares them, and the parts that come from their route handlers."""

import re
from collections.abc import Callable, Iterable, Mapping

import msgspec
from litestar.handlers import HTTPRouteHandler

from service.api.description.openapi.fields import Json

_PATH_PARAMETER = re.compile(r"\{(\w+):\w+\}")
_READING = {"GET", "HEAD"}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of a path. Path, method and id come from the handler.

    The first sentence of the handler's docstring is the summary; the rest is the description.
    `summary` and `description` can replace them. `parameters` names components; path parameters are
    added. `answers` are the successful responses by status. `refusals` are exceptions, as examples
    of errors.
    """

    handler: HTTPRouteHandler
    answers: Mapping[int, Json]
    tag: str = ""
    parameters: tuple[str, ...] = ()
    body: Json | None = None
    refusals: tuple[Exception, ...] = ()
    signed_in: bool = True
    summary: str | None = None
    description: str | None = None

    @property
    def method(self) -> str:
        """The HTTP method. HEAD is not described separately from GET."""
        methods = set(self.handler.http_methods)
        method: str = "GET" if methods == _READING else methods.pop()
        return method

    @property
    def path(self) -> str:
        """The path as OpenAPI writes it: `/accounts/{account_id}`."""
        (path,) = self.handler.paths
        return _PATH_PARAMETER.sub(r"{\1}", path)


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """The parts that all operations of a dialect share.

    `responses` returns the refusals of an operation by status, `security` its security schemes.
    """

    parameters: tuple[str, ...]
    responses: Callable[[Operation], dict[int, Json]]
    security: Callable[[Operation], list[Json]]


def paths(prefix: str, operations: Iterable[Operation], common: Common) -> Json:
    """Returns the path items of a section."""
    items: Json = {}
    for operation in operations:
        item = items.setdefault(prefix + operation.path, {})
        item[operation.method.lower()] = _described(operation, common)
    return items


def _described(operation: Operation, common: Common) -> Json:
    summary, description = _split_docstring(operation)
    names = (*re.findall(r"\{(\w+)\}", operation.path), *operation.parameters, *common.parameters)
    answers = {**operation.answers, **common.responses(operation)}
    described: Json = {
        "operationId": operation.handler.handler_name,
        "tags": [operation.tag],
        "summary": summary,
        "description": description,
        "security": common.security(operation),
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in names],
        "requestBody": operation.body,
        "responses": {str(status): answers[status] for status in sorted(answers)},
    }
    return {name: value for name, value in described.items() if value not in (None, "")}


def _split_docstring(operation: Operation) -> tuple[str, str]:
    """Returns the summary and the description of an operation."""
    docstring = " ".join((operation.handler.fn.__doc__ or "").split())
    first, _, rest = docstring.partition(". ")
    summary = first.removesuffix(".") if operation.summary is None else operation.summary
    return summary, rest if operation.description is None else operation.description
