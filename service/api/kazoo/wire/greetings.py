"""JSON of the greeting that callers hear now."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.http.times import format_iso
from service.api.kazoo.wire.documents import GreetingRow, greeting_row
from service.api.kazoo.wire.types import DateTimeString
from service.domain.greeting_rules import GreetingRole, PlayingGreeting


class PlayingGreetingRow(GreetingRow, kw_only=True):
    """The greeting of a box that callers hear now."""

    role: Annotated[GreetingRole, Meta(description="The field of `media` that contains its id")]
    changes_at: (
        Annotated[DateTimeString, Meta(description="The next start or end of the temporary one")]
        | UnsetType
    ) = UNSET


def playing_greeting(playing: PlayingGreeting) -> PlayingGreetingRow:
    """Returns the greeting that plays, with the time at which another one may play."""
    fields = msgspec.structs.asdict(greeting_row(playing.greeting))
    changes_at = playing.changes_at
    return PlayingGreetingRow(
        **fields,
        role=playing.role,
        changes_at=UNSET if changes_at is None else format_iso(changes_at),
    )
