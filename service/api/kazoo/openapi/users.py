"""Operations of users."""

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import users
from service.api.kazoo.openapi import parameters, sample_requests, samples
from service.api.kazoo.openapi.bodies import DocumentResponse, document_links, envelope, pages
from service.api.kazoo.openapi.vmboxes import BAD_LIST
from service.api.kazoo.wire.documents import UserRow
from service.domain.account import Quota
from service.domain.errors import EditConflict, Invalid, QuotaExceeded, Rule, UserNotFound

TAG = {"name": "Users", "description": "Users own boxes and can sign in"}

_NOT_FOUND = UserNotFound(sample_requests.OWNER_ID)
_TAKEN = Invalid.of("username", Rule.UNIQUE)
_NO_PASSWORD = Invalid.of("password", Rule.REQUIRED)
_USER = DocumentResponse(
    schema="User", example=samples.USER, revision=f"1-{sample_requests.OWNER_ID}"
)
_NEW_USER = envelope(ref("NewUser"), {"user": sample_requests.NEW_USER})
_LINKS = document_links("user_id", "user", "user")

OPERATIONS = (
    Operation(
        handler=users.list_users,
        parameters=parameters.list_of(UserRow),
        answers=pages(ref(UserRow), samples.USER_ROW, description="A page of users", metadata=True),
        refusals=BAD_LIST,
    ),
    Operation(
        handler=users.create_user,
        body=_NEW_USER,
        answers={201: _USER.describe("The new user", "Location", links=_LINKS)},
        refusals=(_TAKEN, QuotaExceeded(Quota.USERS, 100)),
    ),
    Operation(
        handler=users.get_user,
        answers={200: _USER.describe("The user")},
        refusals=(_NOT_FOUND,),
    ),
    Operation(
        handler=users.replace_user,
        body=_NEW_USER,
        answers={200: _USER.describe("The changed user")},
        refusals=(_NOT_FOUND, _TAKEN, _NO_PASSWORD, EditConflict()),
    ),
    Operation(
        handler=users.patch_user,
        body=envelope(ref("UserChanges"), {"email": {"email": None}}, required=False),
        answers={200: _USER.describe("The changed user")},
        refusals=(_NOT_FOUND, _TAKEN, _NO_PASSWORD, EditConflict()),
    ),
    Operation(
        handler=users.delete_user,
        answers={200: _USER.describe("The deleted user", extras=samples.DELETED)},
        refusals=(_NOT_FOUND,),
    ),
)
