"""The section of this dialect in the OpenAPI document."""

import msgspec

from service.api.description.openapi.document import Section
from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Common, Operation, paths
from service.api.description.openapi.sharing import share_refusals
from service.api.kazoo.openapi import (
    accounts,
    api_keys,
    audit,
    deliveries,
    erasures,
    events,
    exports,
    greetings,
    holds,
    json_schemas,
    links,
    messages,
    neighbours,
    recordings,
    sessions,
    transcriptions,
    trash,
    users,
    vmbox_trash,
    vmboxes,
    webhooks,
)
from service.api.kazoo.openapi.bodies import IGNORED_BODY
from service.api.kazoo.openapi.parameters import parameters, response_headers
from service.api.kazoo.openapi.refusals import responses
from service.api.kazoo.openapi.schemas import schemas

_ABOUT = """\
## Voicemail under `/v2`

2600Hz KAZOO's voicemail API (4.x and 5.x) and Audian's variant of it (`?profile=audian`).

* A request body is `{"data": {...}}`. A string that contains an integer or a boolean is accepted
  for one; a number is not accepted for a string. Unknown keys are kept; keys that begin with `_`
  or `pvt_` are dropped.
* A response is an envelope around `data`. An error has `"status": "error"`, the HTTP status as a
  string in `error`, a machine-readable code in `message` and details in `data`.
* A POST can replace another method: `?verb=PATCH`, or `verb` in the envelope. The envelope can also
  contain `accept` and `auth_token`. `/v2/account/...` is the account of the token.
* Lists accept `filter_<path>=value` and `filter_not_<path>=value` for every dotted path of a
  document, for example `filter_media.unavailable`. All filters must match.
* `?fields=id,name` narrows the response: `data`, or each row of a list, has these fields only. A
  dotted path selects a field of an object.
* Unknown parameters are ignored.
"""
_RESOURCES = (
    sessions,
    accounts,
    api_keys,
    users,
    vmboxes,
    messages,
    trash,
    vmbox_trash,
    recordings,
    transcriptions,
    links,
    greetings,
    webhooks,
    deliveries,
    holds,
    erasures,
    exports,
    events,
    audit,
    json_schemas,
    neighbours,
)
_SCHEMES: Json = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Auth-Token",
        "description": "A token from `PUT /v2/api_auth` or `PUT /v2/user_auth`",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same token"},
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "The id of an account, and the `credentials` of `user_auth`",
    },
    "token_in_query": {
        "type": "apiKey",
        "in": "query",
        "name": "auth_token",
        "description": "The same token, for GET requests of clients that cannot set headers",
    },
}


def section() -> Section:
    """Everything under `/v2`."""
    common = Common(
        parameters=("auth_account_id", "request_id"), responses=responses, security=_security
    )
    operations = [
        msgspec.structs.replace(operation, tag=resource.TAG["name"])
        for resource in _RESOURCES
        for operation in resource.OPERATIONS
    ]
    items = paths("/v2", operations, common)
    for item in items.values():
        if "delete" in item:
            item["delete"].setdefault("requestBody", IGNORED_BODY)
    return Section(
        about=_ABOUT,
        tags=[resource.TAG for resource in _RESOURCES],
        paths=items,
        components={
            "schemas": schemas(),
            "parameters": parameters(operations),
            "responses": share_refusals(items),
            "headers": response_headers(),
            "securitySchemes": _SCHEMES,
        },
    )


def _security(operation: Operation) -> list[Json]:
    if not operation.signed_in:
        return []
    in_query: list[Json] = [{"token_in_query": []}] if operation.method == "GET" else []
    return [{"token": []}, {"bearer": []}, {"basic": []}, *in_query]
