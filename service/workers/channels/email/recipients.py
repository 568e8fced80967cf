"""Who gets a mail about a box, and in what time zone it is told."""

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import Any
from uuid import UUID

import msgspec

from service.domain.errors import UserNotFound
from service.domain.message import parse_hex_id
from service.domain.recording import zone_of
from service.domain.schema import Document
from service.postgres.accounts import read_account
from service.postgres.pool import Connection
from service.postgres.users import get_user
from service.postgres.vmboxes import get_vmbox


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """What mails need of a box's owner."""

    email: str | None
    wants_mail: bool
    timezone: str | None


class MailContext(msgspec.Struct, frozen=True, kw_only=True):
    """A box, its owner and its account, as they are now."""

    settings: Document
    owner: Owner | None
    account: Document

    @property
    def zone(self) -> tzinfo:
        """The box's time zone; without one of its own its owner's, its account's, UTC."""
        owner = self.owner.timezone if self.owner else None
        return zone_of(_text(self.settings, "timezone"), owner, _text(self.account, "timezone"))

    @property
    def mail_settings(self) -> Document:
        """The account's `notify_email`: `from` and `subject`."""
        found = self.account.get("notify_email")
        return found if isinstance(found, dict) else {}


async def read_mail_context(
    connection: Connection, account_id: UUID, vmbox_id: UUID
) -> MailContext:
    """Raises VmboxNotFound."""
    settings = (await get_vmbox(connection, account_id, vmbox_id)).vmbox.document
    account = await read_account(connection, account_id)
    return MailContext(
        settings=settings,
        owner=await _read_owner(connection, account_id, settings.get("owner_id")),
        account=account.document if account else {},
    )


async def _read_owner(connection: Connection, account_id: UUID, owner_id: Any) -> Owner | None:
    """None when the box names none, or one who is gone."""
    user_id = parse_hex_id(owner_id) if isinstance(owner_id, str) else None
    if user_id is None:
        return None
    try:
        document = (await get_user(connection, account_id, user_id)).document
    except UserNotFound:
        return None
    return Owner(
        email=_text(document, "email"),
        wants_mail=document.get("vm_to_email_enabled", True) is not False,
        timezone=_text(document, "timezone"),
    )


def of_message(context: MailContext) -> list[str]:
    """The box's addresses and its owner's; an owner who wants no mail gets none, listed or not."""
    owner = context.owner
    listed = _listed(context)
    if owner is None or owner.email is None:
        return _distinct(listed)
    if owner.wants_mail:
        return _distinct([*listed, owner.email])
    unwanted = owner.email.casefold()
    return _distinct(address for address in listed if address.casefold() != unwanted)


def of_full_box(context: MailContext) -> list[str]:
    """The box's addresses and its owner's, whatever the owner wants of messages."""
    owner = context.owner
    also = [owner.email] if owner and owner.email else []
    return _distinct([*_listed(context), *also])


def _listed(context: MailContext) -> Sequence[str]:
    addresses = context.settings.get("notify_email_addresses")
    return [one for one in addresses if isinstance(one, str)] if addresses else []


def _distinct(addresses: Iterable[str]) -> list[str]:
    """Each once, as first written: nobody distinguishes mailboxes by case."""
    seen: dict[str, str] = {}
    for address in addresses:
        seen.setdefault(address.casefold(), address)
    return list(seen.values())


def _text(document: Document, key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) and value else None
