"""Operations of users."""

from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.kazoo import users
from service.api.kazoo.openapi import parameters, samples
from service.api.kazoo.openapi.bodies import envelope, link, pages, success
from service.api.kazoo.openapi.schemas import ref
from service.api.kazoo.openapi.vmboxes import BAD_LIST
from service.domain.errors import EditConflict, Invalid, Rule, UserNotFound

TAG = {"name": "Users", "description": "Who owns boxes and may sign in"}

_NAME = TAG["name"]
_UNKNOWN = UserNotFound(samples.OWNER_ID)
_TAKEN = Invalid.of("username", Rule.UNIQUE)
_NO_PASSWORD = Invalid.of("password", Rule.REQUIRED)


def _one(text: str, *headers: str, links: Json | None = None, more: Json | None = None) -> Json:
    return success(
        ref("User"),
        samples.USER | (more or {}),
        text=text,
        revision=f"1-{samples.OWNER_ID}",
        metadata=(ref("Metadata"), samples.USER_METADATA),
        headers=headers,
        links=links,
    )


def _links() -> Json:
    """What one can do with a new user."""
    targets = {
        "get": ("get_user", "Read it"),
        "replace": ("replace_user", "Set all its settings"),
        "patch": ("patch_user", "Change some settings"),
        "delete": ("delete_user", "Delete it"),
    }
    return {
        name: link(operation, text, user_id="$response.body#/data/id")
        for name, (operation, text) in targets.items()
    }


OPERATIONS = (
    Operation(
        handler=users.list_users,
        tag=_NAME,
        parameters=parameters.LIST,
        answers=pages(ref("UserRow"), [samples.USER_ROW], text="Users by name", metadata=True),
        refusals=BAD_LIST,
    ),
    Operation(
        handler=users.create_user,
        tag=_NAME,
        body=envelope(ref("NewUser"), {"user": samples.NEW_USER}),
        answers={201: _one("Created", "Location", links=_links())},
        refusals=(_TAKEN,),
    ),
    Operation(
        handler=users.get_user,
        tag=_NAME,
        answers={200: _one("The user")},
        refusals=(_UNKNOWN,),
    ),
    Operation(
        handler=users.replace_user,
        tag=_NAME,
        body=envelope(ref("NewUser"), {"user": samples.NEW_USER}),
        answers={200: _one("The user as it is now")},
        refusals=(_UNKNOWN, _TAKEN, _NO_PASSWORD, EditConflict()),
    ),
    Operation(
        handler=users.patch_user,
        tag=_NAME,
        body=envelope(ref("UserChanges"), {"email": {"email": None}}, required=False),
        answers={200: _one("The user as it is now")},
        refusals=(_UNKNOWN, _TAKEN, _NO_PASSWORD, EditConflict()),
    ),
    Operation(
        handler=users.delete_user,
        tag=_NAME,
        answers={200: _one("The user as it was", more=samples.DELETED)},
        refusals=(_UNKNOWN,),
    ),
)
