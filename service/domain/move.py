"""Move of an account to another deployment."""

from enum import StrEnum

from service.domain.errors import Refused, Unavailable, VoicemailError


class MoveState(StrEnum):
    """State of an account in a move. An account that is not moved has none.

    The deployment that it leaves: READ_ONLY, then LEAVING (`account.moved` is appended, the target
    does not serve the account yet), then MOVED. Both of the first answer reads. The target:
    ARRIVING while it has only a copy. READ_ONLY without an address is a reversal in the target.
    """

    READ_ONLY = "read_only"
    LEAVING = "leaving"
    MOVED = "moved"
    ARRIVING = "arriving"


class AccountReadOnly(Unavailable):
    """The account is being moved to another deployment and is read-only; retry later."""


class AccountMoved(VoicemailError):
    """The account was moved to another deployment; send the request to the new address."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class MoveRefused(Refused):
    """The account cannot be moved; its text states the reason."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text
