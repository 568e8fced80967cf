"""PIN checks: one function per statement of pins.sql."""

from uuid import UUID

from service.domain.errors import PinLocked, VmboxNotFound
from service.domain.vmbox import MAX_WRONG_PINS, PIN_LOCK
from service.postgres.audit import event_values
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("pins")


async def record_pin_check(
    connection: Connection, account_id: UUID, vmbox_id: UUID, is_valid: bool
) -> None:
    """Counts a wrong PIN, or ends the count after the right one. Raises VmboxNotFound, PinLocked.

    The last allowed wrong PIN locks the check. The next call raises PinLocked.
    """
    row = await _SQL["record_pin_check"].fetchrow(
        connection,
        account_id=account_id,
        vmbox_id=vmbox_id,
        is_valid=is_valid,
        max_wrong_pins=MAX_WRONG_PINS,
        lock=PIN_LOCK,
        **event_values(),
    )
    if row is None:
        raise VmboxNotFound(vmbox_id.hex)
    if row["locked_for_s"] is not None:
        raise PinLocked(wait_s=row["locked_for_s"])
