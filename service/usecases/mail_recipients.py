"""Recipients of the mails of a box, and the data for their content."""

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import Any
from uuid import UUID

import msgspec

from service.domain.account import Account
from service.domain.errors import UserNotFound
from service.domain.message import parse_hex_id
from service.domain.recipient import MAX_RECIPIENTS
from service.domain.recording import zone_of
from service.domain.rendition import RenditionFormat
from service.domain.schema import Document
from service.postgres.accounts import read_account
from service.postgres.pool import Connection
from service.postgres.users import get_user
from service.postgres.vmboxes import get_vmbox


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Mail settings of the owner of a box."""

    email: str | None
    receives_mail: bool
    timezone: str | None


class MailContext(msgspec.Struct, frozen=True, kw_only=True):
    """Current settings of a box, its owner and its account, and the domains permitted in From."""

    settings: Document
    owner: Owner | None
    account: Document
    from_domains: frozenset[str] = frozenset()

    @property
    def zone(self) -> tzinfo:
        """Time zone of the box, else of its owner, else of its account, else UTC."""
        owner = self.owner.timezone if self.owner else None
        return zone_of(_string(self.settings, "timezone"), owner, _string(self.account, "timezone"))

    @property
    def includes_audio(self) -> bool:
        """True unless the box has mails without audio."""
        return self.settings.get("include_message_on_notify") is not False

    @property
    def includes_transcription(self) -> bool:
        """True unless the box has mails without transcription."""
        return self.settings.get("include_transcription_on_notify") is not False

    @property
    def audio_format(self) -> RenditionFormat | None:
        """Format of attached audio: of the box, else of its account; None is the stored one."""
        for document in (self.settings, self.account):
            name = document.get("notify_audio_format")
            # The key had no rules in earlier releases.
            if isinstance(name, str) and name in RenditionFormat.__members__.values():
                return RenditionFormat(name)
        return None

    @property
    def mail_settings(self) -> Document:
        """The `notify_email` of the account: `from` and `subject`."""
        settings = self.account.get("notify_email")
        return settings if isinstance(settings, dict) else {}


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
        from_domains=await _read_from_domains(connection, account) if account else frozenset(),
    )


async def _read_from_domains(connection: Connection, account: Account) -> frozenset[str]:
    """Returns the domains that are permitted for the account and for each account above it.

    An account can permit no more to its descendants than its own ancestors permit. The root account
    has no limits.
    """
    domains = _from_domains(account.document)
    for ancestor_id in account.ancestors[1:] if domains else ():
        ancestor = await read_account(connection, ancestor_id)
        domains &= _from_domains(ancestor.document if ancestor else {})
    return domains


def _from_domains(account: Document) -> frozenset[str]:
    limits = account.get("limits")
    domains = limits.get("email_from_domains") if isinstance(limits, dict) else None
    # The key had no rules in earlier releases.
    listed = domains if isinstance(domains, list) else []
    return frozenset(domain.lower() for domain in listed if isinstance(domain, str))


async def _read_owner(connection: Connection, account_id: UUID, owner_id: Any) -> Owner | None:
    """Returns None if the box has no owner, or if the owner was deleted."""
    user_id = parse_hex_id(owner_id) if isinstance(owner_id, str) else None
    if user_id is None:
        return None
    try:
        document = (await get_user(connection, account_id, user_id)).document
    except UserNotFound:
        return None
    return Owner(
        email=_string(document, "email"),
        receives_mail=document.get("vm_to_email_enabled", True) is not False,
        timezone=_string(document, "timezone"),
    )


def message_recipients(context: MailContext) -> list[str]:
    """Returns the addresses of the box, and of its owner unless the owner has disabled mail."""
    owner = context.owner
    listed = _listed_addresses(context)
    if owner is None or owner.email is None:
        return _remove_duplicates(listed)
    if owner.receives_mail:
        return _remove_duplicates([*listed, owner.email])
    disabled = owner.email.casefold()
    return _remove_duplicates(address for address in listed if address.casefold() != disabled)


def full_box_recipients(context: MailContext) -> list[str]:
    """Returns the addresses of the box and of its owner, even if the owner has disabled mail."""
    owner = context.owner
    owners = [owner.email] if owner and owner.email else []
    return _remove_duplicates([*_listed_addresses(context), *owners])


def _listed_addresses(context: MailContext) -> Sequence[str]:
    """Returns the first addresses of the box, up to the maximum."""
    listed = context.settings.get("notify_email_addresses") or []
    return [address for address in listed if isinstance(address, str)][:MAX_RECIPIENTS]


def _remove_duplicates(addresses: Iterable[str]) -> list[str]:
    """Removes duplicates that differ only in case, and keeps the first."""
    distinct: dict[str, str] = {}
    for address in addresses:
        distinct.setdefault(address.casefold(), address)
    return list(distinct.values())


def _string(document: Document, key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) and value else None
