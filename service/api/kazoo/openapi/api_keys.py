"""Operations of named API keys."""

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import api_keys
from service.api.kazoo.openapi import parameters, sample_requests, samples
from service.api.kazoo.openapi.bodies import envelope, pages, success
from service.api.kazoo.openapi.vmboxes import BAD_LIST
from service.api.kazoo.wire.api_keys import ApiKeyRow, CreatedApiKey
from service.domain.api_key import MAX_API_KEYS
from service.domain.errors import ApiKeyNotFound, Invalid, Rule, TooManyApiKeys

TAG = {"name": "API keys", "description": "Named keys with scopes, for programs"}

_UNKNOWN = ApiKeyNotFound(sample_requests.WEBHOOK_ID)
_BAD_SCOPE = Invalid.of("scopes.0", Rule.ENUM, target=["messages:read"], value="messages")
_EXPIRED = Invalid.of("expires", Rule.DATE_RANGE)

OPERATIONS = (
    Operation(
        handler=api_keys.list_api_keys,
        parameters=parameters.list_of(ApiKeyRow),
        answers=pages(
            ref(ApiKeyRow), samples.NAMED_API_KEY, description="A page of API keys", metadata=True
        ),
        refusals=BAD_LIST,
    ),
    Operation(
        handler=api_keys.create_api_key,
        body=envelope(ref("NewApiKey"), {"api_key": sample_requests.NEW_API_KEY}),
        answers={
            201: success(
                ref(CreatedApiKey),
                samples.CREATED_API_KEY,
                headers=("Location",),
                description="The new API key with its secret",
            )
        },
        refusals=(_BAD_SCOPE, _EXPIRED, TooManyApiKeys(MAX_API_KEYS)),
    ),
    Operation(
        handler=api_keys.get_named_api_key,
        answers={200: success(ref(ApiKeyRow), samples.NAMED_API_KEY, description="The API key")},
        refusals=(_UNKNOWN,),
    ),
    Operation(
        handler=api_keys.revoke_api_key,
        answers={
            200: success(ref(ApiKeyRow), samples.NAMED_API_KEY, description="The revoked API key")
        },
        refusals=(_UNKNOWN,),
    ),
)
