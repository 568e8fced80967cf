"""The schemas of accounts, of users, and of signing in."""

from service.api.description.openapi.fields import (
    Json,
    nullable_request_schema,
    patch_schema,
    request_schema,
    response_schema,
    with_properties,
)
from service.api.kazoo.openapi import texts
from service.api.kazoo.openapi.schemas import DELETED, HEX_ID, TEXT
from service.api.kazoo.profiles import ACCOUNT_FIELDS
from service.api.kazoo.sessions import API_KEY_FIELDS, CREDENTIAL_FIELDS
from service.api.kazoo.wire import USER_ROW
from service.domain.user import FIELDS as USER_FIELDS


def caller_schemas() -> Json:
    """All of them by name."""
    return {**_sessions(), **_accounts(), **_users()}


def _accounts() -> Json:
    return {
        "NewAccount": nullable_request_schema(ACCOUNT_FIELDS, texts.ACCOUNT),
        "AccountChanges": patch_schema(ACCOUNT_FIELDS, texts.ACCOUNT),
        "Account": with_properties(
            response_schema(ACCOUNT_FIELDS, texts.ACCOUNT), DELETED | {"id": HEX_ID}, ["id"]
        ),
        "AccountRow": {
            "type": "object",
            "properties": {"id": HEX_ID, "name": TEXT, "realm": TEXT},
            "required": ["id", "name", "realm"],
        },
    }


def _users() -> Json:
    shown = {name: field for name, field in USER_FIELDS.items() if name != "password"}
    user = with_properties(response_schema(shown, texts.USER), DELETED | {"id": HEX_ID}, ["id"])
    new = nullable_request_schema(USER_FIELDS, texts.USER)
    new["properties"]["password"]["writeOnly"] = True
    changed = patch_schema(USER_FIELDS, texts.USER)
    changed["properties"]["password"]["writeOnly"] = True
    return {
        "NewUser": new,
        "UserChanges": changed,
        "User": user,
        "UserRow": {
            "type": "object",
            "properties": {"id": HEX_ID, **{name: user["properties"][name] for name in USER_ROW}},
            "required": ["id", "username"],
        },
    }


def _sessions() -> Json:
    who = {
        "account_id": HEX_ID,
        "account_name": TEXT,
        "language": TEXT,
        "is_reseller": {"type": "boolean"},
        "reseller_id": HEX_ID,
        "is_master_account": {"type": "boolean"},
        "cluster_id": HEX_ID,
        "apps": {"type": "array"},
        "capabilities": {"type": "object"},
        "ui_config": {"type": "object"},
    }
    named = ("account_name", "account_realm", "realm", "phone_number")
    return {
        "ApiKey": {**request_schema(API_KEY_FIELDS, {}), "additionalProperties": False},
        "Credentials": {
            **request_schema(CREDENTIAL_FIELDS, texts.CREDENTIALS),
            "anyOf": [{"required": [name]} for name in named],
        },
        "SignedIn": {
            "type": "object",
            "properties": {**who, "owner_id": {**HEX_ID, "description": "The user"}},
            "required": [*who],
        },
    }
