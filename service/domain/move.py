"""Move of an account to another deployment."""

from enum import StrEnum

from service.domain.errors import Refused, Unavailable, VoicemailError


class MoveState(StrEnum):
    """State of an account that is moved, in the deployment that it leaves."""

    READ_ONLY = "read_only"
    MOVED = "moved"


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
