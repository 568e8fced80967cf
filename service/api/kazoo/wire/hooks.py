"""Hooks that webhooks can subscribe to, as `GET /v2/webhooks` lists them."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.domain.events import DATA, TYPE_PREFIX
from service.domain.notification_hooks import (
    ALL,
    NOTIFICATIONS,
    OBJECT,
    NotificationType,
    ObjectAction,
    ObjectType,
)


class ModifierValue(msgspec.Struct, kw_only=True):
    """A value of a modifier."""

    friendly_name: str
    description: str


class Modifier(msgspec.Struct, kw_only=True):
    """A field that selects events by its value. `all`, the default, selects all of them."""

    type: Annotated[
        Literal["array", "object"], Meta(description="The form of `items`, not of the value")
    ]
    items: Annotated[
        list[str] | dict[str, ModifierValue], Meta(description="The values of the modifier")
    ]
    description: str | UnsetType = UNSET


class HookRow(msgspec.Struct, kw_only=True):
    """A hook in the list of hooks."""

    id: Annotated[str, Meta(description="The value of `hook` of a webhook")]
    name: str
    description: str
    modifiers: (
        Annotated[
            dict[str, Modifier],
            Meta(description="Fields of the webhook, or of its `custom_data`, that select events"),
        ]
        | UnsetType
    ) = UNSET


_NOTIFICATIONS: Mapping[str, tuple[str, str]] = {
    ALL: ("All", "All notifications of this hook"),
    NotificationType.NEW: ("New Voicemail Message", "A caller left a message"),
    NotificationType.SAVED: (
        "Voicemail Message Saved",
        "A caller left a message, and it stays in the folder `new`",
    ),
    NotificationType.DELETED: ("Voicemail Message Deleted", "A message was deleted"),
    NotificationType.FULL: (
        "Voicemail Box Full",
        "A message was refused because the box is full; at most once in 10 minutes",
    ),
}

HOOK_ROWS = [
    HookRow(
        id=NOTIFICATIONS,
        name="Notifications Webhook",
        description="Sends notifications about voicemail with the keys of KAZOO",
        modifiers={
            "type": Modifier(
                type="object",
                items={
                    str(value): ModifierValue(friendly_name=name, description=description)
                    for value, (name, description) in _NOTIFICATIONS.items()
                },
            )
        },
    ),
    HookRow(
        id=OBJECT,
        name="Object",
        description="Sends the id of a box or message that was created, changed or deleted",
        modifiers={
            "type": Modifier(
                type="array",
                description="The types of objects",
                items=[ALL, *map(str, ObjectType)],
            ),
            "action": Modifier(
                type="array",
                description="The changes of objects",
                items=[ALL, *map(str, ObjectAction)],
            ),
        },
    ),
    *(
        HookRow(
            id=str(kind),
            name=f"{TYPE_PREFIX}{kind}",
            description=(data.__doc__ or "").partition("\n")[0],
        )
        for kind, data in DATA.items()
    ),
]
"""All hooks except `all`, which selects every event as a CloudEvent."""
