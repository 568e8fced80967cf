"""Use case of PINs: check a PIN, with a lock after too many wrong PINs."""

from dataclasses import dataclass
from hmac import compare_digest
from uuid import UUID

from service.domain.account import AccountFacts
from service.postgres.pins import record_pin_check
from service.usecases.vmboxes import Vmboxes


@dataclass(frozen=True)
class PinChecks:
    """Checks of PINs, so that call control does not need to read PINs."""

    vmboxes: Vmboxes

    async def check(self, account: AccountFacts, vmbox_id: UUID, pin: str) -> bool:
        """Returns True for the PIN of a mailbox, and always False for a mailbox without a PIN.

        Raises VmboxNotFound, and PinLocked after too many wrong PINs, also for the right PIN.
        """
        vmbox = await self.vmboxes.get(account, vmbox_id)
        is_valid = vmbox.pin is not None and compare_digest(vmbox.pin.encode(), pin.encode())
        async with self.vmboxes.database.connection() as connection:
            await record_pin_check(connection, account.account_id, vmbox_id, is_valid)
        return is_valid
