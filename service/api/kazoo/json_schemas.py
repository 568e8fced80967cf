"""Routes of JSON schemas: `/v2/schemas`. They need no token.

KAZOO API docs, "JSON Schemas". Clients read a schema before they write a document.
"""

from functools import cache

from litestar import Response, route

from service.api.kazoo.accept import negotiate
from service.api.kazoo.dependencies import AnyRequest
from service.api.kazoo.envelope import succeed
from service.domain.errors import NotFound
from service.domain.schema import Document

# Name of each schema, and name of its component in the OpenAPI document.
COMPONENTS = {
    "accounts": "NewAccount",
    "api_auth": "ApiKey",
    "api_keys": "NewApiKey",
    "erasures": "NewErasure",
    "holds": "NewHold",
    "mailbox_message": "NewMessage",
    "media": "NewGreeting",
    "user_auth": "Credentials",
    "users": "NewUser",
    "vmboxes": "NewVmbox",
    "webhooks": "NewWebhook",
}
# The version of KAZOO's schemas. The components use no keyword of a later version.
_DIALECT = "http://json-schema.org/draft-04/schema#"


@route("/schemas", http_method=["GET", "HEAD"])
async def list_schemas(request: AnyRequest) -> Response[bytes]:
    """Lists the names of the JSON schemas. The request needs no token."""
    negotiate(request)
    return succeed(request, list(COMPONENTS))


@route("/schemas/{schema_name:str}", http_method=["GET", "HEAD"])
async def get_schema(request: AnyRequest, schema_name: str) -> Response[bytes]:
    """Returns the JSON schema of the documents that clients create. The request needs no token.
    The schema has the rules that the service applies; unknown keys are allowed."""
    negotiate(request)
    schema = _json_schemas().get(schema_name)
    if schema is None:
        raise NotFound(schema_name[:64])
    return succeed(request, schema)


ROUTES = (list_schemas, get_schema)


@cache
def _json_schemas() -> dict[str, Document]:
    # The description imports all route handlers, so this module cannot import it when it is loaded.
    from service.api.kazoo.openapi.schemas import schemas

    components = schemas()
    return {
        name: {"$schema": _DIALECT, "id": name, **components[component]}
        for name, component in COMPONENTS.items()
    }
