"""This dialect's section of the OpenAPI document."""

from service.api.description.openapi.document import Section
from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Common, Operation, paths
from service.api.description.openapi.sharing import share_refusals
from service.api.kazoo.openapi import (
    accounts,
    events,
    greetings,
    messages,
    recordings,
    sessions,
    users,
    vmboxes,
    webhooks,
)
from service.api.kazoo.openapi.callers import caller_schemas
from service.api.kazoo.openapi.envelopes import envelopes
from service.api.kazoo.openapi.parameters import parameters, response_headers
from service.api.kazoo.openapi.refusals import responses
from service.api.kazoo.openapi.schemas import schemas

_ABOUT = """\
## Voicemail under `/v2`

2600Hz KAZOO's voicemail API (4.x and 5.x) and Audian's variant of it (`?profile=audian`).

* A body is `{"data": {...}}`. Strings that spell an integer or a boolean count as one; numbers
  never count as strings. Unknown keys are kept; those that begin with `_` or `pvt_` are dropped.
* An answer is an envelope around `data`; a refusal has `"status": "error"`, the HTTP status as a
  string in `error`, a word for machines in `message` and details in `data`.
* A POST may stand for another method: `?verb=PATCH`, or `verb` in the envelope. `accept` and
  `auth_token` may stand in the envelope too. `/v2/account/...` is the token's own account.
* Unknown parameters are ignored.
"""
_RESOURCES = (sessions, accounts, users, vmboxes, messages, recordings, greetings, webhooks, events)
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
        "description": "The id of an account, and `credentials` as for `user_auth`",
    },
    "token_in_query": {
        "type": "apiKey",
        "in": "query",
        "name": "auth_token",
        "description": "The same token, for what only reads and cannot set headers",
    },
}


def section() -> Section:
    """Everything under `/v2`."""
    common = Common(
        parameters=("auth_account_id", "request_id"), responses=responses, security=_security
    )
    operations = [one for resource in _RESOURCES for one in resource.OPERATIONS]
    described = paths("/v2", operations, common)
    return Section(
        about=_ABOUT,
        tags=[resource.TAG for resource in _RESOURCES],
        paths=described,
        components={
            "schemas": {**envelopes(), **caller_schemas(), **schemas()},
            "parameters": parameters(),
            "responses": share_refusals(described),
            "headers": response_headers(),
            "securitySchemes": _SCHEMES,
        },
    )


def _security(operation: Operation) -> list[Json]:
    if not operation.signed_in:
        return []
    reading: list[Json] = [{"token_in_query": []}] if operation.method == "GET" else []
    return [{"token": []}, {"bearer": []}, {"basic": []}, *reading]
