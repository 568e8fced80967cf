"""JSON of documents: accounts, users, boxes and greetings.

A document keeps the keys that its client sent; the server adds the fields of a Struct.
"""

from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType, to_builtins

from service.api.kazoo.profiles import WireProfile
from service.api.kazoo.times import gregorian
from service.api.kazoo.wire.types import Count, GregorianSeconds, HexId
from service.domain.access import ADMIN_ACCESS, Access
from service.domain.account import Account, Caller
from service.domain.greeting import Greeting
from service.domain.schema import Document
from service.domain.user import User
from service.domain.vmbox import MessageCounts, Vmbox

Row = TypeVar("Row", bound=msgspec.Struct)


class ReadOnlyFlags(msgspec.Struct):
    """State of a document that was just deleted."""

    deleted: Annotated[bool, Meta(description="Always true")] = True


class DocumentExtras(msgspec.Struct, kw_only=True):
    """Fields that the server adds to a document."""

    id: HexId
    read_only: ReadOnlyFlags | UnsetType = msgspec.field(name="_read_only", default=UNSET)


class GreetingExtras(DocumentExtras, kw_only=True):
    """Fields that the server adds to a greeting."""

    content_type: Annotated[str, Meta(description="The type of its audio")] | UnsetType = UNSET
    content_length: (
        Annotated[int, Meta(ge=0, description="The size of its audio in bytes")] | UnsetType
    ) = UNSET


class DocumentMetadata(msgspec.Struct, kw_only=True):
    """`metadata` of a document in its envelope."""

    id: HexId
    created: GregorianSeconds
    modified: GregorianSeconds
    deleted: Annotated[bool, Meta(description="True if it was deleted")] | UnsetType = UNSET


class AccountRow(msgspec.Struct, kw_only=True):
    """An account in a list."""

    id: HexId
    name: str
    realm: str


class UserRow(msgspec.Struct, kw_only=True):
    """A user in a list."""

    id: HexId
    username: str
    first_name: str | UnsetType = UNSET
    last_name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET


class GreetingRow(msgspec.Struct, kw_only=True):
    """A greeting in a list."""

    id: HexId
    name: str
    description: str | UnsetType = UNSET
    language: str | UnsetType = UNSET
    content_type: str | UnsetType = UNSET
    content_length: Count | UnsetType = UNSET


class FolderCounts(msgspec.Struct, kw_only=True):
    """Messages of a box by folder."""

    new: Count
    saved: Count


class VmboxRow(msgspec.Struct, kw_only=True):
    """A box in a list, in the `kazoo` profile."""

    id: HexId
    name: str
    mailbox: str
    owner_id: str | UnsetType = UNSET
    flags: list[str]
    messages: Annotated[int, Meta(ge=0, description="New and saved messages")]
    folders: FolderCounts


class AudianVmboxRow(msgspec.Struct, kw_only=True):
    """A box in a list, in the `audian` profile."""

    id: HexId
    name: str
    mailbox: str
    owner_id: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    pin: str | UnsetType = UNSET
    require_pin: bool | UnsetType = UNSET


class ApiKeyResponse(msgspec.Struct):
    """The API key of an account."""

    api_key: str


class SessionResponse(msgspec.Struct, kw_only=True):
    """The account of a token, and its user if there is one."""

    account_id: HexId
    account_name: str
    language: str = "en-US"
    is_reseller: bool = False
    reseller_id: HexId
    is_master_account: bool
    cluster_id: HexId
    apps: list[dict[str, Any]] = []
    capabilities: dict[str, Any] = {}
    ui_config: dict[str, Any] = {}
    owner_id: Annotated[HexId, Meta(description="The user")] | UnsetType = UNSET


class MwiResponse(FolderCounts, kw_only=True):
    """Message-waiting state of a box."""

    waiting: bool


def with_extras(document: Document, extras: DocumentExtras) -> Document:
    """Returns a document with the fields that the server adds."""
    return {**document, **to_builtins(extras)}


