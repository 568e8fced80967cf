"""JSON of named API keys."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.kazoo.times import gregorian
from service.api.kazoo.wire.types import GregorianSeconds, HexId
from service.domain.access import Permission
from service.domain.api_key import ApiKey


class ApiKeyRow(msgspec.Struct, kw_only=True):
    """A named API key without its secret."""

    id: HexId
    name: str
    scopes: list[Permission]
    vmbox_ids: (
        Annotated[list[str], Meta(description="The only boxes that the key gives access to")]
        | UnsetType
    ) = UNSET
    created: GregorianSeconds
    expires: GregorianSeconds | UnsetType = UNSET
    last_used: GregorianSeconds | UnsetType = UNSET


class CreatedApiKey(ApiKeyRow, kw_only=True):
    """A named API key that was just created."""

    api_key: Annotated[str, Meta(description="The secret; sent only once")]


def api_key_row(key: ApiKey) -> ApiKeyRow:
    """Returns a named API key without its secret."""
    boxes, used = key.vmbox_ids, key.last_used_at
    return ApiKeyRow(
        id=key.key_id.hex,
        name=key.name,
        scopes=list(key.scopes),
        vmbox_ids=UNSET if boxes is None else [box.hex for box in boxes],
        created=gregorian(key.created_at),
        expires=UNSET if key.expires_at is None else gregorian(key.expires_at),
        last_used=UNSET if used is None else gregorian(used),
    )


def created_api_key(key: ApiKey, secret: str) -> CreatedApiKey:
    """Returns a named API key with its secret."""
    return CreatedApiKey(**msgspec.structs.asdict(api_key_row(key)), api_key=secret)
