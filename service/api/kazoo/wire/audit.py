"""JSON of audit records in lists, and in lines of the export."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.http.times import format_iso_ms
from service.api.kazoo.wire.types import DateTimeString, HexId, MessageIdString
from service.domain.audit import AuditRecord, Principal, Result


class AuditRow(msgspec.Struct, kw_only=True):
    """A record of the audit. A key that does not apply is absent."""

    id: HexId
    time: DateTimeString
    action: Annotated[
        str, Meta(description="The type of an event, such as `message.new`, or another action")
    ]
    result: Result
    principal: Annotated[Principal, Meta(description="The kind of the principal")]
    principal_id: (
        Annotated[
            HexId,
            Meta(description="The user, or the account of an API key; for a link, of its signer"),
        ]
        | UnsetType
    ) = UNSET
    credential_id: (
        Annotated[HexId, Meta(description="The id of the token, API key or link")] | UnsetType
    ) = UNSET
    peer: Annotated[str, Meta(description="The address of the client")] | UnsetType = UNSET
    request_id: str | UnsetType = UNSET
    vmbox_id: HexId | UnsetType = UNSET
    media_id: MessageIdString | UnsetType = UNSET
    target: (
        Annotated[
            str,
            Meta(
                description="The id of the user, webhook, greeting, account, token or link; for "
                "the action `request` its method and route"
            ),
        ]
        | UnsetType
    ) = UNSET


def audit_row(record: AuditRecord) -> AuditRow:
    """Returns a record as a row of a list."""
    principal_id, credential_id = record.principal_id, record.credential_id
    return AuditRow(
        id=record.id.hex,
        time=format_iso_ms(record.at),
        action=record.action,
        result=record.result,
        principal=record.principal,
        principal_id=UNSET if principal_id is None else principal_id.hex,
        credential_id=UNSET if credential_id is None else credential_id.hex,
        peer=record.peer or UNSET,
        request_id=record.request_id or UNSET,
        vmbox_id=UNSET if record.vmbox_id is None else record.vmbox_id.hex,
        media_id=UNSET if record.message_id is None else str(record.message_id),
        target=record.target or UNSET,
    )
