"""Use cases of recipients: list, add, remove the e-mail addresses of a mailbox."""

from dataclasses import dataclass
from uuid import UUID

from service.domain.account import AccountFacts
from service.domain.errors import RecipientNotFound
from service.domain.recipient import Recipient, recipient_id_of
from service.domain.schema import Document, Fields
from service.domain.vmbox import FIELDS, addresses_of
from service.usecases.vmboxes import Vmboxes

_KEY = "notify_email_addresses"


@dataclass(frozen=True)
class Recipients:
    """Use cases of recipients. A change of a recipient is a change of the mailbox."""

    vmboxes: Vmboxes

    async def list(self, account: AccountFacts, vmbox_id: UUID) -> tuple[Recipient, ...]:
        """Returns the recipients in the order of the mailbox. Raises VmboxNotFound."""
        return (await self.vmboxes.get(account, vmbox_id)).recipients

    async def add(
        self, account: AccountFacts, vmbox_id: UUID, address: str, fields: Fields = FIELDS
    ) -> tuple[Recipient, bool]:
        """Adds an address unless it exists; returns the recipient, and True when it is new.

        Raises VmboxNotFound, Invalid, EditConflict.
        """
        recipient_id = recipient_id_of(vmbox_id, address)
        added = False

        def add_address(settings: Document) -> Document:
            nonlocal added
            addresses = addresses_of(settings)
            ids = {recipient_id_of(vmbox_id, existing) for existing in addresses}
            added = recipient_id not in ids
            return {**settings, _KEY: [*addresses, address]} if added else settings

        vmbox = await self.vmboxes.change(account, vmbox_id, add_address, fields=fields)
        by_id = {recipient.recipient_id: recipient for recipient in vmbox.recipients}
        return by_id[recipient_id], added

    async def remove(
        self, account: AccountFacts, vmbox_id: UUID, recipient_id: UUID, fields: Fields = FIELDS
    ) -> None:
        """Removes an address and its duplicates from the list.

        Raises VmboxNotFound, RecipientNotFound, EditConflict.
        """

        def remove_address(settings: Document) -> Document:
            addresses = addresses_of(settings)
            kept = [
                address
                for address in addresses
                if recipient_id_of(vmbox_id, address) != recipient_id
            ]
            if len(kept) == len(addresses):
                raise RecipientNotFound(recipient_id.hex)
            return {**settings, _KEY: kept}

        await self.vmboxes.change(account, vmbox_id, remove_address, fields=fields)