def account_document(account: Account, access: Access = ADMIN_ACCESS) -> Document:
    """Returns the public document of an account; its name only without administrator rights."""
    document = account.document if access.is_admin else {"name": account.name}
    return with_extras(document, DocumentExtras(id=account.account_id.hex))


def account_row(account: Account) -> AccountRow:
    """Returns an account as a row of a list."""
    return AccountRow(id=account.account_id.hex, name=account.name, realm=account.realm)


def session_response(caller: Caller) -> SessionResponse:
    """Returns the account and the user of a token."""
    account, claims = caller.account, caller.claims
    root = account.ancestors[0] if account.ancestors else account.account_id
    owner_id = None if claims is None else claims.owner_id
    return SessionResponse(
        account_id=account.account_id.hex,
        account_name=account.name,
        reseller_id=root.hex,
        is_master_account=account.is_root,
        cluster_id=root.hex,
        owner_id=UNSET if owner_id is None else owner_id.hex,
    )


def user_document(user: User) -> Document:
    """Returns the public document of a user, without credentials."""
    return with_extras(user.document, DocumentExtras(id=user.user_id.hex))


def user_row(user: User) -> UserRow:
    """Returns a user as a row of a list."""
    return to_row(UserRow, user_document(user))


def vmbox_document(vmbox: Vmbox) -> Document:
    """Returns the public document of a box."""
    return with_extras(vmbox.settings, DocumentExtras(id=vmbox.vmbox_id.hex))


def vmbox_filterable(vmbox: Vmbox) -> Document:
    """Returns the document that filters of a box list apply to: the public one without the PIN."""
    return with_extras(vmbox.document, DocumentExtras(id=vmbox.vmbox_id.hex))


def vmbox_row(vmbox: Vmbox, profile: WireProfile) -> VmboxRow | AudianVmboxRow:
    """Returns a box as a row of a list."""
    if profile is WireProfile.AUDIAN:
        return to_row(AudianVmboxRow, vmbox_document(vmbox))
    counts = vmbox.counts
    document = vmbox.document
    return VmboxRow(
        id=vmbox.vmbox_id.hex,
        name=document["name"],
        mailbox=document["mailbox"],
        owner_id=document.get("owner_id", UNSET),
        flags=document.get("flags", []),
        messages=counts.total,
        folders=FolderCounts(new=counts.new, saved=counts.saved),
    )


class PinResponse(msgspec.Struct, kw_only=True):
    """Result of a PIN check."""

    valid: bool


def mwi_response(counts: MessageCounts) -> MwiResponse:
    """Returns the message-waiting state that follows from the counts of a box."""
    return MwiResponse(new=counts.new, saved=counts.saved, waiting=counts.new > 0)


def greeting_document(greeting: Greeting) -> Document:
    """Returns the public document of a greeting, with type and size of its audio."""
    extras = GreetingExtras(id=greeting.media_id.hex)
    if greeting.audio is not None:
        extras.content_type = greeting.audio.content_type
        extras.content_length = greeting.audio.size
    return with_extras(greeting.document, extras)


def greeting_row(greeting: Greeting) -> GreetingRow:
    """Returns a greeting as a row of a list."""
    return to_row(GreetingRow, greeting_document(greeting))


def to_row(kind: type[Row], document: Document) -> Row:
    """Returns the fields of a document that its row in a list has."""
    names = kind.__struct_fields__
    return kind(**{name: document[name] for name in names if name in document})


def document_metadata(
    document_id: UUID, created_at: datetime, modified_at: datetime, *, is_deleted: bool = False
) -> DocumentMetadata:
    """Returns the `metadata` of a document in its envelope."""
    return DocumentMetadata(
        id=document_id.hex,
        created=gregorian(created_at),
        modified=gregorian(modified_at),
        deleted=True if is_deleted else UNSET,
    )
