"""What one may ask about whom a box mails to: list, add, remove one."""

from dataclasses import dataclass
from uuid import UUID

from service.domain.account import AccountFacts
from service.domain.errors import RecipientNotFound
from service.domain.recipient import Recipient, recipient_id_of
from service.domain.schema import Document, Fields
from service.domain.vmbox import FIELDS, Vmbox, addresses_of
from service.usecases.vmboxes import Vmboxes

_KEY = "notify_email_addresses"


@dataclass(frozen=True)
class Recipients:
    """The addresses of a box one by one; a change of them is a change of the box."""

    vmboxes: Vmboxes

    async def list(self, account: AccountFacts, vmbox_id: UUID) -> tuple[Recipient, ...]:
        """Whom a box mails to, in the order of its list. Raises VmboxNotFound."""
        return (await self.vmboxes.get(account, vmbox_id)).recipients

    async def add(
        self, account: AccountFacts, vmbox_id: UUID, address: str, fields: Fields = FIELDS
    ) -> tuple[Recipient, bool]:
        """The recipient with that address, and whether it is a new one.

        One that is there stays as it is. Raises VmboxNotFound, Invalid, EditConflict.
        """
        recipient_id = recipient_id_of(vmbox_id, address)
        added = False

        def with_it(settings: Document) -> Document:
            nonlocal added
            addresses = addresses_of(settings)
            added = recipient_id not in {recipient_id_of(vmbox_id, one) for one in addresses}
            return {**settings, _KEY: [*addresses, address]} if added else settings

        vmbox = await self.vmboxes.change(account, vmbox_id, with_it, fields=fields)
        return _found(vmbox, recipient_id), added

    async def remove(
        self, account: AccountFacts, vmbox_id: UUID, recipient_id: UUID, fields: Fields = FIELDS
    ) -> None:
        """Takes an address out of the list, however often it is in there.

        Raises VmboxNotFound, RecipientNotFound, EditConflict.
        """

        def without_it(settings: Document) -> Document:
            addresses = addresses_of(settings)
            kept = [one for one in addresses if recipient_id_of(vmbox_id, one) != recipient_id]
            if len(kept) == len(addresses):
                raise RecipientNotFound(recipient_id.hex)
            return {**settings, _KEY: kept}

        await self.vmboxes.change(account, vmbox_id, without_it, fields=fields)


def _found(vmbox: Vmbox, recipient_id: UUID) -> Recipient:
    return next(one for one in vmbox.recipients if one.recipient_id == recipient_id)
