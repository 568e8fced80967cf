"""Operations of accounts."""

from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.kazoo import accounts
from service.api.kazoo.openapi import parameters, samples
from service.api.kazoo.openapi.bodies import envelope, link, pages, success
from service.api.kazoo.openapi.schemas import ref
from service.api.kazoo.openapi.vmboxes import BAD_LIST
from service.domain.errors import (
    AccountHasChildren,
    AccountIsRoot,
    EditConflict,
    Invalid,
    Rule,
)

TAG = {"name": "Accounts", "description": "Accounts form a tree; a token reaches its own part"}

_NAME = TAG["name"]
_METADATA = (ref("Metadata"), samples.ACCOUNT_METADATA)
_KEY = {"api_key": samples.API_KEY}
_TAKEN = (Invalid.of("name", Rule.UNIQUE), Invalid.of("realm", Rule.UNIQUE))
_ROWS = pages(ref("AccountRow"), [samples.ACCOUNT_ROW], text="Accounts by name", metadata=True)


def _one(text: str, *headers: str, links: Json | None = None, more: Json | None = None) -> Json:
    return success(
        ref("Account"),
        samples.ACCOUNT | (more or {}),
        text=text,
        revision="1",
        metadata=_METADATA,
        headers=headers,
        links=links,
    )


def _links() -> Json:
    """What one can do with a new account."""
    targets = {
        "get": ("get_account", "Read it"),
        "patch": ("patch_account", "Change some settings"),
        "delete": ("delete_account", "Delete it"),
        "key": ("get_api_key", "Read its API key"),
        "create_vmbox": ("create_vmbox", "Create a box in it"),
        "create_user": ("create_user", "Create a user in it"),
    }
    return {
        name: link(operation, text, account_id="$response.body#/data/id")
        for name, (operation, text) in targets.items()
    }


OPERATIONS = (
    Operation(handler=accounts.get_account, tag=_NAME, answers={200: _one("The account")}),
    Operation(
        handler=accounts.create_account,
        tag=_NAME,
        body=envelope(ref("NewAccount"), {"account": samples.NEW_ACCOUNT}),
        answers={201: _one("Created", "Location", links=_links())},
        refusals=_TAKEN,
    ),
    Operation(
        handler=accounts.replace_account,
        tag=_NAME,
        body=envelope(ref("NewAccount"), {"account": samples.NEW_ACCOUNT}),
        answers={200: _one("The account as it is now")},
        refusals=(*_TAKEN, EditConflict()),
    ),
    Operation(
        handler=accounts.patch_account,
        tag=_NAME,
        body=envelope(
            ref("AccountChanges"), {"profile": {"wire_profile": "audian"}}, required=False
        ),
        answers={200: _one("The account as it is now")},
        refusals=(*_TAKEN, EditConflict()),
    ),
    Operation(
        handler=accounts.delete_account,
        tag=_NAME,
        answers={200: _one("The account as it was", more=samples.DELETED)},
        refusals=(AccountHasChildren(), AccountIsRoot()),
    ),
    Operation(
        handler=accounts.list_children,
        tag=_NAME,
        parameters=parameters.LIST,
        answers=_ROWS,
        refusals=BAD_LIST,
    ),
    Operation(
        handler=accounts.list_descendants,
        tag=_NAME,
        parameters=parameters.LIST,
        answers=_ROWS,
        refusals=BAD_LIST,
    ),
    Operation(
        handler=accounts.get_api_key,
        tag=_NAME,
        answers={200: success(ref("ApiKey"), _KEY, text="The key")},
    ),
    Operation(
        handler=accounts.renew_api_key,
        tag=_NAME,
        answers={201: success(ref("ApiKey"), _KEY, text="A new key")},
    ),
)
