"""Operations of accounts."""

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import accounts
from service.api.kazoo.openapi import parameters, sample_requests, samples
from service.api.kazoo.openapi.bodies import DocumentResponse, envelope, link, pages, success
from service.api.kazoo.openapi.erasures import BLOCKED
from service.api.kazoo.openapi.vmboxes import BAD_LIST
from service.api.kazoo.wire.documents import AccountRow, ApiKeyResponse
from service.domain.errors import AccountHasChildren, AccountIsRoot, EditConflict, Invalid, Rule

TAG = {
    "name": "Accounts",
    "description": "Accounts form a tree. A token gives access to its account and those below it",
}

_BAD_ERASE = Invalid.of("erase", Rule.ENUM, target=["true", "false"], value="yes")
_KEY = ApiKeyResponse(api_key=sample_requests.API_KEY)
_TAKEN = (Invalid.of("name", Rule.UNIQUE), Invalid.of("realm", Rule.UNIQUE))
_ACCOUNT = DocumentResponse(schema="Account", example=samples.ACCOUNT, revision="1")
_NEW_ACCOUNT = envelope(ref("NewAccount"), {"account": sample_requests.NEW_ACCOUNT})
_ROWS = pages(ref(AccountRow), samples.ACCOUNT_ROW, description="A page of accounts", metadata=True)
_LINKS = {
    name: link(operation, description, account_id="$response.body#/data/id")
    for name, operation, description in (
        ("get", "get_account", "Get the account"),
        ("patch", "patch_account", "Change some settings"),
        ("delete", "delete_account", "Delete the account"),
        ("key", "get_api_key", "Get its API key"),
        ("create_vmbox", "create_vmbox", "Create a box in the account"),
        ("create_user", "create_user", "Create a user in the account"),
    )
}

OPERATIONS = (
    Operation(
        handler=accounts.get_account,
        answers={200: _ACCOUNT.describe("The account")},
    ),
    Operation(
        handler=accounts.create_account,
        body=_NEW_ACCOUNT,
        answers={201: _ACCOUNT.describe("The new account", "Location", links=_LINKS)},
        refusals=_TAKEN,
    ),
    Operation(
        handler=accounts.replace_account,
        parameters=("dry_run",),
        body=_NEW_ACCOUNT,
        answers={200: _ACCOUNT.describe("The changed account")},
        refusals=(*_TAKEN, EditConflict()),
    ),
    Operation(
        handler=accounts.patch_account,
        parameters=("dry_run",),
        body=envelope(
            ref("AccountChanges"), {"profile": {"wire_profile": "audian"}}, required=False
        ),
        answers={200: _ACCOUNT.describe("The changed account")},
        refusals=(*_TAKEN, EditConflict()),
    ),
    Operation(
        handler=accounts.delete_account,
        parameters=("erase",),
        answers={200: _ACCOUNT.describe("The deleted account", extras=samples.DELETED)},
        refusals=(AccountHasChildren(), AccountIsRoot(), BLOCKED, _BAD_ERASE),
    ),
    Operation(
        handler=accounts.list_children,
        parameters=parameters.list_of(AccountRow),
        answers=_ROWS,
        refusals=BAD_LIST,
    ),
    Operation(
        handler=accounts.list_descendants,
        parameters=parameters.list_of(AccountRow),
        answers=_ROWS,
        refusals=BAD_LIST,
    ),
    Operation(
        handler=accounts.get_api_key,
        answers={200: success(ref(ApiKeyResponse), _KEY, description="The API key")},
    ),
    Operation(
        handler=accounts.renew_api_key,
        answers={201: success(ref(ApiKeyResponse), _KEY, description="The new API key")},
    ),
)
